from pathlib import Path

import numpy as np
import pytest

from stylegan_tool.errors import InputError
from stylegan_tool.image_files.reading import read_picture
from tests.picture_files import big_tiff_file, deep_values, refused, tiff_file


def test_grey_with_alpha_in_a_16_bit_tiff_is_read_exactly(tmp_path: Path) -> None:
    samples = deep_values(channels=2)
    (tmp_path / "x.tif").write_bytes(tiff_file(samples, t262=1, t338=2))
    picture = read_picture(tmp_path / "x.tif")
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, samples[..., 1])
    assert np.array_equal(picture.image, np.repeat(samples[..., :1], 3, axis=2))


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bits_of_a_big_tiff_are_not_cut_to_8(tmp_path: Path, channels: int) -> None:
    samples = deep_values(channels=channels)
    (tmp_path / "x.tif").write_bytes(big_tiff_file(samples))
    picture = read_picture(tmp_path / "x.tif")
    assert np.array_equal(picture.image, samples[..., :3])
    if channels == 4:
        assert picture.alpha is not None
        assert np.array_equal(picture.alpha, samples[..., 3])


def test_a_big_endian_big_tiff_is_refused_with_what_makes_a_little_endian_one_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a scan.tif"
    path.write_bytes(big_tiff_file(deep_values(channels=3), ">"))
    assert "big-endian BigTIFF" in refused(path)
    with pytest.raises(InputError) as caught:
        read_picture(path)
    assert caught.value.hint.endswith(f"tiffcp -8 -L '{path}' '{tmp_path / 'a scan-little.tif'}'")


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
