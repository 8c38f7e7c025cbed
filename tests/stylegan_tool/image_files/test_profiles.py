from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from stylegan_tool.image_files.picture import Picture
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.image_files.writing import write_picture
from tests.picture_files import grey_profile, marked, rgb_profile


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
