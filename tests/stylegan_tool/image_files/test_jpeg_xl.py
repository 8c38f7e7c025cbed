import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from stylegan_tool.__main__ import main
from stylegan_tool.errors import InputError, MissingError
from stylegan_tool.image_files.jpeg_xl import read_size
from stylegan_tool.image_files.picture import Picture
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.image_files.writing import write_picture


def pack(*fields: tuple[int, int]) -> bytes:
    """Return the codestream whose header is these (value, bits), lowest first."""
    value = position = 0
    for field, bits in fields:
        value |= field << position
        position += bits
    return b"\xff\x0a" + value.to_bytes(12, "little")


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


LARGE = pack((0, 1), (3, 2), (99_999, 30), (0, 3), (3, 2), (199_999, 30))
SIGNATURE = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ")


@pytest.mark.parametrize(
    ("content", "size"),
    [
        pytest.param(pack((1, 1), (3, 5), (1, 3)), (32, 32), id="small square"),
        pytest.param(pack((1, 1), (1, 5), (0, 3), (4, 5)), (40, 16), id="small"),
        pytest.param(pack((0, 1), (1, 2), (1079, 13), (5, 3)), (1920, 1080), id="16:9"),
        pytest.param(LARGE, (200_000, 100_000), id="large"),
        pytest.param(SIGNATURE + box(b"jxlc", LARGE), (200_000, 100_000), id="in a box"),
        pytest.param(
            SIGNATURE + box(b"Exif", b"abcd") + box(b"jxlp", b"\0\0\0\0" + LARGE), (200_000, 100_000), id="parts"
        ),
    ],
)
def test_the_size_is_read_from_the_header(content: bytes, size: tuple[int, int]) -> None:
    assert read_size(io.BytesIO(content)) == size


@pytest.mark.parametrize("content", [b"\xff\x0a", SIGNATURE, SIGNATURE + b"\0\0\0\0brob", b"", SIGNATURE[:-3]])
def test_a_cut_header_has_no_size(content: bytes) -> None:
    with pytest.raises((ValueError, struct.error)):
        read_size(io.BytesIO(content))


def test_a_file_without_the_plugin_names_the_command(
    in_folder: Path, both_ways: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    (in_folder / "x.jxl").write_bytes(LARGE)
    PilImage.new("RGB", (4, 4)).save(in_folder / "x.png")
    with pytest.raises(MissingError, match=r"x\.jxl: JPEG XL needs pip install 'stylegan-tool\[jxl\]'"):
        read_picture(in_folder / "x.jxl")
    assert main(["images", "x.png", "y.jxl", "--model", str(both_ways)]) == 7
    assert main(["images", ".", "out", "--model", str(both_ways)]) == 6
    assert "failed: cannot read x.jxl: JPEG XL needs pip install 'stylegan-tool[jxl]'" in capsys.readouterr().err


class TestWithPlugin:
    @pytest.fixture(autouse=True)
    def plugin(self) -> None:
        pytest.importorskip("pillow_jxl")

    @pytest.mark.parametrize("size", [(1, 1), (8, 8), (16, 9), (300, 200), (31, 257), (1200, 3)])
    def test_its_own_files_promise_the_right_size(self, tmp_path: Path, size: tuple[int, int]) -> None:
        write_picture(tmp_path / "x.jxl", Picture(np.zeros((size[1], size[0], 3), np.uint8)))
        with (tmp_path / "x.jxl").open("rb") as file:
            assert read_size(file) == size

    def test_colours_alpha_and_exif_come_through(self, tmp_path: Path) -> None:
        image = np.zeros((20, 30, 3), np.uint8)
        image[:, 15:] = (200, 100, 50)
        alpha = np.full((20, 30), 128, np.uint8)
        exif = PilImage.Exif()
        exif[271] = "a camera"
        exif[274] = 6  # ours are upright, whatever this says
        write_picture(
            tmp_path / "x.jxl", Picture(image, alpha, None, b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0"))
        )
        again = read_picture(tmp_path / "x.jxl")
        assert again.image.shape == image.shape
        assert np.abs(again.image.astype(int) - image).mean() < 2
        assert again.alpha is not None
        assert np.array_equal(again.alpha, alpha)
        assert again.exif is not None
        kept = PilImage.Exif()
        kept.load(again.exif)
        assert (kept[271], kept[274]) == ("a camera", 1)

    def test_a_jpeg_inside_is_turned_upright(self, tmp_path: Path) -> None:
        exif = PilImage.Exif()
        exif[274] = 6
        picture = PilImage.new("RGB", (32, 16), "red")
        picture.paste("blue", (0, 0, 16, 16))
        picture.save(tmp_path / "x.jpg", exif=exif, quality=95)
        with PilImage.open(tmp_path / "x.jpg") as opened, pytest.warns(UserWarning, match="JPEG reconstruction"):
            opened.save(tmp_path / "x.jxl")
        expected, found = read_picture(tmp_path / "x.jpg").image, read_picture(tmp_path / "x.jxl").image
        assert found.shape == expected.shape == (32, 16, 3)
        assert np.abs(found.astype(int) - expected).max() < 8

    def test_bombs_and_damage_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "bomb.jxl").write_bytes(LARGE)
        with pytest.raises(InputError, match="200000 x 100000 pixels"):
            read_picture(tmp_path / "bomb.jxl")
        write_picture(tmp_path / "x.jxl", Picture(np.zeros((50, 60, 3), np.uint8)))
        whole = (tmp_path / "x.jxl").read_bytes()
        for end in (2, 5, 12, len(whole) // 2, len(whole) - 2):
            (tmp_path / "cut.jxl").write_bytes(whole[:end])
            with pytest.raises(InputError, match=r"cut\.jxl"):
                read_picture(tmp_path / "cut.jxl")
