"""JPEG XL: the size that a file promises, read before anything is decoded, and the Pillow plugin that does the rest.

The plugin comes with the extra `[jxl]` and is imported when the first such file is met: it is under the GPL, and few
people need it. It decodes a file when it opens it, which is why its size has to be known before.

Source: ISO/IEC 18181-1 (size header), 18181-2 (boxes).
"""

import struct
from typing import IO

from PIL import ImageFile

from stylegan_tool.errors import MissingError

SUFFIX = ".jxl"
SIGNATURES = (b"\xff\x0a", b"\0\0\0\x0cJXL ")  # bare, and in boxes
INSTALL = "pip install 'stylegan-tool[jxl]'"

_HEADER_BYTES = 16  # signature and size header take less
_SIZE_BITS = (9, 13, 18, 30)
_RATIOS = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # width to height; 0: it is stated


def require_plugin(what: str) -> None:
    """Import the plugin, which registers itself with Pillow.

    Raises:
        MissingError: it is not installed; `what` begins the message.
    """
    try:
        import pillow_jxl  # noqa: F401  # registers itself
    except ImportError as error:
        raise MissingError(
            f"{what}: JPEG XL needs {INSTALL}", hint=f"Install it, then type the same command: {INSTALL}"
        ) from error


def open_picture(file: IO[bytes]) -> ImageFile.ImageFile:
    """Decode `file`; `require_plugin` has been called. Raises anything where it is damaged."""
    from pillow_jxl.JpegXLImagePlugin import JXLImageFile

    file.seek(0)
    opened: ImageFile.ImageFile = JXLImageFile(file, "")
    return opened


def is_turned(opened: ImageFile.ImageFile) -> bool:
    """Whether the picture stands upright already: the decoder turns it, unless it gives the JPEG that went in."""
    return not getattr(opened, "jpeg", False)


def read_size(file: IO[bytes]) -> tuple[int, int]:
    """Return the width and height that the header promises, before orientation; pixels.

    Raises:
        ValueError, struct.error: it is no JPEG XL, or cut off.
    """
    header = _codestream(file)
    if header[:2] != SIGNATURES[0] or len(header) < 8:
        raise ValueError("no size in it")
    bits = _Bits(header[2:])
    small = bits.take(1)
    height = _side(bits, small)
    wide, high = _RATIOS[bits.take(3)]
    width = height * wide // high if wide else _side(bits, small)
    return width, height


def _side(bits: "_Bits", small: int) -> int:
    return 8 * (bits.take(5) + 1) if small else bits.take(_SIZE_BITS[bits.take(2)]) + 1


class _Bits:
    """The bits of `data`, lowest first; zeros follow its end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")

    def take(self, n: int) -> int:
        """Return the next `n` as a number."""
        taken = self._value & ((1 << n) - 1)
        self._value >>= n
        return taken


def _codestream(file: IO[bytes]) -> bytes:
    """Return the beginning of the codestream, which may lie in a box."""
    file.seek(0)
    if file.read(2) == SIGNATURES[0]:
        file.seek(0)
        return file.read(_HEADER_BYTES)
    position = 0
    while True:
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8))
        start = 8
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
            start = 16
        if kind in (b"jxlc", b"jxlp"):
            file.seek(position + start + (4 if kind == b"jxlp" else 0))  # a part begins with its number
            return file.read(_HEADER_BYTES)
        if length < start:  # 0: the box goes on to the end of the file
            raise ValueError("no picture in its boxes")
        position += length
