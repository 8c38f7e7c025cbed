import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as PilImage

from stylegan_tool import demo as demo_module
from stylegan_tool.__main__ import main
from stylegan_tool.demo import make_sheet
from stylegan_tool.demo_files import example_pictures


def test_a_sheet_holds_each_pair_in_a_row() -> None:
    wide, narrow = np.full((10, 30, 3), 10, np.uint8), np.full((6, 20, 3), 20, np.uint8)
    sheet = make_sheet([(wide, wide), (narrow, narrow)])
    assert sheet.shape == (10 + 8 + 6, 30 + 8 + 30, 3)
    assert (sheet[:10, :30] == 10).all()
    assert (sheet[18:, 10:30] == 20).all()
    assert (sheet[10:18] == 255).all()


@pytest.fixture
def small_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two small pictures and a short film in the place of the examples, so that the test is quick."""
    from fractions import Fraction

    from tests.films import write_film

    folder = tmp_path / "examples"
    (folder / "pictures").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("one.jpg", "two.jpg"):
        PilImage.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8)).save(folder / "pictures" / name)
    write_film(folder / "clip.mp4", [np.full((48, 64, 3), 90, np.uint8)] * 4, frame_rate=Fraction(24), tone_hz=220)
    monkeypatch.setattr(demo_module, "examples_folder", lambda: folder)
    monkeypatch.setattr(demo_module, "example_pictures", lambda: sorted((folder / "pictures").glob("*.jpg")))
    return folder


@pytest.mark.usefixtures("small_examples")
def test_demo_makes_pictures_a_sheet_and_a_film_with_sound(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--provider", "cpu"]) == 0
    out = in_folder / "out"
    made = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    assert made == {"one.jpg", "two.jpg", "before_after.jpg", "clip.mp4", "demo.json"}
    with av.open(str(out / "clip.mp4")) as film:
        assert len(list(film.decode(video=0))) == 4
        assert len(film.streams.audio) == 1
    said = capsys.readouterr().err
    assert "photo -> vangogh (A2B), model vangogh (bundled), CPU" in said
    assert "2 pictures and a film in" in said
    assert str(Path("out") / "before_after.jpg") in said
    assert main(["gallery", "out"]) == 0
    page = (out / "gallery.html").read_text(encoding="utf-8")
    assert page.count('class="work"') == 2
    assert page.count('class="work film"') == 1
    assert "photo → vangogh (A2B)" in page


@pytest.mark.usefixtures("small_examples")
def test_demo_replaces_what_it_made_and_nothing_else(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    assert main(["demo"]) == 0
    (in_folder / "out" / "one.jpg").write_bytes(b"somebody's own")
    assert main(["demo"]) == 5
    assert "one.jpg was not made by the demo" in capsys.readouterr().err
    assert (in_folder / "out" / "one.jpg").read_bytes() == b"somebody's own"
    assert set(json.loads((in_folder / "out" / "demo.json").read_text())) >= {"one.jpg", "clip.mp4"}


@pytest.mark.usefixtures("small_examples")
def test_a_demo_that_was_stopped_may_be_repeated(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(demo_module, "convert_film", interrupt)
        assert main(["demo"]) == 130
    assert (in_folder / "out" / "one.jpg").is_file()
    assert main(["demo"]) == 0


@pytest.mark.usefixtures("small_examples")
def test_a_folder_in_the_place_of_a_result_is_refused(in_folder: Path) -> None:
    (in_folder / "out" / "clip.mp4").mkdir(parents=True)
    (in_folder / "out" / "demo.json").write_text("[]")
    assert main(["demo"]) == 5


def test_the_examples_are_there_and_small() -> None:
    pictures = example_pictures()
    assert len(pictures) >= 4
    assert sum(path.stat().st_size for path in pictures) < 2_000_000
