"""What a film and its tracks are called, its chapters and its timecode, as another container takes them."""

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

from stylegan_tool.film.plan import Window

if TYPE_CHECKING:
    from av.container.core import Chapter  # exists for the type checker only

# Of the old file, or of how it was made: wrong of the new one. MKVToolNix counts bytes and frames in tags.
_OF_THE_FILE = frozenset(
    {"compatible_brands", "duration", "encoder", "major_brand", "minor_version", "rotate", "software"}
)
_IN_ANOTHER_LANGUAGE = re.compile(r"(.+)-[a-z]{3}")  # FFmpeg gives what MP4 holds under both names

# QuickTime numbers languages; FFmpeg has one name for each number, which is not always the one in use.
_QUICKTIME_LANGUAGES = {
    "ces": "cze",
    "chi": "zho",
    "dut": "nld",
    "fra": "fre",
    "ger": "deu",
    "gre": "ell",
    "ice": "isl",
    "ron": "rum",
    "slk": "slo",
    "sve": "swe",
}
_FOR_QUICKTIME = {name: quicktime for quicktime, name in _QUICKTIME_LANGUAGES.items()}

_TIMECODE = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d)")


def film_labels(source: Mapping[str, str]) -> dict[str, str]:
    """Return title, date, place and so on; without the timecode, which `timecode_of` finds."""
    kept = {}
    for key, value in source.items():
        doubled = _IN_ANOTHER_LANGUAGE.fullmatch(key)
        name = key.lower()
        if name in _OF_THE_FILE or name == "timecode" or name.startswith("_statistics"):
            continue
        if name == "creation_time" and value.startswith("1970-01-01"):  # MP4's zero: nobody said when
            continue
        if doubled is None or source.get(doubled[1]) != value:
            kept[key] = value
    return kept


def track_labels(source: Mapping[str, str], container: str) -> dict[str, str]:
    """Return language and title of a track (and in MP4 and QuickTime the name of its handler, often the title)."""
    given = {key.lower(): value for key, value in source.items()}
    language, title = given.get("language", "und"), given.get("title") or given.get("name")
    language = "swe" if language == "sve" else language
    labels = {}
    if language != "und":
        labels["language"] = _FOR_QUICKTIME.get(language, language) if container == "mov" else language
    if title:
        labels["title"] = title
    if "handler_name" in given and container in {"mp4", "mov"}:
        labels["handler_name"] = given["handler_name"]
    return labels


def lost_labels(wanted: Mapping[str, str], arrived: Iterable[str]) -> list[str]:
    """Return the names of `wanted` that are not among those that `arrived`, whatever their case."""
    there = {(match[1] if (match := _IN_ANOTHER_LANGUAGE.fullmatch(key)) else key).lower() for key in arrived}
    return [key for key in wanted if key.lower() not in there]


def chapters_within(chapters: "Iterable[Chapter]", window: Window) -> "list[Chapter]":
    """Return the chapters of which something is in the window, cut to it, at their times in the film."""
    kept: list[Chapter] = []
    for chapter in chapters:
        tick = chapter["time_base"]
        if tick is None:
            continue
        begin_s, end_s = chapter["start"] * tick, chapter["end"] * tick
        if window.end_s is not None:
            end_s = min(end_s, window.end_s)
        if window.start_s is not None:
            begin_s = max(begin_s, window.start_s)
        if begin_s < end_s or (begin_s == end_s and window.start_s is None and window.holds(begin_s)):
            start, end = (round((time_s - window.zero_s) / tick) for time_s in (begin_s, end_s))
            kept.append({**chapter, "start": start, "end": end})
    return kept


def timecode_of(*labels: Mapping[str, str]) -> str | None:
    """Return the timecode of the first frame (01:00:00:00), of the first of `labels` that has one."""
    given = (value for label in labels for key, value in label.items() if key.lower() == "timecode")
    return next(given, None)


def shift_timecode(timecode: str, frame_rate: Fraction, by_s: Fraction) -> str | None:
    """Return the timecode `by_s` seconds later, day after day; None if `timecode` is none.

    With a semicolon it leaves out two numbers a minute (four at 60 frames a second), but not every tenth minute, so
    that it keeps to the clock at 29.97 frames a second (SMPTE ST 12-1).
    """
    match = _TIMECODE.fullmatch(timecode)
    second = round(frame_rate)
    if match is None or second < 1:
        return None
    hours, minutes, seconds, frames = (int(match[place]) for place in (1, 2, 3, 5))
    left_out = second // 15 if match[4] == ";" and second % 30 == 0 else 0
    minutes += 60 * hours
    number = (60 * minutes + seconds) * second + frames - left_out * (minutes - minutes // 10)
    number += round(by_s * frame_rate)
    ten_minutes, minute = 600 * second - 9 * left_out, 60 * second - left_out
    tens, rest = divmod(number % (144 * ten_minutes), ten_minutes)
    ones = max(0, rest - left_out) // minute
    number = tens * 600 * second + rest + left_out * ones
    minutes, seconds = number // second // 60, number // second % 60
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}{match[4]}{number % second:02}"
