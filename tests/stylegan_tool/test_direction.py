"""Which way a model goes, from the command line to the pixels: red can only come from A2B, blue from B2A."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as PilImage

from stylegan_tool.__main__ import main
from tests.films import write_film
from tests.models import BLUE, RED

WAYS = [
    pytest.param([], RED, "photo -> vangogh (A2B)", id="default"),
    pytest.param(["--direction", "A2B"], RED, "photo -> vangogh (A2B)", id="A2B"),
    pytest.param(["--direction", "B2A"], BLUE, "vangogh -> photo (B2A)", id="B2A"),
    pytest.param(["--to", "vangogh"], RED, "photo -> vangogh (A2B)", id="to vangogh"),
    pytest.param(["--to", "photo"], BLUE, "vangogh -> photo (B2A)", id="to photo"),
]


@pytest.mark.parametrize(("options", "colour", "line"), WAYS)
def test_pictures(
    options: list[str],
    colour: tuple[int, int, int],
    line: str,
    both_ways: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "in").mkdir()
    PilImage.new("RGB", (20, 12), (90, 120, 60)).save(tmp_path / "in" / "x.png")
    command = ["images", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(both_ways)]
    assert main([*command, "--provider", "cpu", *options]) == 0
    with PilImage.open(tmp_path / "out" / "x.png") as result:
        assert result.size == (20, 12)
        assert (np.asarray(result) == colour).all()
    first = capsys.readouterr().err.splitlines()[0]
    assert first == f"{line}, model {both_ways}, CPU"


@pytest.mark.parametrize(("options", "colour", "line"), WAYS)
def test_films(
    options: list[str],
    colour: tuple[int, int, int],
    line: str,
    both_ways: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_film(source, [np.full((48, 64, 3), 80, np.uint8)] * 3, frame_rate=Fraction(24), tone_hz=440)
    command = ["video", str(source), str(target), "--model", str(both_ways), "--provider", "cpu"]
    assert main([*command, *options]) == 0
    with av.open(str(target)) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) == 3
    for frame in frames:
        assert np.abs(frame.mean(axis=(0, 1)) - colour).max() < 12  # H.264 with a quarter of the chroma
    assert capsys.readouterr().err.splitlines()[0] == f"{line}, model {both_ways}, CPU"


def test_letters_come_with_a_hint(both_ways: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    PilImage.new("RGB", (8, 8)).save(tmp_path / "x.png")
    command = ["images", str(tmp_path / "x.png"), str(tmp_path / "out"), "--model", str(both_ways)]
    assert main([*command, "--direction", "B2A"]) == 0
    assert "(photo -> vangogh would be --to vangogh)" in capsys.readouterr().err
