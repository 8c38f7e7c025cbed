"""What a run's stats.jsonl tells: values over the epochs, in the panels that people look at them by.

A line is a JSON object with `steps`, the optimizer steps done so far, and the values of that moment; whoever draws them
(the trainer's curves.png, the gallery's page) takes series, panels and the steps of the axes from here.

Units: the place of a value in epochs, 0 <= x <= their number.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias

MOST_POINTS = 240  # of a line; more are averaged, so that a loss that jumps from step to step can be read

Colour: TypeAlias = Literal["orange", "blue", "green", "ink"]
Points: TypeAlias = list[tuple[float, float]]

# title, {name in stats.jsonl: (label, colour)}
PANELS: tuple[tuple[str, dict[str, tuple[str, Colour]]], ...] = (
    (
        "adversarial losses",
        {"gan": ("gan", "orange"), "disc_a": ("disc_a", "blue"), "disc_b": ("disc_b", "green")},
    ),
    (
        "reconstruction losses",
        {"cycle": ("cycle", "orange"), "identity": ("identity", "blue"), "stable": ("stable", "green")},
    ),
    ("learning rate", {"lr": ("lr", "ink")}),
    (
        "sliced Wasserstein distance to the test pictures (smaller is better)",
        {"swd_a2b": ("A2B", "orange"), "swd_b2a": ("B2A", "blue"), "swd_mean": ("mean", "ink")},
    ),
)


def read_stats(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects in a stats.jsonl, none where there is no such file; a line that a kill cut off is left out."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            with suppress(ValueError):
                values = json.loads(line)
                if isinstance(values, dict) and line.endswith("\n"):
                    yield values


def read_series(stats: Iterable[dict[str, Any]], n_steps: int) -> dict[str, Points]:
    """Return (epoch, value) by name; a run that was killed told some steps twice, of which the later ones count."""
    objects: list[dict[str, Any]] = []
    for values in stats:
        if not isinstance(values.get("steps"), int):
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


def thin_out(points: Points) -> Points:
    """Return at most MOST_POINTS, each the mean of as many neighbours."""
    width = -(-len(points) // MOST_POINTS)
    groups = [points[start : start + width] for start in range(0, len(points), width)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def plan_axis(lines: Iterable[Points]) -> tuple[float, float]:
    """Return the step of an axis from 0 on that `lines` share, and its end, a multiple of it."""
    highest = max(_highest(points) for points in lines) or 1.0
    step = round_step(highest / 4)
    return step, step * math.ceil(highest / step - 1e-9)


def _highest(points: Points) -> float:
    """The highest value but for the few first ones, which stand far above all others and would flatten them."""
    values = sorted(value for _, value in points)
    return values[max(0, math.ceil(0.98 * len(values)) - 1)]


def round_step(least: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(max(least, 1e-9)))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * 0.999)


def format_value(value: float) -> str:
    """Return '0.2', '15', and '1.5e-4' for what is smaller than a hundredth."""
    if not 0 < value < 0.01:
        return f"{value:.4g}"
    power = math.floor(math.log10(value) + 1e-9)
    return f"{value / 10.0**power:.3g}e{power}"
