"""Make the pictures of docs/: each part is what the command under it makes.

    python docs/make_figures.py             # but for training's, about two minutes
    python docs/make_figures.py training    # trains small networks on the example pictures, for about half an hour

Only pictures of examples/ go in. Sizes are in pixels.
"""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from stylegan_tool.__main__ import main

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent / "examples"
PICTURES, PAINTINGS = EXAMPLES / "pictures", EXAMPLES / "paintings"
LINE = 26  # of the text under a panel
GAP = 6

TILES = {
    "untiled": ["--tile", "off"],
    "--tile-stats exact": ["--tile", "256"],
    "--tile-stats thumbnail": ["--tile", "256", "--tile-stats", "thumbnail"],
    "--tile-stats local": ["--tile", "256", "--tile-stats", "local"],
}
LOOKS = {
    "--strength 0.3": ["--strength", "0.3"],
    "--strength 0.6": ["--strength", "0.6"],
    "(nothing)": [],
    "--keep-colour": ["--keep-colour"],
    "--compare split": ["--compare", "split"],
}
SMALL_RUN = ["--preset", "tiny", "--ngf", "8", "--n-blocks", "2", "--crop-size", "64", "--load-size", "72-128"]
RUNS = {
    "as it is": [],
    "--lambda-identity 0": ["--lambda-identity", "0"],
    "--lambda-identity 50": ["--lambda-identity", "50"],
    "--lambda-cycle 0": ["--lambda-cycle", "0", "--lambda-identity", "0"],
}

Panel = tuple[str, Image.Image]


def stylize(source: Path, *options: str) -> Image.Image:
    """Return what `sgt images SOURCE out.png OPTIONS` makes."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "out.png"
        type_command("images", str(source), str(made), *options)
        with Image.open(made) as picture:
            return picture.convert("RGB")


def type_command(*argv: str) -> None:
    """Run a command of `sgt`; whatever fails ends the script with its exit code."""
    if code := main(argv):
        raise SystemExit(code)


def read(path: Path) -> Image.Image:
    """Return a picture as RGB."""
    with Image.open(path) as picture:
        return picture.convert("RGB")


def paste(rows: Sequence[Sequence[Panel]], size: tuple[int, int], target: Path, quality: int = 82) -> None:
    """Write panels of one `size` (width, height) in rows, each with its text under it."""
    width, height = size
    n_columns = max(len(row) for row in rows)
    whole = (n_columns * (width + GAP) - GAP, len(rows) * (height + LINE))
    sheet = Image.new("RGB", whole, "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for i, row in enumerate(rows):
        for j, (text, picture) in enumerate(row):
            corner = (j * (width + GAP), i * (height + LINE))
            sheet.paste(picture.resize(size, Image.Resampling.LANCZOS), corner)
            pen.text((corner[0] + 4, corner[1] + height + 3), text, "black", font)
    target.parent.mkdir(exist_ok=True)
    sheet.save(target, quality=quality)


def draw_tiles(target: Path) -> None:
    """Draw one photograph cut into tiles with three kinds of statistics, beside the untiled result."""
    made = [(name, stylize(PICTURES / "mountain.jpg", "--to", "vangogh", *options)) for name, options in TILES.items()]
    paste([made[:2], made[2:]], (480, 360), target, quality=66)


def draw_ways(target: Path) -> None:
    """Draw what A and B are, and what A2B and B2A make."""
    photo, painting = PICTURES / "mountain.jpg", PAINTINGS / "vangogh_1.jpg"
    there = [("A: a photograph", read(photo)), ("--direction A2B", stylize(photo, "--direction", "A2B"))]
    back = [("B: a painting", read(painting)), ("--direction B2A", stylize(painting, "--direction", "B2A"))]
    paste([there, back], (420, 320), target)


def draw_looks(target: Path) -> None:
    """Draw a photograph with less of the style, with its own colours, and half and half."""
    photo = PICTURES / "meadow.jpg"
    made = [(name, stylize(photo, "--to", "vangogh", *options)) for name, options in LOOKS.items()]
    panels = [("the photograph", read(photo)), *made]
    paste([panels[:3], panels[3:]], (360, 270), target)


def draw_training(folder: Path) -> None:
    """Train on ten pictures with each of RUNS; draw the first run's curves and samples, and what each makes."""
    rows: list[list[Panel]] = [[("the photograph", read(PICTURES / name))] for name in ("mountain.jpg", "sunset.jpg")]
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        shutil.copytree(PICTURES, "datasets/photo2painting/trainA")
        shutil.copytree(PAINTINGS, "datasets/photo2painting/trainB")
        for number, (name, options) in enumerate(RUNS.items(), 1):
            type_command("train", "photo2painting", *SMALL_RUN, "--epochs", "50", "--lr", "1e-3", *options)
            type_command("export", "--onnx")
            run = Path(f"runs/photo2painting-{number:03}")
            for row, photo in zip(rows, ("mountain.jpg", "sunset.jpg"), strict=True):
                row.append((name, stylize(PICTURES / photo, "--model", str(run), "--to", "painting")))
            if number == 1:
                read(run / "curves.png").save(folder / "curves.png")
                last = max((run / "samples").iterdir())
                read(last).save(folder / "samples.jpg", quality=85)
    paste(rows, (280, 210), folder / "weights.jpg")


if __name__ == "__main__":
    if sys.argv[1:] == ["training"]:
        (HERE / "training").mkdir(exist_ok=True)
        draw_training(HERE / "training")
    else:
        draw_tiles(HERE / "tiles.jpg")
        draw_ways(HERE / "ways.jpg")
        draw_looks(HERE / "looks.jpg")
