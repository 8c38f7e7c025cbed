"""Frames a second on the provider at hand, and how much of the time is spent there: `make bench-gpu`.

For each network and size three loops run in turn:
- as used: `Stylizer.batch`, pictures in the computer's memory to pictures in the computer's memory;
- the model with its copies: `Session.run_pixels` on the same pictures;
- bound: the graph on what lies in the device's memory already, which is all that the device has to do.
Bound over as used is the share of the time that the device is at work; what is left are copies, and Python.

It runs where there is no GPU, too, which shows that it runs: the figures are then those of a CPU.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.bench_tiles import photo
from bench.figures import Figure, time_in_turn
from stylegan_tool.models import choose_model
from stylegan_tool.options import TileOption
from stylegan_tool.ort_engine import BoundEngine
from stylegan_tool.session import Session
from stylegan_tool.stylize import Stylizer, pad_image
from tests.networks import write_generator

SIZES = {"720p": (720, 1280), "1080p": (1080, 1920)}
TINY = {"tiny": (48, 64)}
RUNS = 10


@dataclass(frozen=True)
class Speed:
    """Seconds a picture, in runs of `n` pictures."""

    n: int
    used_s: float
    copied_s: float
    bound_s: float


def measure(stylizer: Stylizer, height: int, width: int, *, runs: int = RUNS) -> Speed:
    """Run the three loops on noisy pictures of one size."""
    session, n = stylizer.session, stylizer.batch_size(height, width)
    noise = np.random.default_rng(0).integers(0, 8, (n, 1, 1, 3), np.uint8)
    images = [photo(height, width) // 2 + one for one in noise]
    padded = [pad_image(image, session.info) for image in images]
    session.run_pixels(padded)
    engine = session._pixel_engine
    assert isinstance(engine, BoundEngine)
    taken = time_in_turn(
        lambda: stylizer.batch(images), lambda: session.run_pixels(padded), engine.run_bound, runs=runs
    )
    return Speed(n, *(seconds / n for seconds in taken))


def bench_gpu(session: Session, name: str, sizes: dict[str, tuple[int, int]], *, runs: int = RUNS) -> list[Figure]:
    """Measure one network."""
    stylizer, figures = Stylizer(session, TileOption("off")), []
    for size, (height, width) in sizes.items():
        speed = measure(stylizer, height, width, runs=runs)
        what = f"{name} {size} on {session.label}"
        together = f"{speed.n} at once" if speed.n > 1 else ""
        figures += [
            Figure(f"{what}: pictures a second", 1 / speed.used_s, "1/s", note=together),
            Figure(f"{what}: the model with its copies", 1 / speed.copied_s, "1/s"),
            Figure(f"{what}: share of the time on the device", 100 * speed.bound_s / speed.used_s, "%"),
        ]
    return figures


def networks(folder: Path, *, tiny: bool) -> dict[str, Path]:
    """Return models by name: the bundled style, and the paper's network (its weights do not change its speed)."""
    ngf, n_blocks = (8, 1) if tiny else (64, 9)
    reference = write_generator(folder / "reference.onnx", ngf=ngf, n_blocks=n_blocks)
    return {"compact": choose_model("vangogh", direction="A2B").path, "reference": reference}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Frames a second, and the share of time on the device.")
    parser.add_argument("--provider", default="auto")
    parser.add_argument("--device-id", type=int)
    parser.add_argument("--model", type=Path, help="a model of your own, in fp16 for example, instead of the two")
    parser.add_argument("--tiny", action="store_true", help="pictures of 64x48: whether it runs")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        own = {options.model.stem: options.model} if options.model else None
        for name, path in (own or networks(Path(folder), tiny=options.tiny)).items():
            session = Session(path, provider=options.provider, device_id=options.device_id)
            if session.note:
                print(session.note)
            sizes, runs = (TINY, 2) if options.tiny else (SIZES, RUNS)
            for figure in bench_gpu(session, name, sizes, runs=runs):
                print(figure.line(), flush=True)


if __name__ == "__main__":
    main()
