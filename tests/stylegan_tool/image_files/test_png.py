import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stylegan_tool.errors import InputError
from stylegan_tool.image_files.picture import Picture
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.image_files.writing import write_picture
from tests.picture_files import PNG_SIGNATURE, as_stored, deep_values, exif_with, marked, png_chunk

ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def test_an_exif_block_behind_the_pixels_of_a_16_bit_png_counts(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    write_picture(path, Picture(as_stored(marked(np.uint16), 6)))
    png = path.read_bytes()
    chunk = png_chunk(b"eXIf", exif_with(6)[6:])
    path.write_bytes(png[:-12] + chunk + png[-12:])
    assert np.array_equal(read_picture(path).image, marked(np.uint16))


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_the_transparent_grey_of_a_png_is_found_at_every_depth(tmp_path: Path, bits: int) -> None:
    key = 1 if bits < 8 else 77
    row = np.array([0, key] * 4, dtype=np.uint32)
    packed = int("".join(f"{value:0{bits}b}" for value in row), 2).to_bytes(bits, "big")
    header = (8).to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes([bits, 0, 0, 0, 0])
    content = PNG_SIGNATURE + png_chunk(b"IHDR", header) + png_chunk(b"tRNS", key.to_bytes(2, "big"))
    content += png_chunk(b"IDAT", zlib.compress(b"\0" + packed)) + png_chunk(b"IEND", b"")
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
    key = png_chunk(b"tRNS", (1001).to_bytes(2, "big") * 3)
    (tmp_path / "x.png").write_bytes(png[:33] + key + png[33:])
    alpha = read_picture(tmp_path / "x.png").alpha
    assert alpha is not None
    assert alpha[0, 0] == 0
    assert (alpha.reshape(-1)[1:] == 65535).all()


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
        path.write_bytes(PNG_SIGNATURE + b"".join(png_chunk(kind, data) for kind, data in chunks))
        np.testing.assert_array_equal(read_picture(path).image, image)
