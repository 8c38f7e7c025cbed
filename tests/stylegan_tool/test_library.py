"""Styles from Python; what the commands do with the same options is the truth."""

import json
import logging
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PilImage

import stylegan_tool
from stylegan_tool import FilmError, FolderError, InputError, ModelError, OutputError, UsageError, load_model
from stylegan_tool.__main__ import main
from stylegan_tool.library import Result
from tests.films import damage, write_film
from tests.models import BLUE, RED, make_info, write_blur_model, write_colour_model
from tests.networks import write_generator

HEAVY = ("numpy", "onnx", "onnxruntime", "cv2", "av", "rich", "typer", "PIL", "psutil")


def run_python(code: str) -> str:
    made = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, capture_output=True, text=True)
    assert made.stderr == ""
    return made.stdout


@pytest.fixture
def blur(in_folder: Path) -> str:
    """The name of a model that blurs, in the current folder."""
    write_blur_model(in_folder / "A2B.onnx", 2, make_info("A2B"))
    return "A2B.onnx"


@pytest.fixture
def photos(in_folder: Path, noise_image: NDArray[np.uint8]) -> Path:
    """Three pictures in a tree."""
    for i, name in enumerate(("a.png", "deep/b.png", "deep/c.jpg")):
        path = in_folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PilImage.fromarray(np.roll(noise_image, i, 0)).save(path)
    return in_folder / "photos"


def moving(n_frames: int, *, cut_at: int | None = None) -> list[NDArray[Any]]:
    """Stripes that move to the right; from `cut_at` on others."""
    rows, columns = np.mgrid[:48, :64]
    frames = []
    for i in range(n_frames):
        late = cut_at is not None and i >= cut_at
        wave = np.sin((columns - i) / 3 + rows / 5) if not late else np.sin(rows / 2) * np.cos((columns - i) / 7)
        base = np.array((60, 120, 190) if not late else (200, 70, 30))
        frames.append(np.clip(base + 50 * wave[:, :, None], 0, 255).astype(np.uint8))
    return frames


# Importing -------------------------------------------------------------------------------------------------


def test_to_import_the_package_loads_no_library() -> None:
    code = f"""
        import sys, stylegan_tool
        from stylegan_tool import SgtError, PartialError
        print([name for name in {HEAVY!r} if name in sys.modules])
    """
    assert run_python(code).strip() == "[]"


def test_all_that_is_offered_is_there_and_nothing_else() -> None:
    for name in stylegan_tool.__all__:
        assert getattr(stylegan_tool, name) is not None
        assert name in dir(stylegan_tool)
    with pytest.raises(AttributeError, match="no attribute 'load_modle'"):
        stylegan_tool.load_modle  # type: ignore[attr-defined]  # noqa: B018


def test_it_prints_nothing_and_tells_the_logger(
    both_ways: Path, noise_image: NDArray[np.uint8], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "stylegan_tool"):
        load_model(both_ways)(noise_image)
    assert capfd.readouterr() == ("", "")
    assert caplog.messages[0] == f"photo -> vangogh (A2B), model {both_ways}, CPU"
    assert "makes one colour" in caplog.messages[1]


def test_a_note_gets_what_the_logger_would(both_ways: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines: list[str] = []
    with caplog.at_level(logging.INFO, "stylegan_tool"):
        load_model(both_ways, direction="B2A", note=lines.append)
    assert lines[0].startswith("vangogh -> photo (B2A)")
    assert "--to vangogh" in lines[1]
    assert caplog.messages == []


# Choosing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "colour", "said"),
    [
        pytest.param({}, RED, ("A2B", "photo", "vangogh"), id="the default"),
        pytest.param({"to": "photo"}, BLUE, ("B2A", "vangogh", "photo"), id="by what it makes"),
        pytest.param({"direction": "B2A"}, BLUE, ("B2A", "vangogh", "photo"), id="by letters"),
    ],
)
def test_the_model_that_is_meant_runs_and_says_so(
    both_ways: Path, noise_image: NDArray[np.uint8], asked: dict[str, str], colour: Any, said: Any
) -> None:
    model = load_model(both_ways, provider="cpu", **asked)  # type: ignore[arg-type]  # options by name
    assert (model(noise_image) == colour).all()
    assert (model.direction, model.source, model.target) == said
    assert model.provider == "cpu"
    assert model.path == both_ways / f"{said[0]}.onnx"
    assert f"{said[1]} -> {said[2]}" in repr(model)


def test_a_bundled_style_by_what_it_makes() -> None:
    assert load_model(to="monet").style == "photo2monet"


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        pytest.param({"name": "nosuch"}, ModelError, "no model nosuch", id="no model"),
        pytest.param({"to": "cezanne"}, ModelError, "no domain 'cezanne'", id="no domain"),
        pytest.param({"provider": "gpu"}, UsageError, "Known: auto, openvino, cuda", id="no provider"),
        pytest.param({"tile_stats": "global"}, UsageError, "exact, thumbnail, local", id="no statistics"),
        pytest.param({"tile": 3}, UsageError, "--tile 3", id="tile too small"),
        pytest.param({"memory": "a lot"}, UsageError, "--memory a lot", id="no memory"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        load_model(**options)


# Arrays ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_array_becomes_what_the_command_makes_of_the_file(
    blur: str, in_folder: Path, noise_image: NDArray[np.uint8], dtype: type[np.uint8] | type[np.uint16]
) -> None:
    image: Any = noise_image if dtype is np.uint8 else noise_image.astype(np.uint16) * 257
    load_model(blur).stylize_file(_write_png(in_folder / "in.png", image), "library.png")
    assert main(["images", "in.png", "command.png", "--model", blur]) == 0
    assert Path("library.png").read_bytes() == Path("command.png").read_bytes()
    made = load_model(blur)(image)
    assert made.dtype == dtype
    assert made.shape == image.shape
    np.testing.assert_array_equal(made, _read_png(Path("command.png")))


def _write_png(path: Path, image: NDArray[Any]) -> Path:
    from stylegan_tool.image_files.picture import Picture
    from stylegan_tool.image_files.writing import write_picture

    write_picture(path, Picture(image, None, None, None), overwrite=False)
    return path


def _read_png(path: Path) -> NDArray[Any]:
    from stylegan_tool.image_files.reading import read_picture

    return read_picture(path).image


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(lambda image: image[:, :, ::-1], id="channels reversed, as from OpenCV"),
        pytest.param(lambda image: image[::2, 5:60], id="a part"),
        pytest.param(lambda image: np.asarray(PilImage.fromarray(image)), id="a Pillow picture, which is read-only"),
    ],
)
def test_views_are_pictures_too_and_stay_as_they_are(blur: str, noise_image: NDArray[np.uint8], view: Any) -> None:
    image = view(noise_image)
    before = image.copy()
    model = load_model(blur)
    made = model.stylize(image, strength=0.5, keep_colour=True)
    np.testing.assert_array_equal(made, model.stylize(before, strength=0.5, keep_colour=True))
    np.testing.assert_array_equal(image, before)
    assert not np.shares_memory(made, image)


def test_strength_and_colour(both_ways: Path, noise_image: NDArray[np.uint8]) -> None:
    model = load_model(both_ways)
    np.testing.assert_array_equal(model.stylize(noise_image, strength=0), noise_image)
    assert not (model.stylize(noise_image, keep_colour=True) == RED).all()
    with pytest.raises(UsageError, match="strength"):
        model.stylize(noise_image, strength=1.5)


GOOD = np.zeros((20, 30, 3), np.uint8)


@pytest.mark.parametrize(
    ("image", "hint"),
    [
        pytest.param(GOOD.astype(np.float32), "astype\\(numpy.uint8\\)", id="floats"),
        pytest.param(GOOD[:, :, 0], "numpy.dstack", id="grey"),
        pytest.param(np.dstack([GOOD, GOOD[:, :, :1]]), ":3", id="with alpha"),
        pytest.param(np.moveaxis(GOOD, -1, 0), "numpy.moveaxis", id="planes"),
        pytest.param(GOOD.astype(np.int64), "stylize_file", id="integers"),
        pytest.param(GOOD.astype(">u2"), "stylize_file", id="bytes of another order"),
        pytest.param(GOOD[:0], "stylize_file", id="empty"),
        pytest.param(GOOD[None], "stylize_file", id="a batch"),
        pytest.param("photo.jpg", "stylize_file", id="a file's name"),
        pytest.param(PilImage.new("RGB", (9, 9)), "picture.convert", id="Pillow"),
    ],
)
def test_other_arrays_are_refused_with_what_to_do(both_ways: Path, image: Any, hint: str) -> None:
    with pytest.raises(UsageError, match=f"uint8 or uint16(.|\n)*{hint}"):
        load_model(both_ways)(image)


@pytest.mark.parametrize(
    ("image", "done"),
    [
        pytest.param(GOOD / 255, lambda image: (image * 255).round().astype(np.uint8), id="floats"),
        pytest.param(GOOD[:, :, 0], lambda image: np.dstack([image] * 3), id="grey"),
        pytest.param(np.moveaxis(GOOD, -1, 0), lambda image: np.moveaxis(image, 0, -1), id="planes"),
        pytest.param(PilImage.new("RGBA", (30, 20)), lambda image: np.asarray(image.convert("RGB")), id="Pillow"),
    ],
)
def test_what_the_hints_say_helps(both_ways: Path, image: Any, done: Any) -> None:
    assert load_model(both_ways)(done(image)).shape == (20, 30, 3)


# Several at once -------------------------------------------------------------------------------------------


def test_two_models_are_open_at_once_and_called_from_threads(tmp_path: Path) -> None:
    """A network with statistics, cut into stages: its state while it runs is what threads could mix up."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (48 + 4 * (i % 3), 64, 3), np.uint8) for i in range(12)]
    models = [load_model(write_generator(tmp_path / f"{seed}.onnx", seed=seed), tile=32) for seed in (0, 1)]
    expected = [[model(image) for image in images] for model in models]
    assert not np.array_equal(expected[0][0], expected[1][0])
    calls = [(which, i) for i in range(len(images)) for which in (0, 1)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda call: models[call[0]](images[call[1]]), calls))
    for (which, i), picture in zip(calls, made, strict=True):
        np.testing.assert_array_equal(picture, expected[which][i])


def test_a_note_may_call_the_model(both_ways: Path) -> None:
    """A lock that is not for one thread again and again would wait for ever."""
    seen: list[NDArray[np.uint8]] = []
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    model = load_model(both_ways, note=lambda line: seen.append(model(image)) if "one colour" in line else None)
    thread = threading.Thread(target=lambda: model(image), daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert len(seen) == 1


def test_a_closed_model_says_so(both_ways: Path) -> None:
    with load_model(both_ways) as model:
        model(GOOD)
    model.close()
    assert model.target == "vangogh"
    for call in (lambda: model(GOOD), lambda: model.stylize_film("in.mp4", "out.mp4")):
        with pytest.raises(UsageError, match="was closed"):
            call()


# Files and folders -----------------------------------------------------------------------------------------


def test_a_file(blur: str, photos: Path) -> None:
    model = load_model(blur)
    result = model.stylize_file("photos/a.png", "painted", compare="side")
    assert result.status == "made"
    assert result.job.target == Path("painted/a.png")
    assert result.size == (180, 70)
    with pytest.raises(OutputError, match="already there"):
        model.stylize_file("photos/a.png", "painted")
    model.stylize_file("photos/a.png", "painted", overwrite=True)
    assert _read_png(Path("painted/a.png")).shape == (70, 90, 3)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        pytest.param("photos", UsageError, id="a folder"),
        pytest.param("nosuch.png", InputError, id="not there"),
        pytest.param("A2B.onnx", InputError, id="no picture"),
    ],
)
def test_no_file(blur: str, photos: Path, source: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=source):
        load_model(blur).stylize_file(source, "painted.png")
    assert not Path("painted.png").exists()


def test_a_folder_and_how_it_goes_on(blur: str, photos: Path) -> None:
    seen: list[tuple[str, int, int]] = []

    def note(result: Result, done: int, total: int) -> None:
        seen.append((result.job.name, done, total))

    report = load_model(blur).stylize_folder("photos", "painted", on_picture=note)
    names = ["a.png", "deep/b.png", "deep/c.jpg"]
    assert [result.job.output for result in report.made] == names
    assert seen == [(name, i + 1, 3) for i, name in enumerate(names)]
    assert (report.done_before, report.failed) == ((), ())


def test_a_folder_says_what_made_it_as_the_command_does(blur: str, photos: Path) -> None:
    load_model(blur).stylize_folder("photos", "library")
    assert main(["images", "photos", "command", "--model", blur]) == 0
    told = []
    for folder in ("library", "command"):
        lines = Path(folder, ".sgt-manifest.jsonl").read_text().splitlines()
        meaning = next(line for line in map(json.loads, lines) if "means" in line)
        told.append({key: meaning[key] for key in ("made_with", "means", "about")})
    assert told[0] == told[1]


def test_what_the_library_did_the_command_finds_done_and_the_other_way_round(
    blur: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other tiles and another memory limit, too: exact tiles are no other result."""
    command = ["images", "photos", "painted", "--model", blur, "--strength", "0.8"]
    load_model(blur).stylize_folder("photos", "painted", strength=0.8)
    assert main([*command, "--tile", "64"]) == 0
    assert "all 3 pictures are done already" in capsys.readouterr().err
    Path("painted/deep/b.png").unlink()
    assert main(command) == 0
    report = load_model(blur, memory=2**30).stylize_folder("photos", "painted", strength=0.8)
    assert len(report.done_before) == 3
    changed = load_model(blur).stylize_folder("photos", "painted", strength=0.9)
    assert len(changed.made) == 3


def test_tiles_with_statistics_of_their_own_are_remembered_as_the_command_does(
    blur: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load_model(blur, tile=80, tile_stats="thumbnail", memory="1G").stylize_folder("photos", "painted")
    options = ["--tile", "80", "--tile-stats", "thumbnail", "--memory", "1G"]
    assert main(["images", "photos", "painted", "--model", blur, *options]) == 0
    assert "all 3 pictures are done already" in capsys.readouterr().err


def test_a_picture_that_fails_does_not_stop_the_others(blur: str, photos: Path) -> None:
    (photos / "b.jpg").write_bytes(b"no picture")
    with pytest.raises(FolderError, match="1 of 4 pictures failed") as caught:
        load_model(blur).stylize_folder(photos, "painted")
    report = caught.value.report
    assert caught.value.exit_code == 6
    assert len(report.made) == 3
    assert [result.job.name for result in report.failed] == ["b.jpg"]
    assert isinstance(report.failed[0].error, InputError)
    assert len(list(Path("painted").rglob("*.*g"))) == 3


@pytest.mark.parametrize(("source", "text"), [("nosuch", "no such folder"), ("photos/a.png", "stylize_file")])
def test_no_folder(blur: str, photos: Path, source: str, text: str) -> None:
    with pytest.raises(InputError, match=text):
        load_model(blur).stylize_folder(source, "painted")


def test_others_files_are_not_replaced(blur: str, photos: Path) -> None:
    model = load_model(blur)
    _write_png(Path("painted/a.png"), GOOD)
    with pytest.raises(OutputError, match="already there"):
        model.stylize_folder("photos", "painted")
    with pytest.raises(UsageError, match="compare='beside'"):
        model.stylize_folder("photos", "other", compare="beside")  # type: ignore[arg-type]
    assert [path.name for path in Path("painted").iterdir() if not path.name.startswith(".")] == ["a.png"]
    assert len(model.stylize_folder("photos", "painted", overwrite=True).made) == 3


# Films -----------------------------------------------------------------------------------------------------


def test_a_film_is_the_commands_film(blur: str, in_folder: Path) -> None:
    write_film(in_folder / "in.mp4", moving(12), tone_hz=440)
    seen: list[tuple[int, int | None]] = []
    report = load_model(blur).stylize_film("in.mp4", "library.mp4", on_frame=lambda *at: seen.append(at))
    assert main(["video", "in.mp4", "command.mp4", "--model", blur]) == 0
    assert Path("library.mp4").read_bytes() == Path("command.mp4").read_bytes()
    assert (report.frames, report.width, report.height, report.has_sound) == (12, 64, 48, True)
    assert seen == [(i, 12) for i in range(1, 13)]
    with pytest.raises(OutputError, match="exists"):
        load_model(blur).stylize_film("in.mp4", "library.mp4")


@pytest.mark.parametrize("memory", [None, "1G"])
def test_the_command_goes_on_where_the_library_was_stopped(
    blur: str, in_folder: Path, capsys: pytest.CaptureFixture[str], memory: str | None
) -> None:
    write_film(in_folder / "in.mp4", moving(40, cut_at=16))

    def stop(done: int, total: int | None) -> None:
        if done == 30:
            raise KeyboardInterrupt

    model = load_model(blur, memory=memory)
    with pytest.raises(KeyboardInterrupt):
        model.stylize_film("in.mp4", "out.mp4", on_frame=stop)
    assert not Path("out.mp4").exists()
    assert main(["video", "in.mp4", "out.mp4", "--model", blur, *(["--memory", memory] if memory else [])]) == 0
    assert "going on after 16 frames" in capsys.readouterr().err
    report = model.stylize_film("in.mp4", "whole.mp4")
    assert (report.frames, report.kept) == (40, 0)
    assert Path("out.mp4").read_bytes() == Path("whole.mp4").read_bytes()


def test_a_preview_beside_its_source_and_a_window(blur: str, in_folder: Path) -> None:
    write_film(in_folder / "in.mp4", moving(50), frame_rate=Fraction(25))
    model = load_model(blur)
    report = model.stylize_film("in.mp4", "look.mp4", preview=0.4, compare="side", codec="hevc", quality=50)
    assert (report.frames, report.width) == (10, 128)
    with av.open("look.mp4") as film:
        assert film.streams.video[0].codec_context.name == "hevc"
    assert model.stylize_film("in.mp4", "window.mkv", start="0.4s", end=1, steady="off").frames == 15
    with pytest.raises(UsageError, match="--start soon"):
        model.stylize_film("in.mp4", "other.mp4", start="soon")


def test_a_repaired_film_is_finished_and_raised(blur: str, in_folder: Path) -> None:
    damage(write_film(in_folder / "in.mp4", moving(20)), [5])
    with pytest.raises(FilmError, match=r"1 damaged places in in\.mp4 were repaired") as caught:
        load_model(blur).stylize_film("in.mp4", "out.mp4")
    assert caught.value.report.repaired == 1
    assert Path("out.mp4").exists()


def test_frames_in_memory_are_those_of_the_film(in_folder: Path) -> None:
    """To the last bit, from numbered pictures to numbered pictures; with a cut, and a reader of one place for all."""
    model = load_model(write_generator(in_folder / "net.onnx", seed=3))
    frames = moving(24, cut_at=14)
    (in_folder / "out").mkdir()
    for i, frame in enumerate(frames):
        _write_png(in_folder / "in" / f"{i:02}.png", frame)
    model.stylize_film("in/%02d.png", "out/%02d.png", steady=0.8)

    def read() -> Iterator[NDArray[np.uint8]]:
        place = np.empty_like(frames[0])
        for frame in frames:
            place[:] = frame
            yield place

    made = list(model.stylize_frames(read(), steady=0.8))
    assert len(made) == 24
    for i, picture in enumerate(made):
        np.testing.assert_array_equal(picture, _read_png(in_folder / "out" / f"{i:02}.png"))
    loose = list(model.stylize_frames(read(), steady="off"))
    np.testing.assert_array_equal(loose[5], model(frames[5]))
    assert not np.array_equal(loose[5], made[5])


def test_frames_of_two_sizes_are_refused(blur: str) -> None:
    frames = load_model(blur).stylize_frames([GOOD, GOOD[:10]])
    next(frames)
    with pytest.raises(UsageError, match=r"frame 2 is uint8 \(10, 30, 3\)"):
        next(frames)
    with pytest.raises(UsageError, match="--steady 7"):
        load_model(blur).stylize_frames([GOOD], steady=7)


def test_further_inputs_of_somebody_elses_model_come_by_name(tmp_path: Path) -> None:
    write_colour_model(tmp_path / "A2B.onnx", RED, make_info("A2B"))
    with pytest.raises(ModelError, match="weights"):
        load_model(tmp_path / "A2B.onnx", inputs={"weights": "1"})
