"""Options that more than one command takes, checked once."""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias

from stylegan_tool.errors import UsageError

SMALLEST_TILE = 16

# Whose mean and variance tiles are normalised by: the whole picture's, a thumbnail's, or their own.
TileStatistics: TypeAlias = Literal["exact", "thumbnail", "local"]

# Every other picture, from the first or from the second on.
Half: TypeAlias = Literal["first", "second"]


@dataclass(frozen=True)
class TileOption:
    """How pictures are cut: `auto` (into tiles of a size that suits), `off`, or a side in pixels."""

    mode: str  # auto, off or fixed
    size: int = 0

    @classmethod
    def parse(cls, text: str) -> "TileOption":
        """Read 'auto', 'off' or a number of pixels.

        Raises:
            UsageError: it is none of these.
        """
        if text in ("auto", "off"):
            return cls(text)
        if text.isascii() and text.isdigit() and int(text) >= SMALLEST_TILE:
            return cls("fixed", int(text))
        raise UsageError(
            f"--tile {text} is neither auto, off nor a number of pixels from {SMALLEST_TILE} up",
            hint="Type --tile auto, --tile off or, for example, --tile 1024.",
        )


@dataclass(frozen=True)
class SteadyOption:
    """How steady a film is made: `auto` (as the model needs it), `off`, or a strength from 0 to 1."""

    mode: str  # auto, off or fixed
    strength: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "SteadyOption":
        """Read 'auto', 'off' or a number from 0 to 1.

        Raises:
            UsageError: it is none of these.
        """
        if text in ("auto", "off"):
            return cls(text)
        try:
            strength = float(text)
        except ValueError:
            strength = -1.0
        if 0 <= strength <= 1:  # refuses nan too
            return cls("fixed", strength)
        raise UsageError(
            f"--steady {text} is neither auto, off nor a number from 0 to 1",
            hint="Type --steady auto, --steady off or, for example, --steady 0.7.",
        )


# How the source is shown beside the result: side by side, or its left half against the result's right.
Comparison: TypeAlias = Literal["side", "split"]


@dataclass(frozen=True)
class Blend:
    """What of a picture's result is shown.

    Attributes:
        strength: 0 is the source, 1 the result.
        keep_colour: brightness of the result, colour of the source.
        compare: show the source, too.

    Raises:
        UsageError: `strength` is not from 0 to 1.
    """

    strength: float = 1.0
    keep_colour: bool = False
    compare: Comparison | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:  # refuses nan too
            raise UsageError(f"--strength {self.strength} is not from 0 to 1", hint="Type --strength 0.7, for example.")


@dataclass(frozen=True)
class FilmOptions:
    """What becomes of a film beside its style.

    Attributes:
        codec, quality, hardware: see film/encoding.py; None chooses.
        start_s, end_s: what of it, in seconds from its beginning; None is its beginning, its end.
        preview_s: only so much, from `start_s` or else from the middle.
        sequence_rate: frames a second of numbered pictures.

    Raises:
        UsageError: these make no sense together.
    """

    codec: str | None = None
    quality: int | None = None
    hardware: bool = False
    start_s: Fraction | None = None
    end_s: Fraction | None = None
    preview_s: Fraction | None = None
    sequence_rate: Fraction | None = None
    blend: Blend = Blend()

    def __post_init__(self) -> None:
        if self.start_s is not None and self.end_s is not None and self.end_s <= self.start_s:
            raise UsageError(
                f"--end {float(self.end_s):g} s is not after --start {float(self.start_s):g} s",
                hint="Both count from the film's beginning: --start 10s --end 20s",
            )
        if self.preview_s is not None and (self.preview_s <= 0 or self.end_s is not None):
            raise UsageError(
                "--preview is a length of time, and says where the film ends",
                hint="Type --preview 3s, or --start 10s --end 20s",
            )


def parse_time(text: str, option: str) -> Fraction:
    """Read seconds ('90', '2.5s') or a clock ('1:30', '1:02:03.5') and return exact seconds.

    Raises:
        UsageError: it is neither.
    """
    match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)s?", text.strip())
    if match is None:
        raise UsageError(f"{option} {text} is no time", hint=f"Type {option} 90, {option} 2.5s or {option} 1:30.")
    hours, minutes, seconds = match.groups()
    return Fraction(seconds) + 60 * int(minutes or 0) + 3600 * int(hours or 0)


def parse_rate(text: str) -> Fraction:
    """Read a frame rate ('25', '23.976', '30000/1001').

    Raises:
        UsageError: it is none from 0.01 to 1000.
    """
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not Fraction(1, 100) <= rate <= 1000:
        raise UsageError(f"--frame-rate {text} is no frame rate", hint="Type --frame-rate 25 or 30000/1001.")
    return rate


_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def parse_size(text: str) -> int:
    """Read an amount of memory such as '8G' or '500M' (powers of 1024) and return it in bytes.

    Raises:
        UsageError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    size = int(float(match[1]) * _UNITS[match[2].upper()]) if match else 0
    if size < 2**20:
        raise UsageError(f"--memory {text} is no amount of memory from 1M up", hint="Type, for example, --memory 8G.")
    return size
