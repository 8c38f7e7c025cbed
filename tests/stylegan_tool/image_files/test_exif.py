from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from stylegan_tool.image_files.picture import Picture
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.image_files.writing import write_picture
from tests.picture_files import DEEP, as_stored, deep_values, exif_with, marked, orientation_in, rgb_profile


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
