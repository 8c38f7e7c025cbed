"""Films that were stopped, killed or hindered on the way, and went on."""

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylegan_tool.errors import OutputError
from stylegan_tool.film import making
from stylegan_tool.film.convert import FilmReport, convert_film
from stylegan_tool.film.store import SegmentStore, kept_folder
from stylegan_tool.options import Blend, FilmOptions
from stylegan_tool.pixels import Image
from tests.films import SECOND, damage, decode, make_film, real, sound_of, times_s, write_film
from tests.models import REPOSITORY

MADE_WITH = {"model": "tests"}


class StoppedError(Exception):
    """Stands for whatever ends the work."""


def film(count: int = 50, cut: int = 23) -> list[Image]:
    """Return pictures that move, with a cut, of which no two are the same."""
    rng = np.random.default_rng(0)
    scenes = [np.repeat(np.repeat(rng.integers(0, 255, (16, 40, 3), np.uint8), 4, 0), 4, 1) for _ in range(2)]
    return [scenes[n >= cut][:48, n : n + 64].copy() for n in range(count)]


def flickering(image: Image) -> Image:
    """Stylise so that steadying has something to do: brightness depends wildly on the picture."""
    light = int(hashlib.blake2b(image.tobytes(), digest_size=1).digest()[0]) // 8
    return np.asarray((255 - image) // 2 + light, np.uint8)


def stopping_at(number: int) -> Callable[[Image], Image]:
    """Return the same, which is stopped at a frame of this number."""
    count = 0

    def stylize(image: Image) -> Image:
        nonlocal count
        count += 1
        if count > number:
            raise StoppedError
        return flickering(image)

    return stylize


def pixels_of(path: Path) -> list[bytes]:
    return [hashlib.blake2b(frame.to_ndarray(format="rgb24").tobytes()).digest() for frame in decode(path)]


@pytest.fixture(scope="module", autouse=True)
def _short_segments() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "MOST_FRAMES", 9)
        patch.setattr(making, "LEAST_FRAMES", 4)
        yield


def convert(source: Path, target: Path, stylize: Callable[[Image], Image] = flickering, **more: Any) -> FilmReport:
    return convert_film(source, target, stylize, **{"steady": 1.0, "made_with": MADE_WITH, **more})


def stop_and_go_on(source: Path, target: Path, stops: list[int], **more: Any) -> FilmReport:
    """Make the film, stopped after so many frames of each try."""
    for stop in stops:
        try:
            report = convert(source, target, stopping_at(stop), **more)
        except StoppedError:
            assert not target.exists()
        else:
            return report
    return convert(source, target, **more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("whole")
    source = write_film(folder / "in.mp4", film(), tone_hz=440)
    convert(source, folder / "out.mp4")
    return source, folder / "out.mp4"


@settings(max_examples=15, deadline=None)
@given(stops=st.lists(st.integers(0, 50), min_size=1, max_size=4))
def test_a_film_that_was_stopped_is_the_film_that_was_not(
    tmp_path_factory: pytest.TempPathFactory, whole: tuple[Path, Path], stops: list[int]
) -> None:
    source, target = whole
    again = tmp_path_factory.mktemp("again") / "out.mp4"
    report = stop_and_go_on(source, again, stops)
    assert report.frames == 50
    assert pixels_of(again) == pixels_of(target)
    assert times_s(again) == times_s(source)
    assert sound_of(again) == sound_of(target)
    assert [path.name for path in again.parent.iterdir()] == ["out.mp4"]


def test_what_is_done_is_not_done_again(tmp_path: Path, whole: tuple[Path, Path]) -> None:
    with pytest.raises(StoppedError):
        convert(whole[0], tmp_path / "out.mp4", stopping_at(40))
    calls = 0

    def count(image: Image) -> Image:
        nonlocal calls
        calls += 1
        return flickering(image)

    report = convert(whole[0], tmp_path / "out.mp4", count)
    # Segments begin at 0, 9, 18, 23 (the cut), 32 and 41; the one at 32 may have been under way.
    assert report.kept in {23, 32}
    assert calls == 50 - report.kept


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"options": FilmOptions(start_s=Fraction(1, 5), end_s=Fraction(3, 2))}, id="window"),
        pytest.param({"options": FilmOptions(preview_s=Fraction(1))}, id="preview"),
        pytest.param({"options": FilmOptions(blend=Blend(0.5, True, "side"))}, id="compared"),
        pytest.param({"steady": 0.0}, id="not-steady"),
    ],
)
def test_options_change_nothing_in_that(tmp_path: Path, whole: tuple[Path, Path], options: dict[str, Any]) -> None:
    convert(whole[0], tmp_path / "one.mp4", **options)
    report = stop_and_go_on(whole[0], tmp_path / "two.mp4", [8, 14, 10], **options)
    assert report.kept
    assert pixels_of(tmp_path / "one.mp4") == pixels_of(tmp_path / "two.mp4")
    assert times_s(tmp_path / "one.mp4") == times_s(tmp_path / "two.mp4")


@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "2"}], ids=["plain", "b-frames"])
@pytest.mark.parametrize("numbers", [[3, 20], [15, 16, 17], [9]])
def test_damaged_films_go_on_too(tmp_path: Path, numbers: list[int], options: dict[str, str]) -> None:
    frames = [av.VideoFrame.from_ndarray(image).reformat(format="yuv420p") for image in film(40, 99)]
    source = damage(make_film(tmp_path / "in.mp4", frames, options={"g": "12", **options}), numbers)
    one = convert(source, tmp_path / "one.mp4")
    two = stop_and_go_on(source, tmp_path / "two.mp4", [12, 12])
    assert two.kept
    assert one.repaired == two.repaired >= len(numbers)
    assert one.notes == two.notes
    assert pixels_of(tmp_path / "one.mp4") == pixels_of(tmp_path / "two.mp4")
    assert times_s(tmp_path / "one.mp4") == times_s(tmp_path / "two.mp4")


def test_times_that_cannot_be_found_again_are_counted(tmp_path: Path) -> None:
    frames = [av.VideoFrame.from_ndarray(image).reformat(format="yuv420p") for image in film(30, 99)]
    source = make_film(tmp_path / "in.mkv", frames, [40 * n + 7 * (n % 3) for n in range(30)])
    convert(source, tmp_path / "one.mp4")
    stop_and_go_on(source, tmp_path / "two.mp4", [12, 12])
    assert times_s(tmp_path / "one.mp4") == times_s(tmp_path / "two.mp4") == times_s(source)
    assert pixels_of(tmp_path / "one.mp4") == pixels_of(tmp_path / "two.mp4")


@pytest.mark.parametrize("name", ["h264_480p_noaudio.ts", "rotate_and_reflect.mp4"])
def test_real_films_go_on(tmp_path: Path, name: str) -> None:
    options = FilmOptions(end_s=Fraction(3, 2))
    convert(real(name), tmp_path / "one.mp4", options=options, steady=0.0)
    report = stop_and_go_on(real(name), tmp_path / "two.mp4", [20], options=options, steady=0.0)
    assert report.kept
    assert pixels_of(tmp_path / "one.mp4") == pixels_of(tmp_path / "two.mp4")
    assert times_s(tmp_path / "one.mp4") == times_s(tmp_path / "two.mp4")


CHILD = """
import os, signal, sys
from pathlib import Path
from stylegan_tool.film import making
from tests.stylegan_tool.film.test_going_on import convert, flickering
making.MOST_FRAMES, making.LEAST_FRAMES = 9, 4
count = 0
def stylize(image):
    global count
    count += 1
    if count > {stop}:
        os.kill(os.getpid(), signal.SIGKILL)
    return flickering(image)
if {stop} > 50:
    from stylegan_tool.film import convert as whole
    whole.join = lambda *a, **b: os.kill(os.getpid(), signal.SIGKILL)
convert(Path(sys.argv[1]), Path(sys.argv[2]), stylize)
"""


@pytest.mark.parametrize("stop", [4, 30, 99])
def test_kill_9_leaves_no_film_and_what_was_done(tmp_path: Path, whole: tuple[Path, Path], stop: int) -> None:
    source, target = whole
    child = [sys.executable, "-c", CHILD.format(stop=stop), str(source), str(tmp_path / "out.mp4")]
    ended = subprocess.run(child, cwd=REPOSITORY, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4.sgt"]
    report = convert(source, tmp_path / "out.mp4")
    assert report.kept >= min(stop, 50) - 27
    assert (report.kept == 50) == (stop == 99)
    assert pixels_of(tmp_path / "out.mp4") == pixels_of(target)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


# What is kept ---------------------------------------------------------------------------------------------


def test_another_job_is_refused_by_name_and_overwrite_begins_afresh(tmp_path: Path, whole: tuple[Path, Path]) -> None:
    target = tmp_path / "out.mp4"
    with pytest.raises(StoppedError):
        convert(whole[0], target, stopping_at(30))
    with pytest.raises(
        OutputError, match=r"made differently: model was \w+, now another; steady was 1.0, now 0.5"
    ) as caught:
        convert(whole[0], target, steady=0.5, made_with={"model": "another"})
    assert "--overwrite" in caught.value.hint
    report = convert(whole[0], target, steady=0.5, overwrite=True)
    assert report.kept == 0


def test_overwrite_goes_on_with_what_overwrite_began(tmp_path: Path, whole: tuple[Path, Path]) -> None:
    target = tmp_path / "out.mp4"
    target.write_bytes(b"an older film")
    with pytest.raises(StoppedError):
        convert(whole[0], target, stopping_at(40), overwrite=True)
    assert target.read_bytes() == b"an older film"
    assert convert(whole[0], target, overwrite=True).kept
    assert pixels_of(target) == pixels_of(whole[1])


def test_a_source_that_changed_is_another_job(tmp_path: Path) -> None:
    source = write_film(tmp_path / "in.mkv", film(30, 99))
    with pytest.raises(StoppedError):
        convert(source, tmp_path / "out.mp4", stopping_at(25))
    write_film(source, film(31, 99))
    with pytest.raises(OutputError, match="source"):
        convert(source, tmp_path / "out.mp4")


def test_two_processes_do_not_make_one_film(tmp_path: Path, whole: tuple[Path, Path]) -> None:
    with SegmentStore(tmp_path / "out.mp4", {}), pytest.raises(OutputError, match="another process"):
        convert(whole[0], tmp_path / "out.mp4")
    convert(whole[0], tmp_path / "out.mp4")


@pytest.mark.parametrize("hurt", ["shorter", "gone", "record", "state"])
def test_what_was_hurt_meanwhile_is_made_again(tmp_path: Path, whole: tuple[Path, Path], hurt: str) -> None:
    target = tmp_path / "out.mp4"
    with pytest.raises(StoppedError):
        convert(whole[0], target, stopping_at(20))
    folder = kept_folder(target)
    last = sorted(folder.glob("*.json"))[-2].stem  # after the segments comes job.json
    if hurt == "shorter":
        with (folder / f"{last}.mkv").open("rb+") as file:
            file.truncate(100)
    elif hurt == "record":
        (folder / f"{last}.json").write_text('{"pts": [0')
    else:
        (folder / f"{last}.{'mkv' if hurt == 'gone' else 'npz'}").unlink()
    convert(whole[0], target)
    assert pixels_of(target) == pixels_of(whole[1])


def test_what_was_found_out_stays(tmp_path: Path, whole: tuple[Path, Path]) -> None:
    seen: list[dict[str, Any]] = []

    def find_out(known: Any) -> dict[str, Any]:
        seen.append(dict(known))
        return {"memory_bytes": known.get("memory_bytes", 7)}

    with pytest.raises(StoppedError):
        convert(whole[0], tmp_path / "out.mp4", stopping_at(40), find_out=find_out)
    job = json.loads((kept_folder(tmp_path / "out.mp4") / "job.json").read_text())
    assert job["found"] == {"memory_bytes": 7}
    convert(whole[0], tmp_path / "out.mp4", find_out=find_out)
    assert seen == [{}, {"memory_bytes": 7}]


def test_nothing_is_kept_of_what_nobody_can_describe(tmp_path: Path, whole: tuple[Path, Path]) -> None:
    with pytest.raises(StoppedError):
        convert(whole[0], tmp_path / "out.mp4", stopping_at(40), made_with=None)
    assert list(tmp_path.iterdir()) == []


# Hindrances -----------------------------------------------------------------------------------------------


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_is_said_and_the_work_goes_on_when_there_is_room(tmp_path: Path) -> None:
    noise: list[Image] = [np.random.default_rng(n).integers(0, 255, (64, 64, 3), np.uint8) for n in range(30)]
    source = write_film(tmp_path / "in.mkv", film(30, 12)[:12] + noise[12:])
    convert(source, tmp_path / "one.mp4", steady=0.0)
    size = (tmp_path / "one.mp4").stat().st_size // 4  # room for the first segments
    with files_of_at_most(size), pytest.raises(OutputError, match="cannot write") as caught:
        convert(source, tmp_path / "two.mp4", steady=0.0)
    assert "df -h" in caught.value.hint
    assert not (tmp_path / "two.mp4").exists()
    convert(source, tmp_path / "two.mp4", steady=0.0)
    assert pixels_of(tmp_path / "one.mp4") == pixels_of(tmp_path / "two.mp4")


def test_a_folder_that_vanishes_is_said(tmp_path: Path, whole: tuple[Path, Path]) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    count = 0

    def vanish(image: Image) -> Image:
        nonlocal count
        count += 1
        if count == 30:
            folder.rename(tmp_path / "elsewhere")
        return flickering(image)

    with pytest.raises(OutputError) as caught:
        convert(whole[0], folder / "out.mp4", vanish)
    assert str(folder) in caught.value.what
    assert caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_closed_meanwhile_is_said(tmp_path: Path, whole: tuple[Path, Path]) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    try:
        with pytest.raises(OutputError):
            convert(whole[0], folder / "out.mp4", lambda image: folder.chmod(0o500) or flickering(image))  # type: ignore[func-returns-value]
    finally:
        folder.chmod(0o700)


def test_borders_are_the_same_from_any_border_on() -> None:
    rng = np.random.default_rng(1)
    cuts = rng.random(300) < 0.15

    def borders(first: int) -> list[str]:
        find = making.Borders()
        return [find(_Step(bool(cut))) for cut in cuts[first:]]  # type: ignore[arg-type]

    everything = borders(0)
    assert {"cut", "length", ""} == set(everything)
    lengths = np.diff([0, *(place for place, border in enumerate(everything) if border)])
    assert lengths.max() <= making.MOST_FRAMES
    assert lengths.min() >= making.LEAST_FRAMES
    for place, border in enumerate(everything):
        if border:
            assert borders(place)[1:] == everything[place + 1 :]


class _Step:
    def __init__(self, is_cut: bool) -> None:
        self.is_cut = is_cut


def test_a_frame_at_a_time_that_the_source_has_is_the_frame_of_that_time(tmp_path: Path) -> None:
    frames = [av.VideoFrame.from_ndarray(image).reformat(format="yuv420p") for image in film(20, 99)]
    source = make_film(tmp_path / "in.mp4", frames, [40 * n for n in range(20)], options={"g": "5"})
    convert(
        source,
        tmp_path / "out.mkv",
        lambda image: 255 - image,
        steady=0.0,
        options=FilmOptions(start_s=Fraction(1, 5), codec="ffv1"),
    )
    assert times_s(tmp_path / "out.mkv") == [40 * n * SECOND for n in range(15)]
    first = 255 - decode(tmp_path / "out.mkv")[0].to_ndarray(format="rgb24").astype(int)
    gaps = [np.abs(frame.to_ndarray(format="rgb24") - first).mean() for frame in decode(source)]
    assert np.argmin(gaps) == 5
