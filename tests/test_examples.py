"""Each example does what it says."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest
from PIL import Image as PilImage

from stylegan_tool.__main__ import main
from tests.models import REPOSITORY

EXAMPLES = REPOSITORY / "examples"
PICTURES = sorted((EXAMPLES / "pictures").iterdir())
PAINTINGS = sorted((EXAMPLES / "paintings").iterdir())


def test_every_file_is_credited() -> None:
    credits_ = (EXAMPLES / "CREDITS.md").read_text(encoding="utf-8")
    for path in [*PICTURES, *PAINTINGS, EXAMPLES / "clip.mp4"]:
        assert f"`{path.relative_to(EXAMPLES).as_posix()}`" in credits_


@pytest.mark.parametrize("path", [*PICTURES, *PAINTINGS], ids=lambda path: path.name)
def test_pictures_are_ordinary_and_say_nothing_of_who_took_them_where(path: Path) -> None:
    with PilImage.open(path) as picture:
        assert max(picture.size) <= 1024
        assert picture.mode == "RGB"
        assert not picture.getexif()


def test_the_clip_has_picture_and_sound() -> None:
    with av.open(str(EXAMPLES / "clip.mp4")) as clip:
        assert sum(1 for _ in clip.decode(video=0)) == 72
        assert len(clip.streams.audio) == 1


def test_make_clip_makes_such_a_clip(tmp_path: Path) -> None:
    target = tmp_path / "clip.mp4"
    script, picture = EXAMPLES / "make_clip.py", EXAMPLES / "pictures" / "mountain.jpg"
    subprocess.run([sys.executable, str(script), str(picture), str(target)], check=True)
    with av.open(str(target)) as clip:
        video = clip.streams.video[0]
        assert (video.width, video.height, video.average_rate) == (480, 270, Fraction(24))
        assert sum(1 for _ in clip.decode(video)) == 72


def test_film_pictures_are_made_and_the_table_falls(tmp_path: Path) -> None:
    code = "import film_pictures as page; from pathlib import Path; page.main(Path('out'), 6)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(EXAMPLES), str(REPOSITORY)])},
        capture_output=True,
        text=True,
    )
    errors = [float(line.split("|")[2]) for line in run.stdout.splitlines()[2:]]
    assert len(errors) == 5
    assert errors == sorted(errors, reverse=True)
    for name in ("side_by_side.jpg", "time_slice.jpg"):
        with PilImage.open(tmp_path / "out" / name) as picture:
            assert picture.width == 3 * 320 + 2 * 8


def test_the_readmes_first_commands(in_folder: Path) -> None:
    assert main(["images", str(EXAMPLES / "pictures" / "cat.jpg"), "painted", "--to", "vangogh"]) == 0
    with PilImage.open(in_folder / "painted" / "cat.jpg") as painted:
        assert painted.size == (451, 300)
