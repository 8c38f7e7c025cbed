"""Small pictures in every format that is read, as bytes: what the corpus damages."""

import functools
import io
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageCms

from stylegan_tool.image_files.picture import Picture
from stylegan_tool.image_files.writing import write_picture

HEIGHT, WIDTH = 20, 26


@functools.cache
def _rgb() -> NDArray[np.uint8]:
    """A picture with structure, so that compression has something to do."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    noise = np.random.default_rng(0).integers(0, 40, (HEIGHT, WIDTH, 3))
    return (np.dstack((rows * 9, columns * 8, rows * columns // 3)) % 200 + noise).astype(np.uint8)


def _saved(image: PIL.Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def _image(mode: str = "RGB") -> PIL.Image.Image:
    return PIL.Image.fromarray(_rgb()).convert(mode)


def _with_alpha(value: int | None = None) -> PIL.Image.Image:
    image = _image("RGBA")
    ramp = np.linspace(0, 255, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) if value is None else np.full((20, 26), value)
    image.putalpha(PIL.Image.fromarray(ramp.astype(np.uint8)))
    return image


def _jpeg_with_all() -> bytes:
    """A camera's JPEG: EXIF with an orientation and a thumbnail's place, and a colour profile."""
    exif = PIL.Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x8825] = 6, "Camera", {1: "N", 2: (50.0, 1.0, 2.0)}
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return _saved(_image(), "JPEG", exif=exif, icc_profile=profile, quality=90)


def _animated(file_format: str, **options: object) -> bytes:
    frames = [PIL.Image.fromarray(np.roll(_rgb(), shift, 1)) for shift in range(3)]
    return _saved(frames[0], file_format, save_all=True, append_images=frames[1:], **options)


def _deep_png(channels: int) -> bytes:
    deep = np.dstack([_rgb()] * 2)[..., :channels].astype(np.uint16) * 257
    return bytes(cv2.imencode(".png", deep)[1].tobytes())


def _deep_tiff(*, alpha: bool) -> bytes:
    deep = _rgb().astype(np.uint16) * 257
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deep.tif"
        write_picture(path, Picture(deep, deep[..., 0].copy() if alpha else None))
        return path.read_bytes()


def float_tiff(values: NDArray[np.float32]) -> bytes:
    """A TIFF of grey float32."""
    return _saved(PIL.Image.fromarray(values), "TIFF")


def bare_tiff(photometric: int, bits: tuple[int, ...], data: bytes, *, big: bool = False, planar: int = 1) -> bytes:
    """An uncompressed TIFF of WIDTH x HEIGHT in one strip, of kinds that no writer here makes."""
    start = 16 if big else 8
    offset, count = ("<Q", "<HHQ8s") if big else ("<I", "<HHI4s")
    long_kind = 16 if big else 4
    room = 8 if big else 4
    packed_bits = struct.pack(f"<{len(bits)}H", *bits)
    where = start + len(data)  # of the bits, if they do not fit in
    where += where % 2
    bits_value = packed_bits if len(packed_bits) <= room else struct.pack(offset, where)
    tags = [
        (256, 3, 1, struct.pack("<H", WIDTH)),
        (257, 3, 1, struct.pack("<H", HEIGHT)),
        (258, 3, len(bits), bits_value),
        (259, 3, 1, struct.pack("<H", 1)),
        (262, 3, 1, struct.pack("<H", photometric)),
        (273, long_kind, 1, struct.pack(offset, start)),
        (277, 3, 1, struct.pack("<H", len(bits))),
        (278, 3, 1, struct.pack("<H", HEIGHT)),
        (279, long_kind, 1, struct.pack(offset, len(data))),
        (284, 3, 1, struct.pack("<H", planar)),
    ]
    body = data + bytes(len(data) % 2) + packed_bits
    directory = b"".join(struct.pack(count, tag, kind, number, value) for tag, kind, number, value in tags)
    n_tags = struct.pack("<Q" if big else "<H", len(tags))
    head = b"II+\0\x08\0\0\0" if big else b"II*\0"
    return head + struct.pack(offset, start + len(body)) + body + n_tags + directory + bytes(room)


def _pixels(channels: int, itemsize: int = 1) -> bytes:
    return np.random.default_rng(1).bytes(WIDTH * HEIGHT * channels * itemsize)


# Name -> (suffix, how it is made).
FORMATS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "jpeg": (".jpg", _jpeg_with_all),
    "progressive jpeg": (".jpg", lambda: _saved(_image(), "JPEG", progressive=True)),
    "cmyk jpeg": (".jpg", lambda: _saved(_image("CMYK"), "JPEG")),
    "grey jpeg": (".jpeg", lambda: _saved(_image("L"), "JPEG")),
    "mpo": (".mpo", lambda: _animated("MPO")),
    "png": (".png", lambda: _saved(_with_alpha(), "PNG")),
    "palette png": (".png", lambda: _saved(_image().quantize(16), "PNG", transparency=3)),
    "16-bit png": (".png", lambda: _deep_png(3)),
    "16-bit grey png": (".png", lambda: _deep_png(1)),
    "16-bit png with alpha": (".png", lambda: _deep_png(4)),
    "webp": (".webp", lambda: _saved(_image(), "WEBP")),
    "lossless webp": (".webp", lambda: _saved(_with_alpha(), "WEBP", lossless=True)),
    "animated webp": (".webp", lambda: _animated("WEBP")),
    "gif": (".gif", lambda: _saved(_image().quantize(32), "GIF")),
    "animated gif": (".gif", lambda: _animated("GIF")),
    "bmp": (".bmp", lambda: _saved(_image(), "BMP")),
    "ppm": (".ppm", lambda: _saved(_image(), "PPM")),
    "plain pgm": (".pgm", lambda: b"P2 3 2 255\n 1 2 3\n 4 5 6\n"),
    "avif": (".avif", lambda: _saved(_image(), "AVIF")),
    "jpeg 2000": (".jp2", lambda: _saved(_image(), "JPEG2000")),
    "tiff": (".tif", lambda: _saved(_image(), "TIFF")),
    "lzw tiff": (".tif", lambda: _saved(_image(), "TIFF", compression="tiff_lzw")),
    "deflate tiff": (".tif", lambda: _saved(_with_alpha(), "TIFF", compression="tiff_adobe_deflate")),
    "jpeg tiff": (".tif", lambda: _saved(_image(), "TIFF", compression="jpeg")),
    "fax tiff": (".tif", lambda: _saved(_image("1"), "TIFF", compression="group4")),
    "float tiff": (".tif", lambda: float_tiff((_rgb()[..., 0] / 255).astype(np.float32))),
    "16-bit tiff": (".tiff", lambda: _deep_tiff(alpha=False)),
    "16-bit tiff with alpha": (".tiff", lambda: _deep_tiff(alpha=True)),
    "lab tiff": (".tif", lambda: bare_tiff(8, (8, 8, 8), _pixels(3))),
    "big tiff": (".tif", lambda: bare_tiff(2, (8, 8, 8), _pixels(3), big=True)),
    "16-bit big tiff": (".tif", lambda: bare_tiff(2, (16, 16, 16), _pixels(3, 2), big=True)),
    "16-bit grey tiff": (".tif", lambda: bare_tiff(1, (16,), _pixels(1, 2))),
    "planar tiff": (".tif", lambda: bare_tiff(2, (8, 8, 8), _pixels(3), planar=2)),
}


@functools.cache
def whole(name: str) -> bytes:
    """Return the file of format `name`."""
    return FORMATS[name][1]()


def sized(width: int, height: int, file_format: str) -> bytes:
    """Return a flat picture of any size, in a format of Pillow's."""
    return _saved(PIL.Image.new("RGB", (width, height), (90, 120, 200)), file_format)


def transparent(file_format: str) -> bytes:
    """Return a picture of which nothing can be seen."""
    return _saved(_with_alpha(0), file_format, **({"lossless": True} if file_format == "WEBP" else {}))
