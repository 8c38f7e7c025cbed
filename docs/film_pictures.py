"""Make the pictures and the table of docs/film.md from the example clip and the bundled style.

    python docs/film_pictures.py docs/film

side_by_side.jpg shows a part of one frame: the source, stylised by itself, and steady. time_slice.jpg shows one row
of pixels of all frames, one below the other, so that time runs down: what moves with the picture draws clean lines,
and what flickers a weave. The table has a line for each strength.
"""

import sys
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image as PilImage

from stylegan_tool.demo_files import examples_folder
from stylegan_tool.flicker import FlickerMeter
from stylegan_tool.models import choose_model
from stylegan_tool.options import TileOption
from stylegan_tool.pixels import Image
from stylegan_tool.session import Session
from stylegan_tool.steady import Steadier
from stylegan_tool.stylize import Stylizer

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
SHOWN = (slice(75, 195), slice(180, 340))  # rows and columns, in pixels
ROW = 140
ENLARGED = 2
GAP = 8  # pixels


def read_frames(film: Path, n_frames: int) -> list[Any]:
    """Return the first `n_frames` frames, uint8 (H,W,3)."""
    with av.open(str(film)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in islice(container.decode(video=0), n_frames)]


def beside_each_other(pictures: list[Any]) -> PilImage.Image:
    """Return pictures of one size in a row on white, enlarged."""
    height, width = pictures[0].shape[:2]
    size = (width * ENLARGED, height * ENLARGED)
    sheet = PilImage.new("RGB", (len(pictures) * (size[0] + GAP) - GAP, size[1]), "white")
    for number, picture in enumerate(pictures):
        large = PilImage.fromarray(picture).resize(size, PilImage.Resampling.BICUBIC)
        sheet.paste(large, (number * (size[0] + GAP), 0))
    return sheet


def main(folder: Path, n_frames: int = 72) -> None:
    """Write both pictures into `folder` and print the table."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = read_frames(examples_folder() / "clip.mp4", n_frames)
    stylize = Stylizer(Session(choose_model("vangogh", direction="A2B").path, provider="cpu"), TileOption("off"))
    own = [stylize(source) for source in sources]
    steady: list[Image] = []
    print("| `--steady` | warp error, 8-bit steps | flicker left | sharpness kept | distance, 8-bit steps |")
    print("| --- | --- | --- | --- | --- |")
    for strength in STRENGTHS:
        steadier, meter = Steadier(strength), FlickerMeter()
        steady = [steadier(*frames) for frames in zip(sources, own, strict=True)]
        for frames in zip(sources, own, steady, strict=True):
            meter.add(*frames)
        flicker = meter.flicker
        error, excess = flicker.warp_error, flicker.excess
        print(
            f"| {strength:g} | {error.steady if error else 0:.1f} | {max(0.0, excess or 0.0):.0%} "
            f"| {flicker.sharpness_kept or 0:.0%} | {flicker.distance:.1f} |"
        )
    films = (sources, own, steady)
    beside_each_other([film[-1][SHOWN] for film in films]).save(folder / "side_by_side.jpg", quality=88)
    rows = [np.stack([frame[ROW, SHOWN[1]] for frame in film]) for film in films]
    beside_each_other([row.repeat(2, 0) for row in rows]).save(folder / "time_slice.jpg", quality=88)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/film_pictures.py FOLDER")
    main(Path(sys.argv[1]))
