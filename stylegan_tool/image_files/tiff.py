"""TIFF where Pillow does not suffice: 16 bits with more than one sample a pixel, read and written.

Source: TIFF 6.0; BigTIFF as libtiff writes it.
"""

import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import PIL.Image
from PIL import TiffImagePlugin

from stylegan_tool.image_files.exif import EXIF_IFD, GPS_IFD, LAYOUT_TAGS, ORIENTATION, exif_of, finish
from stylegan_tool.image_files.picture import Array, Picture
from stylegan_tool.image_files.profiles import grey_to_srgb, profile_space
from stylegan_tool.image_files.refusing import damage_reported, refuse, refuse_too_large

_SHORT, _LONG, _LONG8 = 3, 4, 16
_NUMBERS = {_SHORT: "H", _LONG: "I", _LONG8: "Q"}
# Least and greatest value, predictor, kinds of extra samples and of numbers, XMP.
_NOT_OF_WIDE_GREY = frozenset({280, 281, 317, 338, 339, 700})
_MOST_ENTRIES = 65535  # of a directory; what a BigTIFF promises beyond is damage
_PREDICTED_COMPRESSIONS = frozenset({5, 8, 32946, 34925, 50000})  # LZW, deflate twice, LZMA, Zstandard


@dataclass(frozen=True)
class _Form:
    """How a TIFF writes its numbers: byte order, and the width of places and counts (BigTIFF has 8 bytes for them).

    Attributes:
        endian: struct's sign.
        place: struct's letter of offsets and of counts in entries.
    """

    endian: str
    place: str

    @classmethod
    def of(cls, head: bytes) -> "_Form | None":
        """Read the first 4 bytes of a file; None if it is no TIFF."""
        return {
            b"II*\0": cls("<", "I"),
            b"MM\0*": cls(">", "I"),
            b"II+\0": cls("<", "Q"),  # big-endian ones are refused in opening.py
        }.get(head)

    @property
    def length(self) -> str:
        """The directory's number of entries."""
        return self.endian + ("H" if self.place == "I" else "Q")

    @property
    def value_bytes(self) -> int:
        """What fits into an entry itself."""
        return struct.calcsize(self.place)

    def entry(self, tag: int, kind: int, *values: int) -> bytes:
        """Return a directory entry with its few values inside."""
        packed = struct.pack(f"{self.endian}{len(values)}{_NUMBERS[kind]}", *values)
        return struct.pack(f"{self.endian}HH{self.place}", tag, kind, len(values)) + packed.ljust(
            self.value_bytes, b"\0"
        )


@dataclass(frozen=True)
class _Entry:
    """One tag of a TIFF directory; `values` is empty unless they are whole numbers of 2, 4 or 8 bytes."""

    tag: int
    raw: bytes
    values: tuple[int, ...]


def read_deep_tiff(path: Path, file: IO[bytes]) -> Picture | None:
    """Return the picture if it is a TIFF of 16-bit RGB, RGBA or grey with alpha; else None.

    Pillow would cut these to 8 bits, and OpenCV gets grey with alpha wrong. But libtiff, inside Pillow, reads
    all compressions of 16-bit grey. So the directory is rewritten in memory to promise grey that is 2, 3 or 4
    times as wide, and the samples are told apart afterwards.
    """
    form = _Form.of(file.read(4))
    if form is None:
        return None
    with damage_reported(path):
        file.seek(8 if form.place == "Q" else 4)
        start = struct.unpack(form.endian + form.place, file.read(form.value_bytes))[0]
        entries = _tiff_directory(file, form, start)
        tags = {entry.tag: entry.values for entry in entries}
        n_samples = _tiff_samples(tags)
        if not n_samples:
            return None
        if tags.get(284, (1,)) != (1,):  # Pillow would read noise
            refuse(path, "its 16-bit colours lie in separate planes", "Save it as PNG in another program.")
        width, height = tags[256][0], tags[257][0]
    refuse_too_large(path, width, height)
    with damage_reported(path):
        file.seek(0)
        changed = io.BytesIO(file.read())
        changed.seek(start)
        changed.write(_as_wide_grey(entries, form, n_samples))
        changed.seek(0)
        opened = TiffImagePlugin.TiffImageFile(changed, "")
        opened.load()
        wide = np.asarray(opened).astype(np.uint16, copy=False)
        samples = _without_predictor(wide.reshape(height, width, n_samples), tags)
        exif = exif_of(opened)
        values, alpha = _tiff_split(samples, tags)
        orientation = (tags.get(ORIENTATION) or (1,))[0]
        icc = opened.info.get("icc_profile")
        if values.ndim == 2:
            return finish(*grey_to_srgb(values, icc, alpha), exif, orientation)
        return finish(values, alpha, icc if profile_space(icc) == "RGB" else None, exif, orientation)


def _tiff_directory(file: IO[bytes], form: _Form, start: int) -> list[_Entry]:
    file.seek(start)
    (n_entries,) = struct.unpack(form.length, file.read(struct.calcsize(form.length)))
    size = 4 + 2 * form.value_bytes
    raw = file.read(size * min(n_entries, _MOST_ENTRIES))
    entries = []
    for i in range(min(n_entries, _MOST_ENTRIES)):
        one = raw[size * i : size * (i + 1)]
        tag, kind, count = struct.unpack_from(f"{form.endian}HH{form.place}", one)
        values: tuple[int, ...] = ()
        if kind in _NUMBERS and count <= 8:  # offsets and the like are longer, and not needed
            numbers = f"{form.endian}{count}{_NUMBERS[kind]}"
            data = one[-form.value_bytes :]
            if struct.calcsize(numbers) > form.value_bytes:
                file.seek(struct.unpack(form.endian + form.place, data)[0])
                data = file.read(struct.calcsize(numbers))
            values = struct.unpack_from(numbers, data)
        entries.append(_Entry(tag, one, values))
    return entries


def _tiff_samples(tags: dict[int, tuple[int, ...]]) -> int:
    """Return the samples a pixel of what `read_deep_tiff` is for, 0 for any other TIFF."""
    bits, photometric, n_samples = tags.get(258, ()), (tags.get(262) or (-1,))[0], (tags.get(277) or (1,))[0]
    fits = (photometric == 2 and n_samples in (3, 4)) or (photometric in (0, 1) and n_samples == 2)
    whole = set(bits) == {16} and set(tags.get(339, (1,))) == {1}
    return n_samples if fits and whole and tags.get(256) and tags.get(257) else 0


def _as_wide_grey(entries: list[_Entry], form: _Form, n_samples: int) -> bytes:
    """Return the directory, no longer than it was, as that of one grey frame `n_samples` times as wide."""
    changed = []
    for entry in entries:
        if entry.tag in (256, 322):  # width, tile width
            changed.append(form.entry(entry.tag, _LONG, entry.values[0] * n_samples))
        elif entry.tag in (258, 262, 277, ORIENTATION):  # bits, photometric, samples
            changed.append(form.entry(entry.tag, _SHORT, 16 if entry.tag == 258 else 1))
        elif entry.tag not in _NOT_OF_WIDE_GREY:
            changed.append(entry.raw)
    return struct.pack(form.length, len(changed)) + b"".join(changed) + bytes(form.value_bytes)


def _without_predictor(samples: Array, tags: dict[int, tuple[int, ...]]) -> Array:
    """Undo predictor 2: within strip or tile, a sample is written as the difference to its left one."""
    if tags.get(317) != (2,) or (tags.get(259) or (1,))[0] not in _PREDICTED_COMPRESSIONS:
        return samples
    width = samples.shape[1]
    step = (tags.get(322) or (width,))[0]
    whole = np.empty_like(samples)
    for left in range(0, width, step):
        np.cumsum(samples[:, left : left + step], axis=1, dtype=np.uint16, out=whole[:, left : left + step])
    return whole


def _tiff_split(samples: Array, tags: dict[int, tuple[int, ...]]) -> tuple[Array, Array | None]:
    """Return (H,W) grey or (H,W,3) RGB, and alpha; premultiplied values are divided by it."""
    n_colours = 1 if samples.shape[2] == 2 else 3
    values: Array = samples[..., :n_colours]
    alpha = samples[..., n_colours] if samples.shape[2] > n_colours else None
    extra = (tags.get(338) or (2,))[0]
    if alpha is not None and extra == 1:
        divisor = np.maximum(alpha, 1).astype(np.uint32)[..., None]
        divided = (values.astype(np.uint32) * 65535 + divisor // 2) // divisor
        values = np.where(alpha[..., None] > 0, np.minimum(divided, 65535), values).astype(np.uint16)
    if n_colours == 1:
        values = values[..., 0]
        if tags.get(262) == (0,):  # 0 means white
            values = ~values
    return values, None if extra == 0 else alpha


def encode_tiff(picture: Picture) -> bytes:
    """Deflate, predictor 2, in strips. Written here: Pillow has no 16-bit RGB, OpenCV no profile and EXIF."""
    samples: Array = picture.image if picture.alpha is None else np.dstack((picture.image, picture.alpha))
    samples = samples.astype(samples.dtype.newbyteorder("<"), copy=False)
    height, width, n_samples = samples.shape
    rows = max(1, 2**20 // (width * n_samples * samples.itemsize))
    strips = []
    for top in range(0, height, rows):
        strip = samples[top : top + rows].copy()
        strip[:, 1:] -= samples[top : top + rows, :-1]  # wraps around, as the predictor wants it
        strips.append(zlib.compress(strip.tobytes(), 6))
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    if picture.exif:
        _add_exif(directory, picture.exif)
    lengths = [len(strip) for strip in strips]
    starts = [sum(lengths[:i]) for i in range(len(lengths))]  # Pillow adds where the directory ends
    for tag, kind, value in (
        (256, _LONG, width),
        (257, _LONG, height),
        (258, _SHORT, (8 * samples.itemsize,) * n_samples),
        (259, _SHORT, 8),  # deflate
        (262, _SHORT, 2),  # RGB
        (273, _LONG, tuple(starts)),
        (277, _SHORT, n_samples),
        (278, _LONG, rows),
        (279, _LONG, tuple(lengths)),
        (284, _SHORT, 1),  # interleaved
        (317, _SHORT, 2),
        (338, _SHORT, (2,) * (n_samples - 3)),  # alpha, not premultiplied
        (339, _SHORT, (1,) * n_samples),  # unsigned
    ):
        if value != ():
            directory.tagtype[tag] = kind
            directory[tag] = value
    if picture.icc:
        directory.tagtype[34675] = 7  # UNDEFINED
        directory[34675] = picture.icc
    return b"II*\0" + struct.pack("<I", 8) + directory.tobytes(8) + b"".join(strips)


def _add_exif(directory: TiffImagePlugin.ImageFileDirectory_v2, block: bytes) -> None:
    exif = PIL.Image.Exif()
    exif.load(block)
    for tag in exif:
        if tag not in LAYOUT_TAGS:
            directory[tag] = exif.get_ifd(tag) if tag in (EXIF_IFD, GPS_IFD) else exif[tag]
