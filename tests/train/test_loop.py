"""Runs from the command line to the run folder: what is written, stopped, gone on with and kept."""

import contextlib
import math
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PilImage
from torch import Tensor, nn

from stylegan_tool.__main__ import main
from stylegan_tool.pixels import Batch
from stylegan_train import loop as loop_module
from stylegan_train import waits
from stylegan_train.config import PRESETS, TrainConfig, read_config
from stylegan_train.data import UnpairedBatches, center_crop, load_image, open_data_set
from stylegan_train.loop import Loop
from stylegan_train.networks import Generator
from stylegan_train.run_dir import make_run_dir
from stylegan_train.step import Trainer
from tests.train.sets import (
    TINY,
    Step,
    make_set,
    on_step,
    read_state,
    read_stats,
    script_terms,
    train_until,
)

RUN = Path("runs/photo2vangogh-001")
# Histories full after two pictures, warps and noise drawn, a falling learning rate: all that could get lost.
BUSY = [*TINY, "--epochs", "4", "--decay-from", "1", "--pool-size", "2", "--lambda-stable", "1"]


def test_a_run_folder_explains_itself(with_set: Path) -> None:
    assert main([*TINY, "--epochs", "2"]) == 0
    files = {path.relative_to(RUN).as_posix() for path in RUN.rglob("*") if "tensorboard" not in path.parts}
    assert files == {
        *("config.json", "log.txt", "stats.jsonl", "curves.png", "checkpoint.pt"),
        *("training_state.pt", "training_state_before.pt"),
        *("samples", "samples/epoch_0001.png", "samples/epoch_0002.png"),
    }
    config = read_config(RUN / "config.json")
    assert (config.epochs, config.preset, config.ngf) == (2, "tiny", 4)
    assert Path(config.data) == with_set / "datasets" / "photo2vangogh"
    checkpoint = torch.load(RUN / "checkpoint.pt", weights_only=True)
    assert checkpoint["epoch"] == 2
    for name in ("gen_ab", "gen_ba"):
        Generator(4, 1).load_state_dict(checkpoint[name])
    log = (RUN / "log.txt").read_text(encoding="utf-8")
    assert "photo (A, 3 pictures) <-> vangogh (B, 2 pictures)" in log
    assert "2 epochs of 3 steps on CPU" in log
    assert "sgt export runs/photo2vangogh-001" in log


def test_training_changes_both_generators_and_the_checkpoint_is_the_states(with_set: Path) -> None:
    assert main([*TINY, "--epochs", "1"]) == 0
    checkpoint, trained = torch.load(RUN / "checkpoint.pt", weights_only=True), read_state(RUN)["trainer"]["networks"]
    start = Trainer(read_config(RUN / "config.json"), torch.device("cpu")).networks.state_dict()
    for name in ("gen_ab", "gen_ba"):
        weight = "model.1.weight"
        assert torch.equal(checkpoint[name][weight], trained[f"{name}.{weight}"])
        assert not torch.equal(checkpoint[name][weight], start[f"{name}.{weight}"])


def test_stats_have_the_means_since_the_line_before(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_set(in_folder / "datasets" / "photo2vangogh", 12, 1)
    script_terms(monkeypatch, float)  # the n-th step's loss is n
    assert main([*TINY, "--epochs", "2", "--decay-from", "0"]) == 0
    stats = read_stats(RUN)
    assert [(line["epoch"], line["step"], line["steps"]) for line in stats] == [
        (1, 10, 10),
        (1, 12, 12),
        (2, 10, 22),
        (2, 12, 24),
    ]
    assert [line["gan"] for line in stats] == [5.5, 11.5, 17.5, 23.5]
    assert [line["lr"] for line in stats] == [2e-4, 2e-4, 1e-4, 1e-4]
    assert all(line["steps_per_s"] > 0 for line in stats)


def test_stats_name_every_loss(with_set: Path) -> None:
    assert main([*TINY, "--epochs", "1", "--lambda-stable", "1"]) == 0
    (line,) = read_stats(RUN)
    terms = {"gan", "cycle", "identity", "stable", "disc_a", "disc_b"}
    assert line.keys() - {"epoch", "step", "steps", "lr", "steps_per_s", "waited"} == terms
    assert all(0 < line[term] < 10 for term in terms)


def test_each_epoch_is_logged_with_its_means(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_set(in_folder / "datasets" / "photo2vangogh", 12, 1)
    script_terms(monkeypatch, float)
    assert main([*TINY, "--epochs", "2"]) == 0
    log = (RUN / "log.txt").read_text(encoding="utf-8")
    assert [line.partition("epoch ")[2].partition(";")[0] for line in log.splitlines() if " epoch " in line] == [
        "1/2: gan 6.500",
        "2/2: gan 18.500",
    ]


# --- samples --------------------------------------------------------------------------------------


class Brighten(nn.Module):
    """Adds to every value: what a picture went through can be read off it."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, batch: Tensor) -> Tensor:
        return batch + self.by


def _loop(folder: Path, **fields: Any) -> Loop:
    config = TrainConfig(name="photo2vangogh", **{**PRESETS["tiny"], **fields})
    run = make_run_dir(folder / "runs", config, lambda line: None)
    return Loop(config, open_data_set(folder / "set", exchanged=False), run, torch.device("cpu"))


def _read_cells(path: Path, rows: int, size: int) -> np.ndarray:
    """The grid's cells, (row, column, y, x, channel)."""
    with PilImage.open(path) as grid:
        assert (grid.size, grid.mode) == ((4 * size, rows * size), "RGB")
        values = np.asarray(grid)
    return values.reshape(rows, size, 4, size, 3).swapaxes(1, 2)


def test_a_grid_shows_real_fake_reconstructed_identity_of_both_sides(tmp_path: Path) -> None:
    make_set(tmp_path / "set", 4, 1, n_test=2)
    loop = _loop(tmp_path)
    loop.samples_a, loop.samples_b = torch.full((2, 3, 36, 36), -0.9), torch.full((1, 3, 36, 36), -0.5)
    loop.trainer.networks.gen_ab, loop.trainer.networks.gen_ba = Brighten(0.1), Brighten(0.4)  # type: ignore[assignment]
    loop.write_samples()
    cells = _read_cells(loop.run.sample_path(0), 3, 36) / 127.5 - 1
    a, b = [-0.9, -0.8, -0.4, -0.5], [-0.5, -0.1, 0.0, -0.4]
    np.testing.assert_allclose(cells.mean((2, 3, 4)), [a, a, b], atol=0.005)
    assert cells.std((2, 3, 4)).max() < 1e-6


def test_a_grid_has_the_same_pictures_each_time(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "set", 4, 1, n_test=5)
    loop = _loop(tmp_path, epochs=2)
    loop.train()
    first, second = (_read_cells(loop.run.sample_path(epoch), 6, 36) for epoch in (1, 2))
    assert np.array_equal(first[:, 0], second[:, 0])
    assert not np.array_equal(first[:, 1:], second[:, 1:])
    expected = [folder / f"test{side}" / f"{i}.png" for side in "AB" for i in (0, 1, 3)]
    assert all(
        np.array_equal(row[0], center_crop(load_image(path), 36)) for row, path in zip(first, expected, strict=True)
    )


def test_few_pictures_are_each_shown_once(tmp_path: Path) -> None:
    make_set(tmp_path / "set", 2, 1)
    loop = _loop(tmp_path)
    assert (len(loop.samples_a), len(loop.samples_b)) == (2, 1)
    assert not torch.equal(*loop.samples_a)


def test_long_runs_do_not_drown_in_grids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_set(tmp_path / "set", 1, 1)
    monkeypatch.setattr(loop_module, "MAX_GRIDS", 2)
    script_terms(monkeypatch, float)
    loop = _loop(tmp_path, epochs=7)
    loop.train()
    assert sorted(path.stem[-1] for path in loop.run.folder.glob("samples/*")) == ["1", "3", "6", "7"]


# --- waiting for pictures -------------------------------------------------------------------------


def test_waiting_for_pictures_is_measured_and_said_once(
    with_set: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = UnpairedBatches.batch

    def read_slowly(batches: UnpairedBatches, epoch: int, step: int) -> tuple[Batch, Batch]:
        time.sleep(0.02)
        return read(batches, epoch, step)

    monkeypatch.setattr(UnpairedBatches, "batch", read_slowly)
    monkeypatch.setattr(waits, "LEAST_WAITED_S", 0.1)
    script_terms(monkeypatch, float)
    assert main([*TINY, "--epochs", "4", "--workers", "0"]) == 0
    assert all(line["waited"] > 0.5 for line in read_stats(RUN))
    message = capsys.readouterr().err
    assert message.count("of the time is spent waiting for pictures (--workers 0)") == 1
    assert f"sgt train {RUN} --resume --workers 2" in message


def test_a_slow_step_hides_the_reading(with_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def take_long(number: int, trainer: Trainer, step: Step) -> dict[str, float]:
        time.sleep(0.1)
        return {"gan": 1.0}

    on_step(monkeypatch, take_long)
    assert main([*TINY, "--epochs", "2"]) == 0
    assert all(line["waited"] < 0.3 for line in read_stats(RUN))
    assert "waiting for pictures" not in (RUN / "log.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("waited_s", "said"),
    [
        pytest.param(0.9, False, id="too short to tell"),
        pytest.param(5.0, False, id="a twentieth"),
        pytest.param(6.0, True, id="more"),
    ],
)
def test_advice_is_for_those_who_wait(waited_s: float, said: bool) -> None:
    line = waits.advise(waited_s, 100.0, workers=2, run="runs/x-001")
    assert (line is not None and "6% of the time" in line and "--load-size" in line) == said


# --- stopping and going on ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """The weights that a BUSY run ends with when nothing stops it."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    make_set(folder / "datasets" / "photo2vangogh")
    with contextlib.chdir(folder):
        assert main(BUSY) == 0
        return _trained_weights()


def _trained_weights() -> dict[str, Tensor]:
    weights: dict[str, Tensor] = read_state(RUN)["trainer"]["networks"]
    return weights


def _assert_same_weights(expected: dict[str, Tensor]) -> None:
    resumed = _trained_weights()
    assert {name for name in expected if not torch.equal(expected[name], resumed[name])} == set()


def test_ctrl_c_saves_and_says_how_to_go_on(
    with_set: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train_until(monkeypatch, 4, [*TINY, "--epochs", "3"])
    message = capsys.readouterr().err
    assert "Traceback" not in message
    (line,) = [line for line in message.splitlines() if "Go on with: sgt " in line]
    state = read_state(RUN)
    assert (state["epoch"], state["step"]) == (1, 1)
    assert torch.load(RUN / "checkpoint.pt", weights_only=True)["epoch"] == 1
    assert main(line.partition("sgt ")[2].split()) == 0
    assert "going on after epoch 1" in capsys.readouterr().err
    state = read_state(RUN)
    assert (state["epoch"], state["step"]) == (3, 0)
    assert [(stats["epoch"], stats["steps"]) for stats in read_stats(RUN)] == [(1, 3), (2, 6), (3, 9)]
    assert [path.name for path in Path("runs").iterdir()] == [RUN.name]


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(1, id="in the first step"),
        pytest.param(4, id="in the middle of an epoch"),
        pytest.param(6, id="in an epoch's last step"),
    ],
)
def test_a_stopped_and_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    stop: int, uninterrupted: dict[str, Tensor], with_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_until(monkeypatch, stop, BUSY)
    assert main(["train", "photo2vangogh", "--resume"]) == 0
    _assert_same_weights(uninterrupted)


def test_a_run_may_be_stopped_more_than_once(
    uninterrupted: dict[str, Tensor], with_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_until(monkeypatch, 2, BUSY)
    for steps in (1, 2, 3):
        train_until(monkeypatch, steps, ["train", "photo2vangogh", "--resume"])
    assert main(["train", "photo2vangogh", "--resume"]) == 0
    _assert_same_weights(uninterrupted)


def test_a_run_saved_after_the_last_step_of_an_epoch_goes_on_with_the_next(
    uninterrupted: dict[str, Tensor],
    with_set: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train_until(monkeypatch, 3, BUSY)
    assert (read_state(RUN)["epoch"], read_state(RUN)["step"]) == (1, 0)
    torch.save({**read_state(RUN), "epoch": 0, "step": 3}, RUN / "training_state.pt")
    capsys.readouterr()
    assert main(["train", "photo2vangogh", "--resume"]) == 0
    assert "epoch 1/4" not in capsys.readouterr().err
    _assert_same_weights(uninterrupted)


def test_ctrl_c_twice_stops_at_once_and_saves_nothing(
    with_set: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def press_twice(number: int, trainer: Trainer, step: Step) -> dict[str, float]:
        if number == 5:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return step()

    on_step(monkeypatch, press_twice)
    before = signal.getsignal(signal.SIGINT)
    assert main([*TINY, "--epochs", "3"]) == 130
    assert signal.getsignal(signal.SIGINT) is before
    assert "Stopped at once. Go on from the last saved state" in capsys.readouterr().err
    assert (read_state(RUN)["epoch"], read_state(RUN)["step"]) == (1, 0)


def test_a_resumed_run_has_the_learning_rates_of_an_uninterrupted_one(
    with_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_until(monkeypatch, 7, BUSY)
    assert main(["train", "photo2vangogh", "--resume"]) == 0
    rates = {line["epoch"]: line["lr"] for line in read_stats(RUN)}
    assert rates == pytest.approx({1: 2e-4, 2: 2e-4, 3: 2e-4 * 2 / 3, 4: 2e-4 / 3}, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "rates", "said"),
    [
        pytest.param([], [1.2e-4, 8e-5, 4e-5], "goes on at 0.00012, and falls from epoch 0 to 0 at", id="kept"),
        pytest.param(["--decay-from", "5"], [2e-4] * 3, "goes on at 0.0002, and does not fall", id="given"),
    ],
)
def test_a_longer_run_has_the_learning_rate_of_one_begun_so_and_says_so(
    options: list[str], rates: list[float], said: str, with_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TINY, "--epochs", "2", "--decay-from", "0"]) == 0
    capsys.readouterr()
    assert main(["train", "photo2vangogh", "--resume", "--epochs", "5", *options]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Learning rate: ")]
    assert "it was 0.0001, " in line
    assert said in line
    assert [stats["lr"] for stats in read_stats(RUN)][2:] == pytest.approx(rates, rel=1e-5)


def test_more_epochs_are_accepted(with_set: Path) -> None:
    assert main([*TINY, "--epochs", "1", "--decay-from", "1"]) == 0
    assert main(["train", "photo2vangogh", "--resume", "--epochs", "3"]) == 0
    assert [(line["epoch"], line["lr"]) for line in read_stats(RUN)] == [(1, 2e-4), (2, 2e-4), (3, 1e-4)]
    assert read_state(RUN)["epoch"] == read_config(RUN / "config.json").epochs == 3


def test_a_finished_run_has_nothing_to_go_on_with(with_set: Path) -> None:
    assert main([*TINY, "--epochs", "1"]) == 0
    before = (RUN / "training_state.pt").read_bytes()
    assert main(["train", "photo2vangogh", "--resume"]) == 0
    assert main(["train", "photo2vangogh", "--resume", "--epochs", "2", "--dry-run"]) == 0
    assert (RUN / "training_state.pt").read_bytes() == before
    assert len(read_stats(RUN)) == 1
    assert main(["train", "photo2vangogh", "--resume", "--epochs", "2"]) == 0
    config = (RUN / "config.json").read_bytes()
    assert main(["train", "photo2vangogh", "--resume", "--epochs", "1"]) == 2
    assert (RUN / "config.json").read_bytes() == config


def test_moved_pictures_keep_their_sides(with_set: Path) -> None:
    """A folder's name that says nothing must not exchange A and B in the middle of a run."""
    (with_set / "datasets" / "photo2vangogh").rename(with_set / "datasets" / "vangogh2photo")
    assert main([*TINY, "--epochs", "1"]) == 0
    assert read_config(RUN / "config.json").exchanged
    (with_set / "datasets" / "vangogh2photo").rename(with_set / "moved")
    assert main(["train", "photo2vangogh", "--resume", "--epochs", "2", "--data", "moved"]) == 0
    assert read_config(RUN / "config.json").exchanged


def test_out_of_memory_is_8(
    with_set: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> dict[str, float]:
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(Trainer, "step", fail)
    assert main([*TINY, "--epochs", "1"]) == 8
    assert "--crop-size" in capsys.readouterr().err


def test_long_epochs_are_saved_on_the_way(with_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "SAVE_EVERY_S", -1)
    script_terms(monkeypatch, lambda step: math.nan if step == 3 else 1.0)
    assert main([*TINY, "--epochs", "1"]) == 8
    state = read_state(RUN)
    assert (state["epoch"], state["step"]) == (0, 2)


# --- what stops a run -----------------------------------------------------------------------------


def test_a_loss_that_is_not_a_number_names_the_step_and_keeps_the_checkpoint(
    with_set: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved: list[bytes] = []

    def break_the_fifth(number: int, trainer: Trainer, step: Step) -> dict[str, float]:
        if number == 4:  # the first of epoch 2
            saved.append((RUN / "checkpoint.pt").read_bytes())
        return {**step(), "cycle": math.nan} if number == 5 else step()

    on_step(monkeypatch, break_the_fifth)
    assert main([*TINY, "--epochs", "3"]) == 8
    message = capsys.readouterr().err
    assert "the loss cycle is not a number (NaN) at step 2 of epoch 2" in message
    assert "--lr" in message
    assert "Traceback" not in message
    assert (RUN / "checkpoint.pt").read_bytes() == saved[0]
    assert "step 2 of epoch 2" in (RUN / "log.txt").read_text(encoding="utf-8")


def test_a_training_that_explodes_stops(with_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, "--epochs", "1", "--lr", "1e30"]) == 8
    assert "at step 2 of epoch 1" in capsys.readouterr().err
    assert not (RUN / "checkpoint.pt").exists()


def test_weights_that_are_not_numbers_are_not_saved(
    with_set: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A step's losses are taken before its update: the last step of an epoch can break what is saved next."""
    good: list[bytes] = []

    def poison_the_last(number: int, trainer: Trainer, step: Step) -> dict[str, float]:
        terms = step()
        if number == 6:
            good.append((RUN / "checkpoint.pt").read_bytes())
            next(trainer.networks.gen_ba.parameters()).data[0] = math.nan
        return terms

    on_step(monkeypatch, poison_the_last)
    assert main([*TINY, "--epochs", "2"]) == 8
    assert "after 6 steps" in capsys.readouterr().err
    assert (RUN / "checkpoint.pt").read_bytes() == good[0]


def test_a_full_disk_is_5(with_set: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fill_the_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fill_the_disk)
    assert main([*TINY, "--epochs", "1"]) == 5
    message = capsys.readouterr().err
    assert "No space left on device" in message
    assert "Traceback" not in message


# --- the estimate ---------------------------------------------------------------------------------


@pytest.fixture
def two_seconds_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that only steps move on, and steps that take no time of ours."""
    now_s = 100.0

    def take_two_seconds(number: int, trainer: Trainer, step: Step) -> dict[str, float]:
        nonlocal now_s
        now_s += 2
        return {"gan": 1.0}

    on_step(monkeypatch, take_two_seconds)
    monkeypatch.setattr(loop_module, "time", SimpleNamespace(monotonic=lambda: now_s))


@pytest.mark.usefixtures("two_seconds_a_step")
@pytest.mark.parametrize(
    ("options", "hinted"),
    [
        pytest.param(["--ngf", "4", "--n-blocks", "1", "--crop-size", "32", "--load-size", "36"], True, id="reference"),
        pytest.param(["--preset", "tiny"], False, id="tiny"),
    ],
)
def test_after_20_steps_the_time_of_a_short_run_is_estimated(
    options: list[str], hinted: bool, with_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "photo2vangogh", *options, "--epochs", "8"]) == 0  # 24 steps
    message = capsys.readouterr().err
    assert message.count("0.50 steps/s: about 48 s for all 8 epochs, 8.0 s of it left") == 1
    assert message.count("sgt train photo2vangogh --preset compact") == hinted


@pytest.mark.usefixtures("two_seconds_a_step")
def test_fewer_steps_have_no_estimate(with_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, "--epochs", "6"]) == 0  # 18 steps
    assert "steps/s" not in capsys.readouterr().err


@pytest.mark.usefixtures("two_seconds_a_step")
def test_after_a_minute_the_time_of_a_long_run_is_estimated(
    with_set: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*TINY, "--epochs", "1000", "--lambda-stable", "1"]
    train_until(monkeypatch, 29, options)
    assert "steps/s" not in capsys.readouterr().err
    train_until(monkeypatch, 40, options)
    said = "0.50 steps/s: about 1 h 40 min for all 1000 epochs, 1 h 39 min of it left (longer, since"
    assert capsys.readouterr().err.count(said) == 1


@pytest.mark.usefixtures("two_seconds_a_step")
def test_a_resumed_run_estimates_what_is_left_by_its_own_speed(
    with_set: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train_until(monkeypatch, 15, [*TINY, "--epochs", "15"])  # 15 of 45 steps
    assert main(["train", "photo2vangogh", "--resume"]) == 0
    assert capsys.readouterr().err.count("0.50 steps/s: about 2 min for all 15 epochs, 20 s of it left") == 1


@pytest.mark.usefixtures("two_seconds_a_step")
def test_an_epoch_says_how_long_the_others_take(
    with_set: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train_until(monkeypatch, 2, [*TINY, "--epochs", "3"])  # one step of the first epoch is left
    assert main(["train", "photo2vangogh", "--resume"]) == 0
    message = capsys.readouterr().err
    assert "epoch 1/3: gan 1.000; about 12 s left" in message  # six steps
    assert "epoch 2/3: gan 1.000; about 6.0 s left" in message
    assert "epoch 3/3: gan 1.000\n" in message
