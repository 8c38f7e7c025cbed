"""Write what was measured of a film: NAME.json for programs, and NAME.png, the warp error frame by frame.

The plot is drawn with Pillow, which is here anyway: three lines and two axes need no plotting library.
"""

import dataclasses
import io
import json
import os
from pathlib import Path

import numpy as np
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from stylegan_tool.errors import OutputError, UsageError, typed
from stylegan_tool.flicker import Flicker, Triple
from stylegan_tool.whole_files import check_reach, write_whole

SCHEMA = 1
LONGEST_NAME = 200  # bytes; file systems take 255, and a name for the unfinished file is longer
SIZE = (1200, 560)  # pixels
LEFT, TOP, RIGHT, BOTTOM = 84, 76, 1176, 486  # of the axes
FONT_SIZE = 20
INK, FAINT, PAPER = (40, 40, 40), (215, 215, 215), (255, 255, 255)
# Told apart by people who do not see red and green (Okabe and Ito's palette).
LINES = {
    "source": ("source", (120, 120, 120)),
    "per_frame": ("frame by frame", (213, 94, 0)),
    "steady": ("steady", (0, 114, 178)),
}


def report_paths(name: Path) -> tuple[Path, Path]:
    """Return the names of the JSON and the PNG; a suffix .json or .png of `name` is left out first."""
    if name.name in ("", ".."):
        raise UsageError(f"--report {name} names no file", hint="Type a name without a suffix: --report flicker")
    stem = name.with_suffix("") if name.suffix.lower() in (".json", ".png") else name
    return stem.with_name(stem.name + ".json"), stem.with_name(stem.name + ".png")


def check_report(name: Path, *, overwrite: bool) -> None:
    """Refuse now what would otherwise be refused after the film is made.

    Raises:
        UsageError: `name` is none.
        OutputError: a file is there already and `overwrite` is not set, or the folder is missing or not writable.
    """
    paths = report_paths(name)
    folder = paths[0].parent
    if len(os.fsencode(paths[0].name)) > LONGEST_NAME:
        raise OutputError(f"the report's name is too long: {name}", hint="Give --report a shorter name.")
    check_reach(paths[0])
    if not folder.is_dir():
        raise OutputError(f"no such folder for the report: {folder}", hint=f"Make it: mkdir -p {typed(folder)}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"cannot write the report: you may not write in {folder}", hint="Name another place: --report NAME"
        )
    for path in paths:
        if path.is_dir() or (os.path.lexists(path) and not overwrite):
            raise OutputError(f"{path} exists", hint="Add --overwrite to replace it, or give --report another name.")


def write_report(
    name: Path, flicker: Flicker, *, film: str, model: str, strength: float, overwrite: bool
) -> tuple[Path, Path]:
    """Write both files and return their names; `film` and `model` are named in them.

    Raises:
        OutputError: see check_report; or they cannot be written.
    """
    json_path, png_path = report_paths(name)
    film, model = (os.fsencode(text).decode(errors="replace") for text in (film, model))  # names need not be UTF-8
    fields = {"schema": SCHEMA, "film": film, "model": model, "strength": strength, **figures(flicker)}
    text = json.dumps(fields, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(json_path, text.encode(), overwrite=overwrite)
    memory = io.BytesIO()
    draw_plot(flicker, title=f"{film}, {model}, steadiness {strength:g}").save(memory, "PNG")
    write_whole(png_path, memory.getvalue(), overwrite=overwrite)
    return json_path, png_path


def figures(flicker: Flicker) -> dict[str, object]:
    """Return the figures as they stand in the JSON: means, and the warp errors by frame.

    `warp_error`, `sharpness` and `distance` are in 8-bit steps, `excess` and `sharpness_kept` are shares of the
    per-frame film's. Frames are counted as they were decoded. null stands where there is nothing to measure: the
    first frame of a scene has no predecessor, and a film that does not flicker frame by frame has no excess.
    """
    error = flicker.warp_error
    return {
        "frames": len(flicker.sharpnesses),
        "measured_frames": sum(errors is not None for errors in flicker.warp_errors),
        "cuts": flicker.cuts,
        "warp_error": dataclasses.asdict(error) if error else None,
        "excess": flicker.excess,
        "sharpness": dataclasses.asdict(flicker.sharpness),
        "sharpness_kept": flicker.sharpness_kept,
        "distance": flicker.distance,
        "warp_error_by_frame": {
            name: [None if errors is None else round(getattr(errors, name), 4) for errors in flicker.warp_errors]
            for name in Triple.__annotations__
        },
    }


def describe(flicker: Flicker) -> str:
    """Return the figures in a line for people."""
    parts = []
    error, excess = flicker.warp_error, flicker.excess
    if error is not None:
        parts.append(f"warp error {error.steady:.1f} (frame by frame {error.per_frame:.1f}, source {error.source:.1f})")
    if excess is not None:
        parts.append(f"{max(0.0, excess):.0%} of the flicker left")
    if flicker.sharpness_kept is not None:
        parts.append(f"{flicker.sharpness_kept:.0%} of the sharpness kept")
    measured = sum(errors is not None for errors in flicker.warp_errors)
    cuts = f"{len(flicker.cuts)} cut{'s' * (len(flicker.cuts) != 1)}"
    return f"{', '.join(parts)} ({measured} of {len(flicker.sharpnesses)} frames measured, {cuts})".strip()


def draw_plot(flicker: Flicker, *, title: str) -> PilImage.Image:
    """Return the warp errors by frame as a picture of SIZE, cuts marked."""
    picture = PilImage.new("RGB", SIZE, PAPER)
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(FONT_SIZE)
    pen.text((LEFT, 14), title if len(title) < 90 else title[:87] + "...", INK, font)
    values = {
        name: np.array([np.nan if errors is None else getattr(errors, name) for errors in flicker.warp_errors])
        for name in LINES
    }
    known = np.concatenate(list(values.values()))
    highest = float(np.nanmax(known)) if np.isfinite(known).any() else 1.0
    step_y = _round_step(highest / 5)
    top = step_y * max(1.0, np.ceil(highest / step_y))
    last = max(1, len(flicker.warp_errors) - 1)
    _draw_axes(pen, font, last, top, step_y)
    for cut in flicker.cuts:
        x = _x_of(cut, last)
        for y in range(TOP, BOTTOM, 10):
            pen.line((x, y, x, y + 4), INK)
    x = LEFT
    for name, (label, colour) in LINES.items():
        pen.line((x, 58, x + 32, 58), colour, 4)
        text = label if flicker.warp_error is None else f"{label} {getattr(flicker.warp_error, name):.1f}"
        pen.text((x + 40, 58), text, INK, font, anchor="lm")
        x += 80 + round(pen.textlength(text, font))
        _draw_line(pen, values[name], last, top, colour)
    if flicker.cuts:
        pen.text((x, 58), f"dashed: {len(flicker.cuts)} cut{'s' * (len(flicker.cuts) > 1)}", INK, font, anchor="lm")
    return picture


def _x_of(frame: float, last: int) -> float:
    return LEFT + (RIGHT - LEFT) * frame / last


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is at least `least`."""
    power = 10 ** np.floor(np.log10(max(least, 1e-3)))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= least * 0.999))


def _draw_axes(
    pen: ImageDraw.ImageDraw, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, last: int, top: float, step_y: float
) -> None:
    for number in range(round(top / step_y) + 1):
        y = BOTTOM - (BOTTOM - TOP) * number * step_y / top
        pen.line((LEFT, y, RIGHT, y), FAINT)
        pen.text((LEFT - 10, y), f"{number * step_y:g}", INK, font, anchor="rm")
    step_x = max(1, round(_round_step(last / 8)))
    for frame in range(0, last + 1, step_x):
        x = _x_of(frame, last)
        pen.line((x, BOTTOM, x, BOTTOM + 6), INK)
        pen.text((x, BOTTOM + 12), f"{frame}", INK, font, anchor="mt")
    pen.line((LEFT, TOP, LEFT, BOTTOM, RIGHT, BOTTOM), INK, 2)
    pen.text(((LEFT + RIGHT) / 2, SIZE[1] - 8), "frame", INK, font, anchor="mb")
    label = "warp error, 8-bit steps"
    side = PilImage.new("L", (round(pen.textlength(label, font)) + 4, FONT_SIZE + 8), 0)
    ImageDraw.Draw(side).text((2, 2), label, 255, font)
    turned = side.rotate(90, expand=True)
    pen.bitmap((8, (TOP + BOTTOM - turned.height) // 2), turned, INK)


def _draw_line(
    pen: ImageDraw.ImageDraw,
    values: np.ndarray[tuple[int], np.dtype[np.float64]],
    last: int,
    top: float,
    colour: tuple[int, int, int],
) -> None:
    """Draw one line, with a gap where there is no value; more frames than pixels are averaged."""
    width = max(1, -(-len(values) // (RIGHT - LEFT)))
    points: list[tuple[float, float]] = []
    for start in range(0, len(values), width):
        some = values[start : start + width]
        some = some[np.isfinite(some)]
        if some.size:
            x = _x_of(start + (width - 1) / 2, last)
            points.append((x, BOTTOM - (BOTTOM - TOP) * min(1.0, float(some.mean()) / top)))
        if not some.size or start + width >= len(values):
            if len(points) > 1:
                pen.line(points, colour, 3, joint="curve")
            elif points:
                pen.ellipse((points[0][0] - 3, points[0][1] - 3, points[0][0] + 3, points[0][1] + 3), colour)
            points = []
