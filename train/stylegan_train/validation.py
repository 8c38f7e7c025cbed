"""How far stylised test pictures are from the other domain's test pictures, every few epochs, and the best checkpoint.

The distance is `stylegan_tool.swd`'s, from the same pictures and patches each time, so that two epochs differ by their
weights alone. It says which epoch is the better one; figures to show to others are `sgt evaluate`'s.

A best checkpoint holds its own distances, so that a resumed run compares with what is there, not with a memory of it.

Pictures: the middle square of each at swd.SIDE pixels, at most MOST_PICTURES of either domain, as many of one as of
the other, which the distance needs.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan_tool.errors import InputError, typed
from stylegan_tool.pixels import to_batch, to_image
from stylegan_tool.progress import format_duration
from stylegan_tool.swd import level_distances, sample_patches, to_square
from stylegan_train.checkpoint import read_plain, write_atomically
from stylegan_train.config import TrainConfig
from stylegan_train.data import DataSet, load_image
from stylegan_train.networks import Generator
from stylegan_train.run_dir import RunDir
from stylegan_train.step import Trainer

MOST_PICTURES = 50
PICTURES_A_PASS = 4
LABELS = {"mean": "mean", "a2b": "A2B", "b2a": "B2A"}  # of config.METRICS, in the log


class Validation:
    """The validations of one run; pictures are read with the first one."""

    def __init__(self, config: TrainConfig, data_set: DataSet, run: RunDir) -> None:
        self.config = config
        self.run = run
        self.folder = data_set.folder
        n = min(MOST_PICTURES, len(data_set.test_a), len(data_set.test_b))
        self.paths_a, self.paths_b = _spread(data_set.test_a, n), _spread(data_set.test_b, n)
        self.spent_s = 0.0
        self.best: dict[str, float] | None = None  # the best checkpoint's epoch and distances
        self._squares: tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]] | None = None
        self._patches: tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]

    @property
    def metric(self) -> str:
        """The value in stats.jsonl that the best checkpoint is chosen by; the smaller the better."""
        return f"swd_{self.config.metric}"

    def announce(self) -> None:
        """Say once where there is nothing to validate on."""
        if self.config.validate_every and not self.paths_a:
            self.run.log(
                f"No validation and no best checkpoint, only the latest: {self.folder} has no pictures in testA and "
                "testB. To have both: some in each that are not in trainA and trainB, 50 if you can spare them"
            )

    def is_due(self, epoch: int) -> bool:
        """Whether to validate after `epoch` (1-based): each --validate-every, and the last."""
        every = self.config.validate_every
        return bool(every and self.paths_a) and (epoch % every == 0 or epoch == self.config.epochs)

    def validate(self, trainer: Trainer, epoch: int, elapsed_s: float) -> dict[str, float]:
        """Measure `trainer`'s generators after `epoch`, keep them if they are the best, and return the values.

        Args:
            elapsed_s: how long this process has run, of which the log states the validations' share; 0: not yet.
        """
        started = time.monotonic()
        if self._squares is None:
            self._prepare()
        values = self.measure(*trainer.generators(), trainer.device, trainer.dtype)
        is_best = self.best is None or values[self.metric] < self.best[self.metric]
        if is_best:
            self._keep(trainer, epoch, values)
        took_s = time.monotonic() - started
        self.spent_s += took_s
        assert self.best is not None
        label = LABELS[self.config.metric]
        before = f"the smallest {label}: {self.best[self.metric]:.1f}, after epoch {self.best['epoch']:.0f}"
        share = f", {self.spent_s / (elapsed_s + took_s):.1%} of the time" if elapsed_s else ""
        self.run.log(
            f"validation after epoch {epoch}: distance {values['swd_a2b']:.1f} A2B, {values['swd_b2a']:.1f} B2A, mean "
            f"{values['swd_mean']:.1f}; {f'the smallest {label} so far' if is_best else before} "
            f"({format_duration(took_s)}{share})"
        )
        return {**values, "validation_s": took_s}

    @torch.inference_mode()
    def measure(
        self, gen_ab: Generator, gen_ba: Generator, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> dict[str, float]:
        """Return the distances of both directions and their mean by their names in stats.jsonl.

        Args:
            dtype: what autocast computes in; the training's own is several times as fast where it is bf16.
        """
        assert self._squares is not None
        squares_a, squares_b = self._squares
        patches_a, patches_b = self._patches
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            fakes_b, fakes_a = _stylize(gen_ab, squares_a, device), _stylize(gen_ba, squares_b, device)
        a2b, b2a = _distance(fakes_b, patches_b), _distance(fakes_a, patches_a)
        return {"swd_a2b": a2b, "swd_b2a": b2a, "swd_mean": (a2b + b2a) / 2}

    def advise(self, epoch: int) -> str | None:
        """Return a line for people if another epoch than the last one, `epoch`, was the best."""
        if self.best is None or self.best["epoch"] == epoch:
            return None
        return (
            f"Epoch {self.best['epoch']:.0f} was the best in validation ({LABELS[self.config.metric]} "
            f"{self.best[self.metric]:.1f}). To export that one: sgt export {self.run.folder} --checkpoint best"
        )

    def _prepare(self) -> None:
        """Read the pictures, and take up the best checkpoint of a run that goes on."""
        squares = tuple([to_square(load_image(path)) for path in paths] for paths in (self.paths_a, self.paths_b))
        self._squares = squares[0], squares[1]
        self._patches = _sample(squares[0]), _sample(squares[1])
        n = len(self.paths_a)
        unchanged = float(level_distances(*self._patches, np.random.default_rng(0)).mean())
        every = f"{self.config.validate_every} epochs" if self.config.validate_every > 1 else "epoch"
        self.run.log(
            f"validation on {n} test pictures of each domain, every {every}; "
            f"distance of the unchanged pictures: {unchanged:.1f}"
        )
        if self.run.best_path.is_file():
            try:
                self.best = _read_best(self.run.best_path)
            except InputError as error:
                self.run.log(f"{error.what}; the best checkpoint is chosen anew")

    def _keep(self, trainer: Trainer, epoch: int, values: dict[str, float]) -> None:
        gen_ab, gen_ba = trainer.generators()
        content: dict[str, Any] = {"gen_ab": gen_ab.state_dict(), "gen_ba": gen_ba.state_dict(), "epoch": epoch}
        write_atomically({**content, **values, "metric": self.config.metric}, self.run.best_path)
        self.best = {"epoch": epoch, **values}


def _read_best(path: Path) -> dict[str, float]:
    content = read_plain(path)
    try:
        return {name: float(content[name]) for name in ("epoch", "swd_a2b", "swd_b2a", "swd_mean")}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no best checkpoint of `sgt train`", hint=f"Delete it: rm {typed(path)}") from error


def _spread(paths: tuple[Path, ...], n: int) -> tuple[Path, ...]:
    """Return `n` of `paths`, evenly spread."""
    return tuple(paths[i * len(paths) // n] for i in range(n))


def _sample(squares: list[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
    return sample_patches(squares, np.random.default_rng(0))


def _distance(squares: list[NDArray[np.uint8]], patches: list[NDArray[np.float32]]) -> float:
    return float(level_distances(_sample(squares), patches, np.random.default_rng(0)).mean())


def _stylize(generator: Generator, squares: list[NDArray[np.uint8]], device: torch.device) -> list[NDArray[np.uint8]]:
    results: list[NDArray[np.uint8]] = []
    for start in range(0, len(squares), PICTURES_A_PASS):
        batch = np.concatenate([to_batch(square) for square in squares[start : start + PICTURES_A_PASS]])
        fakes: Tensor = generator(torch.from_numpy(batch).to(device, memory_format=torch.channels_last))
        images = [to_image(fake[None], np.dtype(np.uint8)) for fake in fakes.float().cpu().numpy()]
        results.extend(image.astype(np.uint8, copy=False) for image in images)
    return results
