"""A run folder, runs/<name>-<NNN>/, that explains itself.

    config.json            every resolved option
    log.txt                what was said, with the time
    stats.jsonl            one object for every LOG_EVERY_STEPS: epoch, step, learning rate, steps a second, the share
                           of the time that was waited for pictures, mean losses; one for each validation: distances
    curves.png             its losses, learning rate and validation as curves, drawn at the end
    tensorboard/           stats and samples for `tensorboard --logdir runs`, where TensorBoard is installed
    samples/epoch_0001.png real, fake, reconstructed, identity; A to B above, B to A below
    checkpoint.pt          both generators, the latest: what `sgt export` takes
    checkpoint_best.pt     both generators of the epoch that was best in validation, with its distances
    training_state.pt      all that `--resume` needs
    training_state_before.pt  the one before it, which serves where that one is damaged
    A2B.onnx, B2A.onnx     written by `sgt export`

NNN counts up over all runs beside it, so that the newest run is the one with the highest number.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stylegan_tool.errors import OutputError, what_to_do
from stylegan_tool.models import list_runs, run_number
from stylegan_tool.run_stats import read_stats
from stylegan_tool.whole_files import write_whole
from stylegan_train.config import TrainConfig, read_config

VALIDATED = "swd_mean"  # of the values in stats.jsonl, one that validations alone have


class RunDir:
    """The files of one run; `say` is where its log lines go besides log.txt."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.say = say

    @property
    def config_path(self) -> Path:
        return self.folder / "config.json"

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / "checkpoint.pt"

    @property
    def best_path(self) -> Path:
        return self.folder / "checkpoint_best.pt"

    @property
    def state_path(self) -> Path:
        return self.folder / "training_state.pt"

    @property
    def stats_path(self) -> Path:
        return self.folder / "stats.jsonl"

    @property
    def curves_path(self) -> Path:
        return self.folder / "curves.png"

    @property
    def board_folder(self) -> Path:
        return self.folder / "tensorboard"

    @property
    def state_before_path(self) -> Path:
        return self.folder / "training_state_before.pt"

    def has_state(self) -> bool:
        """Whether there is something to go on with, damaged or not."""
        return self.state_path.is_file() or self.state_before_path.is_file()

    def sample_path(self, epoch: int) -> Path:
        """Where the grid after `epoch` (1-based) goes."""
        return self.folder / "samples" / f"epoch_{epoch:04d}.png"

    def read_config(self) -> TrainConfig:
        """Return the run's config; InputError if there is none."""
        return read_config(self.config_path)

    def write_config(self, config: TrainConfig) -> None:
        """Write config.json, whole or not at all; OutputError if that fails."""
        write_whole(self.config_path, config.to_json().encode(), overwrite=True)

    def log(self, line: str) -> None:
        """Say a line and keep it in log.txt with the time."""
        self.say(line)
        with (self.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")

    def append_stats(self, values: dict[str, Any]) -> None:
        """Add one object to stats.jsonl."""
        rounded = {key: float(f"{value:.6g}") if isinstance(value, float) else value for key, value in values.items()}
        with self.stats_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rounded) + "\n")

    def has_validation(self, epoch: int) -> bool:
        """Whether stats.jsonl has what validation measured after `epoch` (1-based)."""
        return any(values.get("epoch") == epoch and VALIDATED in values for values in read_stats(self.stats_path))

    def cut_stats(self, epoch: int, step: int) -> None:
        """Leave out of stats.jsonl what came after `step` steps of 0-based `epoch`, and an unfinished line."""
        if self.stats_path.is_file():
            kept = [values for values in read_stats(self.stats_path) if _is_until(values, epoch, step)]
            lines = "".join(json.dumps(values) + "\n" for values in kept)
            write_whole(self.stats_path, lines.encode(), overwrite=True)


class UnwrittenRun(RunDir):
    """A run folder as the processes see it that do not lead: of what they have to say, nothing is said or kept."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, lambda line: None)

    def write_config(self, config: TrainConfig) -> None:
        """Leave it to the process that leads, as all below."""

    def log(self, line: str) -> None:
        """Say and keep nothing."""

    def cut_stats(self, epoch: int, step: int) -> None:
        """Cut nothing."""


def _is_until(values: dict[str, Any], epoch: int, step: int) -> bool:
    try:
        return (values["epoch"] - 1, values["step"]) <= (epoch, step)
    except (KeyError, TypeError):  # damaged, or of somebody else
        return False


def make_run_dir(runs: Path, config: TrainConfig, say: Callable[[str], None]) -> RunDir:
    """Make the next run folder under `runs` and write its config.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        runs.mkdir(parents=True, exist_ok=True)
        number = 1 + max((run_number(folder) for folder in list_runs(runs)), default=0)
        folder = runs / f"{config.name}-{number:03d}"
        (folder / "samples").mkdir(parents=True)
        run = RunDir(folder, say)
        run.write_config(config)
    except OSError as error:
        raise OutputError(
            f"cannot make a run folder in {runs}: {error.strerror or error}",
            hint=what_to_do(error.errno, runs.absolute().parent),
        ) from error
    return run
