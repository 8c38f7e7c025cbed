"""Which kinds of file are read, and how Pillow opens them: by their content, before a pixel is decoded.

Units: sizes and limits in pixels.
"""

import contextlib
import os
from pathlib import Path
from typing import IO

import PIL.Image
from PIL import ImageFile

from stylegan_tool.errors import typed
from stylegan_tool.image_files import jpeg_xl
from stylegan_tool.image_files.naming import SUFFIXES
from stylegan_tool.image_files.refusing import damage_reported, refuse, refuse_too_large

_UNCHECKED_PIXELS = 16_000_000  # below this a lying header costs too little to be worth a check
# How many pixels one byte of the file can stand for at most, by the format's own compression: deflate 1032
# bytes of 8 one-bit pixels, LZW its longest string, JPEG one bit for a block of 64. Others have no bound.
_MOST_PIXELS_PER_BYTE = {"PNG": 8 * 1032, "GIF": 4096, "BMP": 128, "PPM": 8, "JPEG": 512, "MPO": 512}

# JPEG also opens MPO. Named, so that no file reaches Pillow's more adventurous readers (PostScript, for one).
_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "AVIF", "JPEG2000")
_FOREIGN = (  # offset, magic, name
    (4, b"ftyphe", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
)
_BIG_ENDIAN_BIGTIFF = b"MM\0+"  # Pillow takes it for its own, and then misreads the header


def open_with_pillow(path: Path, file: IO[bytes]) -> ImageFile.ImageFile:
    """Return what PIL.Image.open would, without its pixel limit, which only a process-wide setting could move.

    Raises:
        InputError: `file` is empty, damaged, or of a kind that is not read.
        MissingError: it is JPEG XL, and the extra `[jxl]` is not installed.
    """
    PIL.Image.init()
    file.seek(0)
    prefix = file.read(16)
    if not prefix:
        refuse(path, "the file is empty", "Copy or download it again.")
    if prefix.startswith(jpeg_xl.SIGNATURES):
        return _open_jpeg_xl(path, file)
    if prefix.startswith(_BIG_ENDIAN_BIGTIFF):
        little = path.with_stem(f"{path.stem}-little")
        refuse(
            path,
            "it is a big-endian BigTIFF, and only little-endian ones are read",
            f"Convert it with libtiff's own tool: tiffcp -8 -L {typed(path)} {typed(little)}",
        )
    for name in _FORMATS:
        if name not in PIL.Image.OPEN:
            continue
        factory, accept = PIL.Image.OPEN[name]
        if accept is not None and accept(prefix) is not True:
            continue
        file.seek(0)
        foreign = _foreign_kind(prefix)
        if foreign:  # HEIC and AVIF share a container
            with contextlib.suppress(SyntaxError):
                return factory(file, "")
            refuse(path, f"{foreign} pictures are not read", "Convert it to PNG or JPEG first.")
        with damage_reported(path):
            return factory(file, "")
    foreign = _foreign_kind(prefix)
    if foreign:
        refuse(path, f"{foreign} files are not read", "Convert it to PNG or JPEG first.")
    return refuse(path, "it is not a picture of a kind that is read", f"Kinds that are read: {_kinds()}.")


def _open_jpeg_xl(path: Path, file: IO[bytes]) -> ImageFile.ImageFile:
    jpeg_xl.require_plugin(f"cannot read {path}")
    with damage_reported(path):
        width, height = jpeg_xl.read_size(file)
    refuse_too_large(path, width, height)
    with damage_reported(path):
        return jpeg_xl.open_picture(file)


def _foreign_kind(prefix: bytes) -> str:
    return next((name for start, magic, name in _FOREIGN if prefix[start:].startswith(magic)), "")


def _kinds() -> str:
    return ", ".join(sorted(suffix[1:] for suffix in SUFFIXES))


def refuse_bomb(path: Path, opened: ImageFile.ImageFile, file: IO[bytes]) -> None:
    """Refuse a picture of too many pixels, or of more than its file can hold."""
    refuse_too_large(path, opened.width, opened.height)
    n_bytes = os.fstat(file.fileno()).st_size
    most = _MOST_PIXELS_PER_BYTE.get(opened.format or "")
    n_pixels = opened.width * opened.height
    if most and n_pixels > max(_UNCHECKED_PIXELS, most * n_bytes):
        size = f"{opened.width} x {opened.height} pixels"
        refuse(
            path,
            f"its header promises {size}, which {n_bytes} bytes cannot hold",
            "Copy or download it again.",
        )
