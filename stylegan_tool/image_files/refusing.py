"""Why a picture file is not read, in one line of ours: it is not there, damaged, or promises too many pixels.

Units: sizes and limits in pixels.
"""

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NoReturn

import PIL.Image

from stylegan_tool.errors import InputError, first_line, typed

MOST_PIXELS = 300_000_000


def refuse(path: Path, reason: str, hint: str) -> NoReturn:
    """Raise InputError."""
    raise InputError(f"cannot read {path}: {reason}", hint=hint)


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[IO[bytes]]:
    """Open an ordinary file to read it; anything else is refused."""
    # Only opening is guarded: what goes wrong later is told by those who know what they were reading.
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            os.scandir(path).close()  # what may not be listed is told below
            refuse(path, "it is a folder", "Name a picture in it.")
        if not stat.S_ISREG(mode):  # a pipe would block for ever
            refuse(path, "it is no ordinary file", "Save it as a picture first, and name that.")
        file = path.open("rb")
    except FileNotFoundError:
        refuse(path, "there is no such file", "Check the name; quote it if it has spaces.")
    except PermissionError:
        refuse(path, "permission denied", f"Give yourself the right to read it: chmod u+rX {typed(path)}")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        refuse(path, getattr(error, "strerror", None) or str(error), "Check the name, and the disk that it lies on.")
    with file:
        yield file


@contextlib.contextmanager
def damage_reported(path: Path) -> Iterator[None]:
    """Only around calls into a decoder: on damaged data it raises anything, from struct.error to KeyError."""
    try:
        yield
    except InputError:
        raise
    except MemoryError:
        refuse(path, "it needs more memory than is free", "Scale it down first, or close other programs.")
    except PIL.Image.DecompressionBombError as error:
        found = re.search(r"\d+", str(error))
        refuse(path, f"{found[0] if found else 'its'} pixels are too many", "Scale it down first.")
    except SyntaxError as error:
        reason = f"the file is damaged, or of a kind that is not read ({first_line(error)})"
        refuse(path, reason, "Save it as PNG or JPEG in another program.")
    except Exception as error:  # noqa: BLE001 see above
        refuse(path, f"the file is damaged or cut off ({first_line(error)})", "Copy or download it again.")


def refuse_too_large(path: Path, width: int, height: int) -> None:
    """Refuse more than MOST_PIXELS, and none."""
    if width * height > MOST_PIXELS:
        size = f"{width} x {height} pixels ({width * height / 1e6:.0f} megapixels)"
        refuse(path, f"{size} are more than {MOST_PIXELS / 1e6:.0f} megapixels", "Scale it down first.")
    if width < 1 or height < 1:
        refuse(path, f"it has no pixels ({width} x {height})", "Copy or download it again.")
