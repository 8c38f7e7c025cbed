"""Each example does what it says, on small pictures in the place of those that ship."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PilImage

from stylegan_tool.__main__ import main
from tests.films import sound_of, write_film
from tests.models import REPOSITORY

EXAMPLES = REPOSITORY / "examples"
PICTURES = sorted((EXAMPLES / "pictures").iterdir())
PAINTINGS = sorted((EXAMPLES / "paintings").iterdir())
SCRIPTS = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".sh", ".py")}
SHORTER_SIDE = 48  # pixels
N_FRAMES = 8

Run = Callable[..., str]


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


def test_the_readmes_first_commands(in_folder: Path) -> None:
    assert main(["images", str(EXAMPLES / "pictures" / "cat.jpg"), "painted", "--to", "vangogh"]) == 0
    with PilImage.open(in_folder / "painted" / "cat.jpg") as painted:
        assert painted.size == (451, 300)


def test_every_example_is_in_the_table_and_run_here() -> None:
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    tests = Path(__file__).read_text(encoding="utf-8")
    assert {"folder.sh", "film.sh", "preview.sh", "library.py", "tiny_training.sh"} == SCRIPTS
    for name in SCRIPTS:
        assert f"]({name})" in table
        assert f'run("{name}"' in tests


@pytest.fixture
def run(in_folder: Path) -> Run:
    """Runs an example in a copy with small pictures and a short film, with this tree's `sgt` on the path."""
    if shutil.which("sh") is None:
        pytest.skip("the examples are scripts for sh")
    copy = in_folder / "checkout" / "examples"
    shutil.copytree(EXAMPLES, copy)
    for path in [*copy.glob("pictures/*"), *copy.glob("paintings/*")]:
        with PilImage.open(path) as picture:
            picture.thumbnail((2 * SHORTER_SIDE, SHORTER_SIDE))
            picture.save(path, quality=95)
    frames = [np.roll(_read(copy / "pictures" / "cat.jpg"), i, 1)[:, :64] for i in range(N_FRAMES)]
    write_film(copy / "clip.mp4", frames, tone_hz=440)

    programs = in_folder / "bin"
    programs.mkdir()
    sgt = programs / "sgt"
    sgt.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m stylegan_tool "$@"\n', encoding="utf-8")
    sgt.chmod(0o755)
    rooms = os.pathsep.join(str(REPOSITORY / room) for room in (".", "train", "export"))
    found_in = os.pathsep.join([str(programs), os.environ["PATH"]])
    environment = {**os.environ, "PATH": found_in, "PYTHONPATH": rooms}

    def run_example(name: str, *arguments: str) -> str:
        program = sys.executable if name.endswith(".py") else "sh"
        command = [program, str(copy / name), *arguments]
        made = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
        return made.stdout + made.stderr

    return run_example


def _read(path: Path) -> NDArray[np.uint8]:
    with PilImage.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def _frames(path: Path) -> list[NDArray[np.float64]]:
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24").astype(np.float64) for frame in film.decode(video=0)]


def _apart(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    return float(np.abs(one.astype(np.float64) - other.astype(np.float64)).mean())


def test_a_folder(run: Run, in_folder: Path) -> None:
    run("folder.sh")
    for source in PICTURES:
        before = _read(in_folder / "checkout" / "examples" / "pictures" / source.name)
        after = _read(in_folder / "out" / "folder" / source.name)
        assert after.shape == before.shape
        assert _apart(after, before) > 8
    assert f"all {len(PICTURES)} pictures are done already" in run("folder.sh")


def test_a_film(run: Run, in_folder: Path) -> None:
    run("film.sh")
    source, made = in_folder / "checkout" / "examples" / "clip.mp4", in_folder / "out" / "film.mp4"
    assert sound_of(made) == sound_of(source)
    before, after = _frames(source), _frames(made)
    assert len(after) == len(before) == N_FRAMES
    assert all(_apart(one, other) > 8 for one, other in zip(before, after, strict=True))


def test_a_preview(run: Run, in_folder: Path) -> None:
    frames = [frame.astype(np.uint8) for frame in _frames(in_folder / "checkout" / "examples" / "clip.mp4")] * 11
    write_film(in_folder / "long.mp4", frames)  # 88 frames at 25 a second
    run("preview.sh", "long.mp4", "look.mp4")
    run("preview.sh", "long.mp4", "look.mp4")
    made = _frames(in_folder / "look.mp4")
    assert len(made) == 75
    before, after = frames[7], made[0]  # from the middle: 1.76 s - 1.5 s is 0.26 s, and frame 7 at 0.28 s
    half = before.shape[1] // 2
    assert _apart(before[:, : half - 2], after[:, : half - 2]) < 4
    assert _apart(before[:, half + 2 :], after[:, half + 2 :]) > 8


def test_the_library(run: Run, in_folder: Path) -> None:
    said = run("library.py")
    assert "photo -> monet (A2B), CPU" in said
    photo = _read(in_folder / "checkout" / "examples" / "pictures" / "cat.jpg")
    sheet = _read(in_folder / "out" / "library" / "sheet.png")
    height, width = photo.shape[:2]
    assert sheet.shape == (2 * height, 4 * width, 3)
    cells = [[sheet[y * height :][:height, x * width :][:, :width] for x in range(4)] for y in range(2)]
    for source, half, full, kept in cells:
        np.testing.assert_array_equal(source, photo)
        assert 4 < _apart(half, photo) < _apart(full, photo)
        assert _apart(kept, full) > 4
    assert _apart(cells[0][2], cells[1][2]) > 4
    assert len(list((in_folder / "out" / "library" / "frames").iterdir())) == 6


def test_a_tiny_training(run: Run, in_folder: Path) -> None:
    run("tiny_training.sh", "out", "1")
    runs = in_folder / "out" / "runs" / "photo2vangogh-001"
    assert {path.name for path in runs.glob("*.onnx")} == {"A2B.onnx", "B2A.onnx"}
    for source in PICTURES:
        before = _read(in_folder / "checkout" / "examples" / "pictures" / source.name)
        after = _read(in_folder / "out" / "painted" / source.name)
        assert after.shape == before.shape
        assert _apart(after, before) > 1
