import os
import shutil
from fractions import Fraction
from pathlib import Path

import pytest

from stylegan_tool.errors import InputError
from stylegan_tool.gallery.collect import COMPARED, collect, describe_settings, describe_way
from stylegan_tool.options import FilmOptions
from tests.films import grey, make_film
from tests.galleries import A2B, BLUE, GREEN, RED, TO_GREEN, make_results, record_film, record_picture, write_flat


def test_results_of_one_source_stand_together(tmp_path: Path) -> None:
    found = collect(make_results(tmp_path))
    assert found.title == "painted"
    assert [(work.name, work.source) for work in found.works] == [
        ("one.png", tmp_path / "photos/one.png"),
        ("two.png", tmp_path / "photos/two.png"),
    ]
    one = found.works[0].results
    assert [(shown.name, shown.way) for shown in one] == [
        ("one.png", "photo → red (A2B)"),
        ("green/one.png", "photo → green (A2B)"),
    ]
    assert dict(one[0].settings)["Model"] == "red/A2B.onnx"
    assert dict(one[0].settings)["Size"] == "300 × 200"


def test_the_way_back_stands_with_the_first_source(tmp_path: Path) -> None:
    out = make_results(tmp_path)
    write_flat(out / "back" / "two.png", BLUE)
    back = {"model": "red/B2A.onnx", "direction": "B2A", "source": "red", "target": "photo"}
    record_picture(out / "back", "two.png", out / "two.png", back)
    works = collect(out).works
    assert [shown.way for shown in works[1].results] == ["photo → red (A2B)", "red → photo (B2A)"]
    assert works[1].source == tmp_path / "photos/two.png"


def test_a_moved_pair_is_found_where_it_is_now(tmp_path: Path) -> None:
    make_results(tmp_path / "before")
    shutil.copytree(tmp_path / "before", tmp_path / "after")  # with other times of change
    shutil.rmtree(tmp_path / "before")
    works = collect(tmp_path / "after" / "painted").works
    assert [work.source for work in works] == [tmp_path / "after/photos/one.png", tmp_path / "after/photos/two.png"]


def test_a_source_that_is_gone_or_changed_is_not_shown_and_said(tmp_path: Path) -> None:
    out = make_results(tmp_path)
    (tmp_path / "photos/one.png").unlink()
    write_flat(tmp_path / "photos/two.png", GREEN)
    works = collect(out).works
    assert [(work.source, work.note) for work in works] == [
        (None, "The source is no longer where it was."),
        (None, "The source was changed since."),
        (None, "The source is no longer where it was."),
    ]
    assert [work.name for work in works] == ["one.png", "two.png", "one.png"]


def test_a_result_that_was_changed_is_left_out_and_counted(tmp_path: Path) -> None:
    out = make_results(tmp_path)
    write_flat(out / "two.png", GREEN)
    write_flat(out / "unknown.png", GREEN)
    found = collect(out)
    assert [work.name for work in found.works] == ["one.png"]
    assert found.changed == 1
    (out / "two.png").unlink()
    assert collect(out).changed == 0


def test_a_result_that_shows_its_source_itself_stands_alone(tmp_path: Path) -> None:
    source = write_flat(tmp_path / "photos/one.png", BLUE)
    write_flat(tmp_path / "out/one.png", RED, (600, 200))
    record_picture(tmp_path / "out", "one.png", source, compare="side")
    (work,) = collect(tmp_path / "out").works
    assert (work.source, work.note) == (None, COMPARED)


def test_most_works_are_taken_evenly(tmp_path: Path) -> None:
    source = tmp_path / "photos"
    for i in range(10):
        write_flat(source / f"{i}.png", (i, i, i), (8, 8))
        write_flat(tmp_path / f"out/{i}.png", (255 - i, 0, 0), (8, 8))
        record_picture(tmp_path / "out", f"{i}.png", source / f"{i}.png")
    found = collect(tmp_path / "out", most=4)
    assert [work.name for work in found.works] == ["0.png", "2.png", "5.png", "7.png"]
    assert found.left_out == 6


def test_a_film_is_shown_for_the_time_that_was_made(tmp_path: Path) -> None:
    source = make_film(tmp_path / "source.mp4", [grey(50)] * 10)
    (tmp_path / "out").mkdir()
    result = make_film(tmp_path / "out/result.mp4", [grey(90)] * 5)
    record_film(result, source, start=Fraction(1, 5))
    (work,) = collect(tmp_path / "out").works
    assert (work.kind, work.source, work.name) == ("film", source, "source.mp4")
    assert work.results[0].window == FilmOptions(start_s=Fraction(1, 5))
    source.write_bytes(source.read_bytes()[:-100])
    (work,) = collect(tmp_path / "out").works
    assert (work.source, work.note) == (None, "The source is no longer there as it was.")


def test_results_of_one_film_for_the_same_time_stand_together(tmp_path: Path) -> None:
    source = make_film(tmp_path / "source.mp4", [grey(50)] * 10)
    (tmp_path / "out").mkdir()
    for name, level, window in (("a", 90, {}), ("b", 120, {}), ("c", 150, {"start": Fraction(1, 5)})):
        record_film(make_film(tmp_path / f"out/{name}.mp4", [grey(level)] * 10), source, **window)
    works = collect(tmp_path / "out").works
    assert [[shown.name for shown in work.results] for work in works] == [["a.mp4", "b.mp4"], ["c.mp4"]]


def test_nothing_to_show_says_what_to_type(tmp_path: Path) -> None:
    write_flat(tmp_path / "x.png", RED)
    with pytest.raises(InputError, match="no results of sgt images or sgt video") as caught:
        collect(tmp_path)
    assert "sgt images" in caught.value.hint


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    tmp_path.chmod(0)
    try:
        with pytest.raises(InputError, match="cannot list"):
            collect(tmp_path)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("means", "way"),
    [
        pytest.param({"about": A2B}, "photo → red (A2B)", id="ours"),
        pytest.param({"about": {**TO_GREEN, "source": ""}}, "green/A2B.onnx", id="somebody else's"),
        pytest.param({"style": "photo2red"}, "photo2red", id="of an earlier version"),
        pytest.param({}, "result", id="not said"),
    ],
)
def test_a_way_is_told_as_far_as_it_is_known(means: dict[str, object], way: str) -> None:
    assert describe_way(means) == way


def test_settings_tell_what_was_chosen() -> None:
    means = {"model": "0123456789abcdef", "strength": 0.7, "keep_colour": True, "tiles": ["local", "auto", None]}
    assert describe_settings(means) == (
        ("Fingerprint", "0123456789ab"),
        ("Strength", "70 %"),
        ("Colour", "kept from the source"),
        ("Tiles", "local auto"),
    )
