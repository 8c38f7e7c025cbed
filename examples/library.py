"""Both styles from Python, on pictures in memory: a sheet to look at, and a film's first frames.

    python examples/library.py [PHOTO] [FILM] [OUT]

OUT/sheet.png shows the photograph, then each style at half and at full strength, then with the photograph's own
colours. OUT/frames/ holds six frames of the film, steady: what belongs to the picture stays where it is.
"""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylegan_tool import load_model

HERE = Path(__file__).parent
N_FRAMES = 6


def read_frames(film: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield the film's frames, (H,W,3) RGB."""
    with av.open(str(film)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def main(photo: Path, film: Path, out: Path) -> None:
    """Write the sheet and the frames."""
    monet, vangogh = load_model(to="monet"), load_model(to="vangogh")
    print(monet, vangogh, sep="\n")

    image: NDArray[np.uint8] = np.asarray(Image.open(photo).convert("RGB"))
    rows = [
        np.hstack([image, model.stylize(image, strength=0.5), model(image), model.stylize(image, keep_colour=True)])
        for model in (monet, vangogh)
    ]
    (out / "frames").mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.vstack(rows)).save(out / "sheet.png")

    frames = islice(read_frames(film), N_FRAMES)
    for number, painted in enumerate(vangogh.stylize_frames(frames), 1):
        Image.fromarray(painted).save(out / "frames" / f"{number:02}.png")
    print(f"look at {out / 'sheet.png'} and {out / 'frames'}")


if __name__ == "__main__":
    given = [Path(text) for text in sys.argv[1:4]]
    main(*given, *(HERE / "pictures" / "cat.jpg", HERE / "clip.mp4", Path("out/library"))[len(given) :])
