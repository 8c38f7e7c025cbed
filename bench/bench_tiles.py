"""Tiles: how far each kind of statistics is from the truth, and what exact ones cost in time and memory.

The truth is the network with its statistics in float64, untiled (tests/networks.py writes it out).
"""

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np

from bench.figures import Figure, run_python, time_in_turn
from stylegan_tool.demo_files import example_pictures
from stylegan_tool.exact import ExactModel, Vectors
from stylegan_tool.exact_plan import Pass
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.options import TileOption, TileStatistics
from stylegan_tool.pixels import Batch, Image, to_batch, to_image
from stylegan_tool.session import Session
from stylegan_tool.stylize import Stylizer
from stylegan_tool.tile_choice import BYTES_PER_PIXEL_AND_FILTER
from tests.networks import truth_of

TILE = 256
FOUR = ("mountain", "meadow", "stream", "sunset")


def photo(height: int, width: int) -> Image:
    """Return an example photograph scaled to height x width: real contents at any size."""
    image = read_picture(next(path for path in example_pictures() if path.stem == "mountain")).image
    return cast("Image", cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC))


def _apart(result: Image, truth: Image) -> tuple[float, float]:
    """Return mean and 99.9th percentile of the difference, in 8-bit steps."""
    difference = np.abs(result.astype(int) - truth)
    return float(difference.mean()), float(np.percentile(difference, 99.9))


def bench_statistics(session: Session) -> list[Figure]:
    """Whose statistics the tiles are normalised by: the design's table, on four example photographs."""
    truth_model = truth_of(session.path)
    pictures = [read_picture(path).image for path in example_pictures() if path.stem in FOUR]
    pictures = [image[: image.shape[0] // 4 * 4, : image.shape[1] // 4 * 4] for image in pictures]
    truths = [to_image(truth_model(to_batch(image)), np.dtype(np.uint8)) for image in pictures]
    ways: dict[str, Callable[[Image], Image]] = {
        "each tile its own": _by("local", session),
        "a thumbnail's (512 pixels)": _by("thumbnail", session),
        "random crops', 25 % of the picture": lambda image: _by_crops(session, image),
        "fed back, all layers at once, 1 time": lambda image: _fed_back(session, image, 1),
        "fed back, all layers at once, 8 times": lambda image: _fed_back(session, image, 8),
        "the whole picture's": _by("exact", session),
    }
    figures = []
    for name, way in ways.items():
        apart = [_apart(way(image), truth) for image, truth in zip(pictures, truths, strict=True)]
        note = f"worst mean; 99.9th percentile {min(far for _, far in apart):.0f} to {max(far for _, far in apart):.0f}"
        goal = 0.01 if name == "the whole picture's" else None
        figures.append(Figure(f"tiles of {TILE}: {name}", max(mean for mean, _ in apart), "/255", goal, note))
    return figures


def _by(statistics: TileStatistics, session: Session) -> Callable[[Image], Image]:
    return Stylizer(session, TileOption("fixed", TILE), statistics=statistics)


def _through(image: Image, run: Callable[[Any, Any], None]) -> Image:
    result = np.empty_like(image)

    def write(rows: slice, columns: slice, batch: Batch) -> None:
        result[rows, columns] = to_image(batch, image.dtype)

    run(lambda rows, columns: to_batch(image[rows, columns]), write)
    return result


def _by_crops(session: Session, image: Image) -> Image:
    """Statistics of a mosaic of random crops."""
    side, random = 128, np.random.default_rng(0)
    height, width = image.shape[:2]
    n = max(2, round(math.sqrt(height * width / 4) / side))
    corners = random.integers((height - side, width - side), size=(n, n, 2))
    rows = [np.concatenate([image[y : y + side, x : x + side] for y, x in row], axis=1) for row in corners]
    mosaic = np.concatenate(rows)
    model = ExactModel(session)
    plan = model.planner.one_pass(image.shape[0], image.shape[1], TILE, memory_bytes=2**32)
    small = model.planner.untiled(*mosaic.shape[:2])
    return _through(
        image,
        lambda read, write: model.run_with_statistics_of(small, lambda y, x: to_batch(mosaic[y, x]), plan, read, write),
    )


def _fed_back(session: Session, image: Image, times: int) -> Image:
    """Measure all layers in one pass over the tiles, put the numbers in, and repeat."""
    model = ExactModel(session)
    plan = model.planner.one_pass(image.shape[0], image.shape[1], TILE, memory_bytes=2**32)
    only = plan.passes[0]
    everything = tuple(dict.fromkeys(norm.taken for norm in model.cut.norms.values()))
    measuring = Pass(replace(only.stage, measured=everything), only.rows, only.columns, {})
    vectors: Vectors = {}
    for norm in model.cut.norms.values():
        n = len(norm.gain)
        vectors[f"{norm.made}/mean"] = np.zeros((n, 1, 1), np.float32)
        vectors[f"{norm.made}/scale"] = np.ones(n, np.float32)

    def run(read: Callable[..., Batch], write: Callable[..., None]) -> None:
        for _ in range(times):
            vectors.update(model.run_with(vectors, replace(plan, passes=(measuring,)), read, write))
        model.run_with(vectors, plan, read, write)

    return _through(image, run)


def _by_tiles(model: ExactModel, batch: Batch) -> Batch:
    result = np.empty_like(batch)

    def write(rows: slice, columns: slice, piece: Batch) -> None:
        result[:, :, rows, columns] = piece

    plan = model.planner.plan(batch.shape[2], batch.shape[3], memory_bytes=2**33)
    model.run(plan, lambda rows, columns: np.ascontiguousarray(batch[:, :, rows, columns]), write)
    return result


def bench_drift(session: Session) -> list[Figure]:
    """How far the plain, untiled runtime is from the truth, and how far exact tiles are."""
    figures = []
    truth_model = truth_of(session.path)
    for side in (512, 1024, 2048):
        image = photo(side, side)
        batch = to_batch(image)
        truth = truth_model(batch)
        plain = float(np.abs(session.run(batch) - truth).max())
        result = _by_tiles(ExactModel(session), batch)
        same = to_image(result, image.dtype) == to_image(truth, image.dtype)
        tiles = float(np.abs(result - truth).max())
        figures += [
            Figure(f"{side}x{side}: plain untiled ONNX Runtime from the truth", plain, "of 2"),
            Figure(f"{side}x{side}: exact tiles from the truth", tiles, "of 2", 1e-4),
            Figure(f"{side}x{side}: 8-bit values that differ from the truth's", 1 - float(same.mean()), "", 1e-3),
        ]
    return figures


def bench_time(session: Session) -> list[Figure]:
    """Exact tiles against the plain, untiled model."""
    return [_time_of_tiles(session, height, width) for height, width in ((720, 1280), (1536, 2048))]


def _time_of_tiles(session: Session, height: int, width: int) -> Figure:
    image = photo(height, width)
    batch, tiled = to_batch(image), Stylizer(session, TileOption("fixed", 384))
    plain_s, tiled_s = time_in_turn(lambda: session.run(batch), lambda: tiled(image))
    return Figure(f"{width}x{height}: exact tiles against untiled, time", tiled_s / plain_s, goal=1.3)


_PEAK = """
import sys, time
from pathlib import Path
import numpy as np
from bench.bench_tiles import photo
from stylegan_tool.options import TileOption
from stylegan_tool.pixels import to_batch, to_image
from stylegan_tool.session import Session
from stylegan_tool.stylize import Stylizer

def status(key):
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))

path, height, width, memory = sys.argv[1], *(int(text) for text in sys.argv[2:])
session, image = Session(Path(path), provider='cpu'), photo(height, width)
Path('/proc/self/clear_refs').write_text('5')  # the peak from here on
before, started = status('VmRSS'), time.perf_counter()
if memory:
    Stylizer(session, TileOption('auto'), memory_bytes=memory)(image)
else:
    to_image(session.run(to_batch(image)), image.dtype)
print(status('VmHWM') - before, status('VmHWM'), time.perf_counter() - started)
"""


def _peak(path: Path, height: int, width: int, memory: int) -> tuple[int, int, float]:
    """Return the peak beyond the loaded model and picture, the whole process's, and seconds; memory 0: plain run."""
    growth, whole, seconds = run_python(["-c", _PEAK, str(path), str(height), str(width), str(memory)]).split()
    return int(growth), int(whole), float(seconds)


def bench_memory(session: Session) -> list[Figure]:
    """Peak memory: of the plain run for the estimate, of exact tiles at 16 and at 96 megapixels."""
    if not sys.platform.startswith("linux"):
        return []
    side = 4096
    plain, _, plain_s = _peak(session.path, side, side, 0)
    tiled, _, tiled_s = _peak(session.path, side, side, plain // 4)
    _, huge, huge_s = _peak(session.path, 8000, 12_000, 6 * 2**30)
    each = plain / side**2 / session.info.ngf
    return [
        Figure("memory of a plain run: bytes a pixel and filter", each, "B", goal=BYTES_PER_PIXEL_AND_FILTER),
        Figure("4096x4096: peak memory of exact tiles against untiled", tiled / plain, goal=1 / 3),
        Figure("4096x4096: time of exact tiles in that memory", tiled_s / plain_s, goal=1.3),
        Figure("12000x8000: peak memory of the process", huge / 2**30, "GB", 8, f"{huge_s:.0f} s"),
    ]


def bench_tiles(session: Session) -> list[Figure]:
    """All of it."""
    return [
        *bench_statistics(session),
        *bench_drift(session),
        *bench_time(session),
        *bench_memory(session),
    ]
