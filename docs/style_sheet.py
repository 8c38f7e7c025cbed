"""Make docs/styles.jpg, docs/styles_back.jpg and docs/before_after.jpg: the bundled styles, both ways.

    python docs/style_sheet.py docs

styles.jpg has a row for each photograph: as it is, and as each painter would have it; before_after.jpg is three of
those rows. styles_back.jpg has a row for each painter: paintings that training has not seen, each with the photograph
that comes of it.
"""

import sys
from pathlib import Path
from typing import Any

from PIL import Image as PilImage

from stylegan_tool.demo_files import examples_folder
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.models import bundled_styles, choose_model
from stylegan_tool.options import TileOption
from stylegan_tool.session import Session
from stylegan_tool.stylize import Stylizer

WIDTH = 420  # pixels of each picture on the sheet; they are stylised at their own size
GAP = 6
QUALITY = 86
SHOWN_FIRST = ("mountain.jpg", "cat.jpg", "meadow.jpg")


def open_style(style: str, direction: str) -> Stylizer:
    """Return a bundled style on the CPU, so that every machine draws the same sheet."""
    return Stylizer(Session(choose_model(style, direction=direction).path, provider="cpu"), TileOption("auto"))


def make_sheet(rows: list[list[Any]]) -> PilImage.Image:
    """Return rows of pictures, uint8 (H,W,3), scaled to one width, on white."""
    width = WIDTH
    heights = [round(row[0].shape[0] * width / row[0].shape[1]) for row in rows]
    size = len(rows[0]) * (width + GAP) - GAP, sum(heights) + GAP * (len(rows) - 1)
    sheet = PilImage.new("RGB", size, "white")
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for number, picture in enumerate(row):
            scaled = PilImage.fromarray(picture).resize((width, height), PilImage.Resampling.LANCZOS)
            sheet.paste(scaled, (number * (width + GAP), top))
        top += height + GAP
    return sheet


def main(folder: Path) -> None:
    """Write the sheets into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    styles = bundled_styles()
    forward = [open_style(style, "A2B") for style in styles]
    painted = {}
    for path in sorted((examples_folder() / "pictures").glob("*.jpg")):
        photograph = read_picture(path).image
        painted[path.name] = [photograph, *(stylize(photograph) for stylize in forward)]
    make_sheet(list(painted.values())).save(folder / "styles.jpg", quality=QUALITY)
    make_sheet([painted[name] for name in SHOWN_FIRST]).save(folder / "before_after.jpg", quality=QUALITY)

    rows: list[list[Any]] = []
    for style in styles:
        backward = open_style(style, "B2A")
        paintings = sorted((examples_folder() / "paintings").glob(f"{style}_*.jpg"))
        rows.append([])
        for painting in paintings:
            image = read_picture(painting).image
            rows[-1] += [image, backward(image)]
    make_sheet(rows).save(folder / "styles_back.jpg", quality=QUALITY)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/style_sheet.py FOLDER")
    main(Path(sys.argv[1]))
