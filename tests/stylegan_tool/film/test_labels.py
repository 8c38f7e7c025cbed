"""Words on a film, its chapters and its timecode."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylegan_tool.film.labels import (
    chapters_within,
    film_labels,
    lost_labels,
    shift_timecode,
    timecode_of,
    track_labels,
)
from stylegan_tool.film.plan import Window

NTSC = Fraction(30000, 1001)


def test_what_is_of_the_old_file_is_left() -> None:
    old = {
        "title": "Étude",
        "ENCODER": "mkvmerge",
        "major_brand": "isom",
        "_STATISTICS_TAGS": "BPS",
        "location": "+1",
        "location-eng": "+1",
        "lyrics-deu": "la",
        "timecode": "00:00:00:00",
        "creation_time": "1970-01-01T00:00:00.000000Z",
    }
    assert film_labels(old) == {"title": "Étude", "location": "+1", "lyrics-deu": "la"}


def test_tracks_keep_language_and_title_in_the_words_of_the_container() -> None:
    old = {"LANGUAGE": "deu", "name": "Ton", "BPS": "1", "handler_name": "Sound"}
    assert track_labels(old, "matroska") == {"language": "deu", "title": "Ton"}
    assert track_labels(old, "mov") == {"language": "ger", "title": "Ton", "handler_name": "Sound"}
    assert track_labels({"language": "sve"}, "mp4") == {"language": "swe"}
    assert track_labels({"language": "und"}, "mp4") == {}


def test_lost_labels_do_not_depend_on_case_or_a_language_added() -> None:
    assert lost_labels({"title": "", "location": "", "DIRECTOR": ""}, ["TITLE", "location-eng"]) == ["DIRECTOR"]


def test_chapters_are_cut_to_the_window_and_moved() -> None:
    tick = Fraction(1, 1000)
    whole = [
        {"id": number, "start": start, "end": end, "time_base": tick, "metadata": {}}
        for number, (start, end) in enumerate([(0, 1000), (1000, 2000), (2000, 3000)])
    ]
    assert chapters_within(whole, Window()) == whole  # type: ignore[arg-type]
    kept = chapters_within(whole, Window(Fraction(1), Fraction(5, 2), Fraction(1)))  # type: ignore[arg-type]
    assert [(each["id"], each["start"], each["end"]) for each in kept] == [(1, 0, 1000), (2, 1000, 1500)]


def test_the_first_timecode_is_taken() -> None:
    assert timecode_of({}, {"TIMECODE": "1"}, {"timecode": "2"}) == "1"
    assert timecode_of({"title": "none"}) is None


@pytest.mark.parametrize(
    ("timecode", "rate", "frames", "wanted"),
    [
        ("01:00:00:00", Fraction(25), 63, "01:00:02:13"),
        ("23:59:59:24", Fraction(25), 1, "00:00:00:00"),
        ("00:00:59;29", NTSC, 1, "00:01:00;02"),
        ("00:09:59;29", NTSC, 1, "00:10:00;00"),
        ("00:00:59;59", 2 * NTSC, 1, "00:01:00;04"),
        ("00:00:59:29", NTSC, 1, "00:01:00:00"),
    ],
)
def test_a_timecode_counts_frames(timecode: str, rate: Fraction, frames: int, wanted: str) -> None:
    assert shift_timecode(timecode, rate, frames / rate) == wanted


@given(st.integers(0, 107892 * 24 - 1), st.integers(0, 10**7))
def test_a_timecode_that_leaves_out_numbers_keeps_count(start: int, by: int) -> None:
    begin = shift_timecode("00:00:00;00", NTSC, start / NTSC)
    assert begin is not None
    assert shift_timecode(begin, NTSC, Fraction(0)) == begin
    assert shift_timecode(begin, NTSC, by / NTSC) == shift_timecode("00:00:00;00", NTSC, (start + by) / NTSC)
    assert not (int(begin[3:5]) % 10 and begin[6:8] == "00" and begin[9:] in {"00", "01"})


def test_what_is_no_timecode_is_none() -> None:
    assert shift_timecode("yesterday", Fraction(25), Fraction(1)) is None
