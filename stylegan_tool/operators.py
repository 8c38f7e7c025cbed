"""What each ONNX operator does to the grid: reads a node's attributes and applies the rules of reach.py.

A `Grid` is a tensor's (y, x) as a tile holds it. Layout is NCHW; operators that mix places in a way that no
halo can mend (attention, global pooling, a reshaped picture) raise UnknownReachError with the node's name.
Source: the ONNX operator specification, opsets 7 to 23.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from stylegan_tool import reach
from stylegan_tool.reach import Axis, UnknownReachError

Grid: TypeAlias = tuple[Axis, Axis]
ValueInfo: TypeAlias = onnx.ValueInfoProto
Array: TypeAlias = NDArray[Any]

# fmt: off
ELEMENTWISE = frozenset({
    "Abs", "Add", "BatchNormalization", "Cast", "Ceil", "Celu", "Clip", "Cos", "DequantizeLinear", "Div", "Dropout",
    "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization", "LRN",
    "LeakyRelu", "Log", "Max", "Mean", "Min", "Mish", "Mul", "Neg", "PRelu", "Pow", "QuantizeLinear", "Reciprocal",
    "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish",
    "Tanh", "ThresholdedRelu", "Where",
})
# fmt: on
_BROADCAST = frozenset({"Add", "Sub", "Mul", "Div", "Max", "Min", "Mean", "Sum", "Pow", "Where", "PRelu"})
FAR = 2**31 - 1  # how exporters write 'to the end'
_SPATIAL = {2: 0, 3: 1, -2: 0, -1: 1}
_CHANNEL = (1, -3)


class Constants:
    """The tensors of a graph that do not depend on the picture, and the operator set that the graph is written in."""

    def __init__(self, graph: onnx.GraphProto, opsets: Sequence[onnx.OperatorSetIdProto]) -> None:
        self._opsets = list(opsets)
        self.opset = max((one.version for one in opsets if one.domain in ("", "ai.onnx")), default=0)
        self._initializers = {one.name: one for one in graph.initializer}
        self._shapes: dict[str, tuple[int, ...]] = {
            one.name: tuple(int(dim) for dim in one.dims) for one in graph.initializer
        }
        self.nodes: dict[str, onnx.NodeProto] = {}  # what computes those that are no initializers

    def __contains__(self, name: str) -> bool:
        return name in self._shapes or name in self.nodes

    def add(self, node: onnx.NodeProto) -> None:
        """Take a node whose inputs are all constant; its outputs are too."""
        self.nodes |= dict.fromkeys(node.output, node)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a constant."""
        if name not in self._shapes:
            node = self.nodes.get(name)
            same = node is not None and node.op_type in ("QuantizeLinear", "DequantizeLinear")
            self._shapes[name] = self.shape(node.input[0]) if node is not None and same else self.value(name).shape
        return self._shapes[name]

    def value(self, name: str) -> Array:
        """Return the value of a constant: exporters leave arithmetic, which is done here."""
        if name not in self._initializers:
            node = self.nodes[name]
            values = self._compute(node)
            for made, value in zip([made for made in node.output if made], values, strict=True):
                self._initializers[made] = numpy_helper.from_array(np.asarray(value), made)
        return numpy_helper.to_array(self._initializers[name])

    def _compute(self, node: onnx.NodeProto) -> list[Any]:
        inputs = {name: self.value(name) for name in node.input if name}
        taken, made = (
            [helper.make_value_info(name, onnx.TypeProto()) for name in dict.fromkeys(names) if name]
            for names in (node.input, node.output)
        )
        graph = helper.make_graph([node], "constant", taken, made)
        try:
            return list(ReferenceEvaluator(helper.make_model(graph, opset_imports=self._opsets)).run(None, inputs))
        except Exception as error:  # the reference implementation's own checks, of a dozen classes
            raise UnknownReachError(f"{describe(node)}: it cannot be computed beforehand ({error})") from error

    def tensor(self, name: str) -> onnx.TensorProto | None:
        """Return the initializer of that name."""
        return self._initializers.get(name)


def shape_of(one: onnx.ValueInfoProto) -> tuple[int | str | None, ...] | None:
    """Return the sides of an input or output: numbers, names of dynamic ones, None; None for no shape at all."""
    tensor = one.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(
        int(dim.dim_value) if dim.HasField("dim_value") and dim.dim_value > 0 else dim.dim_param or None
        for dim in tensor.shape.dim
    )


def element_type(one: onnx.ValueInfoProto) -> int:
    """Return the number that ONNX has for the type of an input's or output's values."""
    return int(one.type.tensor_type.elem_type)


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes as Python values, texts decoded."""
    values = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}


def describe(node: onnx.NodeProto) -> str:
    """Return how a node is named to people: 'Softmax (/attn/Softmax)'."""
    return f"{node.op_type} ({node.name or node.output[0]})"


def grid_of(node: onnx.NodeProto, constants: Constants, grids: Mapping[str, Grid]) -> Grid:
    """Return the grid of what `node` makes of the tensors in `grids`.

    Raises:
        UnknownReachError: a tile of the picture is not enough to know it; the text names the node.
    """
    rule = _RULES.get(node.op_type, _elementwise if node.op_type in ELEMENTWISE else None)
    if rule is None or node.domain not in ("", "ai.onnx"):
        raise UnknownReachError(f"{describe(node)}: how far it looks is not known")
    try:
        return rule(node, attributes_of(node), constants, [grids[name] for name in node.input if name in grids])
    except UnknownReachError as error:
        raise UnknownReachError(f"{describe(node)}: {error}") from None


def channels_of(node: onnx.NodeProto, constants: Constants, channels: Mapping[str, int]) -> list[int]:
    """Return how many channels each output of `node` has."""
    taken = [channels[name] for name in node.input if name in channels]
    options = attributes_of(node)
    block = int(options.get("blocksize", 1)) ** 2
    rules: dict[str, Callable[[], int]] = {
        "Conv": lambda: constants.shape(node.input[1])[0],
        "ConvTranspose": lambda: constants.shape(node.input[1])[1] * int(options.get("group", 1)),
        "Concat": lambda: sum(taken),
        "DepthToSpace": lambda: taken[0] // block,
        "SpaceToDepth": lambda: taken[0] * block,
        "Slice": lambda: _sliced_channels(node, options, constants, taken[0]),
    }
    if node.op_type == "Split":
        return _split_channels(node, options, constants, taken[0])
    made = rules.get(node.op_type, lambda: max(*taken, *_constant_channels(node, constants)))
    return [made()] * len(node.output)


def _constant_channels(node: onnx.NodeProto, constants: Constants) -> list[int]:
    """Return the channels of constants that a tensor is broadcast against, (C,1,1) or (1,C,1,1), and 0."""
    if node.op_type not in _BROADCAST:
        return [0]
    shapes = [constants.shape(name) for name in node.input if name in constants]
    return [0, *(shape[-3] for shape in shapes if len(shape) >= 3)]


def multiplications(node: onnx.NodeProto, constants: Constants, channels: Mapping[str, int]) -> int:
    """Return about how many multiplications one pixel costs: of the output, or of a ConvTranspose's input."""
    if node.op_type in ("Conv", "ConvTranspose"):
        taken = channels[node.input[0]]
        shape = constants.shape(node.input[1])
        return math.prod(shape[1:]) * (shape[0] if node.op_type == "Conv" else taken)
    return channels[node.output[0]]


Rule: TypeAlias = Callable[[onnx.NodeProto, dict[str, Any], Constants, list[Grid]], Grid]


def _elementwise(node: onnx.NodeProto, options: dict[str, Any], constants: Constants, grids: list[Grid]) -> Grid:
    training = node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]
    if options.get("training_mode", 0) or (training and bool(constants.value(node.input[2]))):
        raise UnknownReachError("it is in training mode")
    per_channel = node.op_type in ("BatchNormalization", "InstanceNormalization", "DequantizeLinear", "QuantizeLinear")
    for name in node.input:
        if name in constants and not per_channel and any(side != 1 for side in constants.shape(name)[-2:]):
            raise UnknownReachError(f"{name} is a picture of a fixed size")
    return reach.joined([y for y, _ in grids]), reach.joined([x for _, x in grids])


def _window(options: dict[str, Any], kernel: Sequence[int]) -> list[dict[str, Any]]:
    """Return kernel, stride, dilation and pads along y and x."""
    n = len(kernel)
    if n != 2:
        raise UnknownReachError("it is not two-dimensional")
    pads = options.get("pads", [0] * 2 * n)
    strides, dilations = options.get("strides", [1] * n), options.get("dilations", [1] * n)
    return [
        {
            "kernel": int(kernel[i]),
            "stride": int(strides[i]),
            "dilation": int(dilations[i]),
            "pads": (int(pads[i]), int(pads[i + n])),
        }
        for i in range(n)
    ]


def _automatic(options: dict[str, Any], axis: Axis, window: dict[str, Any]) -> dict[str, Any]:
    auto_pad = options.get("auto_pad", "NOTSET")
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        sizes = {name: window[name] for name in ("kernel", "stride", "dilation")}
        return {**window, "pads": reach.same_pads(axis, **sizes, upper=auto_pad == "SAME_UPPER")}
    return window


def _conv(node: onnx.NodeProto, options: dict[str, Any], constants: Constants, grids: list[Grid]) -> Grid:
    windows = _window(options, constants.shape(node.input[1])[2:])
    y, x = (
        reach.filtered(axis, **_automatic(options, axis, window))
        for axis, window in zip(grids[0], windows, strict=True)
    )
    return y, x


def _pool(node: onnx.NodeProto, options: dict[str, Any], constants: Constants, grids: list[Grid]) -> Grid:
    if options.get("ceil_mode", 0):
        raise UnknownReachError("its windows stand out beyond the picture (ceil_mode)")
    windows = _window(options, options["kernel_shape"])
    y, x = (
        reach.filtered(axis, **_automatic(options, axis, window))
        for axis, window in zip(grids[0], windows, strict=True)
    )
    return y, x


def _conv_transpose(node: onnx.NodeProto, options: dict[str, Any], constants: Constants, grids: list[Grid]) -> Grid:
    if options.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or "output_shape" in options:
        raise UnknownReachError("its padding depends on the picture's size")
    windows = _window(options, constants.shape(node.input[1])[2:])
    extra = options.get("output_padding", [0, 0])
    y, x = (
        reach.transposed(axis, **window, output_padding=int(more))
        for axis, window, more in zip(grids[0], windows, extra, strict=True)
    )
    return y, x


def _pad(node: onnx.NodeProto, options: dict[str, Any], constants: Constants, grids: list[Grid]) -> Grid:
    mode = options.get("mode", "constant")
    if mode not in ("constant", "reflect", "edge"):
        raise UnknownReachError(f"padding of the kind {mode!r} reads the other end of the picture")
    pads = [int(n) for n in (options["pads"] if "pads" in options else constants.value(node.input[1]))]
    axes = [int(n) for n in constants.value(node.input[3])] if len(node.input) > 3 and node.input[3] else range(4)
    sides = [(0, 0), (0, 0)]
    for i, axis in enumerate(axes):
        both = pads[i], pads[i + len(pads) // 2]
        if axis in _SPATIAL:
            sides[_SPATIAL[axis]] = both
        elif both != (0, 0):
            raise UnknownReachError("it pads channels")
    rule = reach.mirrored if mode == "reflect" else reach.padded
    return rule(grids[0][0], *sides[0]), rule(grids[0][1], *sides[1])


def _resize(node: onnx.NodeProto, options: dict[str, Any], constants: Constants, grids: list[Grid]) -> Grid:
    old = node.op_type == "Upsample" or constants.opset < 11
    scales_at = 1 if old else 2
    if "scales" in options:
        given = options["scales"]
    elif len(node.input) > scales_at and node.input[scales_at]:
        given = constants.value(node.input[scales_at]).tolist()
    else:
        raise UnknownReachError("it scales to a size, not by a factor")
    if options.get("antialias", 0):
        raise UnknownReachError("it smooths before it scales (antialias)")
    scales = [_factor(float(n)) for n in given]
    axes = options.get("axes", range(4))
    by_axis: dict[int, Fraction] = dict(zip((int(axis) % 4 for axis in axes), scales, strict=True))
    if by_axis.get(0, 1) != 1 or by_axis.get(1, 1) != 1:
        raise UnknownReachError("it scales channels")
    how = {
        "mode": options.get("mode", "nearest"),
        "coordinates": "asymmetric" if old else options.get("coordinate_transformation_mode", "half_pixel"),
        "rounding": "floor" if old else options.get("nearest_mode", "round_prefer_floor"),
    }
    if how["mode"] not in ("nearest", "linear", "cubic"):
        raise UnknownReachError(f"its mode {how['mode']!r} is not known")
    y, x = (reach.resized(axis, scale=by_axis.get(2 + i, Fraction(1)), **how) for i, axis in enumerate(grids[0]))
    return y, x


def _factor(scale: float) -> Fraction:
    """Return the whole factor, up or down, that float32 writes so."""
    factor = Fraction(scale).limit_denominator(64)
    if abs(float(factor) - scale) > 1e-6 * scale:
        raise UnknownReachError(f"it scales by {scale:g}, which is no whole factor")
    return factor


def _ranges(node: onnx.NodeProto, options: dict[str, Any], constants: Constants) -> list[tuple[int, int, int, int]]:
    """Return (axis, start, end, step) of a Slice."""
    if "starts" in options:
        starts, ends = options["starts"], options["ends"]
        return list(zip(options.get("axes", range(len(starts))), starts, ends, [1] * len(starts), strict=True))
    starts, ends = (constants.value(name).tolist() for name in node.input[1:3])
    rest = [constants.value(name).tolist() for name in node.input[3:] if name]
    axes = rest[0] if rest else list(range(len(starts)))
    return list(zip(axes, starts, ends, rest[1] if len(rest) > 1 else [1] * len(starts), strict=True))


def _slice(node: onnx.NodeProto, options: dict[str, Any], constants: Constants, grids: list[Grid]) -> Grid:
    y, x = grids[0]
    axes = [y, x]
    for axis, start, end, step in _ranges(node, options, constants):
        if axis in _SPATIAL:
            if step != 1 or start < 0 or 0 <= end < FAR:
                raise UnknownReachError("it cuts out a piece of a fixed size")
            place = _SPATIAL[axis]
            axes[place] = reach.padded(axes[place], -start, min(end, 0) if end < FAR else 0)
        elif axis not in _CHANNEL:
            raise UnknownReachError("it cuts a batch")
    return axes[0], axes[1]


def _sliced_channels(node: onnx.NodeProto, options: dict[str, Any], constants: Constants, taken: int) -> int:
    for axis, start, end, step in _ranges(node, options, constants):
        if axis in _CHANNEL:
            return len(range(taken)[start:end:step])
    return taken


def _split_channels(node: onnx.NodeProto, options: dict[str, Any], constants: Constants, taken: int) -> list[int]:
    if len(node.input) > 1 and node.input[1]:
        return [int(n) for n in constants.value(node.input[1])]
    if "split" in options:
        return [int(n) for n in options["split"]]
    each = -(-taken // len(node.output))
    return [min(each, taken - each * i) for i in range(len(node.output))]


def _across_channels(node: onnx.NodeProto, options: dict[str, Any], constants: Constants, grids: list[Grid]) -> Grid:
    if node.op_type == "Softmax" and constants.opset < 13:
        raise UnknownReachError("before opset 13 it works across the picture")
    default = {"Concat": 1, "Split": 0, "Softmax": -1}[node.op_type]
    if options.get("axis", default) not in _CHANNEL:
        raise UnknownReachError("it works across the picture, not across channels")
    return _elementwise(node, {}, constants, grids) if node.op_type == "Concat" else grids[0]


def _depth_to_space(node: onnx.NodeProto, options: dict[str, Any], constants: Constants, grids: list[Grid]) -> Grid:
    y, x = (reach.unfolded(axis, int(options["blocksize"])) for axis in grids[0])
    return y, x


def _space_to_depth(node: onnx.NodeProto, options: dict[str, Any], constants: Constants, grids: list[Grid]) -> Grid:
    y, x = (reach.folded(axis, int(options["blocksize"])) for axis in grids[0])
    return y, x


_RULES: dict[str, Rule] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "LpPool": _pool,
    "Pad": _pad,
    "Resize": _resize,
    "Upsample": _resize,
    "Slice": _slice,
    "Concat": _across_channels,
    "Split": _across_channels,
    "Softmax": _across_channels,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
}
