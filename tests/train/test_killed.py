"""A run that was killed, at whatever moment, and gone on with ends as one that was never stopped."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from stylegan_tool.__main__ import main
from tests.train import killed
from tests.train.sets import read_state, read_stats

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
RUN = Path("runs/photo2vangogh-001")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the killed runs left behind, each in a folder of its moment's name."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-m", "tests.train.killed", str(folder)]
    places = os.pathsep.join([str(ROOT), *sys.path])
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": places}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return folder


def _differences(ours: Any, theirs: Any, place: str = "") -> list[str]:
    """Where two states are not the same, bit for bit."""
    if isinstance(ours, torch.Tensor):
        return [] if torch.equal(ours, theirs) else [place]
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), place
        return [where for key in ours for where in _differences(ours[key], theirs[key], f"{place}/{key}")]
    if isinstance(ours, list):
        assert len(ours) == len(theirs), place
        pairs = zip(ours, theirs, strict=True)
        return [where for i, pair in enumerate(pairs) for where in _differences(*pair, f"{place}/{i}")]
    return [] if ours == theirs else [place]


def _stats(run: Path) -> list[dict[str, Any]]:
    """The lines without what a clock had a part in."""
    timed = {"steps_per_s", "waited", "validation_s"}
    return [{key: value for key, value in line.items() if key not in timed} for line in read_stats(run)]


def _names(run: Path) -> set[str]:
    """The run's files; TensorBoard's are one for each time that a run goes on."""
    return {path.name for path in run.rglob("*") if "tensorboard" not in path.parts}


@pytest.mark.parametrize("moment", [*killed.MOMENTS, killed.FROM_OUTSIDE])
def test_a_killed_run_ends_with_the_state_and_the_stats_of_one_that_was_not(
    moment: str, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(runs / moment)
    killed.log_and_save_often(monkeypatch.setattr)
    assert not (RUN / "curves.png").exists()
    assert main(["train", "photo2vangogh", "--resume"]) == 0
    expected = runs / killed.NEVER / RUN
    assert _differences(read_state(RUN), read_state(expected)) == []
    assert _stats(RUN) == _stats(expected)
    assert [line["steps"] for line in _stats(RUN)] == [4, 6, 6, 10, 12, 12, 16, 18, 18]
    for name in ("checkpoint.pt", "checkpoint_best.pt"):
        checkpoints = [torch.load(run / name, weights_only=True) for run in (RUN, expected)]
        assert _differences(*checkpoints) == []
    assert _names(RUN) == _names(expected)
    said = capsys.readouterr().err
    assert "begins anew" not in said
    assert ("cannot read" in said) == (moment == "between a state's two renames")
