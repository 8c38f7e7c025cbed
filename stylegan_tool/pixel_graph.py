"""A model's graph between two conversions, so that 8-bit pictures go in and come out and nothing wider is copied.

`sgt/pixels` uint8 (N,H,W,3) -> [-1,1] -> the model -> `sgt/painted` uint8 (N,H,W,3), by the arithmetic of pixels.py in
its order, so that each value is the same. What is not a number would become an ordinary byte: `sgt/sum` (N,) is the sum
of what the model makes, finite where all of that is. The file on disk keeps its float32 ends.
"""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stylegan_tool.operators import Constants, element_type, shape_of
from stylegan_tool.pixels import HALF

PIXELS, PAINTED, SUM = "sgt/pixels", "sgt/painted", "sgt/sum"
_OLDEST = 13  # the first operator set in which all of it can be written


def add_pixels(source: Path | bytes) -> bytes | None:
    """Return a model, float32 (N,3,H,W) to the same, with both conversions; None where it cannot be had.

    That is a graph older than the operators, or one whose ends are others.
    """
    model = onnx.load(source) if isinstance(source, Path) else onnx.load_model_from_string(source)
    graph = model.graph
    constants = Constants(graph, model.opset_import)
    images = [one for one in graph.input if one.name not in constants]
    ends = [*images, *graph.output]
    sides = [shape_of(one) or () for one in ends]
    if constants.opset < _OLDEST or (len(images), len(graph.output)) != (1, 1):
        return None
    if any(element_type(one) != TensorProto.FLOAT for one in ends) or any(len(one) != 4 for one in sides):
        return None
    before, after = _conversions(images[0].name, graph.output[0].name)
    inner = [onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    del graph.node[:]
    graph.node.extend([*before, *inner, *after])
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in _VALUES.items())
    graph.input.remove(images[0])
    graph.input.append(_picture(PIXELS, sides[0]))
    del graph.output[:]
    graph.output.extend([_picture(PAINTED, sides[1]), helper.make_tensor_value_info(SUM, TensorProto.FLOAT, ["N"])])
    return bytes(model.SerializeToString())


_HALF = HALF[np.dtype(np.uint8)]
_VALUES: dict[str, NDArray[np.generic]] = {
    "sgt/one": np.array(1, np.float32),
    "sgt/half": np.array(_HALF, np.float32),
    "sgt/lowest": np.array(0, np.float32),
    "sgt/highest": np.array(2 * _HALF, np.float32),
    "sgt/axes": np.array([1, 2, 3], np.int64),
}


def _conversions(image: str, stylized: str) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto]]:
    """Return the nodes before and after the model; see pixels.to_batch and pixels.to_image."""
    before = [
        helper.make_node("Transpose", [PIXELS], ["sgt/planes"], perm=(0, 3, 1, 2)),
        helper.make_node("Cast", ["sgt/planes"], ["sgt/wide"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["sgt/wide", "sgt/half"], ["sgt/scaled"]),
        helper.make_node("Sub", ["sgt/scaled", "sgt/one"], [image]),
    ]
    after = [
        helper.make_node("ReduceSum", [stylized, "sgt/axes"], [SUM], keepdims=0),
        helper.make_node("Add", [stylized, "sgt/one"], ["sgt/raised"]),
        helper.make_node("Mul", ["sgt/raised", "sgt/half"], ["sgt/steps"]),
        helper.make_node("Round", ["sgt/steps"], ["sgt/rounded"]),
        helper.make_node("Clip", ["sgt/rounded", "sgt/lowest", "sgt/highest"], ["sgt/clipped"]),
        helper.make_node("Cast", ["sgt/clipped"], ["sgt/bytes"], to=TensorProto.UINT8),
        helper.make_node("Transpose", ["sgt/bytes"], [PAINTED], perm=(0, 2, 3, 1)),
    ]
    return before, after


def _picture(name: str, sides: tuple[int | str | None, ...]) -> onnx.ValueInfoProto:
    """Return an end (N,H,W,3) for one of `sides` (N,3,H,W)."""
    batch, _, height, width = sides
    return helper.make_tensor_value_info(name, TensorProto.UINT8, [batch, height, width, 3])
