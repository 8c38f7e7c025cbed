"""Picture files: read them upright with all their values, name the outputs, write them whole or not at all.

Reading turns whatever a file holds into one form: an upright RGB `image` of uint8 or uint16, with alpha,
colour profile and EXIF beside it. The content decides what a file is, never its suffix. Of animations,
multi-page TIFF and MPO the first frame is read. 16-bit values survive in PNG, TIFF and PGM; other formats are
read with 8 bits.

Kept: values under transparent pixels, RGB profiles (and the values they explain), EXIF but its orientation.
Not kept: XMP, IPTC and text chunks (XMP may repeat an orientation that is no longer true), thumbnails, CMYK
and grey profiles (their pictures become sRGB).

Units: sizes and limits in pixels; alpha 0 is transparent, the type's maximum opaque.
Pillow warns through `warnings`, whose filters belong to the whole process: they are changed once for all threads.
"""

import contextlib
import ctypes
import errno
import io
import logging
import os
import re
import secrets
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import IO, Any, NoReturn, TypeAlias

import cv2
import numpy as np
import PIL._imaging
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageCms, ImageFile, TiffImagePlugin

from stylegan_tool import jpeg_xl
from stylegan_tool.errors import InputError, OutputError
from stylegan_tool.pixels import Image, in_8_bits

Plane: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
Array: TypeAlias = NDArray[Any]  # inside this file: uint8 or uint16, of any shape

MOST_PIXELS = 300_000_000

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

with contextlib.suppress(OSError, AttributeError):  # where Pillow brings no libtiff, or one that cannot be reached
    # It prints what it finds wrong with a file, and Pillow has no switch for that.
    ctypes.CDLL(PIL._imaging.__file__).TIFFSetErrorHandler(None)
logging.getLogger("PIL").addHandler(logging.NullHandler())  # without any, errors are printed

_ORIENTATION = 274
_EXIF_IFD = 34665
_GPS_IFD = 34853
# Tags of a TIFF that say how its pixels lie in the file, or repeat what `Picture` holds: not to carry over.
# 700 XMP, 33723 IPTC, 34377 Photoshop, 34675 ICC profile, 37724 Photoshop layers.
_LAYOUT_TAGS = frozenset(
    {*range(254, 260), *range(262, 267), 273, *range(277, 282), 284, *range(288, 294), 297, 301, 317}
    | {*range(320, 326), *range(330, 348), *range(512, 522), *range(529, 533)}
    | {700, 33723, 34377, 34675, 37724}
)
_EXIF_SIZES = (0xA002, 0xA003)  # width and height as shot; the picture may have been turned since


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture as the rest of the tool sees it. The arrays may be read-only.

    Attributes:
        image: uint8 or uint16, (H,W,3), RGB, upright: the file's orientation has been applied.
        alpha: (H,W) of the same type, 0 = transparent; None where the file has none. Not premultiplied.
        icc: the RGB profile that `image`'s values are in; None means sRGB.
        exif: block beginning with `Exif\\0\\0`, orientation 1; None where there was none fit to keep.
        is_first_of_several: the file is an animation or has pages.
    """

    image: Image
    alpha: Plane | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    is_first_of_several: bool = False


# --- reading --------------------------------------------------------------------------------------


def read_picture(path: Path) -> Picture:
    """Return the first frame of the picture file `path`, upright, in RGB.

    Raises:
        InputError: no such file, no permission, no picture, a kind that is not read, damaged, or too large.
        MissingError: it is JPEG XL, and the extra `[jxl]` is not installed.
    """
    with _pillow_kept_quiet, _open_regular(path) as file:
        deep = _read_deep_tiff(path, file)
        if deep is not None:
            return deep
        opened = _open_with_pillow(path, file)
        _refuse_bomb(path, opened, file)
        depth, colour_type = _png_header(opened, file)
        if depth == 16 and colour_type in (2, 4, 6):  # 16-bit grey is what Pillow can do
            return _read_deep_png(path, opened, file, is_grey=colour_type == 4)
        with _damage_reported(path):
            opened.load()
        exif = _exif_of(opened)
        _scale_png_key(opened, depth)
        values, alpha, icc = _values_of(path, opened)
        upright = 1 if opened.format == "JXL" and jpeg_xl.is_turned(opened) else None
        return replace(_finish(values, alpha, icc, exif, upright), is_first_of_several=_has_several(opened))


def _has_several(opened: ImageFile.ImageFile) -> bool:
    """Whether it is an animation or has pages. The further views of an MPO do not count: cameras put previews there."""
    try:
        return opened.format != "MPO" and bool(getattr(opened, "is_animated", False))
    except Exception:  # noqa: BLE001 a GIF looks for its second picture, and may find anything
        return False


def check_readable(path: Path) -> None:
    """Decode `path` fully, so that a long run can refuse a bad file before it starts.

    Raises:
        InputError: as `read_picture`.
    """
    read_picture(path)


class _PillowKeptQuiet:
    """From the first of several threads that read at once to the last, Pillow's warnings are ignored."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._readers == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._readers += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0:
                self._filters.__exit__(None, None, None)


_pillow_kept_quiet = _PillowKeptQuiet()


def _refuse(path: Path, reason: str, hint: str = "") -> NoReturn:
    raise InputError(f"cannot read {path}: {reason}", hint=hint)


@contextlib.contextmanager
def _open_regular(path: Path) -> Iterator[IO[bytes]]:
    # Only opening is guarded: what goes wrong later is told by those who know what they were reading.
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # a pipe would block for ever
            _refuse(path, "it is a folder" if stat.S_ISDIR(mode) else "it is no ordinary file")
        file = path.open("rb")
    except FileNotFoundError:
        _refuse(path, "there is no such file", "Check the name; quote it if it holds spaces.")
    except PermissionError:
        _refuse(path, "permission denied", "Give yourself the right to read it (chmod u+r).")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        _refuse(path, getattr(error, "strerror", None) or str(error))
    with file:
        yield file


@contextlib.contextmanager
def _damage_reported(path: Path) -> Iterator[None]:
    """Only around calls into a decoder: on damaged data it raises anything, from struct.error to KeyError."""
    try:
        yield
    except InputError:
        raise
    except MemoryError:
        _refuse(path, "it needs more memory than is free", "Scale it down first, or close other programs.")
    except PIL.Image.DecompressionBombError as error:
        found = re.search(r"\d+", str(error))
        _refuse(path, f"{found[0] if found else 'its'} pixels are too many", "Scale it down first.")
    except SyntaxError as error:
        reason = f"the file is damaged, or of a kind that is not read ({_first_line(error)})"
        _refuse(path, reason, "Save it as PNG or JPEG in another program.")
    except Exception as error:  # noqa: BLE001 see above
        _refuse(path, f"the file is damaged or cut off ({_first_line(error)})", "Copy or download it again.")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__


def _open_with_pillow(path: Path, file: IO[bytes]) -> ImageFile.ImageFile:
    """What PIL.Image.open does, without its pixel limit, which only a process-wide setting could move."""
    PIL.Image.init()
    file.seek(0)
    prefix = file.read(16)
    if not prefix:
        _refuse(path, "the file is empty", "Copy or download it again.")
    if prefix.startswith(jpeg_xl.SIGNATURES):
        return _open_jpeg_xl(path, file)
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
            _refuse(path, f"{foreign} pictures are not read", "Convert it to PNG or JPEG first.")
        with _damage_reported(path):
            return factory(file, "")
    foreign = _foreign_kind(prefix)
    if foreign:
        _refuse(path, f"{foreign} files are not read", "Convert it to PNG or JPEG first.")
    _refuse(path, "it is not a picture of a kind that is read", f"Kinds that are read: {_kinds()}.")


def _open_jpeg_xl(path: Path, file: IO[bytes]) -> ImageFile.ImageFile:
    jpeg_xl.require_plugin(f"cannot read {path}")
    with _damage_reported(path):
        width, height = jpeg_xl.read_size(file)
    _refuse_too_large(path, width, height)
    with _damage_reported(path):
        return jpeg_xl.open_picture(file)


def _foreign_kind(prefix: bytes) -> str:
    return next((name for start, magic, name in _FOREIGN if prefix[start:].startswith(magic)), "")


def _kinds() -> str:
    return ", ".join(sorted(suffix[1:] for suffix in SUFFIXES))


def _refuse_bomb(path: Path, opened: ImageFile.ImageFile, file: IO[bytes]) -> None:
    _refuse_too_large(path, opened.width, opened.height)
    n_bytes = os.fstat(file.fileno()).st_size
    most = _MOST_PIXELS_PER_BYTE.get(opened.format or "")
    n_pixels = opened.width * opened.height
    if most and n_pixels > max(_UNCHECKED_PIXELS, most * n_bytes):
        size = f"{opened.width} x {opened.height} pixels"
        _refuse(
            path,
            f"its header promises {size}, which {n_bytes} bytes cannot hold",
            "Copy or download it again.",
        )


def _refuse_too_large(path: Path, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        size = f"{width} x {height} pixels ({width * height / 1e6:.0f} megapixels)"
        _refuse(path, f"{size} are more than {MOST_PIXELS / 1e6:.0f} megapixels", "Scale it down first.")
    if width < 1 or height < 1:
        _refuse(path, f"it has no pixels ({width} x {height})")


# --- values, alpha and profile of what Pillow has decoded -----------------------------------------

Values: TypeAlias = tuple[Array, Array | None, bytes | None]  # (H,W) or (H,W,3); alpha; RGB profile


def _values_of(path: Path, opened: ImageFile.ImageFile) -> Values:
    """Return (H,W) grey or (H,W,3) RGB, alpha or None, and the RGB profile of the values."""
    icc = opened.info.get("icc_profile")
    mode = opened.mode
    if mode in ("1", "L", "LA", "La", "I", "F") or mode.startswith("I;16"):
        grey, alpha = _grey_of(path, opened)
        return _grey_to_srgb(grey, icc, alpha)
    if mode == "CMYK":
        return np.asarray(_cmyk_to_srgb(opened, icc)), None, None
    if mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        return np.asarray(_convert(opened, lab, "RGB") or opened.convert("RGB")), None, None
    icc = icc if _profile_space(icc) == "RGB" else None
    if mode in ("RGBA", "RGBa", "PA") or opened.has_transparency_data:
        both = np.asarray(opened if mode == "RGBA" else opened.convert("RGBA"))
        return both[..., :3], both[..., 3], icc
    return np.asarray(opened if mode == "RGB" else opened.convert("RGB")), None, icc


def _grey_of(path: Path, opened: ImageFile.ImageFile) -> tuple[Array, Array | None]:
    mode = opened.mode
    if mode in ("LA", "La"):
        both = np.asarray(opened if mode == "LA" else opened.convert("LA"))
        return both[..., 0], both[..., 1]
    if mode == "F":
        return _float_to_16(path, np.asarray(opened)), None
    if mode == "I":
        return _int32_to_16(path, opened), None
    if mode.startswith("I;16"):
        grey: Array = np.asarray(opened).astype(np.uint16, copy=False)
        if isinstance(opened, TiffImagePlugin.TiffImageFile):
            grey = _tiff_grey_scale(opened, grey)
    else:
        grey = np.asarray(opened.convert("L") if mode == "1" else opened)
    key = opened.info.get("transparency")
    if not isinstance(key, int):
        return grey, None
    opaque = np.iinfo(grey.dtype).max
    return grey, np.where(grey == key, 0, opaque).astype(grey.dtype)


def _tiff_grey_scale(opened: TiffImagePlugin.TiffImageFile, grey: Array) -> Array:
    """Pillow hands over 12-bit samples as they are, and 16-bit ones of which 0 means white uninverted."""
    if opened.tag_v2.get(258) in (12, (12,)):
        grey = (grey.astype(np.uint32) * 65535 // 4095).astype(np.uint16)
    if opened.tag_v2.get(262) == 0:
        grey = ~grey
    return grey


def _float_to_16(path: Path, values: Array) -> Array:
    low, high = float(values.min()), float(values.max())
    if not (low >= -0.001 and high <= 1.001):  # also false for NaN
        reason = f"its floating-point values go from {low:.4g} to {high:.4g}, and only 0 to 1 has a meaning here"
        _refuse(path, reason, "Save it as a 16-bit TIFF or PNG.")
    scaled: Array = np.rint(np.clip(values, 0.0, 1.0) * np.float32(65535))
    return scaled.astype(np.uint16)


def _int32_to_16(path: Path, opened: ImageFile.ImageFile) -> Array:
    values: Array = np.asarray(opened)
    if opened.format != "TIFF":  # 16-bit PGM and PNG: Pillow has scaled them to 0..65535
        return np.clip(values, 0, 65535).astype(np.uint16)
    sample_format = opened.tag_v2.get(339, 1) if isinstance(opened, TiffImagePlugin.TiffImageFile) else 1
    if sample_format not in (1, (1,)):
        _refuse(
            path,
            "its samples are signed numbers, which have no brightness",
            "Save it as a 16-bit TIFF or PNG.",
        )
    return (values.view(np.uint32) >> 16).astype(np.uint16)


# --- profiles -------------------------------------------------------------------------------------


def _profile(icc: bytes | None) -> ImageCms.ImageCmsProfile | None:
    """A broken profile is no reason to refuse a picture: it is as if it were not there."""
    if not icc:
        return None
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(icc))
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return None


def _profile_space(icc: bytes | None) -> str:
    """Return the colour space of the profile: `RGB`, `GRAY`, `CMYK`...; empty if it is missing or broken."""
    # From the header: ImageCms fails at a name that is not ASCII.
    return icc[16:20].decode("latin-1").strip() if icc and _profile(icc) else ""


def _convert(
    picture: PIL.Image.Image, profile: Any, mode: str, extra: ImageCms.Flags = ImageCms.Flags.NONE
) -> PIL.Image.Image | None:
    """Return `picture` in sRGB (relative colorimetric, black point compensated); None if it cannot be."""
    try:
        return ImageCms.profileToProfile(
            picture,
            profile,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode=mode,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION | extra,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _cmyk_to_srgb(picture: PIL.Image.Image, icc: bytes | None) -> PIL.Image.Image:
    profile = _profile(icc)
    return (profile and _convert(picture, profile, "RGB")) or picture.convert("RGB")


def _grey_to_srgb(grey: Array, icc: bytes | None, alpha: Array | None) -> Values:
    """Return grey values in sRGB; an RGB profile (cameras write them to grey files) stays, true for R=G=B."""
    space = _profile_space(icc)
    if space == "RGB":
        return grey, alpha, icc
    if space == "GRAY" and icc:
        curve = _srgb_curve(icc, grey.dtype)
        if curve is not None:
            return curve[grey], alpha, None
    return grey, alpha, None


def _srgb_curve(icc: bytes, dtype: np.dtype[Any]) -> Array | None:
    """Return for each grey value of `dtype` the one that looks the same in sRGB, or None if there is no way.

    LittleCMS gives 8 bits out of 16 here, so the 16-bit curve is laid through the inputs at which its 8-bit
    answer steps: there the true answer is known to be half-way between two steps.
    """
    deep = dtype == np.uint16
    ramp = np.arange(65536 if deep else 256, dtype=np.dtype(dtype).newbyteorder("<"))
    picture = PIL.Image.frombytes("I;16" if deep else "L", (256, len(ramp) // 256), ramp.tobytes())
    profile = _profile(icc)
    # Optimized, LittleCMS lays its own curve through few points, 10 of 255 steps off in the darks.
    exactly = ImageCms.Flags.NOOPTIMIZE
    converted = _convert(picture, profile, "RGB", exactly) if profile else None
    if converted is None:
        return None
    answer = np.asarray(converted)[..., 1].reshape(-1)
    if not deep:
        return answer
    answer = np.maximum.accumulate(answer)
    steps = np.flatnonzero(np.diff(answer))
    known_in = np.concatenate(([0.0], steps + 0.5, [65535.0]))
    known_out = np.concatenate(
        ([answer[0] * 257.0], (answer[steps] / 2.0 + answer[steps + 1] / 2.0) * 257.0, [answer[-1] * 257.0])
    )
    curve: Array = np.rint(np.interp(np.arange(65536.0), known_in, known_out))
    return curve.astype(np.uint16)


# --- orientation and EXIF -------------------------------------------------------------------------

_TURNS: dict[int, Callable[[Array], Array]] = {  # EXIF 2.32, 4.6.4: what brings each orientation upright
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}


def _finish(
    values: Array, alpha: Array | None, icc: bytes | None, exif: PIL.Image.Exif, orientation: object = None
) -> Picture:
    """Turn upright, make grey RGB, pack; nothing is copied that already lies right."""
    orientation = exif.get(_ORIENTATION) if orientation is None else orientation
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    if turn is not None:
        values = turn(values)
        alpha = None if alpha is None else turn(alpha)
    image = np.ascontiguousarray(values)
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    packed_alpha = None if alpha is None else np.ascontiguousarray(alpha)
    return Picture(image, packed_alpha, icc, _exif_bytes(exif))


def _exif_of(opened: ImageFile.ImageFile) -> PIL.Image.Exif:
    """Return the EXIF, empty if it is bad. Not `opened.getexif()`: that of a PNG may decode the pixels again."""
    try:
        return PIL.Image.Image.getexif(opened)
    except Exception:  # noqa: BLE001 a bad EXIF block raises anything, and is never a reason to refuse a picture
        return PIL.Image.Exif()


def _exif_bytes(exif: PIL.Image.Exif) -> bytes | None:
    """Return `exif` for another file, orientation 1; None if nothing is left or it cannot be written."""
    try:
        if getattr(exif, "bigtiff", False):
            return None
        details = exif.get_ifd(_EXIF_IFD)
        for tag in _EXIF_SIZES:
            details.pop(tag, None)
        for tag in list(exif):
            if tag in _LAYOUT_TAGS:
                del exif[tag]
        if not list(exif):
            return None
        exif[_ORIENTATION] = 1
        block = exif.tobytes()
        PIL.Image.Exif().load(block)
    except Exception:  # noqa: BLE001 a bad EXIF block raises anything, and is never a reason to refuse a picture
        return None
    return block


# --- 16-bit PNG: the pixels by OpenCV, the rest by Pillow -----------------------------------------

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _png_header(opened: ImageFile.ImageFile, file: IO[bytes]) -> tuple[int, int]:
    """Return (bits of a sample, colour type) of a PNG, (0, 0) of anything else."""
    if opened.format != "PNG":
        return 0, 0
    here = file.tell()
    file.seek(24)
    depth, colour_type = file.read(2)
    file.seek(here)
    return depth, colour_type


def _scale_png_key(opened: ImageFile.ImageFile, depth: int) -> None:
    """The transparent grey counts in the file's 2 or 4 bits, while the values that Pillow gives have 8."""
    key = opened.info.get("transparency")
    if depth in (2, 4) and opened.mode == "L" and isinstance(key, int) and key < 2**depth:
        opened.info["transparency"] = key * 255 // (2**depth - 1)


def _read_deep_png(path: Path, opened: ImageFile.ImageFile, file: IO[bytes], *, is_grey: bool) -> Picture:
    file.seek(0)
    needed: list[bytes | memoryview] = [_PNG_SIGNATURE]
    with _damage_reported(path):
        for kind, data, whole in _png_chunks(memoryview(file.read())):
            if kind in (b"IHDR", b"IDAT", b"IEND"):
                needed.append(whole)
            elif kind == b"eXIf":  # may follow the pixels, where Pillow has not looked yet
                opened.info.setdefault("exif", bytes(data))
        _check_png_pixels(needed)
    # OpenCV is shown only what holds pixels: by the other chunks it would turn, blend and complain.
    packed = np.frombuffer(b"".join(needed), np.uint8)
    with _damage_reported(path):
        decoded = cv2.imdecode(packed, cv2.IMREAD_UNCHANGED)
    exif = _exif_of(opened)
    if decoded is None or decoded.dtype != np.uint16 or decoded.shape[:2] != (opened.height, opened.width):
        _refuse(path, "the file is damaged (its pixels cannot be decoded)", "Copy or download it again.")
    image: Array = np.asarray(cv2.cvtColor(decoded[..., :3], cv2.COLOR_BGR2RGB), np.uint16)
    alpha: Array | None = np.asarray(decoded[..., 3], np.uint16) if decoded.shape[2] == 4 else None
    icc = opened.info.get("icc_profile")
    if is_grey:
        return _finish(*_grey_to_srgb(image[..., 0], icc, alpha), exif)
    key = opened.info.get("transparency")
    if alpha is None and isinstance(key, tuple):
        hidden = (image == np.array(key, np.uint16)).all(axis=2)
        alpha = np.where(hidden, 0, 65535).astype(np.uint16)
    return _finish(image, alpha, icc if _profile_space(icc) == "RGB" else None, exif)


_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


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


# --- 16-bit TIFF with more than one sample a pixel ------------------------------------------------

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
            b"II+\0": cls("<", "Q"),  # Pillow knows no big-endian ones
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


def _read_deep_tiff(path: Path, file: IO[bytes]) -> Picture | None:
    """Return the picture if it is a TIFF of 16-bit RGB, RGBA or grey with alpha; else None.

    Pillow would cut these to 8 bits, and OpenCV gets grey with alpha wrong. But libtiff, inside Pillow, reads
    all compressions of 16-bit grey. So the directory is rewritten in memory to promise grey that is 2, 3 or 4
    times as wide, and the samples are told apart afterwards.
    """
    form = _Form.of(file.read(4))
    if form is None:
        return None
    with _damage_reported(path):
        file.seek(8 if form.place == "Q" else 4)
        start = struct.unpack(form.endian + form.place, file.read(form.value_bytes))[0]
        entries = _tiff_directory(file, form, start)
        tags = {entry.tag: entry.values for entry in entries}
        n_samples = _tiff_samples(tags)
        if not n_samples:
            return None
        if tags.get(284, (1,)) != (1,):  # Pillow would read noise
            _refuse(path, "its 16-bit colours lie in separate planes", "Save it with interleaved channels.")
        width, height = tags[256][0], tags[257][0]
    _refuse_too_large(path, width, height)
    with _damage_reported(path):
        file.seek(0)
        changed = io.BytesIO(file.read())
        changed.seek(start)
        changed.write(_as_wide_grey(entries, form, n_samples))
        changed.seek(0)
        opened = TiffImagePlugin.TiffImageFile(changed, "")
        opened.load()
        wide = np.asarray(opened).astype(np.uint16, copy=False)
        samples = _without_predictor(wide.reshape(height, width, n_samples), tags)
        exif = _exif_of(opened)
        values, alpha = _tiff_split(samples, tags)
        orientation = (tags.get(_ORIENTATION) or (1,))[0]
        icc = opened.info.get("icc_profile")
        if values.ndim == 2:
            return _finish(*_grey_to_srgb(values, icc, alpha), exif, orientation)
        return _finish(values, alpha, icc if _profile_space(icc) == "RGB" else None, exif, orientation)


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
    """Return the samples a pixel of what `_read_deep_tiff` is for, 0 for any other TIFF."""
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
        elif entry.tag in (258, 262, 277, _ORIENTATION):  # bits, photometric, samples
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


# --- naming ---------------------------------------------------------------------------------------

_JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif")
_WRITTEN = frozenset(
    {*_JPEG_SUFFIXES, ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif", ".jp2", ".j2k", jpeg_xl.SUFFIX}
)
SUFFIXES: frozenset[str] = _WRITTEN | {".gif", ".mpo", ".pbm", ".pgm", ".pnm", ".ppm"}


def find_pictures(folder: Path) -> list[Path]:
    """Return the picture files in `folder` and below, by suffix, sorted; nothing hidden is among them.

    Each real folder is searched once, whatever links lead to it, so links in a circle do no harm.

    Raises:
        InputError: `folder` is no folder, or it or one below cannot be listed.
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    folders: list[Path] = [folder]
    linked: list[Path] = []
    while folders or linked:
        # Links last: a folder that lies here itself is better known by its own name.
        current = folders.pop() if folders else linked.pop(0)
        try:
            status = current.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except OSError as error:
            raise InputError(
                f"cannot list {current}: {error.strerror}",
                hint="Give a folder that you have the right to read.",
            ) from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                (linked if entry.is_symlink() else folders).append(Path(entry.path))
            elif PurePath(entry.name).suffix.lower() in SUFFIXES:
                found.append(Path(entry.path))
    return sorted(found)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle; under a picture's name it is found, and told when it cannot be read
        return False


def output_name(relative: Path) -> Path:
    """Return where the result of `relative` goes, relative to the output folder: the same place and name.

    Where the suffix cannot be written, `.png` is added: `x.gif` -> `x.gif.png`. So that this name stays free,
    `x.gif.png` itself becomes `x.gif.png.png`. No two inputs with a suffix in SUFFIXES share an output.
    """
    suffix = relative.suffix.lower()
    bare = PurePath(relative.name)
    while bare.suffix.lower() == ".png":
        bare = bare.with_suffix("")
    if suffix in _WRITTEN and bare.suffix.lower() not in SUFFIXES - _WRITTEN:
        return relative
    return relative.with_name(relative.name + ".png")


# --- writing --------------------------------------------------------------------------------------


def write_picture(path: Path, picture: Picture, *, overwrite: bool = False) -> None:
    """Write `picture` in the format that the suffix of `path` names; the file is whole or not there.

    Missing folders are made.

    Raises:
        OutputError: the file exists (and not `overwrite`), cannot be written, or is too large for the format.
    """
    if not overwrite and os.path.lexists(path):
        _refuse_overwrite(path)
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
        kinds = ", ".join(sorted(suffix[1:] for suffix in _WRITTEN))
        raise OutputError(f"cannot write {path}: unknown suffix", hint=f"Use one of: {kinds}.")
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
        raise OutputError(f"cannot write {path}: out of memory", hint="Close other programs.") from error
    except (OSError, ValueError, KeyError, RuntimeError, struct.error, cv2.error) as error:
        raise OutputError(
            f"cannot write {path}: encoding failed ({_first_line(error)})", hint="Write .png instead."
        ) from error


def write_whole(
    path: Path,
    content: bytes | memoryview,
    *,
    overwrite: bool = False,
    make_folder: bool = True,
    when_safe: Callable[[os.stat_result], None] | None = None,
) -> None:
    """Write `content` beside `path` under a hidden name, then rename it; a failed write leaves nothing.

    Args:
        make_folder: and those above it, where they are missing.
        when_safe: called when the content is on the disk and has yet to take its name, with what stat will say of it.

    Raises:
        OutputError: the file exists (and not `overwrite`), or folder or file cannot be written.
    """
    temporary = path.with_name(f".sgt-{secrets.token_hex(8)}.tmp")
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the name with nothing behind it
        if when_safe is not None:
            when_safe(temporary.stat())
        if overwrite:
            temporary.replace(path)
        else:
            _rename_unless_there(temporary, path)
    except FileExistsError as error:
        if os.path.lexists(path):
            _refuse_overwrite(path)
        raise OutputError(
            f"cannot write {path}: {error.filename} is in the way", hint="Choose another place."
        ) from error
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}", hint=_what_to_do(error)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _rename_unless_there(temporary: Path, path: Path) -> None:
    """os.replace would silently replace what another program has put there meanwhile; a hard link refuses."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # FAT and some network folders have no hard links
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        temporary.replace(path)


def _refuse_overwrite(path: Path) -> NoReturn:
    raise OutputError(f"{path} exists already", hint="Add --overwrite to replace it, or choose another output.")


def _what_to_do(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Make room on that disk, or write to another one."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "Choose a folder that you have the right to write to."
    if error.errno in (errno.ENOTDIR, errno.EISDIR):
        return "A file is where a folder should be, or the other way round; choose another place."
    if error.errno == errno.ENAMETOOLONG:
        return "Choose a shorter name."
    return "Choose another place."


# --- encoders: a Picture in, the bytes of a file out ----------------------------------------------

_JPEG_MOST_EXIF = 65533


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


def in_srgb(picture: Picture) -> Picture:
    """Return `picture` with values in sRGB, in 8 bits; as it is where it has no profile that can be used."""
    profile = _profile(picture.icc)
    if profile is None:
        return picture
    converted = _convert(PIL.Image.fromarray(in_8_bits(picture.image)), profile, "RGB")
    if converted is None:
        return picture
    alpha = None if picture.alpha is None else in_8_bits(picture.alpha)
    return Picture(np.asarray(converted), alpha, None, picture.exif)


def _saved(image: PIL.Image.Image, file_format: str, **options: Any) -> memoryview:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **{name: value for name, value in options.items() if value is not None})
    return buffer.getbuffer()


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
    jpeg_xl.require_plugin("cannot be written")
    return _saved(_pillow_rgba(in_srgb(picture)), "JXL", quality=95, exif=picture.exif)


def _encode_png(picture: Picture) -> bytes | memoryview:
    if picture.image.dtype == np.uint8:
        return _saved(_pillow_rgba(picture), "PNG", icc_profile=picture.icc, exif=picture.exif)
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


def _encode_tiff(picture: Picture) -> bytes:
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
        if tag not in _LAYOUT_TAGS:
            directory[tag] = exif.get_ifd(tag) if tag in (_EXIF_IFD, _GPS_IFD) else exif[tag]


_ENCODERS: dict[str, Callable[[Picture], bytes | memoryview]] = {
    **dict.fromkeys(_JPEG_SUFFIXES, _encode_jpeg),
    ".png": _encode_png,
    ".webp": _encode_webp,
    ".tif": _encode_tiff,
    ".tiff": _encode_tiff,
    ".bmp": _encode_bmp,
    ".avif": _encode_avif,
    ".jp2": _encode_jp2,
    ".j2k": _encode_j2k,
    jpeg_xl.SUFFIX: _encode_jxl,
}
_LONGEST_SIDE = {**dict.fromkeys(_JPEG_SUFFIXES, 65500), ".webp": 16383, ".avif": 65536}
