"""InstanceNorm statistics made explicit: a model's graph, cut at its InstanceNormalizations into stages.

Every CycleGAN generator normalises each feature map by its mean and variance over the whole picture, and that
alone is why tiles differ in tone. Here the graph is cut at those nodes. A stage computes, from the picture and
from what earlier stages have stored, the tensors that the next normalisations take; their mean and variance are
added up over all tiles in float64; the next stage applies the finished numbers. Nothing is approximated.

A stage's graph is an ordinary ONNX model in which each InstanceNormalization has become a multiplication and an
addition for each channel (a BatchNormalization in inference form), whose two vectors are inputs.

Levels: the picture has level 1; what a normalisation makes has one level more than what it takes; everything
else has the highest level of what it takes. Stage n computes what has level n.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from stylegan_tool.operators import Constants, Grid, attributes_of, channels_of, describe, grid_of, multiplications
from stylegan_tool.reach import Axis, UnknownReachError, sense_expected

Vector: TypeAlias = NDArray[np.float64]

# A channel counts as constant where its deviation is within what float32 rounds a value of its mean's size to,
# with room for the few roundings of a sum. Dividing by such a deviation would blow up rounding, up to 316 times
# in each normalisation of a flat picture.
_ROUNDING = 8 * float(np.finfo(np.float32).eps)
# A deviation that is small enough against the mean for sums in float64 to lose digits that count.
_NEARLY = 1e-3
# An origin that every stride and scale up to 2^12 * 3^3 * 5 * 7 divides: what becomes of it is a tensor's scale.
_PROBE = 2**12 * 3**3 * 5 * 7

# What a damaged model makes of a picture is noticed in the result; NumPy need not warn of it here.
_NO_NUMBERS_PASS = np.errstate(all="ignore")


class Statistics:
    """Count, mean and sum of squared deviations of each channel, added up piece by piece in float64.

    Source: Chan, Golub and LeVeque 1979, 'Updating formulae and a pairwise algorithm for computing sample
    variances': the pieces' own variances are added, so that many of them lose no more than one.
    """

    def __init__(self, channels: int) -> None:
        self.count = 0
        self.mean: Vector = np.zeros(channels)
        self.squares: Vector = np.zeros(channels)

    @classmethod
    def of(cls, values: NDArray[np.floating]) -> "Statistics":
        """Measure `values`, (C,H,W) of float32 or float16."""
        measured = cls(values.shape[0])
        measured.count = values.shape[1] * values.shape[2]
        for i, plane in enumerate(values):
            # OpenCV adds in float64; it wants rows without gaps in float32.
            wide = plane if plane.dtype == np.float32 else plane.astype(np.float32)
            mean, deviation = (float(one[0, 0]) for one in cv2.meanStdDev(wide))
            if 0 < deviation < _NEARLY * abs(mean):
                # The mean square less the squared mean leaves rounding of the sums: measured from a value close by.
                near = wide[0, 0]
                mean, deviation = (float(one[0, 0]) for one in cv2.meanStdDev(wide - near))
                mean += float(near)
            measured.mean[i] = mean
            measured.squares[i] = deviation**2 * measured.count
        return measured

    @_NO_NUMBERS_PASS
    def add(self, other: "Statistics") -> None:
        """Take in another piece of the same tensor."""
        count = self.count + other.count
        if count == 0:
            return
        apart = other.mean - self.mean
        self.mean = self.mean + apart * (other.count / count)
        self.squares = self.squares + other.squares + apart**2 * (self.count * other.count / count)
        self.count = count

    @property
    def variance(self) -> Vector:
        """The variance of each channel, as InstanceNorm defines it (divided by the count)."""
        return self.squares / max(self.count, 1)

    @_NO_NUMBERS_PASS
    def scale(self, gain: Vector, epsilon: float) -> NDArray[np.float32]:
        """Return what each channel's distance from its mean is multiplied by; 0 for a constant channel."""
        variance = self.variance
        constant = np.sqrt(variance) <= _ROUNDING * np.abs(self.mean)
        return np.where(constant, 0.0, gain / np.sqrt(variance + epsilon)).astype(np.float32)


@dataclass(frozen=True)
class Norm:
    """One InstanceNormalization."""

    taken: str
    made: str
    gain: Vector
    bias: Vector
    epsilon: float


@dataclass(frozen=True)
class Stage:
    """What is computed in one pass over the tiles.

    Attributes:
        nodes: in order.
        taken: the tensors that it starts from: the picture, or stored ones.
        measured: what the next normalisations take; its statistics are added up.
        stored: what later stages start from.
        final: whether the model's output is made here.
    """

    level: int
    nodes: tuple[onnx.NodeProto, ...] = field(repr=False)
    taken: tuple[str, ...]
    measured: tuple[str, ...]
    stored: tuple[str, ...]
    output: str = ""

    @property
    def made(self) -> tuple[str, ...]:
        """Everything that leaves the stage, each once."""
        return tuple(dict.fromkeys((*self.measured, *self.stored, *((self.output,) if self.output else ()))))


class CutModel:
    """The graph of a model, cut at its InstanceNormalizations.

    Attributes:
        image, output: names of the model's input and output.
        norms: by the name of what they make.
        level: of each tensor that depends on the picture.
        channels: of the same.
        scale: of the same: its height and width against the picture's (1/4 after two strides of 2).
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        """Read the graph.

        Raises:
            UnknownReachError: an operator cannot be computed tile by tile; the text names the node. Or the graph makes
                no sense, or pictures of another size.
        """
        self._model = model
        with sense_expected():
            self._read()

    def _read(self) -> None:
        model = self._model
        self.constants = Constants(model.graph, model.opset_import)
        inputs = [one for one in model.graph.input if one.name not in self.constants]
        if len(inputs) != 1 or len(model.graph.output) != 1:
            raise UnknownReachError("it has more than one input or output")
        self.image, self.output = inputs[0].name, model.graph.output[0].name
        self._types = {self.image: inputs[0].type.tensor_type.elem_type}
        self.channels = {self.image: 3}
        self.level = {self.image: 1}
        self.nodes = self._read_nodes()
        self.norms = {node.output[0]: self._norm(node) for node in self.nodes if _is_norm(node)}
        self._producer = {made: node for node in self.nodes for made in node.output}
        self.scale = self._scales()
        self._check_size()

    @property
    def n_stages(self) -> int:
        """How many passes over the picture it takes."""
        return self.level[self.output]

    @property
    def cuts(self) -> tuple[str, ...]:
        """The tensors that may be stored between stages: those that a later stage reads, in order."""
        read_later = {
            name
            for node in self.nodes
            for name in node.input
            if name in self.level and max(self.level[made] for made in node.output if made) > self.level[name]
        }
        return tuple(made for node in self.nodes for made in node.output if made in read_later)

    def _read_nodes(self) -> tuple[onnx.NodeProto, ...]:
        """Return the nodes on the way from the picture to the output, and note level, type and channels."""
        needed, on_the_way = {self.output}, []
        for node in reversed(self._model.graph.node):
            if needed.intersection(node.output):
                needed.update(name for name in node.input if name)
                on_the_way.append(node)
        nodes = []
        for node in reversed(on_the_way):
            if any(attribute.type == onnx.AttributeProto.GRAPH for attribute in node.attribute):
                raise UnknownReachError(f"{describe(node)}: it holds a graph of its own")
            if not any(name in self.level for name in node.input):
                self.constants.add(node)
                continue
            nodes.append(node)
            level = max(self.level[name] for name in node.input if name in self.level) + _is_norm(node)
            made_of = next(name for name in node.input if name in self.level)
            grid_of(node, self.constants, {name: _WHOLE for name in node.input if name in self.level})
            for made, channels in zip(node.output, channels_of(node, self.constants, self.channels), strict=True):
                if not made:  # an optional output that nobody takes
                    continue
                self.level[made] = level
                self.channels[made] = channels
                self._types[made] = _type_after(node, self._types[made_of])
        if self.output not in self.level:
            raise UnknownReachError("its output does not depend on the picture")
        return tuple(nodes)

    def _check_size(self) -> None:
        side = _PROBE * math.lcm(*(scale.denominator for scale in self.scale.values()))
        whole = Axis.of_window(0, side, side)
        for axis in self.trace(self.nodes, {self.image: (whole, whole)})[self.output]:
            if self.scale[self.output] == 1 and axis.total != side:
                more = axis.total - side
                raise UnknownReachError(
                    f"it makes pictures that are {abs(more)} pixels {'less' if more < 0 else 'more'}"
                )

    def _norm(self, node: onnx.NodeProto) -> Norm:
        gain, bias = (self.constants.value(name).astype(np.float64) for name in node.input[1:3])
        if not gain.shape == bias.shape == (self.channels[node.input[0]],):
            raise UnknownReachError(f"{describe(node)}: its {gain.shape} weights fit no channels")
        return Norm(node.input[0], node.output[0], gain, bias, attributes_of(node).get("epsilon", 1e-5))

    def _scales(self) -> dict[str, Fraction]:
        """Return what becomes of the place of a far-away tile, which is each tensor's scale."""
        window = Axis.of_window(_PROBE, 2 * _PROBE, 3 * _PROBE)
        return {
            name: Fraction(y.origin, _PROBE)
            for name, (y, _) in self.trace(self.nodes, {self.image: (window, window)}).items()
        }

    def trace(self, nodes: Sequence[onnx.NodeProto], taken: Mapping[str, Grid]) -> dict[str, Grid]:
        """Return the grids of `taken` and of everything that `nodes` make of them."""
        grids = dict(taken)
        for node in nodes:
            made = grid_of(node, self.constants, grids)
            grids.update({name: made for name in node.output if name})
        return grids

    def bytes_per_value(self, name: str) -> int:
        """Return the size of one value of a tensor."""
        return int(helper.tensor_dtype_to_np_dtype(self._types[name]).itemsize)

    def dtype(self, name: str) -> np.dtype[np.generic]:
        """Return a tensor's type."""
        return np.dtype(helper.tensor_dtype_to_np_dtype(self._types[name]))

    def stages(self, stored: Collection[str]) -> tuple[Stage, ...]:
        """Cut into stages that keep the tensors `stored` (of `cuts`) and recompute all else.

        A tensor that no later stage turns out to read is not stored.
        """
        reversed_stages: list[Stage] = []
        read_later: set[str] = set()
        for level in range(self.n_stages, 0, -1):
            measured = tuple(
                dict.fromkeys(norm.taken for norm in self.norms.values() if self.level[norm.taken] == level)
            )
            kept = tuple(name for name in stored if self.level[name] == level and name in read_later)
            output = self.output if level == self.n_stages else ""
            nodes, taken = self._back_from({*measured, *kept, output} - {""}, stored, level)
            read_later |= taken
            order = [self.image, *(made for node in self.nodes for made in node.output if made)]
            reversed_stages.append(
                Stage(level, nodes, tuple(name for name in order if name in taken), measured, kept, output)
            )
        return tuple(reversed(reversed_stages))

    def _back_from(
        self, targets: set[str], stored: Collection[str], level: int
    ) -> tuple[tuple[onnx.NodeProto, ...], set[str]]:
        """Return the nodes that make `targets`, back to the picture or to tensors stored before `level`."""
        needed, nodes, taken = set(targets), [], set()
        for node in reversed(self.nodes):
            wanted = needed.intersection(node.output)
            given = {name for name in wanted if name in stored and self.level[name] < level}
            taken |= given
            if wanted - given:
                nodes.append(node)
                needed.update(name for name in node.input if name in self.level)
        if self.image in needed:
            taken.add(self.image)
        return tuple(reversed(nodes)), taken

    def alignment(self, stage: Stage) -> int:
        """Return what a tile's start must be a multiple of, so that each tensor's start is a whole number."""
        names = [*stage.taken, *(made for node in stage.nodes for made in node.output if made)]
        denominators: list[int] = [self.scale[name].denominator for name in names]
        return math.lcm(*denominators)

    def halo(self, stage: Stage) -> int:
        """Return how many pixels of the picture around what is kept a tile of this stage must hold.

        Found by tracing a window in the middle of an endless picture; a multiple of `alignment`.
        """
        start, stop, total = 4 * _PROBE, 5 * _PROBE, 9 * _PROBE
        grids = self.trace(stage.nodes, {name: self.window_grid(name, start, stop, total) for name in stage.taken})
        reaches = [Fraction(0)]
        for name in stage.made:
            y, x = grids[name]
            for axis in (y, x):
                reaches += [axis.start / self.scale[name] - start, stop - axis.stop / self.scale[name]]
        return math.ceil(max(reaches) / self.alignment(stage)) * self.alignment(stage)

    def window_grid(self, name: str, start: int, stop: int, total: int) -> Grid:
        """Return the square [start, stop) of a picture of side `total` as the tensor `name` holds it."""
        scale = self.scale[name]
        axis = Axis.of_window(int(start * scale), int(stop * scale), int(total * scale))
        return axis, axis

    def multiplications(self, stage: Stage) -> float:
        """Return about how many multiplications the stage costs for each pixel of the picture."""
        work = 0.0
        for node in stage.nodes:
            at = node.input[0] if node.op_type == "ConvTranspose" else node.output[0]
            work += multiplications(node, self.constants, self.channels) * float(self.scale[at]) ** 2
        return work

    def working_bytes(self, stage: Stage) -> float:
        """Return about how many bytes the stage has in hand at its peak for each pixel of a tile."""
        last_read = {name: i for i, node in enumerate(stage.nodes) for name in node.input}
        size = {name: self._bytes_per_pixel(name) for name in self.level}
        live = sum(size[name] for name in stage.taken)
        peak = live
        for i, node in enumerate(stage.nodes):
            made = sum(size[name] for name in node.output if name)
            # Convolutions reorder what they take and make into blocks of channels, beside the tensors themselves.
            twice = 2 if "Conv" in node.op_type else 1
            read = {name for name in node.input if name in self.level}
            peak = max(peak, live + made * twice + (sum(size[name] for name in read) if twice == 2 else 0))
            live += made - sum(size[name] for name in read if last_read[name] == i and name not in stage.made)
        return peak + sum(size[name] for name in stage.made)

    def _bytes_per_pixel(self, name: str) -> float:
        return self.channels[name] * self.bytes_per_value(name) * float(self.scale[name]) ** 2

    def stage_model(self, stage: Stage) -> bytes:
        """Return the stage as an ONNX model.

        Inputs: `stage.taken`, and mean and scale of each normalisation in it (see `vector_names`).
        Outputs: `stage.made`.
        """
        nodes, vectors, constants = [], [], _Copied()
        for node in stage.nodes:
            norm = self.norms.get(node.output[0])
            if norm is None:
                nodes.append(node)
                constants.collect(node.input, self.constants)
            else:
                nodes += _apply_nodes(norm, self._types[norm.taken])
                for name, shape in zip(vector_names(norm), ([len(norm.gain), 1, 1], [len(norm.gain)]), strict=True):
                    vectors.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
                constants.of_norm(norm)
        inputs = [self._value_info(name) for name in stage.taken]
        inputs += vectors
        graph = helper.make_graph(
            [*constants.nodes, *nodes],
            f"stage_{stage.level}",
            inputs,
            [self._value_info(name) for name in stage.made],
            list(constants.tensors.values()),
        )
        model = helper.make_model(
            graph, opset_imports=self._model.opset_import, ir_version=max(self._model.ir_version, 4)
        )
        return bytes(model.SerializeToString())

    def _value_info(self, name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, self._types[name], [1, self.channels[name], None, None])

    def norms_in(self, stage: Stage) -> list[Norm]:
        """Return the normalisations that the stage applies."""
        return [self.norms[made] for node in stage.nodes for made in node.output if made in self.norms]


_WHOLE: Grid = (Axis.of_window(0, 2**40, 2**40),) * 2


def _is_norm(node: onnx.NodeProto) -> bool:
    return node.op_type == "InstanceNormalization" and node.domain in ("", "ai.onnx")


def _type_after(node: onnx.NodeProto, taken: int) -> int:
    if node.op_type == "Cast":
        return int(attributes_of(node)["to"])
    return {"QuantizeLinear": TensorProto.UINT8, "DequantizeLinear": TensorProto.FLOAT}.get(node.op_type, taken)


def vector_names(norm: Norm) -> tuple[str, str]:
    """Return the names of a normalisation's inputs: mean, (C,1,1), and scale, (C,)."""
    return f"{norm.made}/mean", f"{norm.made}/scale"


def _apply_nodes(norm: Norm, element_type: int) -> list[onnx.NodeProto]:
    """Return nodes for (values - mean) * scale + bias.

    The mean is taken off first: values * scale + (bias - mean * scale) is one operation less, but where a mean is
    large against the deviation, its rounding depends on a value's place in the row, and so on the tile.
    """
    mean, scale = vector_names(norm)
    bias, zeros, ones = (f"{name}/{norm.made}" for name in ("bias", "zeros", "ones"))
    wide = norm.taken if element_type == TensorProto.FLOAT else f"{norm.made}/float"
    made = norm.made if element_type == TensorProto.FLOAT else f"{norm.made}/normal"
    nodes = [
        helper.make_node("Sub", [wide, mean], [f"{norm.made}/centred"]),
        helper.make_node("BatchNormalization", [f"{norm.made}/centred", scale, bias, zeros, ones], [made], epsilon=0.0),
    ]
    if element_type != TensorProto.FLOAT:
        nodes.insert(0, helper.make_node("Cast", [norm.taken], [wide], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Cast", [made], [norm.made], to=element_type))
    return nodes


class _Copied:
    """The constants that one stage's graph needs."""

    def __init__(self) -> None:
        self.tensors: dict[str, onnx.TensorProto] = {}
        self.nodes: list[onnx.NodeProto] = []

    def of_norm(self, norm: Norm) -> None:
        """Its bias, and for the BatchNormalization that applies it a mean of 0 and a variance of 1."""
        n = len(norm.gain)
        for name, value in (("bias", norm.bias), ("zeros", np.zeros(n)), ("ones", np.ones(n))):
            key = f"{name}/{norm.made}"
            self.tensors[key] = helper.make_tensor(key, TensorProto.FLOAT, [n], value)

    def collect(self, names: Sequence[str], constants: Constants) -> None:
        """Take over the constants among `names`, and what they are computed of."""
        for name in names:
            node, tensor = constants.nodes.get(name), constants.tensor(name)
            # Weights in 8 bits are left in 8 bits: a runtime that finds them so computes with them so.
            if tensor is not None and (node is None or node.op_type != "DequantizeLinear"):
                self.tensors[name] = tensor
            elif node is not None and node not in self.nodes:
                self.collect(node.input, constants)
                self.nodes.append(node)


def cut_model(source: Path | bytes) -> CutModel:
    """Read an ONNX model, a file or what would be in one, and cut it.

    Raises:
        UnknownReachError: see CutModel.
    """
    return CutModel(onnx.load(source) if isinstance(source, Path) else onnx.load_model_from_string(source))
