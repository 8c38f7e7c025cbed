"""Write a picture in the format that a file's suffix names: whole or not at all."""

import io
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image

from stylegan_tool.errors import OutputError, first_line
from stylegan_tool.image_files import jpeg_xl
from stylegan_tool.image_files.naming import JPEG_SUFFIXES, WRITTEN_SUFFIXES
from stylegan_tool.image_files.picture import Picture
from stylegan_tool.image_files.png import encode_deep_png
from stylegan_tool.image_files.profiles import in_srgb
from stylegan_tool.image_files.tiff import encode_tiff
from stylegan_tool.pixels import in_8_bits
from stylegan_tool.whole_files import refuse_overwrite, write_whole

_JPEG_MOST_EXIF = 65533  # bytes


def write_picture(path: Path, picture: Picture, *, overwrite: bool = False) -> None:
    """Write `picture` in the format that the suffix of `path` names; the file is whole or not there.

    Missing folders are made.

    Raises:
        OutputError: the file exists (and not `overwrite`), cannot be written, or is too large for the format.
    """
    if not overwrite and os.path.lexists(path):
        refuse_overwrite(path)
    write_whole(path, encode_picture(path, picture), overwrite=overwrite)


def encode_picture(path: Path, picture: Picture) -> bytes | memoryview:
    """Return what a file named `path` holds for `picture`; nothing is written.

    JPEG with quality 95 and full colour resolution, WebP and JPEG XL 95, AVIF 90, JPEG 2000 and the rest without loss.
    PNG and TIFF keep 16 bits, the others get 8, rounded. JPEG and BMP have no alpha: it is laid over white.
    BMP, JPEG 2000 and JPEG XL hold no profile here: the values are converted to sRGB.

    Raises:
        MissingError: it is to be JPEG XL, and the extra `[jxl]` is not installed.
        OutputError: the suffix is unknown, the picture too large for the format, or its encoder fails.
    """
    encode = _ENCODERS.get(path.suffix.lower())
    if encode is None:
        kinds = ", ".join(sorted(suffix[1:] for suffix in WRITTEN_SUFFIXES))
        raise OutputError(f"cannot write {path}: unknown suffix", hint=f"End the name in one of these: {kinds}.")
    height, width = picture.image.shape[:2]
    longest = _LONGEST_SIDE.get(path.suffix.lower(), 2**31)
    if max(height, width) > longest:
        raise OutputError(
            f"cannot write {path}: {width} x {height} pixels, and this format ends at {longest} a side",
            hint="Write .png or .tiff instead.",
        )
    try:
        return encode(picture)
    except MemoryError as error:
        raise OutputError(
            f"cannot write {path}: out of memory", hint="Close other programs, then type the same command."
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, struct.error, cv2.error) as error:
        raise OutputError(
            f"cannot write {path}: encoding failed ({first_line(error)})", hint="Write .png instead."
        ) from error


# --- encoders: a Picture in, the bytes of a file out ----------------------------------------------


def _pillow_rgb(picture: Picture) -> PIL.Image.Image:
    """In 8 bits, alpha laid over white."""
    image = in_8_bits(picture.image)
    if picture.alpha is not None:
        alpha = in_8_bits(picture.alpha).astype(np.uint16)[..., None]
        image = ((image * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return PIL.Image.fromarray(image)


def _pillow_rgba(picture: Picture) -> PIL.Image.Image:
    """In 8 bits, with alpha where there is one."""
    image = in_8_bits(picture.image)
    if picture.alpha is not None:
        image = np.dstack((image, in_8_bits(picture.alpha)))
    return PIL.Image.fromarray(image)


def _saved(image: PIL.Image.Image, file_format: str, **options: Any) -> memoryview:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **{name: value for name, value in options.items() if value is not None})
    # Not getbuffer(): Python 3.12 crashes where the garbage collector meets a BytesIO that has lent its memory, which a
    # failed write leaves to it.
    return memoryview(buffer.getvalue())


def _encode_jpeg(picture: Picture) -> memoryview:
    # One JPEG segment must hold the whole EXIF; without it the picture is still right.
    exif = picture.exif if picture.exif and len(picture.exif) <= _JPEG_MOST_EXIF else None
    image = _pillow_rgb(picture)
    return _saved(image, "JPEG", quality=95, subsampling="4:4:4", icc_profile=picture.icc, exif=exif)


def _encode_webp(picture: Picture) -> memoryview:
    # exact: else the encoder changes the colours under transparent pixels
    image = _pillow_rgba(picture)
    return _saved(image, "WEBP", quality=95, exact=True, icc_profile=picture.icc, exif=picture.exif)


def _encode_avif(picture: Picture) -> memoryview:
    image = _pillow_rgba(picture)
    return _saved(image, "AVIF", quality=90, subsampling="4:4:4", icc_profile=picture.icc, exif=picture.exif)


def _encode_bmp(picture: Picture) -> memoryview:
    return _saved(_pillow_rgb(in_srgb(picture)), "BMP")


def _encode_jp2(picture: Picture) -> memoryview:
    return _saved(_pillow_rgba(in_srgb(picture)), "JPEG2000")


def _encode_j2k(picture: Picture) -> memoryview:
    return _saved(_pillow_rgba(in_srgb(picture)), "JPEG2000", no_jp2=True)


def _encode_jxl(picture: Picture) -> memoryview:
    jpeg_xl.require_plugin("cannot write .jxl")
    return _saved(_pillow_rgba(in_srgb(picture)), "JXL", quality=95, exif=picture.exif)


def _encode_png(picture: Picture) -> bytes | memoryview:
    if picture.image.dtype == np.uint8:
        return _saved(_pillow_rgba(picture), "PNG", icc_profile=picture.icc, exif=picture.exif)
    return encode_deep_png(picture)


_ENCODERS: dict[str, Callable[[Picture], bytes | memoryview]] = {
    **dict.fromkeys(JPEG_SUFFIXES, _encode_jpeg),
    ".png": _encode_png,
    ".webp": _encode_webp,
    ".tif": encode_tiff,
    ".tiff": encode_tiff,
    ".bmp": _encode_bmp,
    ".avif": _encode_avif,
    ".jp2": _encode_jp2,
    ".j2k": _encode_j2k,
    jpeg_xl.SUFFIX: _encode_jxl,
}
_LONGEST_SIDE = {**dict.fromkeys(JPEG_SUFFIXES, 65500), ".webp": 16383, ".avif": 65536}
