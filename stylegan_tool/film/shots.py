"""Split a film among several workers: whole shots, which can be made at the same time and in any order.

What begins at a cut depends on nothing before it, so a run of shots that one worker makes has the frames that it would
have in a film made in one go, and the segments the same numbers (see making.py).
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from stylegan_tool.film.look import Look
from stylegan_tool.film.making import MOST_FRAMES, Making, Together, Watch, follow, make_segments
from stylegan_tool.film.plan import Encoding, Window
from stylegan_tool.film.reader import FilmReader, Place
from stylegan_tool.film.store import SegmentRun
from stylegan_tool.options import Blend
from stylegan_tool.overlap import ahead


@dataclass(frozen=True)
class FilmPlan:
    """All that a film's segments depend on beside the model.

    Attributes:
        sequence_rate: frames a second of numbered pictures; None is the usual.
        steady: strength, 0 is off.
    """

    source: Path
    look: Look
    window: Window
    encoding: Encoding
    sequence_rate: Fraction | None
    steady: float
    blend: Blend

    def open_reader(self, after: Place | None) -> FilmReader:
        """Open the film to go on after a place."""
        return FilmReader(self.source, self.look, self.window, sequence_rate=self.sequence_rate, after=after)

    def making(self, together: Together, watch: Watch | None = None) -> Making:
        """Return how frames become segments."""
        return Making(self.encoding, together, self.steady, self.blend, watch)


@dataclass(frozen=True)
class Stretch:
    """Some shots that follow each other.

    Attributes:
        first, count: numbers of its segments: first <= number < first + count.
        place: after which it begins; None is the film's beginning.
        end: number of the frame before which it ends; None: with the film, and what is wrong with the film's end.
    """

    first: int
    count: int
    place: Place | None
    end: int | None


def find_stretches(plan: FilmPlan, *, first: int = 0, after: Place | None = None) -> Iterator[Stretch]:
    """Yield, while the film is being looked through, what can be made by itself from a border on.

    Each is at least MOST_FRAMES long, so that looking for its beginning in the film costs little beside it. Where
    nothing is steadied, every segment depends on its own frames alone, and a shot is no unit.

    Args:
        first: number of the segment that begins after the place `after`.

    Raises:
        InputError: the film cannot be read.
    """
    begun, number, place, last_pts, is_empty = first, first, after, 0, True
    with plan.open_reader(after) as reader, closing(ahead(iter(reader))) as frames:
        for item in follow(frames, after, cuts_only=True):
            if item.border:
                number += 1
                length = item.frame.number - (place.frames if place is not None else 0)
                if length >= MOST_FRAMES and (item.border == "cut" or plan.steady == 0):
                    end = item.frame.number
                    yield Stretch(begun, number - begun, place, end)
                    begun, place = number, Place(end, last_pts, reader.even)
            last_pts, is_empty = item.frame.pts, False
    if not is_empty:
        yield Stretch(begun, number + 1 - begun, place, None)


def make_stretch(plan: FilmPlan, stretch: Stretch, folder: Path, together: Together) -> Iterator[tuple[int, int]]:
    """Make what `folder` lacks of a stretch, and yield the number and the frames of each segment, in order.

    Raises:
        InputError, OutputError: see `make_segments`.
    """
    run = SegmentRun(folder, first=stretch.first, count=stretch.count, before=stretch.place)
    run.load()
    for number, one in enumerate(tuple(run.kept), stretch.first):
        yield number, len(one.segment.pts)
    left = stretch.first + len(run.kept)
    made = make_segments(plan.open_reader, run, plan.making(together), lambda: None, end=stretch.end)
    for number, one in enumerate(made, left):
        yield number, len(one.segment.pts)
