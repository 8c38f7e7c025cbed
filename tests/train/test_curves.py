"""The curves of a run: which values are drawn, where, and that a person can tell them apart."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage

from stylegan_tool.__main__ import main
from stylegan_tool.run_stats import MOST_POINTS, Points, format_value, read_series, thin_out
from stylegan_train import curves
from stylegan_train.curves import draw_curves, write_curves
from tests.train.sets import TINY, train_until

RUN = Path("runs/photo2vangogh-001")


def _told(steps: int, **values: float) -> dict[str, float]:
    return {"epoch": 1, "step": steps, "steps": steps, "lr": 1e-4, **values}


def _pixels_of(picture: PilImage.Image, colour: tuple[int, int, int]) -> np.ndarray:
    """Return (x, y) of every pixel of a colour right of the legend's and the labels' own."""
    rows, columns = np.nonzero((np.asarray(picture) == colour).all(axis=2))
    return np.stack([columns, rows], axis=1)


def test_values_are_placed_in_epochs() -> None:
    series = read_series([_told(10, gan=0.5), _told(20, gan=0.25)], n_steps=20)
    assert series == {"gan": [(0.5, 0.5), (1.0, 0.25)], "lr": [(0.5, 1e-4), (1.0, 1e-4)]}


def test_what_a_killed_run_told_twice_counts_once() -> None:
    validated = {"epoch": 1, "step": 20, "steps": 20, "swd_mean": 3.0}
    told = [_told(10, gan=1), _told(20, gan=2), validated, _told(30, gan=3)]
    told += [_told(20, gan=4), validated, _told(30, gan=5)]
    series = read_series(told, n_steps=10)
    assert series["gan"] == [(1, 1), (2, 4), (3, 5)]
    assert series["swd_mean"] == [(2, 3.0)]


@pytest.mark.parametrize("values", [{}, {"steps": 3, "gan": math.nan}, {"steps": 3, "note": "x"}])
def test_what_holds_no_number_is_left_out(values: dict[str, Any]) -> None:
    assert read_series([values], n_steps=1) == {}


def test_a_line_falls_from_left_to_right() -> None:
    picture = draw_curves({"lr": [(x / 10, 2e-4 - x * 1e-5) for x in range(1, 11)]}, title="run")
    axes = np.asarray(picture)[curves.HEAD + curves.GAP :]
    assert (axes == curves.INK).all(axis=2).any()
    gan = draw_curves({"gan": [(0, 1.0), (1, 0.0)]}, title="run")
    points = _pixels_of(gan, curves.ORANGE)
    points = points[points[:, 1] >= curves.HEAD + curves.GAP]  # below the legend
    first, last = points[points[:, 0].argmin()], points[points[:, 0].argmax()]
    assert abs(first[0] - curves.LEFT) < 4
    assert abs(last[0] - curves.RIGHT) < 4
    assert last[1] - first[1] > curves.PANEL_HEIGHT - 8


def test_each_kind_of_value_has_its_panel() -> None:
    heights = []
    series: dict[str, Points] = {}
    for name in ("gan", "cycle", "lr", "swd_mean"):
        series[name] = [(1.0, 0.5), (2.0, 0.4)]
        heights.append(draw_curves(series, title="run").height)
    assert set(np.diff(heights)) == {curves.PANEL_HEIGHT + curves.GAP}


def test_a_first_peak_does_not_flatten_the_rest() -> None:
    picture = draw_curves({"gan": [(x, 100.0 if x == 1 else 0.5) for x in range(1, 101)]}, title="run")
    points = _pixels_of(picture, curves.ORANGE)
    right = points[points[:, 0] > curves.RIGHT - 100]
    assert right[:, 1].max() < curves.HEAD + curves.GAP + curves.PANEL_HEIGHT / 2


def test_long_runs_are_averaged() -> None:
    noisy = [(float(x), float(x % 2)) for x in range(10_000)]
    thin = thin_out(noisy)
    assert len(thin) <= MOST_POINTS
    assert all(abs(value - 0.5) < 0.05 for _, value in thin)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.25, "0.25"), (15.0, "15"), (5e-5, "5e-5"), (1.5e-4, "1.5e-4")]
)
def test_labels_are_short(value: float, text: str) -> None:
    assert format_value(value) == text


@pytest.mark.parametrize("values", [{"gan": [(1.0, 0.0)]}, {"lr": [(0.1, 0.0), (0.2, 0.0)]}, {"gan": [(500.0, 1e9)]}])
def test_extreme_values_are_drawn(values: dict[str, Points]) -> None:
    assert draw_curves(values, title="x" * 200).width == curves.WIDTH


def test_nothing_to_draw_writes_nothing(tmp_path: Path) -> None:
    write_curves(tmp_path / "stats.jsonl", tmp_path / "curves.png", title="run", n_steps=1)
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_run_has_its_curves_too(with_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_until(monkeypatch, 4, [*TINY, "--epochs", "2"])
    stopped = (RUN / "curves.png").read_bytes()
    assert main(["train", "photo2vangogh", "--resume"]) == 0
    assert (RUN / "curves.png").read_bytes() != stopped
