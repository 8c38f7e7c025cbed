"""`sgt` against a plain PyTorch loop (eager.py): same weights, same files, each in a process of its own.

Part of `make bench`; by itself: `python -m bench.bench_others`. Whole commands are timed, their start included: that
is what people wait for. Both write JPEG of one quality, and H.264 of one strength.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import onnx
import torch
from av.video.stream import VideoStream

from bench.eager import QUALITY, load_generator
from bench.figures import Figure
from stylegan_export.precision import Pictures, lower
from stylegan_export.to_onnx import build_onnx, write_onnx
from stylegan_tool.demo_files import example_pictures
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.model_info import SCHEMA, ModelInfo
from stylegan_tool.models import choose_model
from stylegan_tool.pixels import Image, to_batch
from stylegan_train.networks import Generator

PICTURES = 40
FILM_S = 5
FRAME_RATE = 24
RUNS = 1  # a command takes a minute or two, which evens out most of what a machine does meanwhile
GOAL = 1 / 1.4  # of eager PyTorch's time, in float32
GOAL_LOWER = 1 / 2


# A small process of its own watches the command: a child's most memory counts what its parent held when it forked.
_WATCH = """
import json, os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
unit = 1 if sys.platform == "darwin" else 1024
costs = {"wall_s": time.perf_counter() - started, "cpu_s": used.ru_utime + used.ru_stime}
print(json.dumps({**costs, "memory_bytes": used.ru_maxrss * unit}))
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True)
class Cost:
    """What a command took: seconds of wall clock, seconds of all cores, and most memory at once, in bytes."""

    wall_s: float
    cpu_s: float
    memory_bytes: int

    @property
    def note(self) -> str:
        """For people: 'CPU 190 %, 812 MB'."""
        return f"CPU {100 * self.cpu_s / self.wall_s:.0f} %, {self.memory_bytes / 1e6:.0f} MB"


def measure(arguments: Sequence[object]) -> Cost:
    """Run `python ARGUMENTS` and return its cost.

    Raises:
        RuntimeError: it failed.
    """
    command = [sys.executable, "-c", _WATCH, sys.executable, *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise RuntimeError(f"{arguments} failed:\n{ran.stderr}")
    return Cost(**json.loads(ran.stdout.splitlines()[-1]))


def in_turn(commands: dict[str, Sequence[object]], runs: int = RUNS) -> dict[str, Cost]:
    """Run each command `runs` times, in turn; return the run of least wall time of each."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for run in range(runs):
        for name, arguments in commands.items():
            costs[name].append(measure([str(one).replace("-RUN", f"-{run}") for one in arguments]))
    return {name: min(some, key=lambda cost: cost.wall_s) for name, some in costs.items()}


def example(number: int, width: int, height: int) -> Image:
    """Return one of the example pictures, cut and scaled to a size; another cut for each number."""
    paths = example_pictures()
    image = read_picture(paths[number % len(paths)]).image
    trim = 2 * (number // len(paths))
    image = image[trim : image.shape[0] - trim, trim : image.shape[1] - trim]
    scaled = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(scaled, np.uint8)


def write_pictures(folder: Path, width: int, height: int) -> Path:
    """Write the folder that is stylised."""
    folder.mkdir()
    for number in range(PICTURES):
        pixels = cv2.cvtColor(example(number, width, height), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / f"{number:02d}.jpg"), pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return folder


def write_clip(path: Path, width: int, height: int, frames: int) -> Path:
    """Write a film that pans over a picture."""
    wide = example(0, width + 2 * frames, height)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(FRAME_RATE), width=width, height=height)
        assert isinstance(stream, VideoStream)
        stream.codec_context.pix_fmt = "yuv420p"
        for number in range(frames):
            image = np.ascontiguousarray(wide[:, 2 * number : 2 * number + width], np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode(None))
    return path


def lower_models(path: Path, folder: Path) -> dict[str, Path]:
    """Make the int8 model of the one at `path`."""
    squares = [to_batch(example(number, 256, 256)) for number in range(4)]
    lowered, _ = lower(onnx.load(path), "int8", Pictures(squares, []))
    onnx.save(lowered, folder / "int8.onnx")
    return {"int8": folder / "int8.onnx"}


def write_reference(folder: Path) -> Path:
    """Write the reference network, 64 filters and 9 blocks, untrained: its time does not depend on its weights."""
    torch.manual_seed(0)
    path = folder / "reference.onnx"
    info = ModelInfo(SCHEMA, "reference", "A2B", ngf=64, n_blocks=9, upsampling="nearest", normalization="instance")
    write_onnx(build_onnx(Generator(64, 9).eval()), info.to_metadata(), path)
    return path


def bench_others() -> Iterator[Figure]:
    """Folders and films against the eager loop."""
    model = choose_model("vangogh", direction="A2B").path
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        int8 = lower_models(model, folder)["int8"]
        pictures, clip = write_pictures(folder / "in", 1280, 720), folder / "in.mp4"
        write_clip(clip, 1280, 720, FILM_S * FRAME_RATE)
        check_same(model, pictures, folder)
        for what, command, source, suffix in (
            (f"{PICTURES} pictures of 1280x720", "images", pictures, ""),
            (f"film of {FILM_S} s, 1280x720", "video", clip, ".mp4"),
        ):
            off = ["--steady", "off"] if command == "video" else []
            ours = ["-m", "stylegan_tool", command, source]
            costs = in_turn(
                {
                    "eager": ["-m", "bench.eager", model, source, folder / f"eager-RUN{suffix}"],
                    "fp32": [*ours, folder / f"fp32-RUN{suffix}", "--model", model, *off],
                    "int8": [*ours, folder / f"int8-RUN{suffix}", "--model", int8, *off],
                    "OpenVINO": [*ours, folder / f"vino-RUN{suffix}", "--model", model, "--provider", "openvino", *off],
                }
            )
            yield from compare(costs, what)
        small, reference = write_pictures(folder / "small", 256, 256), write_reference(folder)
        costs = in_turn(
            {
                "eager": ["-m", "bench.eager", reference, small, folder / "small-eager-RUN"],
                "fp32": ["-m", "stylegan_tool", "images", small, folder / "small-fp32-RUN", "--model", reference],
            }
        )
        yield from compare(costs, f"{PICTURES} pictures of 256x256, reference network", goal=None)


def check_same(model: Path, pictures: Path, folder: Path) -> None:
    """Make sure that both sides make the same picture; a faster other one would prove nothing."""
    from PIL import Image as PilImage

    from bench.eager import stylize

    one = next(iter(sorted(pictures.iterdir())))
    theirs = np.asarray(stylize(load_generator(model), PilImage.open(one).convert("RGB")), int)
    measure(["-m", "stylegan_tool", "images", one, folder / "one.png", "--model", model])
    difference = np.abs(read_picture(folder / "one.png").image - theirs)
    if difference.max() > 2:
        raise RuntimeError(f"the eager loop's picture is another: up to {difference.max()}/255")


def compare(costs: dict[str, Cost], what: str, goal: float | None = GOAL) -> list[Figure]:
    """Return each command's time as a share of the eager loop's."""
    eager = costs["eager"]
    figures = [Figure(f"{what}: eager PyTorch", eager.wall_s, "s", note=eager.note)]
    for name, cost in costs.items():
        if name != "eager":
            most = goal if name == "fp32" else GOAL_LOWER
            figures.append(Figure(f"{what}: {name}, of that", cost.wall_s / eager.wall_s, goal=most, note=cost.note))
    return figures


if __name__ == "__main__":
    for figure in bench_others():
        print(figure.line(), flush=True)
