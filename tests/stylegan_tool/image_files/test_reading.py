import struct
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from stylegan_tool.errors import InputError
from stylegan_tool.image_files.picture import Picture
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.image_files.writing import write_picture
from tests.models import REPOSITORY
from tests.picture_files import marked, refused, rgb_profile


def test_the_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    PIL.Image.fromarray(marked()).save(tmp_path / "x.jpg", "PNG")
    assert np.array_equal(read_picture(tmp_path / "x.jpg").image, marked())
    (tmp_path / "x.png").write_text("words")
    assert "not a picture" in refused(tmp_path / "x.png")


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


def test_reading_leaves_no_open_file_and_prints_nothing(tmp_path: Path) -> None:
    frames = [PIL.Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    for suffix in (".gif", ".tif", ".mpo", ".webp"):
        frames[0].save(tmp_path / f"x{suffix}", save_all=True, append_images=frames[1:])
    write_picture(tmp_path / "deep.png", Picture(marked(np.uint16), icc=rgb_profile()))
    code = (
        "import sys, pathlib\nfrom stylegan_tool.image_files.naming import find_pictures\n"
        "from stylegan_tool.image_files.reading import check_readable\n"
        "for path in find_pictures(pathlib.Path(sys.argv[1])): check_readable(path)"
    )
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


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


def test_pillows_own_limit_stays_as_the_caller_set_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    PIL.Image.fromarray(marked()).save(tmp_path / "x.png")
    assert read_picture(tmp_path / "x.png").image.shape == (24, 40, 3)
    assert PIL.Image.MAX_IMAGE_PIXELS == 100
