"""Picture files for tests: small, each with the one thing that a test is about."""

import functools
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray
from PIL import ImageCms, TiffImagePlugin

from stylegan_tool.errors import InputError
from stylegan_tool.image_files.reading import read_picture

LOSSLESS = [".png", ".tif", ".tiff", ".bmp", ".jp2"]
LOSSY = [".jpg", ".jpeg", ".webp", ".avif"]
DEEP = [".png", ".tif"]
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def marked(dtype: type = np.uint8) -> NDArray[Any]:
    """24 x 40, another colour in each corner, so that every turn and flip shows."""
    image = np.full((24, 40, 3), 128, np.uint8)
    image[:8, :8] = 255, 0, 0
    image[:8, -8:] = 0, 255, 0
    image[-8:, :8] = 0, 0, 255
    image[-8:, -8:] = 255, 255, 0
    return image.astype(np.uint16) * 257 if dtype is np.uint16 else image


def deep_values(height: int = 37, width: int = 41, channels: int = 3) -> NDArray[np.uint16]:
    return np.random.default_rng(7).integers(0, 65536, (height, width, channels), dtype=np.uint16)


def as_stored(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """What a camera stores, so that `orientation` brings it back to `image`: by the words of the EXIF standard.

    The number says which side of the scene row 0 and column 0 of the stored picture are.
    """
    row_0, column_0 = {
        1: ("top", "left"),
        2: ("top", "right"),
        3: ("bottom", "right"),
        4: ("bottom", "left"),
        5: ("left", "top"),
        6: ("right", "top"),
        7: ("right", "bottom"),
        8: ("left", "bottom"),
    }[orientation]
    stored = image
    if "bottom" in (row_0, column_0):
        stored = stored[::-1]
    if "right" in (row_0, column_0):
        stored = stored[:, ::-1]
    return np.ascontiguousarray(stored.swapaxes(0, 1) if row_0 in ("left", "right") else stored)


def exif_with(orientation: int) -> bytes:
    exif = PIL.Image.Exif()
    exif[274] = orientation
    exif[271] = "Maker"
    return exif.tobytes()


def orientation_in(block: bytes | None) -> object:
    exif = PIL.Image.Exif()
    exif.load(block or b"")
    return exif.get(274)


@functools.cache  # it holds the time at which it is made
def rgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def grey_profile(gamma: float) -> bytes:
    """A minimal ICC v2 profile: grey, D50, one gamma."""
    white = b"XYZ \0\0\0\0" + b"".join(int(v * 65536).to_bytes(4, "big") for v in (0.9642, 1.0, 0.8249))
    curve = b"curv\0\0\0\0" + (1).to_bytes(4, "big") + int(gamma * 256).to_bytes(2, "big") + b"\0\0"
    table = (2).to_bytes(4, "big")
    start = 128 + 4 + 24
    for name, data in ((b"wtpt", white), (b"kTRC", curve)):
        table += name + start.to_bytes(4, "big") + len(data).to_bytes(4, "big")
        start += len(data)
    body = table + white + curve
    header = bytearray(128)
    header[0:4] = (128 + len(body)).to_bytes(4, "big")
    header[8:12] = b"\2\x10\0\0"
    header[12:24] = b"mntrGRAYXYZ "
    header[36:40] = b"acsp"
    header[68:80] = white[8:]
    return bytes(header) + body


def tiff_file(samples: NDArray[np.uint16], **tags: Any) -> bytes:
    """An uncompressed 16-bit TIFF, with the tags that the caller wants to be odd."""
    height, width, n_samples = samples.shape
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    fields: dict[int, Any] = {256: width, 257: height, 258: (16,) * n_samples, 259: 1, 262: 2, 273: 0}
    fields |= {277: n_samples, 278: height, 279: samples.nbytes}
    fields |= {int(name[1:]): value for name, value in tags.items()}
    for tag, value in fields.items():
        directory.tagtype[tag] = 4 if tag in (256, 257, 273, 278, 279) else 3
        directory[tag] = value
    return b"II*\0\10\0\0\0" + directory.tobytes(8) + samples.astype("<u2").tobytes()


def big_tiff_file(samples: NDArray[np.uint16], endian: str = "<") -> bytes:
    """The same as a BigTIFF, in which places and counts have 8 bytes; `endian` is struct's sign."""
    height, width, n_samples = samples.shape
    bits = struct.pack(f"{endian}{n_samples}H", *[16] * n_samples)
    place = 16 + 8 + 20 * 10 + 8
    entries = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, 2), (273, 16, place)]
    entries += [(277, 3, n_samples), (278, 4, height), (279, 16, samples.nbytes), (338, 3, 2)]
    directory = b""
    for tag, kind, value in entries:
        letter = {3: "H", 4: "I", 16: "Q"}[kind]
        count, packed = (n_samples, value) if isinstance(value, bytes) else (1, struct.pack(endian + letter, value))
        directory += struct.pack(endian + "HHQ", tag, kind, count) + packed.ljust(8, b"\0")
    head = (b"II" if endian == "<" else b"MM") + struct.pack(endian + "HHHQQ", 43, 8, 0, 16, len(entries))
    return head + directory + bytes(8) + samples.astype(endian + "u2").tobytes()


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_picture(path)
    assert str(path) in caught.value.what
    assert "\n" not in caught.value.what
    assert caught.value.exit_code == 3
    return caught.value.what


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
