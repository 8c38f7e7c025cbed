"""Draw a run's stats.jsonl as a picture: losses, learning rate and validation over the epochs.

Drawn with Pillow, which is here anyway. Lengths in pixels; the axis below is in epochs, 0 <= x <= their number.
"""

import io
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from stylegan_tool.whole_files import write_whole
from stylegan_train.run_dir import read_stats

WIDTH, PANEL_HEIGHT, HEAD, GAP, FOOT = 1200, 280, 32, 72, 76
LEFT, RIGHT = 96, 1168  # of the axes
FONT_SIZE = 20
MOST_POINTS = 240  # of a line; more are averaged, so that a loss that jumps from step to step can be read
INK, FAINT, PAPER = (40, 40, 40), (222, 222, 222), (255, 255, 255)
# Told apart by people who do not see red and green (Okabe and Ito's palette).
ORANGE, BLUE, GREEN = (213, 94, 0), (0, 114, 178), (0, 158, 115)

# title, {name in stats.jsonl: (label, colour)}
PANELS: tuple[tuple[str, dict[str, tuple[str, tuple[int, int, int]]]], ...] = (
    (
        "adversarial losses",
        {"gan": ("gan", ORANGE), "disc_a": ("disc_a", BLUE), "disc_b": ("disc_b", GREEN)},
    ),
    (
        "reconstruction losses",
        {"cycle": ("cycle", ORANGE), "identity": ("identity", BLUE), "stable": ("stable", GREEN)},
    ),
    ("learning rate", {"lr": ("lr", INK)}),
    (
        "sliced Wasserstein distance to the test pictures (smaller is better)",
        {"swd_a2b": ("A2B", ORANGE), "swd_b2a": ("B2A", BLUE), "swd_mean": ("mean", INK)},
    ),
)

Points: TypeAlias = list[tuple[float, float]]
Font: TypeAlias = ImageFont.ImageFont | ImageFont.FreeTypeFont


@dataclass(frozen=True)
class _Axes:
    """Where values lie in the picture: x from 0 to `epochs`, y from 0 to `top`."""

    y_top: float
    y_bottom: float
    epochs: float
    top: float

    def place(self, epoch: float, value: float) -> tuple[float, float]:
        x = LEFT + (RIGHT - LEFT) * epoch / self.epochs
        return x, self.y_bottom - (self.y_bottom - self.y_top) * min(1.0, max(0.0, value / self.top))


def write_curves(stats_path: Path, path: Path, *, title: str, n_steps: int) -> None:
    """Draw `stats_path`, of epochs of `n_steps` steps, to `path`; nothing is written where it has no line.

    Raises:
        OSError, OutputError: it cannot be written.
    """
    series = gather_series(read_stats(stats_path), n_steps)
    if series:
        memory = io.BytesIO()
        draw_curves(series, title=title).save(memory, "PNG")
        write_whole(path, memory.getvalue(), overwrite=True)


def gather_series(stats: Iterable[dict[str, Any]], n_steps: int) -> dict[str, Points]:
    """Return (epoch, value) by name; a run that was killed told some steps twice, of which the later ones count."""
    objects: list[dict[str, Any]] = []
    for values in stats:
        if "steps" not in values:
            continue
        while objects and _is_overtaken(objects[-1], values):
            objects.pop()
        objects.append(values)
    series: defaultdict[str, Points] = defaultdict(list)
    for values in objects:
        for name, value in values.items():
            if name not in ("epoch", "step", "steps") and isinstance(value, int | float) and math.isfinite(value):
                series[name].append((values["steps"] / n_steps, float(value)))
    return dict(series)


def _is_overtaken(before: dict[str, Any], values: dict[str, Any]) -> bool:
    """Whether `values` is of an earlier step, or of the same one: a validation (no lr) is told after its losses."""
    same_kind = "lr" in values or "lr" not in before
    return bool(before["steps"] > values["steps"] or (before["steps"] == values["steps"] and same_kind))


def draw_curves(series: dict[str, Points], *, title: str) -> PilImage.Image:
    """Return a picture with a panel for each of PANELS that has values, below each other."""
    panels = [(name, lines) for name, lines in PANELS if lines.keys() & series.keys()]
    size = (WIDTH, HEAD + len(panels) * (PANEL_HEIGHT + GAP) + FOOT)
    picture = PilImage.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(FONT_SIZE)
    pen.text((LEFT, 14), title if len(title) < 90 else title[:87] + "...", INK, font)
    epochs = max(points[-1][0] for points in series.values())
    for number, (name, lines) in enumerate(panels):
        shown = {key: _thin_out(series[key]) for key in lines if key in series}
        y_top = HEAD + GAP + number * (PANEL_HEIGHT + GAP)
        highest = max(_highest(points) for points in shown.values()) or 1.0
        step_y = _round_step(highest / 4)
        axes = _Axes(y_top, y_top + PANEL_HEIGHT, epochs, step_y * math.ceil(highest / step_y - 1e-9))
        _draw_axes(pen, font, axes, step_y, labelled=number == len(panels) - 1)
        _draw_legend(pen, font, y_top - 22, name, {lines[key]: series[key][-1][1] for key in shown})
        for key, points in shown.items():
            _draw_line(pen, axes, points, lines[key][1], dots=name.startswith("sliced"))
    return picture


def _thin_out(points: Points) -> Points:
    """Return at most MOST_POINTS, each the mean of as many neighbours."""
    width = -(-len(points) // MOST_POINTS)
    groups = [points[start : start + width] for start in range(0, len(points), width)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def _highest(points: Points) -> float:
    """The highest value but for the few first ones, which stand far above all others and would flatten them."""
    values = sorted(value for _, value in points)
    return values[max(0, math.ceil(0.98 * len(values)) - 1)]


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(max(least, 1e-9)))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * 0.999)


def _label(value: float) -> str:
    """Return '0.2', '15', and '1.5e-4' for what is smaller than a hundredth."""
    if not 0 < value < 0.01:
        return f"{value:.4g}"
    power = math.floor(math.log10(value) + 1e-9)
    return f"{value / 10.0**power:.3g}e{power}"


def _draw_axes(pen: ImageDraw.ImageDraw, font: Font, axes: _Axes, step_y: float, *, labelled: bool) -> None:
    for number in range(round(axes.top / step_y) + 1):
        _, y = axes.place(0, number * step_y)
        pen.line((LEFT, y, RIGHT, y), FAINT)
        pen.text((LEFT - 10, y), _label(number * step_y), INK, font, anchor="rm")
    step_x = _round_step(axes.epochs / 10)
    for number in range(int(axes.epochs / step_x + 1e-9) + 1):
        x, _ = axes.place(number * step_x, 0)
        pen.line((x, axes.y_bottom, x, axes.y_bottom + 6), INK)
        if labelled:
            pen.text((x, axes.y_bottom + 12), _label(number * step_x), INK, font, anchor="mt")
    pen.line((LEFT, axes.y_top, LEFT, axes.y_bottom, RIGHT, axes.y_bottom), INK, 2)
    if labelled:
        pen.text(((LEFT + RIGHT) / 2, axes.y_bottom + 40), "epoch", INK, font, anchor="mt")


def _draw_legend(
    pen: ImageDraw.ImageDraw, font: Font, y: float, title: str, last: dict[tuple[str, tuple[int, int, int]], float]
) -> None:
    """Write the panel's title, and each line's colour, name and last value."""
    pen.text((LEFT, y), title, INK, font, anchor="lm")
    x = LEFT + 28 + pen.textlength(title, font)
    for (label, colour), value in last.items():
        pen.line((x, y, x + 28, y), colour, 4)
        text = f"{label} {_label(value) if value < 0.01 else f'{value:.3g}'}"
        pen.text((x + 36, y), text, INK, font, anchor="lm")
        x += 60 + pen.textlength(text, font)


def _draw_line(
    pen: ImageDraw.ImageDraw, axes: _Axes, points: Points, colour: tuple[int, int, int], *, dots: bool
) -> None:
    placed = [axes.place(*point) for point in points]
    if len(placed) > 1:
        pen.line(placed, colour, 2, joint="curve")
    if dots or len(placed) == 1:
        for x, y in placed:
            pen.ellipse((x - 4, y - 4, x + 4, y + 4), colour)
