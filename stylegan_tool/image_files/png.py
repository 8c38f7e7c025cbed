"""PNG where Pillow does not suffice: 16-bit colours, whose pixels OpenCV reads and writes, and keys of few bits.

Source: PNG specification, second edition (chunks, Adam7).
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from PIL import ImageFile

from stylegan_tool.image_files.exif import exif_of, finish
from stylegan_tool.image_files.picture import Array, Picture
from stylegan_tool.image_files.profiles import grey_to_srgb, profile_space
from stylegan_tool.image_files.refusing import damage_reported, refuse

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def read_png_header(opened: ImageFile.ImageFile, file: IO[bytes]) -> tuple[int, int]:
    """Return (bits of a sample, colour type) of a PNG, (0, 0) of anything else."""
    if opened.format != "PNG":
        return 0, 0
    here = file.tell()
    file.seek(24)
    depth, colour_type = file.read(2)
    file.seek(here)
    return depth, colour_type


def scale_png_key(opened: ImageFile.ImageFile, depth: int) -> None:
    """The transparent grey counts in the file's 2 or 4 bits, while the values that Pillow gives have 8."""
    key = opened.info.get("transparency")
    if depth in (2, 4) and opened.mode == "L" and isinstance(key, int) and key < 2**depth:
        opened.info["transparency"] = key * 255 // (2**depth - 1)


def read_deep_png(path: Path, opened: ImageFile.ImageFile, file: IO[bytes], *, is_grey: bool) -> Picture:
    """Return the picture in a PNG of 16-bit colours or 16-bit grey with alpha, as `opened` by Pillow.

    Raises:
        InputError: it is damaged.
    """
    file.seek(0)
    needed: list[bytes | memoryview] = [_PNG_SIGNATURE]
    with damage_reported(path):
        for kind, data, whole in _png_chunks(memoryview(file.read())):
            if kind in (b"IHDR", b"IDAT", b"IEND"):
                needed.append(whole)
            elif kind == b"eXIf":  # may follow the pixels, where Pillow has not looked yet
                opened.info.setdefault("exif", bytes(data))
        _check_png_pixels(needed)
    # OpenCV is shown only what holds pixels: by the other chunks it would turn, blend and complain.
    packed = np.frombuffer(b"".join(needed), np.uint8)
    with damage_reported(path):
        decoded = cv2.imdecode(packed, cv2.IMREAD_UNCHANGED)
    exif = exif_of(opened)
    if decoded is None or decoded.dtype != np.uint16 or decoded.shape[:2] != (opened.height, opened.width):
        refuse(path, "the file is damaged (its pixels cannot be decoded)", "Copy or download it again.")
    image: Array = np.asarray(cv2.cvtColor(decoded[..., :3], cv2.COLOR_BGR2RGB), np.uint16)
    alpha: Array | None = np.asarray(decoded[..., 3], np.uint16) if decoded.shape[2] == 4 else None
    icc = opened.info.get("icc_profile")
    if is_grey:
        return finish(*grey_to_srgb(image[..., 0], icc, alpha), exif)
    key = opened.info.get("transparency")
    if alpha is None and isinstance(key, tuple):
        hidden = (image == np.array(key, np.uint16)).all(axis=2)
        alpha = np.where(hidden, 0, 65535).astype(np.uint16)
    return finish(image, alpha, icc if profile_space(icc) == "RGB" else None, exif)


def _check_png_pixels(chunks: Sequence[bytes | memoryview]) -> None:
    """Check that the pixels of a 16-bit PNG are all there: where they are not, OpenCV's libpng writes to stderr.

    Args:
        chunks: signature, IHDR and all IDAT.

    Raises:
        ValueError, zlib.error: they are not, or more than the header says.
    """
    width, height, _, colour_type, _, _, interlaced = struct.unpack_from(">IIBBBBB", chunks[1], 8)
    n_samples = {2: 3, 4: 2, 6: 4}[colour_type]
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    expected = 0
    for top, left, down, right in passes:
        rows, columns = -(-max(0, height - top) // down), -(-max(0, width - left) // right)
        expected += rows * (1 + columns * 2 * n_samples) if columns else 0
    inflate, n_bytes = zlib.decompressobj(), 0
    for chunk in chunks[2:-1]:
        for start in range(8, len(chunk) - 4, 65536):  # little at a time: a byte may stand for a thousand
            n_bytes += len(inflate.decompress(chunk[start : min(start + 65536, len(chunk) - 4)]))
    if n_bytes != expected or not inflate.eof:
        raise ValueError(f"{n_bytes} of {expected} bytes of pixels are in it")


def _png_chunks(png: memoryview) -> Iterator[tuple[bytes, memoryview, memoryview]]:
    """Yield (type, data, whole chunk) up to IEND.

    Raises:
        ValueError: cut off, or a checksum does not match.
    """
    position = len(_PNG_SIGNATURE)
    kind = b""
    while kind != b"IEND":
        if position + 12 > len(png):
            raise ValueError("cut off before its end")
        (length,) = struct.unpack_from(">I", png, position)
        end = position + 12 + length
        if end > len(png):
            raise ValueError("cut off before its end")
        kind = bytes(png[position + 4 : position + 8])
        (checksum,) = struct.unpack_from(">I", png, end - 4)
        if zlib.crc32(png[position + 4 : end - 4]) != checksum:
            raise ValueError(f"checksum of chunk {kind!r} does not match")
        yield kind, png[position + 8 : end - 4], png[position:end]
        position = end


def encode_deep_png(picture: Picture) -> bytes:
    """Return the file that holds `picture`, whose values are uint16.

    Raises:
        ValueError, cv2.error: OpenCV does not encode it.
    """
    if picture.alpha is None:
        ordered = cv2.cvtColor(picture.image, cv2.COLOR_RGB2BGR)
    else:
        ordered = np.dstack((picture.image[..., ::-1], picture.alpha))  # BGRA
    done, encoded = cv2.imencode(".png", ordered, [cv2.IMWRITE_PNG_COMPRESSION, 6])
    if not done:
        raise ValueError("OpenCV refused the picture")
    png = encoded.tobytes()
    header_end = len(_PNG_SIGNATURE) + 25
    extra = b""
    if picture.icc:
        extra += _png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(picture.icc))
    if picture.exif:
        extra += _png_chunk(b"eXIf", picture.exif.removeprefix(b"Exif\0\0"))
    return png[:header_end] + extra + png[header_end:]


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
