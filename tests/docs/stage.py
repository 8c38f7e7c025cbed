"""A folder as the pages take it for granted: somebody's pictures and films, a data set, a run, other people's models.

All of it is tiny, so that each command of the pages runs in a second or so as it stands there.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image as PilImage

from stylegan_tool.__main__ import main
from tests import foreign_networks
from tests.films import write_film
from tests.models import write_blur_model
from tests.networks import write_generator
from tests.train.sets import make_pictures

FRAME_RATE = Fraction(4)  # few frames, but seconds enough for --preview 3s
N_FRAMES = 20
DATA_SETS = ("photo2vangogh", "photo2monet", "photo2cezanne", "photo2mine")


def draw(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Return a picture with forms in it, (H,W,3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [127 + 90 * np.sin(x / rng.uniform(4, 12) + y / rng.uniform(4, 12)) for _ in range(3)]
    return np.stack(waves, -1).clip(0, 255).astype(np.uint8)


def set_stage(folder: Path) -> None:
    """Lay out what every page may use."""
    _pictures(folder)
    frames = [np.roll(draw(48, 64, 7), i, 1) for i in range(N_FRAMES)]
    for name in ("in.mp4", "holiday.mp4", "clip.mp4"):
        write_film(folder / name, frames, frame_rate=FRAME_RATE, tone_hz=440)
    (folder / "frames").mkdir()
    for name in DATA_SETS:
        for part, n in (("train", 2), ("test", 2)):
            make_pictures(folder / "datasets" / name / f"{part}A", n, (60, 90, 200))
            make_pictures(folder / "datasets" / name / f"{part}B", n, (200, 150, 40))
    _foreign_onnx(folder)
    _foreign_checkpoints(folder)


def _pictures(folder: Path) -> None:
    (folder / "photos" / "trip").mkdir(parents=True)
    for seed, name in enumerate(("photos/a.jpg", "photos/b.png", "photos/trip/c.jpg", "photo.jpg", "painting.jpg")):
        PilImage.fromarray(draw(48, 64 + 4 * seed, seed)).save(folder / name)
    for seed in range(5):  # to calibrate with
        PilImage.fromarray(draw(64, 64, seed)).save(folder / "photos" / f"{seed}.png")
    PilImage.fromarray(draw(200, 300, 9)).save(folder / "huge.tif")


def _foreign_onnx(folder: Path) -> None:
    plain = onnx.load(write_generator(folder / "animegan.onnx"))
    del plain.metadata_props[:]
    onnx.save(plain, folder / "animegan.onnx")
    write_blur_model(folder / "mosaic.onnx", 2, None)
    _write_weighted(folder / "many.onnx", "style_weights", 26)
    _write_weighted(folder / "transform.onnx", "style", 3)
    nodes = [helper.make_node("GlobalAveragePool", ["image"], ["mean"]), helper.make_node("Flatten", ["mean"], ["all"])]
    ends = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 32]),
        helper.make_tensor_value_info("all", TensorProto.FLOAT, [1, 3]),
    ]
    _save(folder / "predict.onnx", helper.make_graph(nodes, "predict", ends[:1], ends[1:]))


def _write_weighted(path: Path, name: str, n: int) -> None:
    """Write a network whose second input `name`, (1,n), chooses what is added to the picture."""
    nodes = [
        helper.make_node("MatMul", [name, "colours"], ["row"]),
        helper.make_node("Reshape", ["row", "place"], ["colour"]),
        helper.make_node("Add", ["image", "colour"], ["sum"]),
        helper.make_node("Tanh", ["sum"], ["result"]),
    ]
    inputs = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "h", "w"]),
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, n]),
    ]
    output = helper.make_tensor_value_info("result", TensorProto.FLOAT, [1, 3, "h", "w"])
    colours = np.random.default_rng(0).normal(0, 1, (n, 3)).astype(np.float32)
    constants = [numpy_helper.from_array(colours, "colours"), numpy_helper.from_array(np.array([1, 3, 1, 1]), "place")]
    _save(path, helper.make_graph(nodes, "weighted", inputs, [output], constants))


def _save(path: Path, graph: onnx.GraphProto) -> None:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _foreign_checkpoints(folder: Path) -> None:
    """Write generators where their projects leave them."""
    for name, network in (
        ("checkpoints/horse2zebra/latest_net_G_A.pth", foreign_networks.jz(4, 1)),
        ("saved_models/monet2photo/G_AB_99.pth", foreign_networks.pg(4, 1)),
        ("style.pth", foreign_networks.jz(4, 1)),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        torch.save(foreign_networks.randomise(network).state_dict(), folder / name)


def add_run(folder: Path) -> None:
    """Train and export runs/photo2vangogh-001 in `folder`, the working folder, on its own data set."""
    assert main(["train", "photo2vangogh", "--preset", "tiny", "--epochs", "1"]) == 0
    assert main(["export", "--onnx"]) == 0
    assert (folder / "runs" / "photo2vangogh-001" / "A2B.onnx").is_file()
