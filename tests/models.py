"""Models made on the spot, and where real data is."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stylegan_tool.model_info import SCHEMA, ModelInfo

REPOSITORY = Path(__file__).parents[1]
SHARED_DATA = REPOSITORY.parent / "shared" / "data"

RED, BLUE = (255, 0, 0), (0, 0, 255)


def make_info(direction: str, **fields: object) -> ModelInfo:
    """What a hand-made model says of itself: photo is A, vangogh is B."""
    values = {"schema": SCHEMA, "direction": direction, "domain_a": "photo", "domain_b": "vangogh", "ngf": 4}
    return ModelInfo(**{**values, "receptive_field": 8, **fields})  # type: ignore[arg-type]  # fields by name


def write_graph(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, NDArray[np.generic]],
    info: ModelInfo | None,
    *,
    channels: int = 3,
) -> Path:
    """Write a model `image` -> `stylized` of the given nodes."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", channels, "H", "W"])
        for name in ("image", "stylized")
    ]
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(list(nodes), "made_on_the_spot", ends[:1], ends[1:], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    if info is not None:
        helper.set_model_props(model, info.to_metadata())
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def write_colour_model(path: Path, colour: tuple[int, int, int], info: ModelInfo | None) -> Path:
    """Write a model that turns every picture into one colour: which one ran can be seen."""
    value = (np.array(colour, np.float32) / 127.5 - 1).reshape(1, 3, 1, 1)
    nodes = [
        helper.make_node("Mul", ["image", "zero"], ["black"]),
        helper.make_node("Add", ["black", "colour"], ["stylized"]),
    ]
    return write_graph(path, nodes, {"zero": np.array(0, np.float32), "colour": value}, info)


def write_blur_model(path: Path, reach: int, info: ModelInfo | None) -> Path:
    """Write a model without statistics: a box filter that looks `reach` pixels to each side."""
    side = 2 * reach + 1
    kernel = np.zeros((3, 3, side, side), np.float32)
    for channel in range(3):
        kernel[channel, channel] = 1 / side**2
    pads = np.array([0, 0, reach, reach, 0, 0, reach, reach], np.int64)
    nodes = [
        helper.make_node("Pad", ["image", "pads"], ["padded"], mode="reflect"),
        helper.make_node("Conv", ["padded", "kernel"], ["stylized"]),
    ]
    return write_graph(path, nodes, {"pads": pads, "kernel": kernel}, info)


def write_nan_model(path: Path, info: ModelInfo | None) -> Path:
    """Write a model that gives pictures back as they are, but for values of full white: they become no number."""
    nodes = [
        helper.make_node("Sub", ["white", "image"], ["rest"]),
        helper.make_node("Div", ["rest", "rest"], ["one"]),
        helper.make_node("Mul", ["image", "one"], ["stylized"]),
    ]
    return write_graph(path, nodes, {"white": np.array(1, np.float32)}, info)
