"""What a run writes for TensorBoard: scalars and sample grids, in its folder tensorboard/.

TensorBoard is imported with the first value, and a training without it goes on: stats.jsonl and samples/ hold the same.
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stylegan_tool.pixels import Image

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FLUSH_EVERY_S = 30

# Which of TensorBoard's sections a value of stats.jsonl is shown in; all others are losses.
_SECTIONS = {"lr": "training", "steps_per_s": "training", "waited": "training", "validation_s": "training"}
_LEFT_OUT = ("epoch", "step", "steps")


def has_tensorboard() -> bool:
    """Whether TensorBoard is installed."""
    return importlib.util.find_spec("tensorboard") is not None


class Board:
    """TensorBoard's files of one run; nothing is written, nor the folder made, where it is not installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer: SummaryWriter | None = None
        self._purge_after: int | None = None

    def go_on_after(self, steps: int) -> None:
        """Show no more what was written beyond `steps` of the whole run, by a run that was killed since its save."""
        self._purge_after = steps

    def write_scalars(self, values: Mapping[str, float], steps: int) -> None:
        """Add one line of stats.jsonl, at `steps` of the whole run."""
        writer = self._open()
        if writer is None:
            return
        for name, value in values.items():
            if name not in _LEFT_OUT:
                section = "validation" if name.startswith("swd") else _SECTIONS.get(name, "loss")
                writer.add_scalar(f"{section}/{name}", value, steps)

    def write_grid(self, image: Image, steps: int) -> None:
        """Add a sample grid, uint8 (H,W,3)."""
        writer = self._open()
        if writer is not None:
            writer.add_image("samples", image, steps, dataformats="HWC")

    def close(self) -> None:
        """Write what is still in memory; the next value opens a new file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> "SummaryWriter | None":
        if self._writer is None and has_tensorboard():
            from torch.utils.tensorboard import SummaryWriter

            first = None if self._purge_after is None else self._purge_after + 1
            self._writer = SummaryWriter(self.folder, purge_step=first, flush_secs=FLUSH_EVERY_S)
            self._purge_after = None  # a file that is opened later goes on after this one
        return self._writer
