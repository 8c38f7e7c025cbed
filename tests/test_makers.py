"""What makes the pages' pictures and the example clip."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image as PilImage

from tests.models import REPOSITORY

DOCS = REPOSITORY / "docs"


def test_make_clip_makes_such_a_clip(tmp_path: Path) -> None:
    target = tmp_path / "clip.mp4"
    script, picture = DOCS / "make_clip.py", REPOSITORY / "examples" / "pictures" / "mountain.jpg"
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
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(DOCS), str(REPOSITORY)])},
        capture_output=True,
        text=True,
    )
    errors = [float(line.split("|")[2]) for line in run.stdout.splitlines()[2:]]
    assert len(errors) == 5
    assert errors == sorted(errors, reverse=True)
    for name in ("side_by_side.jpg", "time_slice.jpg"):
        with PilImage.open(tmp_path / "out" / name) as picture:
            assert picture.width == 3 * 320 + 2 * 8
