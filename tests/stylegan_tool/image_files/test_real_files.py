import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from stylegan_tool.image_files.reading import check_readable, read_picture
from stylegan_tool.image_files.tiff import encode_tiff
from stylegan_tool.image_files.writing import write_picture
from tests.models import REPOSITORY
from tests.picture_files import orientation_in, refused

DATA = REPOSITORY.parent / "shared/data/images"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared pictures are not beside this checkout")


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
    encoded = encode_tiff(picture)
    with PIL.Image.open(io.BytesIO(encoded)) as opened:  # another reader agrees, in its 8 bits
        assert np.array_equal(np.asarray(opened), picture.image >> 8)
