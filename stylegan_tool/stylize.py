"""One picture in, one picture out: padding, tiles, the model, and back to the picture's own size and depth."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import cv2
import numpy as np
import psutil

from stylegan_tool.errors import ComputeError, MemoryShortError, ModelError
from stylegan_tool.exact import SIDES, ExactModel, Plan
from stylegan_tool.model_info import ModelInfo
from stylegan_tool.options import TileOption, TileStatistics
from stylegan_tool.pixels import Batch, Image, to_batch, to_image
from stylegan_tool.reach import UnknownReachError
from stylegan_tool.session import Session
from stylegan_tool.tiling import axis_weights, plan_axis, round_up, smallest_tile

FEATHER = 32  # pixels over which tiles with statistics of their own blend
LARGEST_LOCAL_TILE = 2048
THUMBNAIL = 512  # pixels of the long side
# Peak memory of a plain run for each pixel and each filter of the first layer, measured with the arena off
# (`make bench`): about four full-resolution feature maps of float32 at once.
BYTES_PER_PIXEL_AND_FILTER = 20
# Above about so many pixels ONNX Runtime's own InstanceNormalization drifts from float64 by more than 1e-4.
PLAIN_PIXELS = 2**20
VERIFIED_SIDE, VERIFIED_TILE = 768, 320


def estimate_bytes(height: int, width: int, info: ModelInfo) -> int:
    """Return about how much memory one plain run over height x width pixels takes."""
    return height * width * info.ngf * BYTES_PER_PIXEL_AND_FILTER


def local_tile(info: ModelInfo, memory_bytes: int) -> int:
    """Return the side of the tiles that fit `memory_bytes` where each has statistics of its own."""
    side = int((memory_bytes / (info.ngf * BYTES_PER_PIXEL_AND_FILTER)) ** 0.5)
    side = min(LARGEST_LOCAL_TILE, side // info.size_multiple * info.size_multiple)
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


def _is_flat(image: Image) -> bool:
    """Whether all pixels are of one colour: then each normalisation divides rounding by (nearly) nothing."""
    return bool((image[0] == image[0, 0]).all() and (image == image[0, 0]).all())


@dataclass(frozen=True)
class Expectation:
    """What stylising a picture will take.

    Attributes:
        tiles: in each pass; 1 is untiled.
        side: of the tiles, pixels.
        passes: over the picture.
        memory_bytes, scratch_bytes: at the peak; the second on disk.
        seconds: expected, from a small piece timed here.
    """

    tiles: int
    side: int
    passes: int
    memory_bytes: int
    scratch_bytes: int
    seconds: float


@dataclass(frozen=True)
class Difference:
    """How far a tiled region is from the untiled one, in steps of 8 bits."""

    width: int
    height: int
    largest: int
    mean: float
    identical: float  # share of the values


class Stylizer:
    """Runs `session` on pictures of any size.

    Tiles of `exact` statistics give what the untiled picture gives, by the network with its statistics taken in
    float64. `auto` runs the model plainly up to a megapixel, where that is fastest, and cuts beyond it, where the
    runtime's own normalisation drifts.

    Args:
        tile: how pictures are cut.
        statistics: whose mean and variance tiles are normalised by.
        memory_bytes: what may be used; by default half of what is free when it is first needed.
        note: called with a line to say, each at most once.
    """

    def __init__(
        self,
        session: Session,
        tile: TileOption,
        *,
        statistics: TileStatistics = "exact",
        memory_bytes: int | None = None,
        note: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.session = session
        self.tile = tile
        self.statistics = statistics
        self._note = note
        self._noted: set[str] = set()
        self._asked_bytes = memory_bytes
        self._plans: dict[tuple[int, int], Plan] = {}
        self._largest_side = tile.size if tile.mode == "fixed" else SIDES[0]
        self._stepped_down = False

    def __call__(self, image: Image) -> Image:
        """Return the stylised picture, (H,W,3) of the same size and type.

        Raises:
            ComputeError: out of memory, or the result is not a number.
            UsageError: the tiles asked for are too small for the model.
            ModelError: the model makes pictures of another size, or tiles were asked for that it cannot have.
        """
        height, width = image.shape[:2]
        padded = pad_image(image, self.session.info)
        while True:
            try:
                return self._stylize(padded, height, width)
            except MemoryShortError:
                if not self._step_down(*padded.shape[:2]):
                    raise

    def expect(self, image: Image) -> Expectation:
        """Return what stylising `image` will take, without doing it (but for a small piece that is timed)."""
        padded = pad_image(image, self.session.info)
        height, width = padded.shape[:2]
        seconds = self._seconds_a_pixel * height * width
        if self._is_tiled(padded) and self.statistics == "exact":
            plan = self._plan(height, width)
            scratch = plan.stored_bytes if plan.on_disk else 0
            memory = plan.memory_bytes + 2 * padded.nbytes
            return Expectation(plan.n_tiles, plan.side, len(plan.passes), memory, scratch, seconds * plan.work)
        if self._is_tiled(padded):
            side = self._one_pass_side()
            multiple, halo = self.session.info.size_multiple, halo_px(self.session.info)
            spans = [plan_axis(n, tile=side, halo=halo, feather=FEATHER, multiple=multiple) for n in (height, width)]
            area = np.prod([sum(span.stop - span.start for span in axis) for axis in spans])
            tiles = len(spans[0]) * len(spans[1])
            memory = estimate_bytes(side, side, self.session.info) + 2 * padded.nbytes
            return Expectation(tiles, side, 1, memory, 0, self._seconds_a_pixel * float(area))
        return Expectation(1, max(height, width), 1, estimate_bytes(height, width, self.session.info), 0, seconds)

    def verify(self, image: Image) -> Difference:
        """Compare the middle of `image`, taken as a picture of its own, tiled and untiled."""
        height, width = (min(side, VERIFIED_SIDE) for side in image.shape[:2])
        top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
        region = image[top : top + height, left : left + width]
        tiled = Stylizer(
            self.session,
            TileOption("fixed", max(VERIFIED_TILE, self._smallest_verified())),
            statistics=self.statistics,
            memory_bytes=self._asked_bytes,
        )
        padded = pad_image(region, self.session.info)
        if self._can_be_cut():
            untiled = self._run_exact(padded, height, width, self._exact.untiled(*padded.shape[:2]))
        else:
            untiled = to_image(self._run(padded)[:, :, :height, :width], region.dtype)
        apart = np.abs(tiled(region).astype(np.int32) - untiled.astype(np.int32))
        apart = apart * 255 // (255 if region.dtype == np.uint8 else 65535)
        return Difference(width, height, int(apart.max()), float(apart.mean()), float((apart == 0).mean()))

    # Choosing ---------------------------------------------------------------------------------------------

    @cached_property
    def _memory_bytes(self) -> int:
        # Once: free memory comes and goes, and the frames of a film must not change with it.
        return self._asked_bytes or psutil.virtual_memory().available // 2

    @cached_property
    def _exact(self) -> ExactModel:
        """The model, cut.

        Raises:
            ModelError: it cannot be cut; the text names the node.
        """
        try:
            return ExactModel(self.session)
        except UnknownReachError as error:
            raise ModelError(
                f"{self.session.path} cannot be tiled exactly: {error}",
                hint="Use --tile off where memory allows, or --tile-stats local: tiles then differ in tone.",
            ) from error

    @cached_property
    def _seconds_a_pixel(self) -> float:
        side = max(SIDES[0], self.session.info.smallest_size)
        piece = np.random.default_rng(0).uniform(-1, 1, (1, 3, side, side)).astype(np.float32)
        self.session.run(piece[:, :, : side // 2])
        started = time.perf_counter()
        self.session.run(piece)
        return (time.perf_counter() - started) / side**2

    def _can_be_cut(self) -> bool:
        try:
            return bool(self._exact)
        except ModelError:
            return False

    def _is_tiled(self, image: Image) -> bool:
        """Whether `image` is computed in pieces (or in one piece, stage after stage)."""
        height, width = image.shape[:2]
        if self.tile.mode == "fixed":
            return bool(max(height, width) > self.tile.size)
        if self.tile.mode == "off":
            return False
        if self._stepped_down and max(height, width) > self._largest_side:
            return True
        fits = estimate_bytes(height, width, self.session.info) <= self._memory_bytes
        if self.statistics == "exact" and not self._can_be_cut():
            return not fits
        # Beyond, tiles are as fast as one tile stage after stage, in a fraction of the memory.
        return not (fits and height * width <= PLAIN_PIXELS)

    def _plan(self, height: int, width: int) -> Plan:
        if (height, width) not in self._plans:
            fixed = self._largest_side if self.tile.mode == "fixed" else None
            self._plans[height, width] = self._exact.plan(
                height, width, memory_bytes=self._memory_bytes, side=fixed, largest=self._largest_side
            )
        return self._plans[height, width]

    def _one_pass_side(self) -> int:
        least = smallest_tile(halo_px(self.session.info), FEATHER, self.session.info.size_multiple)
        if self.tile.mode == "fixed":
            return self._largest_side
        return max(least, min(self._largest_side * 4, local_tile(self.session.info, self._memory_bytes)))

    def _smallest_verified(self) -> int:
        if self.statistics == "exact":
            return 0
        return smallest_tile(halo_px(self.session.info), FEATHER, self.session.info.size_multiple)

    def _step_down(self, height: int, width: int) -> bool:
        """After memory ran out: take smaller tiles from now on; False where there are none."""
        tiled = self._stepped_down or self.tile.mode == "fixed" or height * width > PLAIN_PIXELS
        below = min(self._largest_side if tiled else SIDES[0] + 1, max(height, width))
        smaller = [side for side in SIDES if side < below]
        if self.tile.mode == "off" or not smaller:
            return False
        self._largest_side, self._stepped_down = smaller[0], True
        self._plans.clear()
        self._say_once("memory", f"memory ran out: going on with tiles of {self._largest_side} pixels")
        return True

    def _say_once(self, key: str, line: str) -> None:
        if key not in self._noted:
            self._noted.add(key)
            self._note(line)

    # Computing --------------------------------------------------------------------------------------------

    def _stylize(self, padded: Image, height: int, width: int) -> Image:
        if not self._is_tiled(padded):
            if (_is_flat(padded) or padded.shape[0] * padded.shape[1] > PLAIN_PIXELS) and self._can_be_cut():
                return self._run_exact(padded, height, width, self._exact.untiled(*padded.shape[:2]))
            return to_image(self._run(padded)[:, :, :height, :width], padded.dtype)
        if self.statistics == "exact":
            return self._run_exact(padded, height, width, self._plan(*padded.shape[:2]))
        side = self._one_pass_side()
        what = "of a thumbnail" if self.statistics == "thumbnail" else "of their own"
        self._say_once("statistics", f"tiles of {side} pixels with statistics {what}: their tones may differ")
        if self.statistics == "thumbnail":
            return self._run_by_thumbnail(padded, height, width, side)
        return to_image(self._run_local(padded, side)[:, :, :height, :width], padded.dtype)

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
        self._check(result, image.shape[0], image.shape[1])
        return result

    def _check(self, result: Batch, height: int, width: int) -> None:
        if not np.isfinite(result).all():
            raise ComputeError(
                f"{self.session.path.name} gave no finite numbers for {width}x{height} pixels",
                hint="Try --provider cpu; if it stays, export the model again.",
            )

    def _pieces(
        self, padded: Image, height: int, width: int
    ) -> tuple[Image, Callable[..., Batch], Callable[..., None]]:
        """Return an empty result, and how tiles are read and written."""
        result: Image = np.empty((height, width, 3), padded.dtype)

        def read(rows: slice, columns: slice) -> Batch:
            return to_batch(padded[rows, columns])

        def write(rows: slice, columns: slice, batch: Batch) -> None:
            self._check(batch, *padded.shape[:2])
            place = result[rows, columns]
            place[:] = to_image(batch[:, :, : place.shape[0], : place.shape[1]], padded.dtype)

        return result, read, write

    def _run_exact(self, padded: Image, height: int, width: int, plan: Plan) -> Image:
        result, read, write = self._pieces(padded, height, width)
        self._exact.run(plan, read, write)
        return result

    def _run_by_thumbnail(self, padded: Image, height: int, width: int, side: int) -> Image:
        scale = THUMBNAIL / max(padded.shape[:2])
        size = [max(1, round(n * scale)) for n in padded.shape[1::-1]]
        small = pad_image(cast("Image", cv2.resize(padded, size, interpolation=cv2.INTER_AREA)), self.session.info)
        result, read, write = self._pieces(padded, height, width)
        self._exact.run_with_statistics_of(
            self._exact.untiled(*small.shape[:2]),
            lambda rows, columns: to_batch(small[rows, columns]),
            self._exact.one_pass(padded.shape[0], padded.shape[1], side),
            read,
            write,
        )
        return result

    def _run_local(self, image: Image, side: int) -> Batch:
        info = self.session.info
        height, width = image.shape[:2]
        geometry = {"tile": side, "halo": halo_px(info), "feather": FEATHER, "multiple": info.size_multiple}
        rows, columns = plan_axis(height, **geometry), plan_axis(width, **geometry)
        blended = np.zeros((1, 3, height, width), np.float32)
        for row, row_weights in zip(rows, axis_weights(rows), strict=True):
            for column, column_weights in zip(columns, axis_weights(columns), strict=True):
                result = self._run(image[row.start : row.stop, column.start : column.stop])
                y = slice(row.keep_start - row.start, row.keep_stop - row.start)
                x = slice(column.keep_start - column.start, column.keep_stop - column.start)
                kept = (slice(row.keep_start, row.keep_stop), slice(column.keep_start, column.keep_stop))
                blended[:, :, *kept] += result[:, :, y, x] * (row_weights[:, None] * column_weights[None, :])
        return blended
