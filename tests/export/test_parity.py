from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper
from torch import Tensor, nn

from stylegan_export.parity import LIMIT, NOISE_SHAPES, PICTURE_SIZE, measure_parity
from stylegan_tool.errors import ModelError
from stylegan_tool.session import Session
from stylegan_train.checkpoint import load_generator, read_plain
from stylegan_train.config import TrainConfig
from stylegan_train.networks import Generator
from tests.export.test_to_onnx import SIDES
from tests.models import make_info, write_graph


def _generator(run: Path, name: str) -> Generator:
    return load_generator(read_plain(run / "checkpoint.pt")[name], TrainConfig(ngf=4, n_blocks=1))


@torch.inference_mode()
def _difference(run: Path, direction: str, name: str, batch: Tensor) -> float:
    """The largest difference between an exported file and a generator of the checkpoint."""
    result = Session(run / f"{direction}.onnx", provider="cpu").run(batch.numpy())
    expected = _generator(run, name)(batch).numpy()
    assert result.shape == expected.shape
    return float(np.abs(result - expected).max())


@pytest.mark.parametrize(("direction", "name"), SIDES)
@pytest.mark.parametrize("shape", [(1, 3, 57, 91), (2, 3, 64, 64), (2, 3, 8, 121), (5, 3, 30, 33)], ids=str)
def test_the_file_is_the_trained_generator(
    made_once: Path, direction: str, name: str, shape: tuple[int, int, int, int]
) -> None:
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(3)) * 2 - 1
    assert _difference(made_once, direction, name, noise) <= 1e-4
    other = "gen_ba" if name == "gen_ab" else "gen_ab"
    assert _difference(made_once, direction, other, noise) > 1e-2  # the other one is told apart


@pytest.mark.parametrize("direction", ["A2B", "B2A"])
@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0], ids=["black", "grey", "white"])
def test_a_flat_picture_gives_finite_numbers(made_once: Path, direction: str, value: float) -> None:
    result = Session(made_once / f"{direction}.onnx", provider="cpu").run(np.full((1, 3, 40, 52), value, np.float32))
    assert np.isfinite(result).all()
    assert np.abs(result).max() <= 1 + 1e-6  # ONNX Runtime's tanh may end a rounding above 1


def test_the_check_covers_batches_odd_sizes_and_a_picture(made_once: Path) -> None:
    parity = measure_parity(_generator(made_once, "gen_ab"), made_once / "A2B.onnx", "A2B.onnx")
    assert 0 < parity.max_abs <= LIMIT == 1e-4
    assert {n for n, _, _ in NOISE_SHAPES} == {1, 2}
    assert any(height % 2 and width % 2 for _, height, width in NOISE_SHAPES)
    assert all("x".join(map(str, shape)) in parity.checked for shape in NOISE_SHAPES)
    assert "picture of 313x253" in parity.checked


@pytest.mark.parametrize("change", [1e-3, 1.0, float("nan")], ids=["slightly", "much", "not a number"])
def test_another_generator_is_refused(made_once: Path, change: float) -> None:
    other = _generator(made_once, "gen_ab")
    with torch.no_grad():
        next(reversed(list(other.parameters())))[0] += change  # the bias of red
    with pytest.raises(ModelError, match=r"A2B\.onnx differs from torch") as caught:
        measure_parity(other, made_once / "A2B.onnx", "A2B.onnx")
    assert caught.value.exit_code == 4


class OtherOnPictures(nn.Module):
    """The generator itself on noise; on a picture of the real world, something is added."""

    def __init__(self, generator: Generator, added: float) -> None:
        super().__init__()
        self.generator = generator
        self.added = added

    def forward(self, batch: Tensor) -> Tensor:
        result: Tensor = self.generator(batch)
        return result + self.added if batch.shape[2] == PICTURE_SIZE else result


@pytest.mark.parametrize(
    ("added", "said"), [(0.01, r"0\.01"), (float("nan"), "nan")], ids=["something", "not a number"]
)
def test_a_difference_on_the_picture_alone_is_refused(made_once: Path, added: float, said: str) -> None:
    other = OtherOnPictures(_generator(made_once, "gen_ab"), added)
    with pytest.raises(ModelError, match=f"differs from torch by {said}"):
        measure_parity(cast("Generator", other), made_once / "A2B.onnx", "A2B.onnx")


def test_other_sizes_are_refused(made_once: Path, tmp_path: Path) -> None:
    path = write_graph(
        tmp_path / "same.onnx", [helper.make_node("Identity", ["image"], ["stylized"])], {}, make_info("A2B")
    )
    with pytest.raises(ModelError, match=r"gives \(1, 3, 33, 47\)"):
        measure_parity(_generator(made_once, "gen_ab"), path, "A2B.onnx")


class DividedByBrightest(nn.Module):
    """Finite for every picture but a black one."""

    def forward(self, batch: Tensor) -> Tensor:
        return batch / (batch.amax((1, 2, 3), keepdim=True) + 1)


def test_a_file_that_turns_black_into_nan_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMax", ["image", "axes"], ["brightest"]),
        helper.make_node("Add", ["brightest", "one"], ["above_black"]),
        helper.make_node("Div", ["image", "above_black"], ["stylized"]),
    ]
    constants: dict[str, NDArray[np.generic]] = {"one": np.ones(1, np.float32), "axes": np.array([1, 2, 3])}
    path = write_graph(tmp_path / "divided.onnx", nodes, constants, make_info("A2B"))
    with pytest.raises(ModelError, match="turns black into NaN") as caught:
        measure_parity(cast("Generator", DividedByBrightest()), path, "A2B.onnx")
    assert caught.value.exit_code == 4
