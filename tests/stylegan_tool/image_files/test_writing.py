from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stylegan_tool.errors import OutputError
from stylegan_tool.image_files.picture import Picture
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.image_files.writing import encode_picture, write_picture
from stylegan_tool.pixels import in_8_bits
from tests.picture_files import DEEP, LOSSLESS, LOSSY, deep_values, marked


def failed(path: Path, picture: Picture, **options: Any) -> OutputError:
    with pytest.raises(OutputError) as caught:
        write_picture(path, picture, **options)
    assert caught.value.exit_code == 5
    assert caught.value.hint
    return caught.value


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


def test_jpeg_is_written_with_full_colour_resolution(tmp_path: Path) -> None:
    write_picture(tmp_path / "x.jpg", Picture(marked()))
    jpeg = (tmp_path / "x.jpg").read_bytes()
    frame = jpeg.index(b"\xff\xc0")
    assert [jpeg[frame + 11 + 3 * i] for i in range(3)] == [0x11, 0x11, 0x11]


def test_unknown_suffixes_and_sides_too_long_are_refused(tmp_path: Path) -> None:
    assert "png" in failed(tmp_path / "x.gif", Picture(marked())).hint
    long = np.zeros((1, 16384, 3), np.uint8)
    assert "16383" in failed(tmp_path / "x.webp", Picture(long)).what
    failed(tmp_path / "x.jpg", Picture(np.zeros((1, 65501, 3), np.uint8)))


def test_an_existing_file_is_kept_unless_overwriting_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(b"precious")
    assert "--overwrite" in failed(path, Picture(marked())).hint
    assert path.read_bytes() == b"precious"
    write_picture(path, Picture(marked()), overwrite=True)
    assert np.array_equal(read_picture(path).image, marked())
    assert list(tmp_path.iterdir()) == [path]


def test_missing_folders_are_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_picture(tmp_path / "a/b/x.png", Picture(marked()))
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["x.png"]


@pytest.mark.parametrize("suffix", [*LOSSLESS, *LOSSY])
def test_what_is_encoded_is_lent_by_nobody(suffix: str) -> None:
    """Python 3.12 crashes and 3.13 complains where it collects a BytesIO that has lent its memory."""
    content = memoryview(encode_picture(Path(f"x{suffix}"), Picture(marked())))
    assert isinstance(content.obj, bytes)
