"""A run's curves as inline SVG, and the numbers behind them for the page's script.

Units: lengths in the drawing's own pixels, which the page scales; epochs from 0 at the left.
"""

from html import escape
from typing import Any

from stylegan_tool.run_stats import PANELS, Points, format_value, plan_axis, round_step, thin_out

WIDTH, HEIGHT = 640, 220
LEFT, RIGHT, TOP, BOTTOM = 56, 628, 12, 186


def draw_panels(series: dict[str, Points], end: float) -> tuple[str, list[dict[str, Any]]]:
    """Return a figure for each of PANELS that has values, and of each its lines: label, colour, points."""
    figures, numbers = [], []
    for title, lines in PANELS:
        shown = {key: thin_out(series[key]) for key in lines if key in series}
        if not shown:
            continue
        figures.append(_draw_panel(title, {lines[key]: points for key, points in shown.items()}, end))
        numbers.append({"lines": [{"points": _rounded(points)} for points in shown.values()]})
    return "\n".join(figures), numbers


def _rounded(points: Points) -> list[list[float]]:
    return [[round(x, 3), float(f"{y:.4g}")] for x, y in points]


def _draw_panel(title: str, lines: dict[tuple[str, str], Points], end: float) -> str:
    step, top = plan_axis(lines.values())
    dots = title.startswith("sliced")
    drawn = "".join(_draw_line(points, colour, end, top, dots=dots) for (_, colour), points in lines.items())
    legend = "".join(
        f'<li class="{colour}"><i></i>{escape(label)} <output>{format_short(points[-1][1])}</output></li>'
        for (label, colour), points in lines.items()
    )
    return f"""<figure class="panel">
<figcaption><span>{escape(title)}</span><ul class="legend">{legend}</ul></figcaption>
<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)} over the epochs">
{_draw_axes(step, top, end)}{drawn}<line class="now" y1="{TOP}" y2="{BOTTOM}" x1="{RIGHT}" x2="{RIGHT}"/></svg>
</figure>"""


def format_short(value: float) -> str:
    """Return a value with three digits that count."""
    return format_value(value) if abs(value) < 0.01 else f"{value:.3g}"


def _x(epoch: float, end: float) -> float:
    return LEFT + (RIGHT - LEFT) * epoch / end


def _y(value: float, top: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * min(1.0, max(0.0, value / top))


def _draw_axes(step: float, top: float, end: float) -> str:
    parts = []
    for number in range(round(top / step) + 1):
        y = _y(number * step, top)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick end" x="{LEFT - 8}" y="{y + 4:.1f}">{format_value(number * step)}</text>')
    step_x = max(round_step(end / 8), 1.0 if end >= 4 else 0.0)
    for number in range(int(end / step_x + 1e-9) + 1):
        x = _x(number * step_x, end)
        parts.append(f'<text class="tick" x="{x:.1f}" y="{BOTTOM + 20}">{format_value(number * step_x)}</text>')
    return "".join(parts)


def _draw_line(points: Points, colour: str, end: float, top: float, *, dots: bool) -> str:
    placed = [(_x(x, end), _y(y, top)) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    line = f'<polyline class="line {colour}" points="{path}"/>'
    if dots or len(placed) == 1:
        line += "".join(f'<circle class="dot {colour}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in placed)
    return line
