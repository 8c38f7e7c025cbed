"""What a training run's folder has to show: its sample grids by epoch, its curves, its options, its best epoch.

The folder's files are described in train/stylegan_train/run_dir.py; they are read here as anybody may read them.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylegan_tool.errors import InputError
from stylegan_tool.run_stats import Points, read_series, read_stats

MOST_EPOCHS = 100  # shown
_SAMPLE = re.compile(r"epoch_(\d+)\.png")


@dataclass(frozen=True)
class Run:
    """A run as it is now; it may still go on.

    Attributes:
        samples: the grids by their epochs, growing.
        left_out: how many grids there are beside these.
        series: see run_stats.read_series.
        end: epochs that the curves reach.
    """

    title: str
    config: dict[str, Any]
    samples: dict[int, Path]
    left_out: int
    series: dict[str, Points]
    end: float

    @property
    def domains(self) -> tuple[str, str]:
        """What A and B are."""
        return str(self.config.get("domain_a", "A")), str(self.config.get("domain_b", "B"))

    def best(self) -> tuple[int, str, float] | None:
        """Return (epoch, measure, distance) of the validation that chose the best checkpoint; None without any."""
        metric = str(self.config.get("metric", "mean"))
        points = self.series.get(f"swd_{metric}")
        if not points:
            return None
        epoch, value = min(points, key=lambda point: point[1])
        return round(epoch), {"mean": "mean of both directions"}.get(metric, metric.upper()), value


def is_run(folder: Path) -> bool:
    """Whether `folder` is that of a training run."""
    return (folder / "config.json").is_file() and ((folder / "samples").is_dir() or (folder / "stats.jsonl").is_file())


def read_run(folder: Path, most: int = MOST_EPOCHS) -> Run:
    """Return what the run in `folder` has to show; of more than `most` sample grids, so many, evenly taken.

    Raises:
        InputError: it cannot be read, or has neither samples nor curves yet.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        samples = _list_samples(folder / "samples")
        stats = list(read_stats(folder / "stats.jsonl"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the run {folder}: {error}", hint="Name the folder of a training run.") from error
    if not isinstance(config, dict):
        raise InputError(f"{folder / 'config.json'} is no run's", hint="Name the folder of a training run.")
    series = read_series(stats, _count_steps(stats))
    if not samples and not series:
        raise InputError(f"the run {folder} has nothing to show yet", hint="Wait for its first epoch to end.")
    epochs = list(samples)
    shown = epochs if len(epochs) <= most else [epochs[i * (len(epochs) - 1) // (most - 1)] for i in range(most)]
    end = max([*(points[-1][0] for points in series.values()), *shown[-1:]], default=1)
    kept = {epoch: samples[epoch] for epoch in shown}
    return Run(folder.absolute().name, config, kept, len(samples) - len(kept), series, float(end))


def _list_samples(folder: Path) -> dict[int, Path]:
    if not folder.is_dir():
        return {}
    found = {int(match[1]): path for path in folder.iterdir() if (match := _SAMPLE.fullmatch(path.name))}
    return dict(sorted(found.items()))


def _count_steps(stats: Iterable[dict[str, Any]]) -> int:
    """Return the steps of an epoch: one of a later epoch tells by how much `steps` is ahead of its own `step`."""
    most = 1
    for values in stats:
        try:
            epoch, step, steps = (int(values[name]) for name in ("epoch", "step", "steps"))
        except (ValueError, TypeError, LookupError):
            continue
        if epoch > 1:
            return max(1, (steps - step) // (epoch - 1))
        most = max(most, step)
    return most
