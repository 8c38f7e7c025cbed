"""One picture in, one picture out: padding, tiles, the model, and back to the picture's own size and depth."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import cv2
import numpy as np

from stylegan_tool.errors import ComputeError, MemoryShortError, ModelError
from stylegan_tool.exact_plan import SIDES, Plan
from stylegan_tool.model_info import ModelInfo
from stylegan_tool.options import TileOption, TileStatistics
from stylegan_tool.pixels import Batch, Image, to_batch, to_image
from stylegan_tool.reach import UnknownReachError
from stylegan_tool.session import Session
from stylegan_tool.tile_choice import TileChoice, estimate_bytes
from stylegan_tool.tiling import Span, axis_weights, round_up

THUMBNAIL = 512  # pixels of the long side
VERIFIED_SIDE, VERIFIED_TILE = 768, 320
# What one run takes where pictures go together. Guessed: nobody has measured where a GPU stops gaining by it.
BATCH_PIXELS, MOST_TOGETHER = 2**22, 16
# A source whose values lie closer together, in steps of 8 bits, may rightly come out in one colour.
VISIBLE_STEPS = 16


def pad_image(image: Image, info: ModelInfo) -> Image:
    """Pad at the bottom and right to a size that the model takes.

    Too small a side is filled up by replication, then both go to the size multiple by reflection; (H,W,3). A side
    that the model fixes is only filled up: pieces of it are cut out anywhere.
    """
    height, width = image.shape[:2]
    fixed_y, fixed_x = info.fixed_height, info.fixed_width
    grow_y, grow_x = max(0, (fixed_y or info.smallest_size) - height), max(0, (fixed_x or info.smallest_size) - width)
    if grow_y or grow_x:
        image = cast("Image", np.pad(image, ((0, grow_y), (0, grow_x), (0, 0)), mode="edge"))
    rest_y = 0 if fixed_y else (-image.shape[0]) % info.size_multiple
    rest_x = 0 if fixed_x else (-image.shape[1]) % info.size_multiple
    if rest_y or rest_x:
        image = cast("Image", np.pad(image, ((0, rest_y), (0, rest_x), (0, 0)), mode="reflect"))
    return image


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
    tiled: bool  # False: the picture is too small to be cut


def _window(span: Span, length: int, fixed: int) -> tuple[int, int]:
    """Return what is read for a span: where a side is fixed, as much as that, moved inwards at the end."""
    if not fixed:
        return span.start, span.stop
    start = min(span.start, length - fixed)
    return start, start + fixed


def _crop(image: Image, height: int, width: int) -> Image:
    return cast("Image", np.ascontiguousarray(image[:height, :width]))


def _is_one_colour(image: Image) -> bool:
    first = image[0, 0]
    return bool((image[::16, ::16] == first).all() and (image == first).all())  # nearly always the first tells


def _has_contrast(image: Image) -> bool:
    apart = int(image.max()) - int(image.min())
    return apart > VISIBLE_STEPS * (1 if image.dtype == np.uint8 else 257)


def _reader(image: Image) -> Callable[[slice, slice], Batch]:
    """Return what reads a piece of `image` as a batch."""
    return lambda rows, columns: to_batch(image[rows, columns])


class Stylizer:
    """Runs `session` on pictures of any size.

    Tiles of `exact` statistics give what the untiled picture gives, by the network with its statistics taken in
    float64, at about the speed of the plain model.

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
        self._choice = TileChoice(session, tile, statistics, memory_bytes)
        self._ran_with = 0  # the side, in the last run
        self._most_together = MOST_TOGETHER  # pictures in a batch

    def __call__(self, image: Image, *, name: str = "") -> Image:
        """Return the stylised picture, (H,W,3) of the same size and type.

        A picture that comes out in one colour is noted, once.

        Args:
            name: of the picture, for messages: its file, or which frame it is.

        Raises:
            ComputeError: out of memory, or the result is not a number.
            UsageError: the tiles asked for are too small for the model.
            ModelError: the model makes pictures of another size, or tiles were asked for that it cannot have.
        """
        height, width = image.shape[:2]
        padded = pad_image(image, self.session.info)
        with self._named_errors(name):
            result = self._stylize_or_step_down(padded, height, width)
        self._note_blank(image, result, name)
        return result

    def batch(self, images: Sequence[Image], names: Sequence[str] = ()) -> list[Image]:
        """Return the stylised pictures, the same as one by one; in runs of `batch_size` where they are of one size.

        Args:
            names: of all pictures, or none.

        Raises:
            See `__call__`; what the others would have become is then lost.
        """
        names = names or [""] * len(images)
        alike = len({(image.shape, image.dtype) for image in images}) == 1
        made: list[Image] = []
        while rest := images[len(made) :]:
            n = self.batch_size(*rest[0].shape[:2]) if alike else 1
            made += self._stylize_together(rest[:n], names[len(made) :][:n])
        return made

    def _stylize_together(self, images: Sequence[Image], names: Sequence[str]) -> list[Image]:
        """Stylise pictures of one size in one run; one by one if that fails, to find out which it is."""
        made: list[Image] = []
        if len(images) > 1:
            try:
                made = self.session.run_pixels([pad_image(image, self.session.info) for image in images])
            except MemoryShortError:
                self._most_together = len(images) // 2
            except (ComputeError, ModelError):
                pass
        if not made:
            return [self(image, name=name) for image, name in zip(images, names, strict=True)]
        results = [_crop(result, *image.shape[:2]) for image, result in zip(images, made, strict=True)]
        for image, result, name in zip(images, results, names, strict=True):
            self._note_blank(image, result, name)
        return results

    @property
    def most_at_once(self) -> int:
        """How many pictures, of any size, `batch` runs together at most: to give it more brings nothing."""
        return MOST_TOGETHER if self.session.on_gpu else 1

    def batch_size(self, height: int, width: int) -> int:
        """Return how many pictures of that size `batch` runs together; 1 on the CPU, which gains nothing by it.

        And 1 for somebody else's model, whose graph may mix the pictures of a batch.
        """
        if not self.session.on_gpu or not self.session.info.schema or self._choice.method(height, width) != "plain":
            return 1
        room = self._choice.plain_bytes // estimate_bytes(height, width, self.session.info)
        return max(1, min(self._most_together, BATCH_PIXELS // (height * width), room))

    @property
    def asked_bytes(self) -> int | None:
        """What may be used, as it was asked for; None: to be found out."""
        return self._choice.asked_bytes

    def limit_memory(self, size: int | None) -> int:
        """Use at most `size` bytes from now on (None: half of what is free now), and return how many.

        Tiles depend on it: work that is to go on later as it began has to be given the same number.
        """
        return self._choice.limit_memory(size)

    def expect(self, image: Image) -> Expectation:
        """Return what stylising `image` will take, without doing it (but for a small piece that is timed)."""
        padded = pad_image(image, self.session.info)
        height, width = padded.shape[:2]
        with self._reach_errors():
            method = self._choice.method_of(padded)
            if method == "local":
                return self._expect_local(height, width, 2 * padded.nbytes)
            seconds = self._seconds_a_pixel * height * width
            if method == "plain":
                memory = estimate_bytes(height, width, self.session.info)
                return Expectation(1, max(height, width), 1, memory, 0, seconds)
            plan = (
                self._choice.one_pass_plan(height, width) if method == "thumbnail" else self._choice.plan(height, width)
            )
        scratch = plan.stored_bytes if plan.on_disk else 0
        memory = plan.memory_bytes + 2 * padded.nbytes
        return Expectation(plan.n_tiles, plan.side, len(plan.passes), memory, scratch, seconds * plan.work)

    def _expect_local(self, height: int, width: int, picture_bytes: int) -> Expectation:
        side, (rows, columns) = self._choice.local_side(), self._choice.local_spans(height, width)
        area = sum(span.stop - span.start for span in rows) * sum(span.stop - span.start for span in columns)
        memory = estimate_bytes(side, side, self.session.info) + picture_bytes
        return Expectation(len(rows) * len(columns), side, 1, memory, 0, self._seconds_a_pixel * area)

    def verify(self, image: Image) -> Difference:
        """Compare the middle of `image`, taken as a picture of its own, tiled and untiled (as `--tile off` does it)."""
        if self._choice.is_fixed:
            raise ModelError(
                f"{self.session.path} takes pieces of one size, so there is no untiled picture to compare with",
                hint="Leave --verify out.",
            )
        height, width = (min(side, VERIFIED_SIDE) for side in image.shape[:2])
        top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
        region = image[top : top + height, left : left + width]
        least = 0 if self.statistics == "exact" else self._choice.least_side()
        side = self.tile.size if self.tile.mode == "fixed" else max(VERIFIED_TILE, least)
        memory = self._choice.asked_bytes
        tiled = Stylizer(self.session, TileOption("fixed", side), statistics=self.statistics, memory_bytes=memory)
        untiled = Stylizer(self.session, TileOption("off"), memory_bytes=memory)
        apart = np.abs(tiled(region).astype(np.int32) - untiled(region).astype(np.int32))
        steps = apart / (1 if region.dtype == np.uint8 else 257)
        identical = float((apart == 0).mean())
        return Difference(
            width, height, math.ceil(steps.max()), float(steps.mean()), identical, tiled=max(height, width) > side
        )

    @cached_property
    def _seconds_a_pixel(self) -> float:
        side = round_up(max(SIDES[0], self.session.info.smallest_size), self.session.info.size_multiple)
        height, width = self.session.info.fixed_height or side, self.session.info.fixed_width or side
        piece = np.random.default_rng(0).uniform(-1, 1, (1, 3, height, width)).astype(np.float32)
        self.session.run(piece)
        started = time.perf_counter()
        self.session.run(piece)
        return (time.perf_counter() - started) / (height * width)

    @contextmanager
    def _named_errors(self, name: str) -> Iterator[None]:
        """Say which picture it was."""
        try:
            yield
        except ComputeError as error:
            raise type(error)(f"{name}: {error.what}" if name else error.what, hint=error.hint) from error

    @contextmanager
    def _reach_errors(self) -> Iterator[None]:
        """Turn what is found out only for a picture's size into a message."""
        try:
            yield
        except UnknownReachError as error:
            raise ModelError(
                f"{self.session.path} cannot be cut into tiles at this size: {error}",
                hint="Use --tile off, or a model with another size multiple.",
            ) from error

    def _shrink(self, image: Image, longest: int) -> Image:
        scale = min(1.0, longest / max(image.shape[:2]))
        size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
        small = cast("Image", cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        return pad_image(small, self.session.info)

    def _note_blank(self, image: Image, result: Image, name: str) -> None:
        if not _is_one_colour(result) or not _has_contrast(image):
            return
        which = name or f"a picture of {image.shape[1]}x{image.shape[0]} pixels"
        self._say_once(
            "blank",
            f"{self.session.path.name} makes one colour of {which}: if it should not, try --provider cpu, "
            "or export the model again",
        )

    def _say_once(self, key: str, line: str) -> None:
        if key not in self._noted:
            self._noted.add(key)
            self._note(line)

    # Computing --------------------------------------------------------------------------------------------

    def _stylize_or_step_down(self, padded: Image, height: int, width: int) -> Image:
        while True:
            try:
                with self._reach_errors():
                    return self._stylize(padded, height, width)
            except MemoryShortError:
                if not self._choice.step_down(self._ran_with):
                    raise
                self._say_once("memory", f"memory ran out: going on with tiles of {self._choice.side} pixels or less")

    def _stylize(self, padded: Image, height: int, width: int) -> Image:
        self._ran_with = 0  # until it runs: a plan that memory cannot hold is no reason for smaller tiles
        method = self._choice.method_of(padded)
        if method == "exact":
            plan = self._choice.plan(*padded.shape[:2])
            self._ran_with = min(plan.side, max(padded.shape))
            return self._run_exact(padded, height, width, plan)
        if method == "thumbnail":
            plan = self._choice.one_pass_plan(*padded.shape[:2])
            self._ran_with = plan.side
            self._say_tones(plan.side, "a thumbnail's statistics")
            return self._run_by_thumbnail(padded, height, width, plan)
        if method == "local":
            self._ran_with = self._choice.local_side()
            if max(padded.shape[:2]) > self._ran_with:
                self._say_tones(self._ran_with, "statistics of their own")
            return to_image(self._run_local(padded)[:, :, :height, :width], padded.dtype)
        self._ran_with = max(padded.shape)
        return _crop(self.session.run_pixels([padded])[0], height, width)

    def _say_tones(self, side: int, statistics: str) -> None:
        self._say_once("statistics", f"tiles of {side} pixels with {statistics}: their tones may differ")

    def _pieces(
        self, padded: Image, height: int, width: int
    ) -> tuple[Image, Callable[..., Batch], Callable[..., None]]:
        """Return an empty result, and how tiles are read and written."""
        result: Image = np.empty((height, width, 3), padded.dtype)

        def write(rows: slice, columns: slice, batch: Batch) -> None:
            self.session.check_numbers(batch, *padded.shape[:2])
            place = result[rows, columns]
            place[:] = to_image(batch[:, :, : place.shape[0], : place.shape[1]], padded.dtype)

        return result, _reader(padded), write

    def _run_exact(self, padded: Image, height: int, width: int, plan: Plan) -> Image:
        result, read, write = self._pieces(padded, height, width)
        self._choice.exact.run(plan, read, write)
        return result

    def _run_by_thumbnail(self, padded: Image, height: int, width: int, plan: Plan) -> Image:
        small = self._shrink(padded, THUMBNAIL)
        result, read, write = self._pieces(padded, height, width)
        untiled = self._choice.exact.planner.untiled(*small.shape[:2])
        self._choice.exact.run_with_statistics_of(untiled, _reader(small), plan, read, write)
        return result

    def _run_local(self, image: Image) -> Batch:
        info, (height, width) = self.session.info, image.shape[:2]
        rows, columns = self._choice.local_spans(height, width)
        blended = np.zeros((1, 3, height, width), np.float32)
        for row, row_weights in zip(rows, axis_weights(rows), strict=True):
            for column, column_weights in zip(columns, axis_weights(columns), strict=True):
                top, bottom = _window(row, height, info.fixed_height)
                left, right = _window(column, width, info.fixed_width)
                batch = to_batch(image[top:bottom, left:right])
                result = self.session.run(batch)
                self.session.check(result, batch.shape)
                y = slice(row.keep_start - top, row.keep_stop - top)
                x = slice(column.keep_start - left, column.keep_stop - left)
                kept = (slice(row.keep_start, row.keep_stop), slice(column.keep_start, column.keep_stop))
                blended[:, :, *kept] += result[:, :, y, x] * (row_weights[:, None] * column_weights[None, :])
        return blended
