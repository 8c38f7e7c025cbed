"""Speed and error of each precision and engine on this CPU: part of `make bench`.

On the bundled Van Gogh, as films and pictures are really made (with exact statistics), each timed in turn with ONNX
Runtime in float32. int8 is calibrated with the example pictures but the one that is measured.
"""

import tempfile
from pathlib import Path

import cv2
import numpy as np
import onnx

from bench.figures import Figure, time_in_turn
from stylegan_export.precision import Accuracy, Pictures, lower
from stylegan_tool.demo_files import example_pictures
from stylegan_tool.image_files import read_picture
from stylegan_tool.models import choose_model
from stylegan_tool.options import TileOption
from stylegan_tool.pixels import Image, to_batch
from stylegan_tool.session import Session
from stylegan_tool.stylize import Stylizer

SIZE = 768, 512  # width and height of the picture that is measured
MOST_TIME = {"int8": 0.8, "openvino": 0.9}  # of float32's
MOST_MEAN = {"fp16": 0.1, "int8": 5.0, "openvino": 1.0}  # 8-bit steps


def _pictures() -> tuple[Image, Pictures]:
    images = [read_picture(path).image for path in example_pictures()]
    measured = cv2.resize(images[3], SIZE, interpolation=cv2.INTER_AREA).astype(np.uint8)
    others = [to_batch(cv2.resize(one, (256, 256), interpolation=cv2.INTER_AREA)) for one in images[:3] + images[4:]]  # type: ignore[arg-type]  # OpenCV's types are wider
    return measured, Pictures(others, [])


def bench_precision() -> list[Figure]:
    """Time and error against ONNX Runtime in float32."""
    path = choose_model("vangogh", direction="A2B").path
    image, pictures = _pictures()
    off = TileOption("off")
    with tempfile.TemporaryDirectory() as folder:
        ways = {}
        for precision in ("fp16", "int8"):
            lowered, _ = lower(onnx.load(path), precision, pictures)
            file = Path(folder) / f"{precision}.onnx"
            onnx.save(lowered, file)
            ways[precision] = Stylizer(Session(file, provider="cpu"), off)
        ways["openvino"] = Stylizer(Session(path, provider="openvino"), off)
        plain = Stylizer(Session(path, provider="cpu"), off)
        expected = to_batch(plain(image))
        figures = []
        for name, stylize in ways.items():
            ours, floats = time_in_turn(lambda stylize=stylize: stylize(image), lambda: plain(image))  # type: ignore[misc]  # bound now
            accuracy = Accuracy.of([to_batch(stylize(image))], [expected])
            note = f"{accuracy.largest:.0f}/255 at most, {accuracy.psnr_db:.0f} dB"
            figures += [
                Figure(f"{name}: time over fp32, {SIZE[0]}x{SIZE[1]}", ours / floats, goal=MOST_TIME.get(name)),
                Figure(f"{name}: mean difference", accuracy.mean, "/255", goal=MOST_MEAN[name], note=note),
            ]
    return figures


if __name__ == "__main__":
    for figure in bench_precision():
        print(figure.line(), flush=True)
