"""A film that is split among workers is the film that one made, whatever is done in which order and by whom."""

import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from stylegan_tool.film import making, shots
from stylegan_tool.film.convert import FilmReport, convert_film
from stylegan_tool.film.making import Together
from stylegan_tool.film.plan import Segment
from stylegan_tool.film.reader import Place
from stylegan_tool.film.shots import FilmPlan, Stretch, find_stretches, make_stretch
from stylegan_tool.film.store import Kept, SegmentRun, SegmentStore, kept_folder
from stylegan_tool.options import FilmOptions
from stylegan_tool.pixels import Image
from tests.films import damage, make_film, times_s, write_film
from tests.stylegan_tool.film.test_going_on import StoppedError, film, flickering, pixels_of, stopping_at

MADE_WITH = {"model": "tests"}


@pytest.fixture(scope="module", autouse=True)
def _short_segments() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (making, shots):
            patch.setattr(module, "MOST_FRAMES", 9)
        patch.setattr(making, "LEAST_FRAMES", 4)
        yield


class Workers:
    """Makes the stretches in a random order; one worker after another, or as `stylize` stops them."""

    def __init__(self, seed: int, stylize: Callable[[], Callable[[Image], Image]] = lambda: flickering) -> None:
        self.seed, self.stylize = seed, stylize
        self.stretches: list[Stretch] = []

    def make(self, plan: FilmPlan, store: SegmentStore, on_frame: Callable[[], None]) -> None:
        self.stretches = list(find_stretches(plan, first=len(store.kept), after=store.place))
        for stretch in random.Random(self.seed).sample(self.stretches, len(self.stretches)):
            together = Together.one_by_one(self.stylize())
            numbers = [number for number, _ in make_stretch(plan, stretch, store.folder, together)]
            assert numbers == list(range(stretch.first, stretch.first + stretch.count))


def scenes() -> list[Image]:
    """Return a film of 78 frames, of which scenes begin at 0, 16, 31, 36 and 68."""
    one, two = film(36, 16), film(47, 32)
    return one[:31] + two[10:15] + two[:32] + two[37:]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("scenes") / "in.mp4", scenes(), tone_hz=440)


def convert(source: Path, target: Path, stylize: Any = flickering, **more: Any) -> FilmReport:
    return convert_film(source, target, stylize, **{"steady": 1.0, "made_with": MADE_WITH, **more})


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="steady"),
        pytest.param({"steady": 0.0}, id="not-steady"),
        pytest.param({"options": FilmOptions(start_s=Fraction(1, 2), end_s=Fraction(5, 2))}, id="window"),
        pytest.param({"options": FilmOptions(start_s=Fraction(1, 5)), "steady": 0.0}, id="start"),
    ],
)
def test_the_film_is_that_of_one_machine(tmp_path: Path, source: Path, options: dict[str, Any]) -> None:
    one = convert(source, tmp_path / "one.mp4", **options)
    workers = Workers(1)
    assert convert(source, tmp_path / "two.mp4", workers, **options) == one
    assert len(workers.stretches) > 1
    assert pixels_of(tmp_path / "two.mp4") == pixels_of(tmp_path / "one.mp4")
    assert times_s(tmp_path / "two.mp4") == times_s(tmp_path / "one.mp4")


def test_where_frames_depend_on_those_before_only_cuts_split(tmp_path: Path, source: Path) -> None:
    workers = Workers(0)
    convert(source, tmp_path / "steady.mp4", workers)
    begins = [stretch.place.frames if stretch.place else 0 for stretch in workers.stretches]
    assert begins == [0, 16, 31, 68]  # 36 is too near to 31
    assert [stretch.end for stretch in workers.stretches] == [*begins[1:], None]
    convert(source, tmp_path / "not.mp4", workers, steady=0.0)
    assert len(workers.stretches) > 6


@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "2"}], ids=["plain", "b-frames"])
def test_damage_at_any_place_is_counted_once(tmp_path: Path, options: dict[str, str]) -> None:
    frames = [av.VideoFrame.from_ndarray(image).reformat(format="yuv420p") for image in scenes()]
    for seed, numbers in enumerate([[15, 16, 17], [30], [35, 36, 68, 77]]):
        source = damage(make_film(tmp_path / f"in{seed}.mp4", frames, options={"g": "12", **options}), numbers)
        one = convert(source, tmp_path / f"one{seed}.mp4")
        two = convert(source, tmp_path / f"two{seed}.mp4", Workers(seed))
        assert one.repaired == two.repaired >= 1
        assert pixels_of(tmp_path / f"one{seed}.mp4") == pixels_of(tmp_path / f"two{seed}.mp4")
        assert times_s(tmp_path / f"one{seed}.mp4") == times_s(tmp_path / f"two{seed}.mp4")


def stopping_after(number: int) -> Callable[[], Callable[[Image], Image]]:
    """Return one stylize for all workers, which is stopped at a frame of this number."""
    stylize = stopping_at(number)
    return lambda: stylize


@pytest.mark.parametrize(("stop", "steady"), [(13, 1.0), (60, 1.0), (40, 0.0)])
def test_what_workers_made_is_gone_on_with_by_workers_and_by_one(
    tmp_path: Path, source: Path, stop: int, steady: float
) -> None:
    convert(source, tmp_path / "one.mp4", steady=steady)
    for name, last in (("two", Workers(1)), ("three", flickering)):
        target = tmp_path / f"{name}.mp4"
        with pytest.raises(StoppedError):
            convert(source, target, Workers(3, stopping_after(stop)), steady=steady)
        report = convert(source, target, last, steady=steady)
        assert report.kept
        assert pixels_of(target) == pixels_of(tmp_path / "one.mp4")


def test_what_one_made_is_gone_on_with_by_workers(tmp_path: Path, source: Path) -> None:
    convert(source, tmp_path / "one.mp4")
    with pytest.raises(StoppedError):
        convert(source, tmp_path / "two.mp4", stopping_at(30))  # in the middle of a shot
    assert convert(source, tmp_path / "two.mp4", Workers(0)).kept
    assert pixels_of(tmp_path / "two.mp4") == pixels_of(tmp_path / "one.mp4")


def test_what_lies_beyond_a_gap_is_not_made_again(tmp_path: Path, source: Path) -> None:
    convert(source, tmp_path / "one.mp4")
    workers = Workers(3, stopping_after(60))
    with pytest.raises(StoppedError):
        convert(source, tmp_path / "two.mp4", workers)
    folder = kept_folder(tmp_path / "two.mp4")
    there = list(folder.glob("*.mkv"))
    assert len(there) > len(run_of(folder).kept)  # there is a gap
    count = 0

    def counting(image: Image) -> Image:
        nonlocal count
        count += 1
        return flickering(image)

    report = convert(source, tmp_path / "two.mp4", counting)
    left = 78 - report.kept
    assert left <= count <= left + 8  # some were on their way when what others had made was found
    assert pixels_of(tmp_path / "two.mp4") == pixels_of(tmp_path / "one.mp4")


def run_of(folder: Path) -> SegmentRun:
    """Return the segments up to the first gap."""
    run = SegmentRun(folder)
    run.load()
    return run


# The folder ------------------------------------------------------------------------------------------------


def add(run: SegmentRun, frames: list[int], *, has_state: bool = False) -> None:
    run.part_path.write_bytes(b"pictures")
    state = {"x": np.ones(1)} if has_state else {}
    run.add(Kept(Segment(run.part_path, tuple(frames), 0), 0, True, (), 1, has_state), state)


def test_runs_of_one_folder_know_their_own_segments(tmp_path: Path) -> None:
    early, late = SegmentRun(tmp_path, count=2), SegmentRun(tmp_path, first=2, count=1, before=Place(20, 19))
    assert late.place == Place(20, 19)
    add(late, [20, 21])
    assert late.is_complete
    assert late.place == Place(22, 21)
    add(early, list(range(9)))
    assert not early.is_complete
    again, whole = SegmentRun(tmp_path, count=2), run_of(tmp_path)
    again.load()
    assert len(again.kept) == len(whole.kept) == 1
    add(again, list(range(9, 20)))
    whole.load()
    assert [len(one.segment.pts) for one in whole.kept] == [9, 11, 2]
    assert sorted(path.name for path in tmp_path.glob("*.part")) == []


def test_only_what_begins_at_the_same_frame_is_adopted(tmp_path: Path) -> None:
    run, other = SegmentRun(tmp_path), SegmentRun(tmp_path, first=1, before=Place(9, 8))
    add(other, [9, 10])
    add(other, [11, 12], has_state=True)
    add(run, list(range(9)))
    assert run.adopt(10) == ()
    assert len(run.adopt(9)) == 2
    assert run.place == Place(13, 12)
    assert set(run.read_state()) == {"x"}


def test_two_workers_at_one_segment_do_not_write_into_each_other(tmp_path: Path) -> None:
    one, other = SegmentRun(tmp_path), SegmentRun(tmp_path)
    assert one.part_path != other.part_path
    add(one, [0, 1])
    add(other, [0, 1])
    assert run_of(tmp_path).kept == one.kept == other.kept
