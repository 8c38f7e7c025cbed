"""What a run writes for TensorBoard, read back by TensorBoard, and a training without it."""

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylegan_tool.__main__ import main
from stylegan_train.board import Board, has_tensorboard
from tests.train.sets import TINY, read_stats, train_until

RUN = Path("runs/photo2vangogh-001")
needs_tensorboard = pytest.mark.skipif(not has_tensorboard(), reason="TensorBoard is not installed")


def _read(folder: Path) -> Any:
    """Return what TensorBoard itself makes of a folder: scalars and images by tag."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return events


@needs_tensorboard
def test_a_run_shows_its_stats_and_grids(with_set: Path) -> None:
    assert main([*TINY, "--epochs", "2"]) == 0
    events, stats = _read(RUN / "tensorboard"), read_stats(RUN)
    tags = {f"loss/{name}" for name in ("gan", "cycle", "identity", "disc_a", "disc_b")}
    tags |= {f"training/{name}" for name in ("lr", "steps_per_s", "waited")}
    assert set(events.Tags()["scalars"]) == tags
    for tag in tags:
        shown = [(event.step, event.value) for event in events.Scalars(tag)]
        told = [(line["steps"], line[tag.partition("/")[2]]) for line in stats]
        np.testing.assert_allclose(shown, told, rtol=1e-5)
    assert [image.step for image in events.Images("samples")] == [3, 6]
    assert (events.Images("samples")[0].width, events.Images("samples")[0].height) == (4 * 36, 5 * 36)


@needs_tensorboard
def test_a_resumed_run_goes_on_in_the_same_folder(with_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_until(monkeypatch, 4, [*TINY, "--epochs", "2"])
    assert main(["train", "photo2vangogh", "--resume"]) == 0
    assert [event.step for event in _read(RUN / "tensorboard").Scalars("loss/gan")] == [3, 6]


@needs_tensorboard
def test_values_beyond_the_last_save_are_shown_no_more(tmp_path: Path) -> None:
    for steps in ((10, 20, 30), (20, 30)):  # killed, and taken up after step 10
        board = Board(tmp_path)
        board.go_on_after(steps[0] - 10)
        for step in steps:
            board.write_scalars({"gan": step / len(steps)}, step)
        board.close()
    shown = [(event.step, event.value) for event in _read(tmp_path).Scalars("loss/gan")]
    np.testing.assert_allclose(shown, [(10, 10 / 3), (20, 10), (30, 15)], rtol=1e-6)


def test_without_tensorboard_training_goes_on(with_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "tensorboard" else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    assert main([*TINY, "--epochs", "1"]) == 0
    assert len(read_stats(RUN)) == 1
    assert not (RUN / "tensorboard").exists()
