"""Speed and memory of what exists, as ratios within one run: `make bench`.

A machine's seconds say little about another's, so each line compares two things that ran in turn here, or
a figure with the limit that the code assumes. Prints a table and writes bench.json.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np

from stylegan_tool.demo_files import example_pictures, examples_folder
from stylegan_tool.image_files import read_picture
from stylegan_tool.models import choose_model
from stylegan_tool.options import TileOption
from stylegan_tool.pixels import Image, to_batch
from stylegan_tool.session import Session
from stylegan_tool.stylize import BYTES_PER_PIXEL_AND_FILTER, Stylizer
from stylegan_tool.video import convert_film

RUNS = 5
REPORT = Path("bench.json")


@dataclass(frozen=True)
class Figure:
    """One line: `value` is a ratio, or a figure in `unit`; `goal` is the most that is accepted, if any."""

    name: str
    value: float
    unit: str = "x"
    goal: float | None = None
    note: str = ""

    def line(self) -> str:
        """Return the line to print."""
        verdict = "" if self.goal is None else f"  goal {self.goal:g}: {'met' if self.value <= self.goal else 'MISSED'}"
        return f"{self.name:<58} {self.value:9.3g} {self.unit}{verdict}" + (f"  ({self.note})" if self.note else "")


def time_in_turn(*actions: Callable[[], object]) -> list[float]:
    """Return the median seconds of each action, all run in turn RUNS times after a warm-up."""
    seconds: list[list[float]] = [[] for _ in actions]
    for run in range(RUNS + 1):
        for action, taken in zip(actions, seconds, strict=True):
            started = time.perf_counter()
            action()
            if run > 0:
                taken.append(time.perf_counter() - started)
    return [float(np.median(taken)) for taken in seconds]


def _run(arguments: Sequence[str]) -> str:
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True).stdout


def bench_help() -> list[Figure]:
    """How much slower `sgt --help` is than Python itself."""
    python, help_ = time_in_turn(lambda: _run(["-c", "pass"]), lambda: _run(["-m", "stylegan_tool", "--help"]))
    return [Figure("sgt --help, seconds beyond Python's own start", help_ - python, "s", goal=0.3)]


def _photo(height: int, width: int) -> Image:
    image = read_picture(example_pictures()[0]).image
    repeat = (-(-height // image.shape[0]), -(-width // image.shape[1]), 1)
    return cast("Image", np.tile(image, repeat)[:height, :width])


def bench_pictures(session: Session) -> list[Figure]:
    """Padding and conversion against the bare model; tiles against the untiled picture."""
    small = _photo(512, 512)
    batch = to_batch(small)
    untiled = Stylizer(session, TileOption("off"))
    bare_s, whole_s = time_in_turn(lambda: session.run(batch), lambda: untiled(small))
    large = _photo(1024, 1536)
    tiled = Stylizer(session, TileOption("fixed", 512))
    untiled_s, tiled_s = time_in_turn(lambda: untiled(large), lambda: tiled(large))
    difference = np.abs(tiled(large).astype(int) - untiled(large))
    return [
        Figure("512x512: stylise, uint8 to uint8, against the bare model", whole_s / bare_s, goal=1.1),
        Figure("512x512: megapixels a second", 0.512**2 / bare_s, "MP/s"),
        Figure("1536x1024: tiles of 512 against untiled, time", tiled_s / untiled_s),
        Figure(
            "1536x1024: tiles of 512 against untiled, mean difference",
            float(difference.mean()),
            "/255",
            note=f"tiles normalise themselves; 99.9th percentile {np.percentile(difference, 99.9):.0f}/255",
        ),
    ]


def _peak_bytes(path: Path, side: int) -> int:
    # Not getrusage: its peak starts with what the parent held when it forked.
    code = (
        "import numpy as np\nfrom pathlib import Path\nfrom stylegan_tool.session import Session\n"
        f"session = Session(Path({str(path)!r}), provider='cpu')\n"
        f"session.run(np.zeros((1, 3, {side}, {side}), np.float32))\n"
        "lines = Path('/proc/self/status').read_text().splitlines()\n"
        "print(next(line.split()[1] for line in lines if line.startswith('VmHWM')))"
    )
    return int(_run(["-c", code])) * 1024


def bench_memory(session: Session) -> list[Figure]:
    """Whether the estimate behind --tile auto holds."""
    if not sys.platform.startswith("linux"):
        return []
    side = 1536
    growth = _peak_bytes(session.path, side) - _peak_bytes(session.path, 64)
    each = growth / side**2 / session.info.ngf
    return [Figure("memory: bytes a pixel and filter", each, "B", goal=BYTES_PER_PIXEL_AND_FILTER)]


def bench_film(session: Session) -> list[Figure]:
    """Wall time of a film against the bare model on as many frames of that size."""
    clip = examples_folder() / "clip.mp4"
    stylizer = Stylizer(session, TileOption("off"))
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        report = convert_film(clip, Path(folder) / "out.mp4", stylizer)
        wall_s = time.perf_counter() - started
    batch = to_batch(_photo(report.height, report.width))
    started = time.perf_counter()
    for _ in range(report.frames):
        session.run(batch)
    model_s = time.perf_counter() - started
    size = f"{report.width}x{report.height}"
    return [
        Figure(f"film {size}: wall time against the bare model", wall_s / model_s),
        Figure(f"film {size}: frames a second", report.frames / wall_s, "1/s"),
    ]


def bench_training() -> list[Figure]:
    """Steps of the compact preset in bf16 against fp32."""
    import torch

    from stylegan_train.config import PRESETS, TrainConfig
    from stylegan_train.step import Trainer, choose_dtype

    cpu = torch.device("cpu")
    compact = PRESETS["compact"]
    fp32 = Trainer(TrainConfig(**{**compact, "precision": "fp32"}), cpu)
    bf16 = Trainer(TrainConfig(**{**compact, "precision": "bf16"}), cpu)
    batch = torch.rand(2, 3, 128, 128) * 2 - 1
    fp32_s, bf16_s = time_in_turn(lambda: fp32.step(batch, batch), lambda: bf16.step(batch, batch))
    fast = "bf16 is native here" if choose_dtype("auto", cpu) == torch.bfloat16 else "no native bf16 here"
    return [
        Figure("training, compact: steps a second in fp32", 1 / fp32_s, "1/s"),
        Figure("training, compact: bf16 against fp32, steps a second", fp32_s / bf16_s, note=fast),
    ]


def main() -> None:
    """Measure all of it."""
    session = Session(choose_model("vangogh", direction="A2B").path, provider="cpu")
    benches: list[Callable[[], list[Figure]]] = [
        bench_help,
        lambda: bench_pictures(session),
        lambda: bench_memory(session),
        lambda: bench_film(session),
        bench_training,
    ]
    figures: list[Figure] = []
    for bench in benches:
        for figure in bench():
            print(figure.line(), flush=True)
            figures.append(figure)
    REPORT.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n", encoding="utf-8")
    print(f"written to {REPORT}")


if __name__ == "__main__":
    main()
