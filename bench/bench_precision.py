"""Speed and error of each precision and engine on this CPU: part of `make bench`.

On the bundled Van Gogh, each timed in turn with ONNX Runtime in float32: as films and pictures are really made (with
exact statistics), and the bare engines on a whole picture. int8 is calibrated with the example pictures but the one
that is measured. Another model: `python -m bench.bench_precision MODEL.onnx`.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx

from bench.figures import Figure, time_in_turn
from stylegan_export.precision import Accuracy, Pictures, lower
from stylegan_tool.demo_files import example_pictures
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.models import choose_model
from stylegan_tool.openvino_engine import OpenVinoEngine
from stylegan_tool.options import TileOption
from stylegan_tool.pixels import Batch, Image, to_batch
from stylegan_tool.session import Session
from stylegan_tool.stylize import Stylizer

SIZE = 768, 512  # width and height of the picture that is measured
MOST_TIME = {"int8": 0.8, "OpenVINO": 0.9}  # of float32's
MOST_MEAN = {"fp16": 0.1, "int8": 5.0, "OpenVINO": 1.0, "OpenVINO, fp16": 1.0, "OpenVINO, int8": 5.0}  # 8-bit steps


def _pictures() -> tuple[Image, Pictures]:
    images = [read_picture(path).image for path in example_pictures()]
    measured = cv2.resize(images[3], SIZE, interpolation=cv2.INTER_AREA).astype(np.uint8)
    squares = [cv2.resize(one, (256, 256), interpolation=cv2.INTER_AREA) for one in images[:3] + images[4:]]
    return measured, Pictures([to_batch(one.astype(np.uint8)) for one in squares], [])


def bench_precision(path: Path | None = None) -> list[Figure]:
    """Time and error against ONNX Runtime in float32, of the bundled Van Gogh or the model at `path`."""
    path = path or choose_model("vangogh", direction="A2B").path
    image, pictures = _pictures()
    with tempfile.TemporaryDirectory() as folder:
        files = {"fp32": path}
        for precision in ("fp16", "int8"):
            lowered, _ = lower(onnx.load(path), precision, pictures)
            files[precision] = Path(folder) / f"{precision}.onnx"
            onnx.save(lowered, files[precision])
        return [*_as_used(files, image), *_bare(files, image)]


def _as_used(files: dict[str, Path], image: Image) -> list[Figure]:
    def opened(precision: str, provider: str) -> Callable[[], Batch]:
        stylize = Stylizer(Session(files[precision], provider=provider), TileOption("off"))
        return lambda: to_batch(stylize(image))

    ways = {
        "fp16": opened("fp16", "cpu"),
        "int8": opened("int8", "cpu"),
        "OpenVINO": opened("fp32", "openvino"),
        "OpenVINO, fp16": opened("fp16", "openvino"),
        "OpenVINO, int8": opened("int8", "openvino"),
    }
    return _compare(ways, opened("fp32", "cpu"), f"{SIZE[0]}x{SIZE[1]}")


def _bare(files: dict[str, Path], image: Image) -> list[Figure]:
    batch = to_batch(image)

    def opened(engine: OpenVinoEngine) -> Callable[[], Batch]:
        return lambda: engine.run({engine.inputs[0]: batch})[0]

    sessions = {precision: Session(file, provider="cpu") for precision, file in files.items()}
    ways = {
        "fp16": lambda: sessions["fp16"].run(batch),
        "int8": lambda: sessions["int8"].run(batch),
        "OpenVINO, float32": opened(OpenVinoEngine(files["fp32"], precise=True)),
        "OpenVINO": opened(OpenVinoEngine(files["fp32"])),
        "OpenVINO, int8": opened(OpenVinoEngine(files["int8"])),
    }
    figures = _compare(ways, lambda: sessions["fp32"].run(batch), "the bare model")
    return [Figure(one.name, one.value, one.unit, note=one.note) for one in figures]  # its own norms: no goals


def _compare(ways: dict[str, Callable[[], Batch]], plain: Callable[[], Batch], what: str) -> list[Figure]:
    expected = plain()
    *taken, plain_s = time_in_turn(*ways.values(), plain)
    figures = []
    for (name, way), seconds in zip(ways.items(), taken, strict=True):
        accuracy = Accuracy.of([way()], [expected])
        note = f"{accuracy.largest:.0f}/255 at most, {accuracy.psnr_db:.0f} dB"
        figures += [
            Figure(f"{name}: time over fp32, {what}", seconds / plain_s, goal=MOST_TIME.get(name)),
            Figure(f"{name}: mean difference, {what}", accuracy.mean, "/255", goal=MOST_MEAN.get(name), note=note),
        ]
    return figures


if __name__ == "__main__":
    for figure in bench_precision(Path(sys.argv[1]) if len(sys.argv) > 1 else None):
        print(figure.line(), flush=True)
