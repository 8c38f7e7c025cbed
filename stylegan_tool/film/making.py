"""Stylise a film into segments: decode, follow the motion, stylise, steady and encode, all at the same time.

Where a segment begins is a pure function of the source, and the same whatever is done to the pictures and wherever
the work is interrupted: at every cut (unless the last border is nearer than LEAST_FRAMES), and after MOST_FRAMES.
What begins at a cut depends on nothing before it.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from stylegan_tool.blend import blend, compare_alpha
from stylegan_tool.errors import OutputError, typed
from stylegan_tool.film.plan import Encoding, Segment
from stylegan_tool.film.reader import FilmFrame, FilmReader, Place
from stylegan_tool.film.segment_writer import SegmentWriter
from stylegan_tool.film.store import Kept, SegmentRun
from stylegan_tool.options import Blend
from stylegan_tool.overlap import ahead
from stylegan_tool.pixels import Image
from stylegan_tool.steady import SourceMotion, Steadier, Step

MOST_FRAMES = 120  # a segment: what a kill loses at most
LEAST_FRAMES = 12  # a strobe light is a cut in every frame

Watch = Callable[[Image, Image, Image], None]  # source, stylised, steady


class Stylize(Protocol):
    """What makes a picture of a picture of the same size and type."""

    def __call__(self, image: Image, /) -> Image:
        """Return the stylised picture."""


@dataclass(frozen=True)
class Together:
    """What stylises several pictures in one go, where that is faster.

    Attributes:
        stylize: pictures of one size and type, and their names for messages -> as many stylised ones.
        most: how many at once, at least 1.
    """

    stylize: Callable[[Sequence[Image], Sequence[str]], Sequence[Image]]
    most: int = 1

    @classmethod
    def one_by_one(cls, stylize: Stylize) -> "Together":
        return cls(lambda images, _: [stylize(image) for image in images])


@dataclass(frozen=True)
class _Item:
    """A frame on its way.

    Attributes:
        step: what is known of its motion.
        border: it begins a segment, at a cut or elsewhere.
        result: as far as it has come.
        state: of the steadier before this frame, at a border that is no cut.
    """

    frame: FilmFrame
    step: Step
    border: Literal["", "cut", "length"]
    result: Image
    state: Mapping[str, NDArray[Any]]


class Borders:
    """Where segments begin; to be asked for each frame of a film in order, from a border on."""

    def __init__(self) -> None:
        self._length = 0

    def __call__(self, step: Step) -> Literal["", "cut", "length"]:
        border: Literal["", "cut", "length"] = ""
        if self._length >= MOST_FRAMES:
            border = "length"
        if step.is_cut and self._length >= LEAST_FRAMES:
            border = "cut"
        self._length = 1 if border else self._length + 1
        return border


def follow(frames: Iterator[FilmFrame], place: Place | None, *, cuts_only: bool) -> Iterator[_Item]:
    """Yield the frames after `place` with their motion and borders; the frame at it is only looked at.

    Args:
        cuts_only: the motion itself is not needed.
    """
    motion = SourceMotion(cuts_only=cuts_only)
    borders = Borders()
    before: Image | None = None
    step: Step | None = None
    first = place.frames if place is not None else 0
    for frame in frames:
        if step is None or before is None or not _same(frame.image, before):
            step = motion(frame.image)
        else:  # nothing moves; the steadier gives the same again
            step = replace(step, begins_scene=False, is_cut=False)
        before = frame.image
        if frame.number >= first:
            yield _Item(frame, step, borders(step), frame.image, {})


def _same(image: Image, before: Image) -> bool:
    return image is before or np.array_equal(image, before)


def stylized(items: Iterator[_Item], together: Together) -> Iterator[_Item]:
    """Yield the items with their stylised pictures; a repeated frame is not computed again."""
    before: _Item | None = None
    while group := list(islice(items, together.most)):
        sources = [before.frame.image if before is not None else None, *(item.frame.image for item in group)]
        is_new = [image is not previous for previous, image in pairwise(sources)]
        new = [item.frame for item, computed in zip(group, is_new, strict=True) if computed]
        names = [f"frame {frame.number + 1}" for frame in new]
        results = iter(together.stylize([frame.image for frame in new], names) if new else ())
        for item, computed in zip(group, is_new, strict=True):
            result = next(results) if computed or before is None else before.result
            before = replace(item, result=result)
            _check_result(before)
            yield before


def _check_result(item: _Item) -> None:
    source, result = item.frame.image, item.result
    if source.shape != result.shape or source.dtype != result.dtype:
        raise ValueError(
            f"the film's pictures are {source.dtype} {source.shape}, this one is {result.dtype} {result.shape}"
        )


def steadied(
    items: Iterator[_Item], strength: float, state: Mapping[str, NDArray[Any]], watch: Watch | None
) -> Iterator[_Item]:
    """Yield the items with their steady pictures, from the `state` on that the frame before has left."""
    steadier = Steadier(strength)
    steadier.restore(state)
    for item in items:
        left = steadier.state() if item.border == "length" else {}
        result = steadier(item.frame.image, item.result, item.step)
        if watch is not None:
            watch(item.frame.image, item.result, result)
        yield replace(item, result=result, state=left)


@dataclass(frozen=True)
class Making:
    """How frames become segments.

    Attributes:
        steady: strength, 0 is off.
        watch: called for every frame with source, stylised and steady picture.
    """

    encoding: Encoding
    together: Together
    steady: float
    blend: Blend
    watch: Watch | None = None


def make_segments(
    open_reader: Callable[[Place | None], FilmReader],
    run: SegmentRun,
    making: Making,
    on_frame: Callable[[], None],
    *,
    end: int | None = None,
) -> Iterator[Kept]:
    """Make all segments that `run` still lacks, and yield each when it is kept; those of others, too, in between.

    Args:
        open_reader: opens the film to go on after a place.
        on_frame: called once for each frame that is encoded.
        end: number of the frame before which the run ends, which begins a scene (or is not steady); None: to the end.

    Raises:
        InputError, OutputError: reading or writing fails; what is in the run stays there.
    """
    goes_on = not run.is_complete
    while goes_on:
        with open_reader(run.place) as reader:
            goes_on = yield from _make_until_adopted(reader, run, making, on_frame, end)
        goes_on = goes_on and not run.is_complete


def _make_until_adopted(
    reader: FilmReader, run: SegmentRun, making: Making, on_frame: Callable[[], None], end: int | None
) -> Generator[Kept, None, bool]:
    """Make segments up to the end, or up to those that others have made; True if it is the latter."""
    frames = ahead(_until(end, iter(reader)))
    items = ahead(follow(frames, run.place, cuts_only=making.steady == 0), depth=max(2, making.together.most))
    results: Generator[_Item, None, None] = ahead(stylized(items, making.together))
    if making.steady or making.watch:
        results = ahead(steadied(results, making.steady, run.read_state(), making.watch))
    with closing(_Encoder(run, making, reader)) as encoder:
        try:
            for item in results:
                if item.border and (kept := encoder.end(item.state)):
                    yield kept
                if item.border == "cut" and (adopted := run.adopt(item.frame.pts)):
                    yield from adopted
                    return True
                encoder.write(item)
                on_frame()
            if kept := encoder.finish():
                yield kept
        finally:
            results.close()  # the last one first: its thread may be waiting in the one before
            items.close()
            frames.close()
    return False


def _until(end: int | None, frames: Iterator[FilmFrame]) -> Iterator[FilmFrame]:
    """Yield the frames before number `end`, and read none beyond: damage there belongs to others."""
    for frame in frames:
        yield frame
        if end is not None and frame.number + 1 >= end:
            return


class _Encoder:
    """Writes segment after segment."""

    def __init__(self, run: SegmentRun, making: Making, reader: FilmReader) -> None:
        self._run, self._making, self._reader = run, making, reader
        self._writer: SegmentWriter | None = None
        self._pts: list[int] = []
        self._damage = self._last_duration = 0

    def write(self, item: _Item) -> None:
        """Encode a frame, as the first of a segment where none is begun."""
        if self._writer is None:
            self._writer = SegmentWriter(self._run.part_path, self._making.encoding)
        frame, options = item.frame, self._making.blend
        alpha = None
        if frame.alpha is not None and self._making.encoding.has_alpha:
            alpha = compare_alpha(frame.alpha, options)
        self._writer.write(blend(frame.image, item.result, options), alpha)
        self._pts.append(frame.pts)
        self._damage += frame.damage
        self._last_duration = frame.duration

    def finish(self) -> Kept | None:
        """End the last segment; damage after the last frame is its."""
        self._damage += self._reader.damage
        return self.end({})

    def end(self, state: Mapping[str, NDArray[Any]]) -> Kept | None:
        """Keep the segment that was begun, if any, with the steadier's `state` after it."""
        if self._writer is None:
            return None
        info = self._writer.close()
        path = self._run.part_path
        self._writer = None
        if info.frames != len(self._pts):
            raise OutputError(
                f"{path}: only {info.frames} of {len(self._pts)} frames arrived",
                hint=f"Look at the disk, then type the same command: df -h {typed(path.parent)}",
            )
        segment = Segment(path, tuple(self._pts), info.delay)
        notes = tuple(self._reader.notes)
        kept = Kept(segment, self._damage, self._reader.even, notes, self._last_duration, bool(state))
        self._run.add(kept, state)
        self._pts, self._damage = [], 0
        return self._run.kept[-1]

    def close(self) -> None:
        """Let go of a segment that was not finished."""
        if self._writer is not None:
            self._writer.__exit__(RuntimeError, RuntimeError("stopped"), None)
            self._writer = None
            with suppress(OSError):
                self._run.part_path.unlink()
