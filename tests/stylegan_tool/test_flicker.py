import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as PilImage

from stylegan_tool.__main__ import main
from stylegan_tool.demo_files import examples_folder
from stylegan_tool.errors import OutputError, SgtError
from stylegan_tool.flicker import Flicker, FlickerMeter, Triple, measure_motion
from stylegan_tool.flicker_report import SIZE, check_report, describe, draw_plot, figures, report_paths, write_report
from stylegan_tool.image_files.reading import read_picture
from tests.films import write_film
from tests.models import make_info, write_blur_model

HEIGHT, WIDTH = 96, 160


def half_pixel_pan(n_frames: int, step: int = 3, name: str = "mountain") -> list[Any]:
    """A camera that goes right by step / 2 pixels a frame."""
    picture = read_picture(examples_folder() / "pictures" / f"{name}.jpg").image
    windows = [picture[100 : 100 + 2 * HEIGHT, left : left + 2 * WIDTH] for left in range(0, step * n_frames, step)]
    return [cv2.resize(window, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for window in windows]


def constant(value: int) -> Any:
    return np.full((HEIGHT, WIDTH, 3), value, np.uint8)


def standing_still() -> tuple[Any, Any]:
    return np.zeros((HEIGHT, WIDTH, 2), np.float32), np.ones((HEIGHT, WIDTH), np.bool_)


# Motion ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 3, 9])
def test_motion_is_measured_to_a_fraction_of_a_pixel(step: int) -> None:
    before, source = half_pixel_pan(2, step)
    back, holds = measure_motion(source, before)
    assert back.shape == (HEIGHT, WIDTH, 2)
    assert holds[:, : -step - 4].mean() > 0.95
    missed = np.abs(back - [step / 2, 0]).max(-1)
    assert np.percentile(missed[holds], 90) < 0.12
    assert abs(back[holds][:, 0].mean() - step / 2) < 0.03


def test_motion_spreads_to_where_there_is_nothing_to_see() -> None:
    before, source = half_pixel_pan(2, 6)
    for frame in (before, source):
        frame[30:60, 50:110] = 128
    before[30:60, 53:113] = source[30:60, 50:110]
    back, _ = measure_motion(source, before)
    assert np.abs(back[40:50, 70:90, 0] - 3).max() < 1


def test_another_scene_does_not_hold() -> None:
    _, holds = measure_motion(half_pixel_pan(1, name="sunset")[0], half_pixel_pan(1)[0])
    assert holds.mean() < 0.3


# Figures --------------------------------------------------------------------------------------------------


def test_the_figures_are_what_they_say() -> None:
    meter = FlickerMeter()
    for number in range(4):
        odd = number % 2
        meter.add(constant(100 + odd), constant(100 + 21 * odd), constant(100 + 5 * odd), motion=standing_still())
    flicker = meter.flicker
    assert flicker.warp_errors[0] is None
    assert flicker.warp_errors[1:] == [Triple(1, 21, 5)] * 3
    assert flicker.warp_error == Triple(1, 21, 5)
    assert flicker.excess == pytest.approx(0.2)
    assert flicker.distance == pytest.approx(8)  # 16 apart in every second frame
    assert flicker.cuts == []


def test_sharpness_is_the_mean_absolute_laplacian() -> None:
    stripes = constant(100)
    stripes[:, ::2] = 110
    meter = FlickerMeter()
    meter.add(constant(0), stripes, constant(0))
    assert meter.flicker.sharpness == Triple(0, 20, 0)
    assert meter.flicker.sharpness_kept == 0


def test_a_film_carried_along_its_motion_has_next_to_no_error() -> None:
    film = half_pixel_pan(5, 2)  # whole pixels
    rng = np.random.default_rng(0)
    meter = FlickerMeter()
    for frame in film:
        noisy: Any = np.clip(frame + rng.normal(0, 20, frame.shape), 0, 255).astype(np.uint8)
        meter.add(frame, noisy, frame)
    error = meter.flicker.warp_error
    assert error is not None
    assert error.source == error.steady < 4
    assert error.per_frame > 15
    assert meter.flicker.excess == 0


def test_a_film_that_does_not_flicker_has_no_excess() -> None:
    meter = FlickerMeter()
    for frame in half_pixel_pan(3):
        meter.add(frame, frame, frame)
    assert meter.flicker.excess is None
    assert figures(meter.flicker)["excess"] is None


def test_nothing_is_measured_across_a_cut() -> None:
    meter = FlickerMeter()
    for frame in half_pixel_pan(3) + half_pixel_pan(3, name="sunset"):
        meter.add(frame, frame, frame)
    assert meter.flicker.cuts == [3]
    assert [errors is None for errors in meter.flicker.warp_errors] == [True, False, False, True, False, False]


# Reports --------------------------------------------------------------------------------------------------


def some_flicker(n_frames: int = 40) -> Flicker:
    rng = np.random.default_rng(0)
    errors = [
        None if number in (0, 17) else Triple(2, 9 + rng.random(), 3 + rng.random()) for number in range(n_frames)
    ]
    return Flicker(errors, [Triple(10, 40, 36)] * n_frames, [1.5] * n_frames, [17] if n_frames > 17 else [])


@pytest.mark.parametrize("name", ["film", "film.json", "film.PNG"])
def test_both_files_are_named_after_what_was_typed(name: str) -> None:
    assert report_paths(Path("some") / name) == (Path("some/film.json"), Path("some/film.png"))


def test_another_suffix_is_part_of_the_name() -> None:
    assert report_paths(Path("take.2")) == (Path("take.2.json"), Path("take.2.png"))


def test_a_report_says_all_there_is(tmp_path: Path) -> None:
    paths = write_report(
        tmp_path / "film", some_flicker(), film="in.mp4", model="vangogh A2B.onnx", strength=0.5, overwrite=False
    )
    fields = json.loads(paths[0].read_text(encoding="utf-8"))
    assert (fields["film"], fields["model"], fields["strength"]) == ("in.mp4", "vangogh A2B.onnx", 0.5)
    assert (fields["frames"], fields["cuts"]) == (40, [17])
    assert fields["sharpness_kept"] == pytest.approx(0.9)
    assert fields["distance"] == 1.5
    assert 0.1 < fields["excess"] < 0.3
    by_frame = fields["warp_error_by_frame"]
    assert set(by_frame) == set(fields["warp_error"]) == {"source", "per_frame", "steady"}
    assert by_frame["source"][:2] == [None, 2]
    assert len(by_frame["steady"]) == 40
    with PilImage.open(paths[1]) as plot:
        assert plot.size == SIZE
        colours = set(map(tuple, np.asarray(plot.convert("RGB")).reshape(-1, 3).tolist()))
        assert {(213, 94, 0), (0, 114, 178)} <= colours


@pytest.mark.parametrize("n_frames", [1, 2, 5000])
def test_any_length_can_be_drawn(n_frames: int) -> None:
    assert draw_plot(some_flicker(n_frames), title="x" * 200).size == SIZE


def test_the_line_for_people() -> None:
    line = describe(some_flicker())
    assert line.startswith("warp error 3.")
    assert "of the flicker left" in line
    assert line.endswith("90% of the sharpness kept (38 of 40 frames measured, 1 cut)")


def test_a_report_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "film.png").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"film\.png"):
        check_report(tmp_path / "film", overwrite=False)
    check_report(tmp_path / "film", overwrite=True)
    with pytest.raises(OutputError, match="nowhere"):
        check_report(tmp_path / "nowhere" / "film", overwrite=True)


# The command ----------------------------------------------------------------------------------------------


@pytest.fixture
def film(in_folder: Path) -> Path:
    write_film(in_folder / "in.mp4", half_pixel_pan(6), frame_rate=Fraction(25))
    return in_folder / "in.mp4"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_blur_model(tmp_path / "blur" / "A2B.onnx", 1, make_info("A2B", style="blurred"))


def test_a_film_and_its_report(film: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["video", "in.mp4", "out.mp4", "--model", str(model), "--report", "flicker"]) == 0
    assert (
        "of the sharpness kept (5 of 6 frames measured, 0 cuts): flicker.json, flicker.png" in capsys.readouterr().err
    )
    fields = json.loads((film.parent / "flicker.json").read_text(encoding="utf-8"))
    assert (fields["film"], fields["model"], fields["strength"]) == ("in.mp4", "blurred A2B.onnx", 1)
    assert fields["frames"] == 6
    with PilImage.open(film.parent / "flicker.png") as plot:
        plot.load()
    assert main(["video", "in.mp4", "two.mp4", "--model", str(model), "--report", "flicker"]) == 5
    assert not (film.parent / "two.mp4").exists()


def test_off_measures_too(film: Path, model: Path) -> None:
    command = ["video", "in.mp4", "out.mp4", "--model", str(model), "--steady", "off", "--report", "r.json"]
    assert main(command) == 0
    error = json.loads((film.parent / "r.json").read_text(encoding="utf-8"))["warp_error"]
    assert error["per_frame"] == error["steady"]


def test_a_strength_that_is_none_is_a_usage_error(film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["video", "in.mp4", "out.mp4", "--steady", "very"]) == 2
    assert "--steady very" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", ".", "..", "/", "x" * 240])
def test_a_report_without_a_proper_name_is_refused(name: str) -> None:
    with pytest.raises(SgtError, match="report"):
        check_report(Path(name), overwrite=False)


def test_a_link_to_nowhere_is_there_already(tmp_path: Path) -> None:
    (tmp_path / "r.json").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match=r"r\.json exists"):
        check_report(tmp_path / "r", overwrite=False)


def test_a_films_name_need_not_be_utf_8(tmp_path: Path) -> None:
    meter = FlickerMeter()
    frame = np.zeros((16, 16, 3), np.uint8)
    meter.add(frame, frame, frame)
    path, _ = write_report(
        tmp_path / "r", meter.flicker, film=os.fsdecode(b"f\xff.mp4"), model="m", strength=1, overwrite=False
    )
    fields = json.loads(path.read_text(encoding="utf-8"))
    assert fields["film"] == "f\ufffd.mp4"
    assert fields["sharpness_kept"] is None


def test_repeated_frames_are_not_measured() -> None:
    """They would dilute the flicker of those that move."""
    meter = FlickerMeter()
    frame = np.zeros((16, 16, 3), np.uint8)
    for _ in range(4):
        meter.add(frame, frame, frame)
    assert meter.flicker.warp_errors == [None] * 4
    assert meter.flicker.cuts == []
