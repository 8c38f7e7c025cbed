"""Draw a run's stats.jsonl as a picture: losses, learning rate and validation over the epochs.

Drawn with Pillow, which is here anyway. Lengths in pixels; the axis below is in epochs, 0 <= x <= their number.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from stylegan_tool.run_stats import (
    PANELS,
    Colour,
    Points,
    format_value,
    plan_axis,
    read_series,
    read_stats,
    round_step,
    thin_out,
)
from stylegan_tool.whole_files import write_whole

WIDTH, PANEL_HEIGHT, HEAD, GAP, FOOT = 1200, 280, 32, 72, 76
LEFT, RIGHT = 96, 1168  # of the axes
FONT_SIZE = 20
INK, FAINT, PAPER = (40, 40, 40), (222, 222, 222), (255, 255, 255)
# Told apart by people who do not see red and green (Okabe and Ito's palette).
ORANGE, BLUE, GREEN = (213, 94, 0), (0, 114, 178), (0, 158, 115)
COLOURS: dict[Colour, tuple[int, int, int]] = {"orange": ORANGE, "blue": BLUE, "green": GREEN, "ink": INK}

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
    series = read_series(read_stats(stats_path), n_steps)
    if series:
        memory = io.BytesIO()
        draw_curves(series, title=title).save(memory, "PNG")
        write_whole(path, memory.getvalue(), overwrite=True)


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
        shown = {key: thin_out(series[key]) for key in lines if key in series}
        y_top = HEAD + GAP + number * (PANEL_HEIGHT + GAP)
        step_y, top = plan_axis(shown.values())
        axes = _Axes(y_top, y_top + PANEL_HEIGHT, epochs, top)
        _draw_axes(pen, font, axes, step_y, labelled=number == len(panels) - 1)
        _draw_legend(pen, font, y_top - 22, name, {lines[key]: series[key][-1][1] for key in shown})
        for key, points in shown.items():
            _draw_line(pen, axes, points, COLOURS[lines[key][1]], dots=name.startswith("sliced"))
    return picture


def _draw_axes(pen: ImageDraw.ImageDraw, font: Font, axes: _Axes, step_y: float, *, labelled: bool) -> None:
    for number in range(round(axes.top / step_y) + 1):
        _, y = axes.place(0, number * step_y)
        pen.line((LEFT, y, RIGHT, y), FAINT)
        pen.text((LEFT - 10, y), format_value(number * step_y), INK, font, anchor="rm")
    step_x = round_step(axes.epochs / 10)
    for number in range(int(axes.epochs / step_x + 1e-9) + 1):
        x, _ = axes.place(number * step_x, 0)
        pen.line((x, axes.y_bottom, x, axes.y_bottom + 6), INK)
        if labelled:
            pen.text((x, axes.y_bottom + 12), format_value(number * step_x), INK, font, anchor="mt")
    pen.line((LEFT, axes.y_top, LEFT, axes.y_bottom, RIGHT, axes.y_bottom), INK, 2)
    if labelled:
        pen.text(((LEFT + RIGHT) / 2, axes.y_bottom + 40), "epoch", INK, font, anchor="mt")


def _draw_legend(
    pen: ImageDraw.ImageDraw, font: Font, y: float, title: str, last: dict[tuple[str, Colour], float]
) -> None:
    """Write the panel's title, and each line's colour, name and last value."""
    pen.text((LEFT, y), title, INK, font, anchor="lm")
    x = LEFT + 28 + pen.textlength(title, font)
    for (label, colour), value in last.items():
        pen.line((x, y, x + 28, y), COLOURS[colour], 4)
        text = f"{label} {format_value(value) if value < 0.01 else f'{value:.3g}'}"
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
