"""One picture in, one picture out: padding, tiles, the model, and back to the picture's own size and depth."""

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np
import psutil

from stylegan_tool.errors import ComputeError, ModelError
from stylegan_tool.model_info import ModelInfo
from stylegan_tool.options import TileOption
from stylegan_tool.pixels import Batch, Image, to_batch, to_image
from stylegan_tool.session import Session
from stylegan_tool.tiling import axis_weights, plan_axis, round_up, smallest_tile

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEATHER = 32  # pixels over which neighbouring tiles blend
LARGEST_AUTO_TILE = 2048
# Peak memory of a run for each pixel and each filter of the first layer, measured with the arena off
# (`make bench`): about four full-resolution feature maps of float32 at once.
BYTES_PER_PIXEL_AND_FILTER = 20


def estimate_bytes(height: int, width: int, info: ModelInfo) -> int:
    """Return about how much memory one untiled run over height x width pixels takes."""
    return height * width * info.ngf * BYTES_PER_PIXEL_AND_FILTER


def choose_tile(height: int, width: int, info: ModelInfo, memory_bytes: int) -> int | None:
    """Return the side of the tiles that fit `memory_bytes`, or None where the whole picture does."""
    if estimate_bytes(height, width, info) <= memory_bytes:
        return None
    side = int((memory_bytes / (info.ngf * BYTES_PER_PIXEL_AND_FILTER)) ** 0.5)
    side = min(LARGEST_AUTO_TILE, side // info.size_multiple * info.size_multiple)
    return max(side, smallest_tile(halo_px(info), FEATHER, info.size_multiple))


def halo_px(info: ModelInfo) -> int:
    """Return the halo: no smaller than the receptive field, and on the size multiple."""
    return round_up(info.receptive_field, info.size_multiple)


def pad_image(image: Image, info: ModelInfo) -> Image:
    """Pad at the bottom and right to a size that the model takes.

    Too small a side is filled up by replication, then both go to the size multiple by reflection; (H,W,3).
    """
    height, width = image.shape[:2]
    grow_y, grow_x = max(0, info.smallest_size - height), max(0, info.smallest_size - width)
    if grow_y or grow_x:
        image = cast("Image", np.pad(image, ((0, grow_y), (0, grow_x), (0, 0)), mode="edge"))
    rest_y, rest_x = (-image.shape[0]) % info.size_multiple, (-image.shape[1]) % info.size_multiple
    if rest_y or rest_x:
        image = cast("Image", np.pad(image, ((0, rest_y), (0, rest_x), (0, 0)), mode="reflect"))
    return image


class Stylizer:
    """Runs `session` on pictures of any size.

    Args:
        tile: how pictures are cut. Tiles normalise themselves, so that their tone may differ.
        memory_bytes: what `auto` may use; by default half of what is free when it is needed.
        note: called with a line to say, at most once, when pictures are cut.
    """

    def __init__(
        self,
        session: Session,
        tile: TileOption,
        *,
        memory_bytes: int | None = None,
        note: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.session = session
        self.tile = tile
        self.memory_bytes = memory_bytes
        self.note = note
        self._noted = False
        self._sides: dict[tuple[int, int], int | None] = {}

    def __call__(self, image: Image) -> Image:
        """Return the stylised picture, (H,W,3) of the same size and type.

        Raises:
            ComputeError: out of memory, or the result is not a number.
            UsageError: the tiles asked for are too small for the model.
            ModelError: the model makes pictures smaller than it was given.
        """
        height, width = image.shape[:2]
        padded = pad_image(image, self.session.info)
        side = self._tile_side(*padded.shape[:2])
        if side is None:
            result = self._run(padded)
            return to_image(result[:, :, :height, :width], image.dtype)
        blended = self._run_tiles(padded, side)[:, :, :height, :width]
        return to_image(blended, image.dtype)

    def _tile_side(self, height: int, width: int) -> int | None:
        if self.tile.mode == "off":
            return None
        if self.tile.mode == "fixed":
            return self.tile.size
        # Once for each size: free memory comes and goes, and the frames of a film must not change with it.
        if (height, width) not in self._sides:
            memory = self.memory_bytes or psutil.virtual_memory().available // 2
            self._sides[height, width] = choose_tile(height, width, self.session.info, memory)
        return self._sides[height, width]

    def _run(self, image: Image) -> Batch:
        batch = to_batch(image)
        result = self.session.run(batch)
        if (
            result.ndim != 4
            or result.shape[1] != 3
            or any(made < given for made, given in zip(result.shape[2:], batch.shape[2:], strict=True))
        ):
            raise ModelError(
                f"{self.session.path} makes {result.shape} out of {batch.shape}: not a picture of the same size",
                hint="Name another model with --model.",
            )
        if not np.isfinite(result).all():
            raise ComputeError(
                f"{self.session.path.name} gave no finite numbers for {image.shape[1]}x{image.shape[0]} pixels",
                hint="Try --provider cpu; if it stays, export the model again.",
            )
        return result

    def _run_tiles(self, image: Image, side: int) -> Batch:
        info = self.session.info
        height, width = image.shape[:2]
        geometry = {"tile": side, "halo": halo_px(info), "feather": FEATHER, "multiple": info.size_multiple}
        rows, columns = plan_axis(height, **geometry), plan_axis(width, **geometry)
        n_tiles = len(rows) * len(columns)
        if n_tiles > 1 and not self._noted:
            self._noted = True
            self.note(f"tiles of {side} pixels, {n_tiles} for {width}x{height}: their tones may differ")
        blended = np.zeros((1, 3, height, width), np.float32)
        for row, row_weights in zip(rows, axis_weights(rows), strict=True):
            for column, column_weights in zip(columns, axis_weights(columns), strict=True):
                result = self._run(image[row.start : row.stop, column.start : column.stop])
                y = slice(row.keep_start - row.start, row.keep_stop - row.start)
                x = slice(column.keep_start - column.start, column.keep_stop - column.start)
                weights: NDArray[np.float32] = row_weights[:, None] * column_weights[None, :]
                kept = (slice(row.keep_start, row.keep_stop), slice(column.keep_start, column.keep_stop))
                blended[:, :, *kept] += result[:, :, y, x] * weights
        return blended
