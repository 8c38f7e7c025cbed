"""How somebody else's network takes and gives pictures, found out from its graph.

Layout and sizes stand in the shapes of its input and output; ranges follow from its ends: a Tanh gives [-1,1], a
Sigmoid [0,1], a division by 255 at the beginning takes [0,255]. What cannot be found is asked for, never guessed;
only the order of the channels, which no graph can tell, is RGB unless it is said.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
import onnx
from numpy.typing import NDArray

from stylegan_tool.errors import ModelError, UsageError, typed
from stylegan_tool.model_info import ModelInfo
from stylegan_tool.operators import Constants, attributes_of, element_type, shape_of
from stylegan_tool.reach import UnknownReachError

Layout: TypeAlias = Literal["NCHW", "NHWC"]
ChannelOrder: TypeAlias = Literal["RGB", "BGR"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
ORDERS: tuple[ChannelOrder, ...] = get_args(ChannelOrder)
RANGES: dict[str, tuple[float, float]] = {"-1..1": (-1, 1), "0..1": (0, 1), "0..255": (0, 255)}

_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
# What changes no value and so no range.
_PASSED = frozenset({"Transpose", "Identity", "Dropout", "Pad", "Slice", "Round", "QuantizeLinear", "DequantizeLinear"})
_BOUNDED = {"Tanh": (-1.0, 1.0), "Sigmoid": (0.0, 1.0), "HardSigmoid": (0.0, 1.0), "Softsign": (-1.0, 1.0)}
_TYPES = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.UINT8)


@dataclass(frozen=True)
class Stated:
    """What a person, or the file, says of a network; empty or 0: to be found out.

    Attributes:
        takes, makes: keys of RANGES.
        size_multiple: that height and width must be multiples of; pixels.
    """

    layout: str = ""
    order: str = ""
    takes: str = ""
    makes: str = ""
    size_multiple: int = 0

    @classmethod
    def by(cls, info: ModelInfo) -> "Stated":
        """Return what a file says of itself."""
        multiple = info.size_multiple if info.schema else 0
        return cls(info.layout, info.channel_order, info.input_range, info.output_range, multiple)

    @classmethod
    def parse(cls, ranges: str | None, layout: str | None, order: str | None, size_multiple: int | None) -> "Stated":
        """Read what options say; `ranges` is IN or IN,OUT.

        Raises:
            UsageError: one of them is unknown.
        """
        takes, _, makes = (ranges or "").partition(",")
        for option, text, known in (
            ("--range", takes, list(RANGES)),
            ("--range", makes, list(RANGES)),
            ("--layout", layout, LAYOUTS),
            ("--order", order, ORDERS),
        ):
            if text and text not in known:
                raise UsageError(f"{option} {text} is unknown", hint=f"Use {' or '.join(known)}.")
        return cls(layout or "", order or "", takes, makes or takes, size_multiple or 0)


@dataclass(frozen=True)
class Interface:
    """How one network takes and gives pictures.

    Attributes:
        image, output: names in the graph.
        takes, makes: keys of RANGES.
        height, width: where the graph fixes them; else 0.
    """

    image: str
    output: str
    layout: Layout
    output_layout: Layout
    order: ChannelOrder
    takes: str
    makes: str
    height: int = 0
    width: int = 0

    def describe(self) -> str:
        """Return 'NCHW RGB 0..1 -> 0..1, 384x384 pixels'."""
        size = f", {self.width or 'any'}x{self.height or 'any'} pixels" if self.width or self.height else ""
        return f"{self.layout} {self.order} {self.takes} -> {self.makes}{size}"


def find_interface(model: onnx.ModelProto, stated: Stated, path: Path, *, given: Collection[str] = ()) -> Interface:
    """Read the interface of `model`; what is stated goes before what the graph shows.

    Args:
        given: inputs beside the picture that will get a value.

    Raises:
        ModelError: it takes or makes no picture, or something that must be known cannot be found out.
    """
    graph = _Graph(model)
    image = _choose_image(_free_inputs(model, graph, given), stated, path)
    output = _choose_output(model, path)
    layout = _input_layout(graph, image, stated, path)
    makes = stated.makes or _range_of_type(output) or graph.range_before(output.name)
    takes = stated.takes or _range_of_type(image) or graph.range_after(image.name) or makes
    if not takes or not makes:
        what = "it makes" if takes else "it takes"
        raise _missing(path, f"which values {what} (-1..1, 0..1 or 0..255)", "--range 0..255")
    made_layout = cast("Layout", _layout_of(shape_of(output), graph.layout_before(output.name)) or layout)
    order = cast("ChannelOrder", stated.order or "RGB")
    return Interface(image.name, output.name, layout, made_layout, order, takes, makes, *_fixed_size(image, layout))


def find_encoder(model: onnx.ModelProto, stated: Stated, path: Path, takes: str) -> Interface:
    """Read how a network takes pictures that makes something else of them.

    Raises:
        ModelError: it takes no picture.
    """
    graph = _Graph(model)
    image = _choose_image(_free_inputs(model, graph, ()), stated, path)
    layout = _input_layout(graph, image, stated, path)
    takes = stated.takes or _range_of_type(image) or graph.range_after(image.name) or takes
    return Interface(
        image.name, model.graph.output[0].name, layout, layout, "RGB", takes, takes, *_fixed_size(image, layout)
    )


def _free_inputs(model: onnx.ModelProto, graph: "_Graph", given: Collection[str]) -> list[onnx.ValueInfoProto]:
    """Return the inputs that have no value."""
    return [one for one in model.graph.input if one.name not in graph.constants and one.name not in given]


def _input_layout(graph: "_Graph", image: onnx.ValueInfoProto, stated: Stated, path: Path) -> Layout:
    layout = stated.layout or _layout_of(shape_of(image), graph.layout_after(image.name))
    if layout not in LAYOUTS:
        raise _missing(path, f"whether {image.name} is a batch (N,3,H,W) or (N,H,W,3)", "--layout NHWC")
    return layout


def _fixed_size(image: onnx.ValueInfoProto, layout: Layout) -> tuple[int, int]:
    """Return height and width where the graph fixes them, else 0."""
    sides = [side if isinstance(side, int) else 0 for side in shape_of(image) or (0, 0, 0, 0)]
    return (sides[2], sides[3]) if layout == "NCHW" else (sides[1], sides[2])


def _missing(path: Path, what: str, example: str) -> ModelError:
    return ModelError(
        f"the graph of {path} does not show {what}",
        hint=f"Look at what its authors say, and add it with that, such as: sgt models add {typed(path)} {example}",
    )


def _choose_image(inputs: Sequence[onnx.ValueInfoProto], stated: Stated, path: Path) -> onnx.ValueInfoProto:
    pictures: list[onnx.ValueInfoProto] = [one for one in inputs if _may_be_picture(one, stated)]
    others = [one for one in inputs if one not in pictures]
    if len(pictures) == 1 and others:
        values = ", ".join(f"{one.name} {_shape_text(one)}" for one in others)
        raise ModelError(
            f"{path} takes, beside the picture, {values}",
            hint=f"Give the value: --input {others[0].name}={_example_value(others[0])}   "
            "(numbers, one-hot:N, a .npy file, or MODEL.onnx:PICTURE)",
        )
    if len(pictures) != 1:
        takes = ", ".join(f"{one.name} {_shape_text(one)}" for one in inputs) or "nothing"
        raise ModelError(
            f"{path} takes {takes}: {'more than one picture' if pictures else 'no picture of 3 channels'}",
            hint="A model must take one picture; other inputs get a value by --input NAME=VALUE.",
        )
    image: onnx.ValueInfoProto = pictures[0]
    return image


def _choose_output(model: onnx.ModelProto, path: Path) -> onnx.ValueInfoProto:
    outputs = list(model.graph.output)
    pictures: list[onnx.ValueInfoProto] = [one for one in outputs if _may_be_picture(one, Stated())]
    if len(pictures) != 1:
        makes = ", ".join(f"{one.name} {_shape_text(one)}" for one in outputs)
        raise ModelError(
            f"{path} makes {makes}: {'more than one picture' if pictures else 'no picture'}",
            hint="It is not a model that turns one picture into another: name another with --model.",
        )
    return pictures[0]


def _may_be_picture(one: onnx.ValueInfoProto, stated: Stated) -> bool:
    shape = shape_of(one)
    if element_type(one) not in _TYPES:
        return False
    if shape is None:
        return True
    if len(shape) != 4:
        return False
    first, last = (side == 3 or not isinstance(side, int) for side in (shape[1], shape[3]))
    if isinstance(shape[1], int) and shape[1] < 5:  # channels, and not a height
        last = False
    # A vector of 1x1 'pixels' has the rank of a picture.
    return {"NCHW": first, "NHWC": last}.get(stated.layout, first or last) and sum(side == 1 for side in shape) < 3


def _range_of_type(one: onnx.ValueInfoProto) -> str:
    return "0..255" if element_type(one) == onnx.TensorProto.UINT8 else ""


def _shape_text(one: onnx.ValueInfoProto) -> str:
    shape = shape_of(one)
    name = onnx.TensorProto.DataType.Name(element_type(one)).lower() if element_type(one) else "of no stated type"
    return f"{name} [{', '.join(str(side or '?') for side in shape)}]" if shape is not None else name


def _example_value(one: onnx.ValueInfoProto) -> str:
    sides = [side for side in shape_of(one) or () if side != 1]
    return "one-hot:0" if len(sides) == 1 else "1.0"


def _layout_of(shape: tuple[int | str | None, ...] | None, otherwise: str) -> str:
    if shape is not None and len(shape) == 4:
        if shape[1] == 3 and shape[3] != 3:
            return "NCHW"
        if shape[3] == 3 and shape[1] != 3:
            return "NHWC"
    return otherwise


class _Graph:
    """Walks from a graph's ends inwards."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self.constants = Constants(graph, model.opset_import)
        for node in graph.node:
            if all(name in self.constants for name in node.input if name):
                self.constants.add(node)
        self._producer = {name: node for node in graph.node for name in node.output}
        self._consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._consumers.setdefault(name, []).append(node)

    def layout_after(self, name: str) -> str:
        """Return the layout of an input by what takes it; '' if that does not show it."""
        for _ in range(100):
            nodes = self._consumers.get(name, [])
            if not nodes:
                return ""
            node = nodes[0]
            if node.op_type == "Transpose":
                return "NHWC" if tuple(attributes_of(node).get("perm", ())) == _TO_NCHW else ""
            if node.op_type == "Conv" and node.input[1] in self.constants:
                return "NCHW" if self.constants.shape(node.input[1])[1] == 3 else ""
            name = node.output[0]
        return ""

    def layout_before(self, name: str) -> str:
        """Return the layout of an output by what makes it; '' if that does not show it."""
        node = self._producer.get(name)
        if node is not None and node.op_type == "Transpose":
            return "NHWC" if tuple(attributes_of(node).get("perm", ())) == _TO_NHWC else ""
        return ""

    def _value(self, name: str) -> NDArray[Any] | None:
        """Return a constant, or None for what is none or cannot be computed."""
        if name not in self.constants:
            return None
        try:
            return self.constants.value(name)
        except UnknownReachError:
            return None

    def range_before(self, name: str) -> str:
        """Return the range of an output, '' if it has no bounds."""
        bounds = self._bounds(name, 0)
        if bounds is None or not all(math.isfinite(bound) for bound in bounds):
            return ""
        low, high = bounds
        if high > 100:
            return "0..255"
        if 0.5 < high < 2:
            return "-1..1" if low < -0.5 else "0..1"
        return ""

    def _bounds(self, name: str, depth: int) -> tuple[float, float] | None:
        node = self._producer.get(name)
        if node is None or depth > 50:
            return None
        kind = node.op_type
        if kind in _BOUNDED:
            return _BOUNDED[kind]
        if kind == "Clip":
            return self._clip(node)
        if kind in _PASSED or kind == "Cast":
            return self._bounds(node.input[0], depth + 1)
        if kind in ("Add", "Sub", "Mul", "Div", "Max", "Min") and len(node.input) == 2:
            return self._arithmetic(node, depth)
        return None

    def _clip(self, node: onnx.NodeProto) -> tuple[float, float]:
        options = attributes_of(node)
        ends = [float(options.get("min", -math.inf)), float(options.get("max", math.inf))]
        for i, name in enumerate(node.input[1:3]):
            value = self._value(name) if name else None
            if value is not None:
                ends[i] = float(value)
        return ends[0], ends[1]

    def _arithmetic(self, node: onnx.NodeProto, depth: int) -> tuple[float, float] | None:
        first, second = (self._value(name) for name in node.input)
        given = second if second is not None else first
        other = self._bounds(node.input[0 if second is not None else 1], depth + 1)
        if given is None or given.size == 0 or (first is not None and node.op_type == "Div"):
            return None
        if other is None:
            if node.op_type not in ("Max", "Min"):
                return None
            other = (-math.inf, math.inf)
        constant = given.astype(np.float64).ravel()
        ends = np.array(other)[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            values = {
                "Add": ends + constant,
                "Sub": ends - constant if first is None else constant - ends,
                "Mul": ends * constant,
                "Div": ends / constant,
                "Max": np.maximum(ends, constant),
                "Min": np.minimum(ends, constant),
            }[node.op_type]
        return float(values.min()), float(values.max())

    def range_after(self, name: str) -> str:
        """Return the range of an input by the arithmetic that it meets first; '' if there is none."""
        for _ in range(20):
            nodes = self._consumers.get(name, [])
            if len(nodes) != 1:
                return ""
            node = nodes[0]
            if node.op_type in ("Sub", "Add", "Mul", "Div"):
                return self._range_of_arithmetic(node)
            if node.op_type not in _PASSED and node.op_type != "Cast":
                return ""
            name = node.output[0]
        return ""

    def _range_of_arithmetic(self, node: onnx.NodeProto) -> str:
        values = [value for name in node.input if (value := self._value(name)) is not None and value.size]
        if len(values) != 1:
            return ""
        size = float(np.abs(values[0].astype(np.float64)).mean())
        if node.op_type == "Mul":
            size = 1 / size if size else 0
        if node.op_type in ("Div", "Mul"):
            # Divided by 255, 127.5 or a deviation of about 58; multiplied by 2 or by 255.
            return "0..255" if size > 20 else "0..1" if 0 < size <= 0.6 else ""
        # A mean taken off: of 8 bits about 100 to 128, of [0,1] about 0.4 to 0.5.
        return "0..255" if size > 50 else "0..1" if 0.3 < size < 0.7 else ""


def constant_value(text: str, one: onnx.ValueInfoProto) -> NDArray[Any]:
    """Return what --input NAME=`text` means for that input: numbers, one-hot:N or a .npy file.

    Raises:
        ModelError: it does not fit the input's shape.
    """
    shape = shape_of(one) or ()
    sides = [side if isinstance(side, int) and side > 0 else 1 for side in shape]
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(element_type(one) or onnx.TensorProto.FLOAT))
    size = math.prod(sides)
    try:
        if text.startswith("one-hot:"):
            values = np.zeros(size, dtype)
            position = text.removeprefix("one-hot:")
            if not position.isdecimal() or int(position) >= size:
                raise ValueError(f"one-hot goes from 0 to {size - 1}")
            values[int(position)] = 1
        elif text.endswith(".npy"):
            values = np.load(text, allow_pickle=False).astype(dtype)
        else:
            values = np.array([float(number) for number in text.split(",")], dtype)
    except (ValueError, OSError) as error:
        raise _unfit(one, text, str(error)) from error
    return fit_value(values, one, text)


def fit_value(values: NDArray[Any], one: onnx.ValueInfoProto, text: str) -> NDArray[Any]:
    """Return `values` in the shape of an input, one number repeated.

    Raises:
        ModelError: there are not as many; `text` is where they come from.
    """
    sides = [side if isinstance(side, int) and side > 0 else 1 for side in shape_of(one) or ()]
    if values.size == 1:
        return np.full(sides, values.item(), values.dtype)
    if values.size != math.prod(sides):
        raise _unfit(one, text, f"{values.size} numbers")
    return values.reshape(sides)


def _unfit(one: onnx.ValueInfoProto, text: str, reason: str) -> ModelError:
    return ModelError(
        f"--input {one.name}={text} does not fit {_shape_text(one)} ({reason})",
        hint=f"Such as: --input {one.name}={_example_value(one)}   "
        "(numbers, one-hot:N, a .npy file, or MODEL.onnx:PICTURE)",
    )


def parse_inputs(texts: Sequence[str]) -> Mapping[str, str]:
    """Return NAME -> VALUE of the texts NAME=VALUE.

    Raises:
        ModelError: one is not of that form.
    """
    pairs = [text.rpartition("=") for text in texts]
    for (name, _, value), text in zip(pairs, texts, strict=True):
        if not name or not value:
            raise ModelError(f"--input {text} is not NAME=VALUE", hint="Such as: --input style_weights=one-hot:19")
    return {name: value for name, _, value in pairs}
