import errno
import functools
import io
import os
import string
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import ImageCms, TiffImagePlugin

from stylegan_tool import image_files
from stylegan_tool.errors import InputError, OutputError
from stylegan_tool.image_files import (
    SUFFIXES,
    Picture,
    check_readable,
    encode_picture,
    find_pictures,
    output_name,
    read_picture,
    write_picture,
)
from stylegan_tool.pixels import in_8_bits

DATA = Path(__file__).parents[2].parent / "shared/data/images"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared pictures are not beside this checkout")

LOSSLESS = [".png", ".tif", ".tiff", ".bmp", ".jp2"]
LOSSY = [".jpg", ".jpeg", ".webp", ".avif"]
DEEP = [".png", ".tif"]


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


# --- orientation and EXIF


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_all_orientations_are_turned_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = tmp_path / f"x{suffix}"
    stored = PIL.Image.fromarray(as_stored(marked(), orientation))
    options: dict[str, Any] = {"quality": 100, "subsampling": 0} if suffix == ".jpg" else {}
    options |= {"lossless": True} if suffix == ".webp" else {}
    stored.save(path, exif=exif_with(orientation), **options)
    picture = read_picture(path)
    assert picture.image.shape == (24, 40, 3)
    assert np.abs(picture.image.astype(int) - marked()).max() <= (4 if suffix == ".jpg" else 0)
    assert orientation_in(picture.exif) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", DEEP)
@pytest.mark.parametrize("with_alpha", [False, True], ids=["rgb", "rgba"])
def test_all_orientations_are_turned_upright_at_16_bits(
    tmp_path: Path, suffix: str, orientation: int, with_alpha: bool
) -> None:
    path = tmp_path / f"x{suffix}"
    image, alpha = deep_values(), deep_values(channels=1)[..., 0]
    write_picture(
        path,
        Picture(
            as_stored(image, orientation),
            as_stored(alpha, orientation) if with_alpha else None,
            exif=exif_with(orientation),
        ),
    )
    picture = read_picture(path)
    assert np.array_equal(picture.image, image)
    assert picture.alpha is None if not with_alpha else np.array_equal(picture.alpha, alpha)  # type: ignore[arg-type]
    assert orientation_in(picture.exif) == 1


@pytest.mark.parametrize("orientation", [0, 9, 255])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_orientations_that_do_not_exist_are_ignored(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = tmp_path / f"x{suffix}"
    PIL.Image.fromarray(marked()).save(path, exif=exif_with(orientation))
    assert read_picture(path).image.shape == (24, 40, 3)


def test_an_exif_block_behind_the_pixels_of_a_16_bit_png_counts(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    write_picture(path, Picture(as_stored(marked(np.uint16), 6)))
    png = path.read_bytes()
    chunk = image_files._png_chunk(b"eXIf", exif_with(6)[6:])
    path.write_bytes(png[:-12] + chunk + png[-12:])
    assert np.array_equal(read_picture(path).image, marked(np.uint16))


@pytest.mark.parametrize("block", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0garbage garbage"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_bad_exif_is_dropped_and_never_fatal(tmp_path: Path, suffix: str, block: bytes) -> None:
    path = tmp_path / f"x{suffix}"
    PIL.Image.fromarray(marked()).save(path, exif=block)
    picture = read_picture(path)
    assert picture.image.shape == (24, 40, 3)
    assert picture.exif is None


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_exif_and_profile_are_written_back(tmp_path: Path, suffix: str, dtype: type) -> None:
    exif = PIL.Image.Exif()
    exif[271] = "Maker"
    exif.get_ifd(34665)[37386] = 50.0  # focal length
    exif.get_ifd(34853)[1] = "N"
    path = tmp_path / f"x{suffix}"
    write_picture(path, Picture(marked(dtype), icc=rgb_profile(), exif=exif.tobytes()))
    picture = read_picture(path)
    assert picture.icc == rgb_profile()
    kept = PIL.Image.Exif()
    kept.load(picture.exif or b"")
    assert kept[271] == "Maker"
    assert kept.get_ifd(34665)[37386] == 50.0
    assert kept.get_ifd(34853)[1] == "N"


def test_exif_from_a_tiff_says_nothing_about_how_its_pixels_lie(tmp_path: Path) -> None:
    PIL.Image.fromarray(marked()).save(tmp_path / "x.tif", description="a view", compression="tiff_lzw")
    exif = PIL.Image.Exif()
    exif.load(read_picture(tmp_path / "x.tif").exif or b"")
    assert exif[270] == "a view"
    assert not set(exif) & {256, 257, 258, 259, 262, 273, 277, 278, 279, 317, 339}


def test_exif_too_long_for_a_jpeg_does_not_stop_it(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[270] = "x" * 70000
    write_picture(tmp_path / "x.jpg", Picture(marked(), exif=exif.tobytes()))
    assert read_picture(tmp_path / "x.jpg").image.shape == (24, 40, 3)


# --- values


@pytest.mark.parametrize("suffix", LOSSLESS + LOSSY)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channel", [0, 1, 2], ids=["red", "green", "blue"])
def test_colours_stay_themselves(tmp_path: Path, suffix: str, dtype: type, channel: int) -> None:
    image: NDArray[Any] = np.zeros((16, 16, 3), dtype)
    image[..., channel] = np.iinfo(dtype).max
    write_picture(tmp_path / f"x{suffix}", Picture(image))
    back = read_picture(tmp_path / f"x{suffix}").image
    scaled = back.astype(float) / np.iinfo(back.dtype).max * 255
    tolerance = 3.0 if suffix in LOSSY else 0.0
    assert np.abs(scaled - (image > 0) * 255).max() <= tolerance


@pytest.mark.parametrize("suffix", DEEP)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (37, 41), (700, 300)])
@pytest.mark.parametrize("with_alpha", [False, True], ids=["rgb", "rgba"])
def test_16_bit_values_are_equal_after_writing_and_reading(
    tmp_path: Path, suffix: str, shape: tuple[int, int], with_alpha: bool
) -> None:
    values = deep_values(*shape, 4)
    picture = Picture(values[..., :3].copy(), values[..., 3].copy() if with_alpha else None)
    write_picture(tmp_path / f"x{suffix}", picture)
    back = read_picture(tmp_path / f"x{suffix}")
    assert back.image.dtype == np.uint16
    assert np.array_equal(back.image, picture.image)
    assert (back.alpha is None) == (not with_alpha)
    if back.alpha is not None and picture.alpha is not None:
        assert np.array_equal(back.alpha, picture.alpha)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".jp2"])
def test_16_bits_become_8_by_rounding(tmp_path: Path, suffix: str) -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    picture = Picture(np.repeat(ramp[..., None], 3, axis=2))
    assert np.array_equal(in_8_bits(ramp), np.rint(ramp / 257.0))
    write_picture(tmp_path / f"x{suffix}", picture)
    back = read_picture(tmp_path / f"x{suffix}").image
    expected = picture.image if suffix in DEEP else np.rint(picture.image / 257.0)
    assert np.array_equal(back, expected)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".jp2", ".avif"])
def test_alpha_and_the_colours_under_it_survive(tmp_path: Path, suffix: str) -> None:
    alpha = np.zeros((24, 40), np.uint8)
    alpha[:, 20:] = 255
    alpha[10:14] = 100
    write_picture(tmp_path / f"x{suffix}", Picture(marked(), alpha))
    back = read_picture(tmp_path / f"x{suffix}")
    assert back.alpha is not None
    assert np.abs(back.alpha.astype(int) - alpha).max() <= (3 if suffix == ".avif" else 0)
    # JPEG-like coding blurs edges, but under transparency the colours must not have gone black
    difference = np.abs(back.image.astype(int) - marked())
    assert difference.max() == 0 if suffix in LOSSLESS else difference.mean() < 12


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_where_there_is_no_alpha_the_picture_is_laid_over_white(tmp_path: Path, suffix: str) -> None:
    black = np.zeros((16, 16, 3), np.uint8)
    for level in (0, 100, 255):
        write_picture(tmp_path / f"{level}{suffix}", Picture(black, np.full((16, 16), level, np.uint8)))
        back = read_picture(tmp_path / f"{level}{suffix}")
        assert back.alpha is None
        assert np.abs(back.image.astype(int) - (255 - level)).max() <= 1


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGB", "LA", "RGBA", "CMYK", "I;16"])
def test_every_mode_shows_the_same_picture(tmp_path: Path, mode: str) -> None:
    grey = np.zeros((16, 16), np.uint8)
    grey[:8] = 255
    source = PIL.Image.fromarray(grey)
    if mode == "I;16":
        source = PIL.Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode != "L":
        source = (source.convert("RGB") if mode in ("P", "CMYK") else source).convert(mode)
    source.save(tmp_path / "x.tif")
    picture = read_picture(tmp_path / "x.tif")
    factor = 257 if mode == "I;16" else 1
    assert picture.image.dtype == (np.uint16 if mode == "I;16" else np.uint8)
    assert np.array_equal(picture.image, np.repeat(grey[..., None], 3, axis=2).astype(int) * factor)
    assert (picture.alpha is not None) == mode.endswith("A")


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_the_transparent_grey_of_a_png_is_found_at_every_depth(tmp_path: Path, bits: int) -> None:
    key = 1 if bits < 8 else 77
    row = np.array([0, key] * 4, dtype=np.uint32)
    packed = int("".join(f"{value:0{bits}b}" for value in row), 2).to_bytes(bits, "big")
    chunk = image_files._png_chunk
    header = (8).to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes([bits, 0, 0, 0, 0])
    content = image_files._PNG_SIGNATURE + chunk(b"IHDR", header) + chunk(b"tRNS", key.to_bytes(2, "big"))
    content += chunk(b"IDAT", zlib.compress(b"\0" + packed)) + chunk(b"IEND", b"")
    (tmp_path / "x.png").write_bytes(content)
    picture = read_picture(tmp_path / "x.png")
    most = 65535 if bits == 16 else 255
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[most, 0] * 4]
    assert picture.image[0, 1, 0] == (key * 255 // (2**bits - 1) if bits < 8 else key)


def test_the_transparent_colour_of_a_16_bit_png_is_compared_in_16_bits(tmp_path: Path) -> None:
    image = np.full((4, 4, 3), 1000, np.uint16)
    image[0, 0] = 1001  # the same as the others once cut to 8 bits
    write_picture(tmp_path / "x.png", Picture(image))
    png = (tmp_path / "x.png").read_bytes()
    key = image_files._png_chunk(b"tRNS", (1001).to_bytes(2, "big") * 3)
    (tmp_path / "x.png").write_bytes(png[:33] + key + png[33:])
    alpha = read_picture(tmp_path / "x.png").alpha
    assert alpha is not None
    assert alpha[0, 0] == 0
    assert (alpha.reshape(-1)[1:] == 65535).all()


@pytest.mark.parametrize("name", ["palette.png", "palette.gif"])
def test_palettes_keep_their_transparency_and_colours(tmp_path: Path, name: str) -> None:
    source = PIL.Image.new("P", (16, 16), 1)
    source.putpalette([255, 0, 0, 0, 0, 255])
    source.paste(0, (0, 0, 8, 16))
    source.save(tmp_path / name, transparency=0)
    picture = read_picture(tmp_path / name)
    assert picture.alpha is not None
    assert (picture.alpha[:, :8] == 0).all()
    assert (picture.alpha[:, 8:] == 255).all()
    assert (picture.image[:, :8] == (255, 0, 0)).all()
    assert (picture.image[:, 8:] == (0, 0, 255)).all()


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


def test_grey_with_alpha_in_a_16_bit_tiff_is_read_exactly(tmp_path: Path) -> None:
    samples = deep_values(channels=2)
    (tmp_path / "x.tif").write_bytes(tiff_file(samples, t262=1, t338=2))
    picture = read_picture(tmp_path / "x.tif")
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, samples[..., 1])
    assert np.array_equal(picture.image, np.repeat(samples[..., :1], 3, axis=2))


def big_tiff_file(samples: NDArray[np.uint16]) -> bytes:
    """The same as a BigTIFF, in which places and counts have 8 bytes."""
    height, width, n_samples = samples.shape
    bits = struct.pack(f"<{n_samples}H", *[16] * n_samples)
    place = 16 + 8 + 20 * 10 + 8
    entries = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, 2), (273, 16, place)]
    entries += [(277, 3, n_samples), (278, 4, height), (279, 16, samples.nbytes), (338, 3, 2)]
    directory = b""
    for tag, kind, value in entries:
        letter = {3: "H", 4: "I", 16: "Q"}[kind]
        count, packed = (n_samples, value) if isinstance(value, bytes) else (1, struct.pack("<" + letter, value))
        directory += struct.pack("<HHQ", tag, kind, count) + packed.ljust(8, b"\0")
    head = b"II" + struct.pack("<HHHQQ", 43, 8, 0, 16, len(entries))
    return head + directory + bytes(8) + samples.astype("<u2").tobytes()


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bits_of_a_big_tiff_are_not_cut_to_8(tmp_path: Path, channels: int) -> None:
    samples = deep_values(channels=channels)
    (tmp_path / "x.tif").write_bytes(big_tiff_file(samples))
    picture = read_picture(tmp_path / "x.tif")
    assert np.array_equal(picture.image, samples[..., :3])
    if channels == 4:
        assert picture.alpha is not None
        assert np.array_equal(picture.alpha, samples[..., 3])


def test_premultiplied_16_bit_values_are_divided_by_their_alpha(tmp_path: Path) -> None:
    true = deep_values(channels=4)
    true[..., 3] |= 0x8000
    stored = true.copy()
    stored[..., :3] = np.rint(true[..., :3] * (true[..., 3:] / 65535.0))
    (tmp_path / "x.tif").write_bytes(tiff_file(stored, t338=1))
    assert np.abs(read_picture(tmp_path / "x.tif").image.astype(int) - true[..., :3]).max() <= 1


def test_a_fourth_sample_that_is_no_alpha_is_left_out(tmp_path: Path) -> None:
    samples = deep_values(channels=4)
    (tmp_path / "x.tif").write_bytes(tiff_file(samples, t338=0))
    picture = read_picture(tmp_path / "x.tif")
    assert picture.alpha is None
    assert np.array_equal(picture.image, samples[..., :3])


def test_16_bit_planes_that_lie_apart_are_refused_and_not_misread(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(tiff_file(deep_values(), t284=2))
    with pytest.raises(InputError, match="separate planes"):
        read_picture(tmp_path / "x.tif")


def test_white_is_white_where_0_means_white(tmp_path: Path) -> None:
    samples = deep_values(channels=1)
    (tmp_path / "x.tif").write_bytes(tiff_file(samples, t262=0))
    assert np.array_equal(read_picture(tmp_path / "x.tif").image[..., 0], 65535 - samples[..., 0])


def test_floats_from_0_to_1_are_read_and_others_refused(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    PIL.Image.fromarray(ramp).save(tmp_path / "good.tif")
    assert np.array_equal(read_picture(tmp_path / "good.tif").image[..., 0], np.rint(ramp * 65535))
    PIL.Image.fromarray(ramp * 255).save(tmp_path / "bad.tif")
    with pytest.raises(InputError, match="0 to 255"):
        read_picture(tmp_path / "bad.tif")
    PIL.Image.fromarray(ramp * np.float32("nan")).save(tmp_path / "nan.tif")
    with pytest.raises(InputError, match="nan"):
        read_picture(tmp_path / "nan.tif")


def test_lab_red_is_red(tmp_path: Path) -> None:
    lab = PIL.Image.merge("LAB", [PIL.Image.new("L", (8, 8), v) for v in (138, 209, 198)])  # 54, 81, 70
    lab.save(tmp_path / "x.tif")
    assert np.abs(read_picture(tmp_path / "x.tif").image.astype(int) - (255, 0, 0)).max() < 16


def test_only_the_first_frame_is_read(tmp_path: Path) -> None:
    frames = [PIL.Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    for suffix in (".gif", ".webp", ".png", ".tif", ".mpo"):
        path = tmp_path / f"x{suffix}"
        options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
        frames[0].save(path, save_all=True, append_images=frames[1:], **options)
        assert np.abs(read_picture(path).image.astype(int) - (255, 0, 0)).max() <= 2, suffix


# --- profiles


@pytest.mark.parametrize("adobe", [False, True], ids=["plain", "adobe-inverted"])
def test_cmyk_red_is_red_without_a_profile(tmp_path: Path, adobe: bool) -> None:
    red = PIL.Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    if adobe:  # Pillow writes the Adobe marker and inverts, as Photoshop does
        red.save(tmp_path / "x.jpg", quality=100)
    else:
        red.save(tmp_path / "x.tif")
    picture = read_picture(next(tmp_path.iterdir()))
    assert np.abs(picture.image.astype(int) - (255, 0, 0)).max() <= 3
    assert picture.icc is None


@pytest.mark.parametrize(
    "icc",
    [b"no profile at all", rgb_profile()[:200], rgb_profile()[:16] + b"\x87GB " + rgb_profile()[20:]],
    ids=["garbage", "cut", "unknown-space"],
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_broken_profile_is_dropped(tmp_path: Path, mode: str, icc: bytes) -> None:
    PIL.Image.new(mode, (8, 8)).save(tmp_path / "x.jpg", icc_profile=icc)
    assert read_picture(tmp_path / "x.jpg").icc is None


def test_rgb_values_are_left_alone_and_their_profile_kept(tmp_path: Path) -> None:
    PIL.Image.fromarray(marked()).save(tmp_path / "x.png", icc_profile=rgb_profile())
    picture = read_picture(tmp_path / "x.png")
    assert np.array_equal(picture.image, marked())
    assert picture.icc == rgb_profile()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_profiles_are_applied_and_dropped(tmp_path: Path, dtype: type) -> None:
    most = np.iinfo(dtype).max
    linear: NDArray[Any] = np.linspace(0, most, 256).round().astype(dtype).reshape(16, 16)
    PIL.Image.fromarray(linear).save(tmp_path / "x.png", icc_profile=grey_profile(1.0))
    picture = read_picture(tmp_path / "x.png")
    fraction = linear / most
    srgb = np.where(fraction <= 0.0031308, 12.92 * fraction, 1.055 * fraction ** (1 / 2.4) - 0.055)
    assert picture.icc is None
    assert np.abs(picture.image[..., 0] / most - srgb).max() < (1.2 / 255 if dtype is np.uint8 else 0.3 / 255)


def test_formats_without_a_profile_get_srgb_values(tmp_path: Path) -> None:
    swapped = bytearray(rgb_profile())  # red and green primaries exchanged: a profile that cannot be overlooked
    red, green = swapped.index(b"rXYZ"), swapped.index(b"gXYZ")
    swapped[red : red + 4], swapped[green : green + 4] = b"gXYZ", b"rXYZ"
    red_values = np.zeros((8, 8, 3), np.uint8)
    red_values[..., 0] = 255
    write_picture(tmp_path / "x.bmp", Picture(red_values, icc=bytes(swapped)))
    assert np.abs(read_picture(tmp_path / "x.bmp").image.astype(int) - (0, 255, 0)).max() <= 2


# --- what is refused


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_picture(path)
    assert str(path) in caught.value.what
    assert "\n" not in caught.value.what
    assert caught.value.exit_code == 3
    return caught.value.what


def test_the_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    PIL.Image.fromarray(marked()).save(tmp_path / "x.jpg", "PNG")
    assert np.array_equal(read_picture(tmp_path / "x.jpg").image, marked())
    (tmp_path / "x.png").write_text("words")
    assert "not a picture" in refused(tmp_path / "x.png")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp", ".webp", ".avif", ".jp2"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_files_cut_off_are_refused(tmp_path: Path, suffix: str, share: float) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    write_picture(tmp_path / f"x{suffix}", Picture(noise))
    whole = (tmp_path / f"x{suffix}").read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(whole[: int(len(whole) * share)])
    refused(tmp_path / f"cut{suffix}")


@pytest.mark.parametrize("suffix", DEEP)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_16_bit_files_cut_off_or_changed_are_refused(tmp_path: Path, suffix: str, share: float) -> None:
    write_picture(tmp_path / f"x{suffix}", Picture(deep_values()))
    whole = (tmp_path / f"x{suffix}").read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(whole[: int(len(whole) * share)])
    refused(tmp_path / f"cut{suffix}")
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 0xFF
    (tmp_path / f"changed{suffix}").write_bytes(changed)
    refused(tmp_path / f"changed{suffix}")


def test_bombs_are_refused_before_decoding_and_named_by_size(tmp_path: Path) -> None:
    chunk = image_files._png_chunk
    for side in (20_000, 10_000):
        header = side.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
        content = image_files._PNG_SIGNATURE + chunk(b"IHDR", header)
        content += chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
        (tmp_path / f"{side}.png").write_bytes(content)
    assert "20000 x 20000" in refused(tmp_path / "20000.png")
    assert "cannot hold" in refused(tmp_path / "10000.png")
    header = b"II*\0" + tiff_file(deep_values())[4:]
    (tmp_path / "x.tif").write_bytes(header.replace((41).to_bytes(4, "little"), (10**8).to_bytes(4, "little"), 1))
    assert "megapixels" in refused(tmp_path / "x.tif")


def test_pillows_own_limit_stays_as_the_caller_set_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    PIL.Image.fromarray(marked()).save(tmp_path / "x.png")
    assert read_picture(tmp_path / "x.png").image.shape == (24, 40, 3)
    assert PIL.Image.MAX_IMAGE_PIXELS == 100


def test_missing_files_folders_and_pipes_are_refused(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "none.png")
    assert "folder" in refused(tmp_path)
    (tmp_path / "empty.jpg").touch()
    assert "empty" in refused(tmp_path / "empty.jpg")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        assert "no ordinary file" in refused(tmp_path / "pipe.png")


@pytest.mark.parametrize(
    ("content", "name"),
    [(b"\0\0\0\x18ftypheic\0\0\0\0mif1", "HEIC"), (b"8BPS\0\1", "Photoshop")],
)
def test_well_known_kinds_that_are_not_read_are_named(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / "x.jpg").write_bytes(content + bytes(64))
    assert name in refused(tmp_path / "x.jpg")


def test_reading_leaves_no_open_file_and_prints_nothing(tmp_path: Path) -> None:
    frames = [PIL.Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    for suffix in (".gif", ".tif", ".mpo", ".webp"):
        frames[0].save(tmp_path / f"x{suffix}", save_all=True, append_images=frames[1:])
    write_picture(tmp_path / "deep.png", Picture(marked(np.uint16), icc=rgb_profile()))
    code = (
        "import sys, pathlib; from stylegan_tool.image_files import *\n"
        "for path in find_pictures(pathlib.Path(sys.argv[1])): check_readable(path)"
    )
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- finding and naming


def test_pictures_are_found_sorted_without_hidden_ones_and_links_in_a_circle_end(tmp_path: Path) -> None:
    for name in ("b/x.PNG", "a.jpg", "b/.hidden.jpg", ".git/x.jpg", "b/notes.txt", "c d/写真.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a_link").symlink_to(tmp_path / "b")
    (tmp_path / "b/up").symlink_to(tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in find_pictures(tmp_path)]
    assert names == ["a.jpg", "b/x.PNG", "c d/写真.webp"]


def test_a_linked_folder_from_elsewhere_is_searched(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/x.jpg").touch()
    (tmp_path / "here").mkdir()
    (tmp_path / "here/link").symlink_to(tmp_path / "elsewhere")
    assert find_pictures(tmp_path / "here") == [tmp_path / "here/link/x.jpg"]


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", Path(__file__)):
        with pytest.raises(InputError, match="cannot list"):
            find_pictures(path)


@pytest.mark.parametrize(
    ("relative", "expected"),
    [
        ("a/x.jpg", "a/x.jpg"),
        ("a/x.JPG", "a/x.JPG"),
        ("a/x.png", "a/x.png"),
        ("shot.v2.png", "shot.v2.png"),
        ("x.gif", "x.gif.png"),
        ("X.GIF", "X.GIF.png"),
        ("x.gif.png", "x.gif.png.png"),
        ("x.jpg.png", "x.jpg.png"),
    ],
)
def test_outputs_keep_their_names_where_the_suffix_can_be_written(relative: str, expected: str) -> None:
    assert output_name(Path(relative)) == Path(expected)


_stems = st.text(alphabet=string.ascii_letters + "._ -é", min_size=1, max_size=4).filter(lambda s: s[0] != ".")
_suffixes = st.sampled_from(sorted(SUFFIXES)).flatmap(lambda s: st.sampled_from([s, s.upper()]))
_names = st.builds(
    lambda folder, stem, suffixes: Path(folder) / (stem + "".join(suffixes)),
    st.sampled_from(["", "a", "a/b"]),
    _stems,
    st.lists(_suffixes, min_size=1, max_size=3),
)


@given(st.lists(_names, min_size=2, max_size=12, unique=True))
def test_no_two_inputs_share_an_output(names: list[Path]) -> None:
    outputs = [output_name(name) for name in names]
    assert len(set(outputs)) == len(outputs)
    for name, output in zip(names, outputs, strict=True):
        assert output.parent == name.parent
        assert output.name.startswith(name.name)
        assert output.suffix.lower() in image_files._ENCODERS


# --- writing


def failed(path: Path, picture: Picture, **options: Any) -> OutputError:
    with pytest.raises(OutputError) as caught:
        write_picture(path, picture, **options)
    assert caught.value.exit_code == 5
    assert caught.value.hint
    return caught.value


def test_missing_folders_are_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_picture(tmp_path / "a/b/x.png", Picture(marked()))
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["x.png"]


def test_an_existing_file_is_kept_unless_overwriting_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(b"precious")
    assert "--overwrite" in failed(path, Picture(marked())).hint
    assert path.read_bytes() == b"precious"
    write_picture(path, Picture(marked()), overwrite=True)
    assert np.array_equal(read_picture(path).image, marked())
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("links", [True, False], ids=["hard-links", "no-hard-links"])
def test_a_file_that_appears_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    path = tmp_path / "x.png"
    link = os.link

    def other_program_first(source: Path, target: Path) -> None:
        path.write_bytes(b"precious")
        if not links:
            raise OSError(errno.EPERM, "no hard links here")
        link(source, target)

    monkeypatch.setattr(os, "link", other_program_first)
    failed(path, Picture(marked()))
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_failing_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    error = failed(tmp_path / "x.png", Picture(marked()))
    assert os.strerror(number) in error.what
    if number == errno.ENOSPC:
        assert "room" in error.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", sorted(image_files._ENCODERS))
def test_what_is_encoded_is_lent_by_nobody(suffix: str) -> None:
    """Python 3.12 crashes and 3.13 complains where it collects a BytesIO that has lent its memory."""
    content = memoryview(encode_picture(Path(f"x{suffix}"), Picture(marked())))
    assert isinstance(content.obj, bytes)


def test_an_interrupted_write_leaves_nothing_and_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "x.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_picture(path, Picture(marked()), overwrite=True)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_the_way_of_a_folder_or_the_other_way_round_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    failed(tmp_path / "file/x.png", Picture(marked()))
    failed(tmp_path / "file/deeper/x.png", Picture(marked()))
    (tmp_path / "folder.png").mkdir()
    failed(tmp_path / "folder.png", Picture(marked()), overwrite=True)


def test_unknown_suffixes_and_sides_too_long_are_refused(tmp_path: Path) -> None:
    assert "png" in failed(tmp_path / "x.gif", Picture(marked())).hint
    long = np.zeros((1, 16384, 3), np.uint8)
    assert "16383" in failed(tmp_path / "x.webp", Picture(long)).what
    failed(tmp_path / "x.jpg", Picture(np.zeros((1, 65501, 3), np.uint8)))


def test_jpeg_is_written_with_full_colour_resolution(tmp_path: Path) -> None:
    write_picture(tmp_path / "x.jpg", Picture(marked()))
    jpeg = (tmp_path / "x.jpg").read_bytes()
    frame = jpeg.index(b"\xff\xc0")
    assert [jpeg[frame + 11 + 3 * i] for i in range(3)] == [0x11, 0x11, 0x11]


# --- the real files


def real_files(*folders: str) -> list[Any]:
    paths = [path for folder in folders for path in sorted((DATA / folder).glob("*")) if path.is_file()]
    return [pytest.param(path, id=f"{path.parent.name}/{path.name}") for path in paths]


BROKEN = ["bomb_header.gif", "broken.png", "corrupt_header.jpg", "text_named.png", "truncated.jpg"]
BROKEN += ["truncated.png", "truncated_end_chunk.png", "zero_bytes.jpg"]


@needs_data
@pytest.mark.parametrize("name", BROKEN)
def test_real_broken_files_are_refused_in_one_line(name: str) -> None:
    refused(DATA / "broken" / name)


@needs_data
@pytest.mark.parametrize("name", ["bad_exif.jpg", "junk_header_but_ok.jpg", "png_named.jpg"])
def test_real_files_that_only_look_broken_are_read(name: str) -> None:
    check_readable(DATA / "broken" / name)


@needs_data
@pytest.mark.parametrize("path", real_files("alpha", "cmyk", "deep", "formats", "gray", "orientation", "photos"))
def test_real_files_are_read_and_survive_png(path: Path, tmp_path: Path) -> None:
    picture = read_picture(path)
    assert picture.image.flags.c_contiguous
    alpha = None if picture.alpha is None else picture.alpha[:300, :300]
    picture = replace(picture, image=picture.image[:300, :300], alpha=alpha)  # enough, and quick
    write_picture(tmp_path / "x.png", picture)
    back = read_picture(tmp_path / "x.png")
    assert np.array_equal(back.image, picture.image)
    assert back.icc == picture.icc
    assert orientation_in(back.exif) in (None, 1)


@needs_data
def test_a_waterfall_shot_in_eight_orientations_looks_the_same() -> None:
    def thumbnail(number: int) -> NDArray[np.float32]:
        image = PIL.Image.fromarray(read_picture(DATA / f"orientation/landscape_{number}.jpg").image)
        return np.asarray(image.convert("L").resize((40, 30)), np.float32)

    first = thumbnail(2)
    for number in range(3, 9):
        assert np.abs(thumbnail(number) - first).mean() < 4, number


@needs_data
def test_a_16_bit_photograph_keeps_every_value_through_tiff() -> None:
    picture = read_picture(DATA / "deep/mountain_rgb16.png")
    assert picture.image.dtype == np.uint16
    assert len(np.unique(picture.image)) > 10_000
    encoded = image_files._encode_tiff(picture)
    with PIL.Image.open(io.BytesIO(encoded)) as opened:  # another reader agrees, in its 8 bits
        assert np.array_equal(np.asarray(opened), picture.image >> 8)


def test_a_link_in_a_circle_is_listed_and_refused_by_name(tmp_path: Path) -> None:
    link = tmp_path / "circle.png"
    link.symlink_to(link)
    assert find_pictures(tmp_path) == [link]
    with pytest.raises(InputError, match=r"circle\.png"):
        read_picture(link)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda png: png.replace(struct.pack(">II", 41, 37), struct.pack(">II", 41, 38)), id="too few"),
        pytest.param(lambda png: png.replace(struct.pack(">II", 41, 37), struct.pack(">II", 41, 36)), id="too many"),
    ],
)
def test_a_16_bit_png_of_another_size_than_it_says_is_refused_in_our_words(
    tmp_path: Path, damage: Callable[[bytes], bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lying.png"
    write_picture(path, Picture(deep_values()))
    png = bytearray(damage(path.read_bytes()))
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    path.write_bytes(png)
    with pytest.raises(InputError, match="bytes of pixels"):
        read_picture(path)
    assert capfd.readouterr().err == ""


ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def test_an_interlaced_16_bit_png_is_read(tmp_path: Path) -> None:
    """In seven passes; the smaller a picture, the more of them are empty."""
    for height, width in ((1, 1), (3, 2), (9, 13)):
        image = deep_values(height, width)
        rows = b""
        for top, left, down, right in ADAM7:
            part = image[top::down, left::right].astype(">u2")
            rows += b"".join(b"\0" + row.tobytes() for row in part if row.size)
        header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 1)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
        path = tmp_path / "interlaced.png"
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + b"".join(
                struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
                for kind, data in chunks
            )
        )
        np.testing.assert_array_equal(read_picture(path).image, image)


def test_what_libraries_find_wrong_is_not_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither by libtiff itself nor by Pillow's logger."""
    path = tmp_path / "damaged.tif"
    PIL.Image.fromarray(marked()).save(path, compression="tiff_adobe_deflate")
    tiff = bytearray(path.read_bytes())
    tiff[40:80] = bytes(40)  # in the compressed pixels
    path.write_bytes(tiff)
    with pytest.raises(InputError):
        read_picture(path)
    PIL.Image.fromarray(marked()).save(path)
    samples = path.read_bytes().replace(struct.pack("<HHI", 277, 3, 1), struct.pack("<HHI", 277, 4, 1))
    path.write_bytes(samples.replace(struct.pack("<HHII", 277, 4, 1, 3), struct.pack("<HHII", 277, 4, 1, 99999)))
    with pytest.raises(InputError):
        read_picture(path)
    assert capfd.readouterr().err == ""


def test_many_threads_may_read_at_once(tmp_path: Path) -> None:
    """Each is kept quiet as long as it reads, and afterwards warnings are as they were."""
    before = warnings.filters[:]
    PIL.Image.fromarray(marked()).save(tmp_path / "good.png")
    damaged = PIL.Image.Exif()
    damaged[271] = "Maker"
    PIL.Image.fromarray(marked()).save(tmp_path / "noisy.jpg", exif=damaged.tobytes()[:-9])  # Pillow warns of it
    with ThreadPoolExecutor(8) as pool:
        pictures = list(pool.map(read_picture, [tmp_path / "noisy.jpg", tmp_path / "good.png"] * 40))
    assert all(np.array_equal(picture.image, marked()) for picture in pictures[1::2])
    assert warnings.filters == before
