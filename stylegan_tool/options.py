"""Options that more than one command takes, checked once."""

import re
from dataclasses import dataclass
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
