"""KID and FID. What needs torch-fidelity skips without it: it imports torchvision, built for the very same torch."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from stylegan_tool.errors import MissingError
from stylegan_train.inception import extract_features, kid_and_fid, load_inception

try:
    import torch_fidelity

    REASON = ""
except (ImportError, RuntimeError) as error:
    torch_fidelity, REASON = None, f"torch-fidelity does not load: {error}"

with_library = pytest.mark.skipif(bool(REASON), reason=REASON)


def features(n: int, dimensions: int, shift: float, seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [shift + torch.randn(1, dimensions, generator=generator) for _ in range(n)]


@with_library
def test_fid_of_normal_distributions_is_the_distance_of_their_means_squared() -> None:
    _, fid = kid_and_fid(features(4000, 8, 0.5, 1), features(4000, 8, 0.0, 2))
    assert fid == pytest.approx(8 * 0.5**2, rel=0.1)


@with_library
def test_kid_of_two_draws_of_one_distribution_is_around_0_however_few() -> None:
    kids = [kid_and_fid(features(10, 8, 0, seed), features(10, 8, 0, 100 + seed))[0] for seed in range(60)]
    assert abs(np.mean(kids)) < 3 * np.std(kids) / len(kids) ** 0.5
    assert min(kids) < 0 < max(kids)
    assert kid_and_fid(features(10, 8, 2, 1), features(10, 8, 0, 2))[0] > max(kids)


@with_library
def test_the_network_is_the_real_one_whatever_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = torch_fidelity.FeatureExtractorInceptionV3
    with monkeypatch.context() as patch:  # weights of chance, in place of the download
        patch.setattr("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", lambda *_, **__: None)
        patch.setattr(network, "load_state_dict", lambda *_: None)
        torch.save(network("inception-v3-compat", ["2048"]).state_dict(), tmp_path / "weights.pth")
    extract = load_inception(tmp_path / "weights.pth")
    squares = {i: np.random.default_rng(i).integers(0, 256, (256, 256, 3), np.uint8) for i in range(2)}
    made = extract_features(squares, extract)
    assert {one.shape for one in made.values()} == {(1, 2048)}
    assert not torch.equal(made[0], made[1])
    assert np.isfinite(kid_and_fid(list(made.values()), [made[1], made[0]])).all()


def test_without_the_library_the_line_to_install_it_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(MissingError, match=r"stylegan-tool\[metrics\]"):
        load_inception(Path("weights.pth"))


def test_features_are_made_of_planes_of_8_bits() -> None:
    square = np.zeros((4, 4, 3), np.uint8)
    square[..., 2] = 7

    def extract(batch: torch.Tensor) -> torch.Tensor:
        assert (batch.dtype, tuple(batch.shape)) == (torch.uint8, (1, 3, 4, 4))
        return batch.double().mean(dim=(2, 3))

    assert extract_features({3: square}, extract)[3].tolist() == [[0.0, 0.0, 7.0]]
