"""Each operator's reach against ONNX Runtime: what is called valid in a tile equals the whole."""

import functools
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stylegan_tool.operators import Constants, channels_of, grid_of
from stylegan_tool.reach import Axis, UnknownReachError

FAR = 2**31 - 1


def node(op_type: str, *constants: Any, **attributes: Any) -> tuple[onnx.NodeProto, dict[str, NDArray[Any]]]:
    """A node that takes `x` and constants (None: left out), and the constants by name."""
    named = {f"c{i}": np.asarray(value) for i, value in enumerate(constants) if value is not None}
    inputs = ["x", *(f"c{i}" if value is not None else "" for i, value in enumerate(constants))]
    return helper.make_node(op_type, inputs, ["y"], name="it", **attributes), named


def weight(made: int, taken: int, kernel: int) -> NDArray[np.float32]:
    return np.random.default_rng(kernel).uniform(0.5, 1, (made, taken, kernel, kernel)).astype(np.float32)


def scales(factor: float) -> NDArray[np.float32]:
    return np.array([1, 1, factor, factor], np.float32)


HALF = {"coordinate_transformation_mode": "half_pixel"}
GRID = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
PADS = np.array([0, 0, 2, 1, 0, 0, 3, 2])
CASES = {
    "conv 7": (*node("Conv", weight(3, 2, 7), pads=[3, 3, 3, 3]), 1),
    "conv 3, valid": (*node("Conv", weight(3, 2, 3)), 1),
    "conv 3, stride 2": (*node("Conv", weight(3, 2, 3), pads=[1, 1, 1, 1], strides=[2, 2]), 2),
    "conv 4, stride 2": (*node("Conv", weight(3, 2, 4), pads=[1, 1, 1, 1], strides=[2, 2]), 2),
    "conv 5, stride 3, uneven pads": (*node("Conv", weight(3, 2, 5), pads=[1, 2, 3, 0], strides=[3, 3]), 3),
    "conv 3, dilated": (*node("Conv", weight(3, 2, 3), pads=[4, 4, 4, 4], dilations=[4, 4]), 1),
    "conv 3, same": (*node("Conv", weight(3, 2, 3), auto_pad="SAME_UPPER"), 1),
    "conv 4, same lower": (*node("Conv", weight(3, 2, 4), auto_pad="SAME_LOWER"), 1),
    "depthwise": (*node("Conv", weight(2, 1, 3), pads=[1, 1, 1, 1], group=2), 1),
    "transposed 3": (
        *node("ConvTranspose", weight(2, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
        1,
    ),
    "transposed 4": (*node("ConvTranspose", weight(2, 3, 4), strides=[2, 2], pads=[1, 1, 1, 1]), 1),
    "transposed 2": (*node("ConvTranspose", weight(2, 3, 2), strides=[2, 2]), 1),
    "transposed, dilated": (*node("ConvTranspose", weight(2, 3, 3), strides=[2, 2], dilations=[2, 2]), 1),
    "max pool": (*node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), 2),
    "mean pool": (*node("AveragePool", kernel_shape=[2, 2], strides=[2, 2]), 2),
    "reflect": (*node("Pad", PADS, mode="reflect"), 1),
    "zeros": (*node("Pad", PADS, mode="constant"), 1),
    "edge": (*node("Pad", PADS, mode="edge"), 1),
    "crop by pads": (*node("Pad", -PADS, mode="constant"), 1),
    "slice": (*node("Slice", [1, 2], [-1, FAR], [2, 3]), 1),
    "nearest x2": (*node("Resize", None, scales(2), mode="nearest", **GRID), 1),
    "nearest x3, half pixels": (*node("Resize", None, scales(3), mode="nearest", **HALF), 1),
    "nearest x2, ceil": (
        *node(
            "Resize", None, scales(2), mode="nearest", nearest_mode="ceil", coordinate_transformation_mode="asymmetric"
        ),
        1,
    ),
    "linear x2": (*node("Resize", None, scales(2), mode="linear", **HALF), 1),
    "cubic x2": (*node("Resize", None, scales(2), mode="cubic", **HALF), 1),
    "linear half": (*node("Resize", None, scales(0.5), mode="linear", **HALF), 2),
    "wider by a constant": (*node("Add", np.ones((1, 1, 1), np.float32)), 1),
    "to depth": (*node("SpaceToDepth", blocksize=2), 2),
    "relu": (*node("Relu"), 1),
    "per channel": (*node("Mul", np.ones((1, 2, 1, 1), np.float32)), 1),
    "softmax over channels": (*node("Softmax", axis=1), 1),
}


@functools.cache
def prepared(case: str) -> tuple[onnx.NodeProto, Constants, ort.InferenceSession]:
    one, constants, _ = CASES[case]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, None, None])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph([one], "one", [x], [y], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return one, Constants(graph, model.opset_import), session


@st.composite
def windows(draw: st.DrawFn, step: int) -> tuple[int, int, int]:
    """(start, stop, total) of a tile of at least 16 that starts on a step, and ends on one or with the picture."""
    total = draw(st.integers(16, 50))
    start = step * draw(st.integers(0, (total - 16) // step))
    stop = draw(st.sampled_from([total, *range(start + 16, total, step)]))
    return start, start + (stop - start) // step * step if stop < total else total, total


@settings(max_examples=25, deadline=None)
@given(st.data())
@pytest.mark.parametrize("case", CASES)
def test_what_is_valid_equals_the_whole(case: str, data: st.DataObject) -> None:
    one, constants, session = prepared(case)
    (y0, y1, height), (x0, x1, width) = (data.draw(windows(CASES[case][2])) for _ in range(2))
    assume(y1 - y0 >= 12 and x1 - x0 >= 12)
    assume(case != "to depth" or height % 2 == width % 2 == 0)  # the operator takes no others
    picture = np.random.default_rng(height * width).uniform(-1, 1, (1, 2, height, width)).astype(np.float32)
    whole = session.run(None, {"x": picture})[0]
    tile = session.run(None, {"x": np.ascontiguousarray(picture[:, :, y0:y1, x0:x1])})[0]
    y, x = grid_of(one, constants, {"x": (Axis.of_window(y0, y1, height), Axis.of_window(x0, x1, width))})
    assert whole.shape[1:] == (channels_of(one, constants, {"x": 2})[0], y.total, x.total)
    assert tile.shape[2:] == (y.length, x.length)
    assert y.start < y.stop
    assert x.start < x.stop
    kept = tile[:, :, y.start - y.origin : y.stop - y.origin, x.start - x.origin : x.stop - x.origin]
    np.testing.assert_allclose(kept, whole[:, :, y.start : y.stop, x.start : x.stop], rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_no_more_is_given_away_than_must_be(case: str) -> None:
    """One value beyond what is called valid is wrong, or (for interpolation) has a neighbour that is."""
    one, constants, session = prepared(case)
    start, stop, total = 12, 36, 48
    picture = np.random.default_rng(7).uniform(-1, 1, (1, 2, total, total)).astype(np.float32)
    whole = session.run(None, {"x": picture})[0]
    tile = session.run(None, {"x": np.ascontiguousarray(picture[:, :, start:stop, start:stop])})[0]
    y, x = grid_of(one, constants, {"x": (Axis.of_window(start, stop, total),) * 2})
    inside = slice(x.start, x.stop)
    held = slice(x.start - x.origin, x.stop - x.origin)
    reach = 3 if "half" in case or "linear" in case or "cubic" in case else 1
    for edge, step in ((y.start - 1, -1), (y.stop, 1)):
        rows = [edge + i * step for i in range(reach)]
        beyond = [row for row in rows if y.origin <= row < y.origin + y.length and row < y.total]
        if len(beyond) == reach:
            wrong = [np.abs(whole[0, :, row, inside] - tile[0, :, row - y.origin, held]).max() > 1e-3 for row in beyond]
            assert any(wrong)


REFUSED = {
    "attention": node("MatMul", np.ones((50, 50), np.float32)),
    "global pooling": node("GlobalAveragePool"),
    "align_corners": node("Resize", None, scales(2), mode="linear", coordinate_transformation_mode="align_corners"),
    "one and a half": node("Resize", None, scales(1.5), mode="linear", **HALF),
    "to a size": node("Resize", None, None, np.array([1, 2, 64, 64]), mode="nearest"),
    "wrap": node("Pad", PADS, mode="wrap"),
    "a piece of a fixed size": node("Slice", [0], [20], [2]),
    "a fixed picture": node("Add", np.ones((1, 2, 32, 32), np.float32)),
    "along a row": node("Softmax", axis=3),
    "transposed to rows": node("Transpose", perm=[0, 2, 3, 1]),
    "ceil": node("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_tile_cannot_know_is_refused_by_name(case: str) -> None:
    one, values = REFUSED[case]
    graph = helper.make_graph([one], "one", [], [], [numpy_helper.from_array(v, k) for k, v in values.items()])
    with pytest.raises(UnknownReachError, match=rf"^{one.op_type} \(it\): "):
        grid_of(one, Constants(graph, [helper.make_opsetid("", 20)]), {"x": (Axis.of_window(0, 48, 48),) * 2})


def constants_of(one: onnx.NodeProto, values: dict[str, NDArray[Any]], opset: int) -> Constants:
    graph = helper.make_graph([one], "one", [], [], [numpy_helper.from_array(v, k) for k, v in values.items()])
    return Constants(graph, [helper.make_opsetid("", opset)])


WHOLE = {"x": (Axis.of_window(8, 40, 48),) * 2}


def test_softmax_before_opset_13_works_across_the_picture() -> None:
    one, values = node("Softmax", axis=1)
    assert grid_of(one, constants_of(one, values, 13), WHOLE) == WHOLE["x"]
    with pytest.raises(UnknownReachError, match="opset 13"):
        grid_of(one, constants_of(one, values, 12), WHOLE)


def test_resize_before_opset_11_has_scales_as_its_second_input() -> None:
    one, values = node("Resize", scales(2), mode="nearest")
    y, _ = grid_of(one, constants_of(one, values, 10), WHOLE)
    assert (y.origin, y.length, y.start, y.stop) == (16, 64, 16, 80)


def test_upsample_7_has_scales_as_an_attribute() -> None:
    one, values = node("Upsample", scales=[1.0, 1.0, 2.0, 2.0], mode="nearest")
    assert grid_of(one, constants_of(one, values, 7), WHOLE)[0].length == 64


@pytest.mark.parametrize("factor", [2.004, 1.999])
def test_a_factor_that_is_nearly_whole_is_none(factor: float) -> None:
    one, values = node("Resize", None, scales(factor), mode="nearest", **GRID)
    with pytest.raises(UnknownReachError, match="no whole factor"):
        grid_of(one, constants_of(one, values, 20), WHOLE)


def test_dropout_while_training_is_refused() -> None:
    one, values = node("Dropout", np.array(0.5, np.float32), np.array(True))
    with pytest.raises(UnknownReachError, match="training"):
        grid_of(one, constants_of(one, values, 20), WHOLE)


def test_arithmetic_that_exporters_leave_is_done_in_the_graphs_own_opset() -> None:
    """Unsqueeze took its axes as an attribute before opset 13."""
    maker = helper.make_node("Unsqueeze", ["c0"], ["pads"], axes=[0])
    constants = constants_of(maker, {"c0": np.array(7)}, 11)
    constants.add(maker)
    assert constants.value("pads").tolist() == [7]
    assert constants.shape("pads") == (1,)


def test_a_constant_may_widen_channels() -> None:
    one, values = node("Mul", np.ones((1, 5, 1, 1), np.float32))
    assert channels_of(one, constants_of(one, values, 20), {"x": 1}) == [5]


def test_depth_to_space_makes_channels_pixels() -> None:
    one, values = node("DepthToSpace", blocksize=2)
    constants = constants_of(one, values, 20)
    assert channels_of(one, constants, {"x": 12}) == [3]
    y, _ = grid_of(one, constants, {"x": (Axis(4, 10, 48, 5, 13),) * 2})
    assert y == Axis(8, 20, 96, 10, 26)


def test_split_and_concat_count_channels() -> None:
    split, values = node("Split", np.array([3, 1]), axis=1)
    split.output.append("z")
    assert channels_of(split, constants_of(split, values, 20), {"x": 4}) == [3, 1]
    joined = helper.make_node("Concat", ["x", "w"], ["y"], axis=1)
    assert channels_of(joined, constants_of(joined, {}, 20), {"x": 4, "w": 2}) == [6]
