"""Validation: what is measured, when, which checkpoint is kept as the best, and that it outlives a stop."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from stylegan_tool.__main__ import main
from stylegan_train import validation as validation_module
from stylegan_train.config import PRESETS, TrainConfig
from stylegan_train.data import open_data_set
from stylegan_train.run_dir import make_run_dir
from stylegan_train.validation import Validation
from tests.train.sets import TINY, make_pictures, make_set, read_state, read_stats, script_terms, train_until

RUN = Path("runs/photo2vangogh-001")


@pytest.fixture
def with_test_set(in_folder: Path) -> Path:
    """A folder to type `sgt train photo2vangogh` in, with testA and testB."""
    make_set(in_folder / "datasets" / "photo2vangogh", n_test=2)
    return in_folder


@pytest.fixture
def script_distances(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[tuple[float, float]]], None]:
    """Train nothing, and have the validations measure these (A2B, B2A) one after the other."""
    script_terms(monkeypatch, float)

    def script(distances: list[tuple[float, float]]) -> None:
        following: Iterator[tuple[float, float]] = iter(distances)

        def measure(*_: object) -> dict[str, float]:
            a2b, b2a = next(following)
            return {"swd_a2b": a2b, "swd_b2a": b2a, "swd_mean": (a2b + b2a) / 2}

        monkeypatch.setattr(Validation, "measure", measure)

    return script


def _validated() -> list[tuple[int, float]]:
    return [(line["epoch"], line["swd_mean"]) for line in read_stats(RUN) if "swd_mean" in line]


def _best() -> tuple[int, float]:
    best = torch.load(RUN / "checkpoint_best.pt", weights_only=True)
    return best["epoch"], best["swd_mean"]


class Paint(nn.Module):
    """Returns one fixed picture whatever it is given."""

    def __init__(self, picture: Tensor) -> None:
        super().__init__()
        self.picture = picture

    def forward(self, batch: Tensor) -> Tensor:
        return self.picture.expand(batch.shape)


def _validation(folder: Path, n_test: int) -> Validation:
    make_set(folder / "set", 1, 1, n_test=n_test)
    config = TrainConfig(name="photo2vangogh", **PRESETS["tiny"])
    run = make_run_dir(folder / "runs", config, lambda line: None)
    return Validation(config, open_data_set(folder / "set", exchanged=False), run)


def test_a_generator_that_returns_its_target_is_at_distance_0(tmp_path: Path) -> None:
    validation = _validation(tmp_path, n_test=1)
    validation._prepare()
    assert validation._squares is not None
    pictures = [torch.from_numpy(side[0].copy()).permute(2, 0, 1)[None] / 127.5 - 1 for side in validation._squares]
    perfect = validation.measure(Paint(pictures[1]), Paint(pictures[0]), torch.device("cpu"))  # type: ignore[arg-type]
    assert perfect == {"swd_a2b": 0, "swd_b2a": 0, "swd_mean": 0}
    noise = Paint(torch.rand((1, 3, 256, 256), generator=torch.Generator().manual_seed(0)) * 2 - 1)
    half = validation.measure(noise, Paint(pictures[0]), torch.device("cpu"))  # type: ignore[arg-type]
    assert half["swd_a2b"] > 1
    assert half["swd_b2a"] == 0
    assert half["swd_mean"] == half["swd_a2b"] / 2


def test_each_time_the_same_pictures_as_many_of_either_domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation_module, "MOST_PICTURES", 3)
    validation = _validation(tmp_path, n_test=5)
    assert [path.name for path in validation.paths_a] == ["0.png", "1.png", "3.png"]
    assert [path.name for path in validation.paths_b] == ["0.png", "1.png", "3.png"]
    validation._prepare()
    same = [validation.measure(nn.Identity(), nn.Identity(), torch.device("cpu")) for _ in range(2)]  # type: ignore[arg-type]
    assert same[0] == same[1]


def test_a_run_validates_and_trains_the_same_weights_as_without(with_test_set: Path) -> None:
    assert main([*TINY, "--epochs", "3", "--validate-every", "2"]) == 0
    assert [epoch for epoch, _ in _validated()] == [2, 3]
    weights = read_state(RUN)["trainer"]["networks"]
    log = (RUN / "log.txt").read_text(encoding="utf-8")
    assert log.count("validation on 2 test pictures of each domain, every 2 epochs; distance of the unchanged") == 1
    assert log.count("validation after epoch ") == 2
    assert "% of the time)" in log
    assert main([*TINY, "--epochs", "3", "--validate-every", "0"]) == 0
    plain = RUN.with_name("photo2vangogh-002")
    assert not (plain / "checkpoint_best.pt").exists()
    other = read_state(plain)["trainer"]["networks"]
    assert all(torch.equal(weights[name], other[name]) for name in weights)


def test_the_best_epoch_is_kept_beside_the_latest(
    with_test_set: Path,
    script_distances: Callable[[list[tuple[float, float]]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    script_distances([(5, 7), (2, 4), (2, 4), (8, 8)])
    assert main([*TINY, "--epochs", "4", "--validate-every", "1"]) == 0
    assert _validated() == [(1, 6), (2, 3), (3, 3), (4, 8)]
    assert _best() == (2, 3)  # the earlier of two that are the same
    assert torch.load(RUN / "checkpoint.pt", weights_only=True)["epoch"] == 4
    message = capsys.readouterr().err
    assert "mean 3.0; the smallest mean so far (" in message
    assert "mean 8.0; the smallest mean: 3.0, after epoch 2 (" in message
    assert f"sgt export {RUN} --checkpoint best" in message


@pytest.mark.parametrize(("metric", "epoch"), [("mean", 3), ("a2b", 1), ("b2a", 2)])
def test_the_metric_chooses(
    metric: str, epoch: int, with_test_set: Path, script_distances: Callable[[list[tuple[float, float]]], None]
) -> None:
    script_distances([(1, 9), (9, 1), (2, 2)])
    assert main([*TINY, "--epochs", "3", "--validate-every", "1", "--metric", metric]) == 0
    assert _best()[0] == epoch


def test_the_best_outlives_a_stop(
    with_test_set: Path,
    script_distances: Callable[[list[tuple[float, float]]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script_distances([(3, 3), (4, 4), (2, 2)])
    train_until(monkeypatch, 4, [*TINY, "--epochs", "2", "--validate-every", "1"])
    assert _best() == (1, 3)
    assert main(["train", "photo2vangogh", "--resume"]) == 0
    assert _validated() == [(1, 3), (2, 4)]
    assert _best() == (1, 3)
    assert main(["train", "photo2vangogh", "--resume", "--epochs", "3", "--metric", "a2b"]) == 0
    assert _best() == (3, 2)


def test_a_damaged_best_checkpoint_stops_no_training(
    with_test_set: Path,
    script_distances: Callable[[list[tuple[float, float]]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    script_distances([(3, 3), (4, 4)])
    assert main([*TINY, "--epochs", "1"]) == 0
    (RUN / "checkpoint_best.pt").write_bytes(b"no checkpoint")
    assert main(["train", "photo2vangogh", "--resume", "--epochs", "2"]) == 0
    assert "the best checkpoint is chosen anew" in capsys.readouterr().err
    assert _best() == (2, 4)


def test_a_run_stopped_at_an_epochs_end_is_validated_when_it_goes_on(
    with_test_set: Path,
    script_distances: Callable[[list[tuple[float, float]]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script_distances([(3, 3), (4, 4)])
    train_until(monkeypatch, 3, [*TINY, "--epochs", "2", "--validate-every", "1"])  # Ctrl-C does not wait for it
    assert _validated() == []
    train_until(monkeypatch, 3, ["train", "photo2vangogh", "--resume"])
    assert _validated() == [(1, 3)]
    assert read_state(RUN)["epoch"] == 2
    assert main(["train", "photo2vangogh", "--resume"]) == 0  # trained to the end, and yet not finished
    assert _validated() == [(1, 3), (2, 4)]
    assert _best() == (1, 3)
    assert main(["train", "photo2vangogh", "--resume"]) == 0
    assert _validated() == [(1, 3), (2, 4)]


def test_without_test_pictures_it_is_said_once(with_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, "--epochs", "2"]) == 0
    assert capsys.readouterr().err.count("has no pictures in testA and testB") == 1
    assert not (RUN / "checkpoint_best.pt").exists()
    assert main([*TINY, "--epochs", "1", "--validate-every", "0"]) == 0
    assert "testA" not in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--validate-every", "2"], ["--metric", "a2b"]], ids=lambda option: option[0])
def test_validation_that_is_asked_for_needs_test_pictures(
    option: list[str], with_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_pictures(with_set / "datasets" / "photo2vangogh" / "testA", 1, (200, 0, 0))  # of one domain only
    assert main([*TINY, "--epochs", "1", *option]) == 3
    message = capsys.readouterr().err
    assert f"{option[0]}: " in message
    assert "testA and testB" in message
    assert not Path("runs").exists()
