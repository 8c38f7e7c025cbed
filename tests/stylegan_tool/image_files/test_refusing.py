import os
import zlib
from pathlib import Path

import numpy as np
import pytest

from stylegan_tool.image_files.picture import Picture
from stylegan_tool.image_files.writing import write_picture
from tests.picture_files import DEEP, PNG_SIGNATURE, deep_values, png_chunk, refused, tiff_file


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
    for side in (20_000, 10_000):
        header = side.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
        content = PNG_SIGNATURE + png_chunk(b"IHDR", header)
        content += png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")
        (tmp_path / f"{side}.png").write_bytes(content)
    assert "20000 x 20000" in refused(tmp_path / "20000.png")
    assert "cannot hold" in refused(tmp_path / "10000.png")
    header = b"II*\0" + tiff_file(deep_values())[4:]
    (tmp_path / "x.tif").write_bytes(header.replace((41).to_bytes(4, "little"), (10**8).to_bytes(4, "little"), 1))
    assert "megapixels" in refused(tmp_path / "x.tif")


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
