"""Make docs/tiles.jpg: one photograph, cut into tiles with three kinds of statistics, beside the untiled result.

    python docs/make_figures.py

Runs the commands that docs/large_pictures.md shows, on a picture of examples/, and pastes their results.
"""

import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from stylegan_tool.__main__ import main

HERE = Path(__file__).parent
PICTURE = HERE.parent / "examples" / "pictures" / "mountain.jpg"
WAYS = {
    "untiled": ["--tile", "off"],
    "--tile-stats exact": ["--tile", "256"],
    "--tile-stats thumbnail": ["--tile", "256", "--tile-stats", "thumbnail"],
    "--tile-stats local": ["--tile", "256", "--tile-stats", "local"],
}
WIDTH, HEIGHT, LINE = 480, 360, 26  # of each panel, and of the text under it; pixels


def draw_tiles(target: Path) -> None:
    """Write the four results, two by two, each with its option under it."""
    sheet = Image.new("RGB", (2 * WIDTH, 2 * (HEIGHT + LINE)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    with tempfile.TemporaryDirectory() as folder:
        for i, (name, options) in enumerate(WAYS.items()):
            made = Path(folder) / f"{i}.png"
            if main(["images", str(PICTURE), str(made), "--to", "vangogh", *options]) != 0:
                raise SystemExit(1)
            corner = (i % 2 * WIDTH, i // 2 * (HEIGHT + LINE))
            with Image.open(made) as picture:
                sheet.paste(picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS), corner)
            pen.text((corner[0] + 6, corner[1] + HEIGHT + 3), name, "black", font)
    sheet.save(target, quality=80)


if __name__ == "__main__":
    draw_tiles(HERE / "tiles.jpg")
