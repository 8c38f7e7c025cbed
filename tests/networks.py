"""Generators made on the spot as ONNX graphs, and the truth that tiles are held to."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.models import make_info, write_graph

Floats = NDArray[np.float32]


class _Builder:
    """Nodes and constants of a network, one after the other."""

    def __init__(self, *, affine: bool, padding: str, seed: int, weights: Sequence[Floats]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray[np.generic]] = {}
        self.last = "image"
        self._affine = affine
        self._padding = padding
        self._random = np.random.default_rng(seed)
        self._weights = iter(weights)

    def parameter(self, made_up: NDArray[np.float64]) -> str:
        """Add the next of the given weights, or where there are none what was made up."""
        value = next(self._weights, made_up.astype(np.float32))
        assert value.shape == made_up.shape
        return self.constant(value)

    def constant(self, value: NDArray[np.generic]) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def node(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, [self.last, *inputs], [name], **attributes))
        self.last = name
        return name

    def conv(self, taken: int, made: int, kernel: int, *, stride: int = 1, pad: int = 0) -> None:
        # Taps of one size everywhere in the kernel: the farthest one matters as much as the middle.
        weight = self._random.choice([-1.0, 1.0], (made, taken, kernel, kernel)) / np.sqrt(taken * kernel**2)
        bias = self._random.normal(0, 1, made)
        if pad and (stride == 1):
            pads = self.constant(np.array([0, 0, pad, pad, 0, 0, pad, pad], np.int64))
            self.node("Pad", pads, mode=self._padding)
            pad = 0
        names = self.parameter(weight), self.parameter(bias)
        self.node("Conv", *names, strides=[stride] * 2, pads=[pad] * 4)

    def transposed(self, taken: int, made: int) -> None:
        weight = self._random.choice([-1.0, 1.0], (taken, made, 3, 3)) / np.sqrt(taken * 9)
        names = self.parameter(weight), self.parameter(self._random.normal(0, 1, made))
        self.node("ConvTranspose", *names, strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])

    def norm(self, channels: int) -> None:
        gain, bias = np.ones(channels), np.zeros(channels)
        if self._affine:
            gain, bias = self._random.uniform(0.5, 2, channels), self._random.normal(0, 1, channels)
        names = self.parameter(gain), self.parameter(bias)
        self.node("InstanceNormalization", *names, epsilon=1e-5)

    def up(self, kind: str, taken: int, made: int) -> None:
        if kind == "transposed":
            self.transposed(taken, made)
            return
        scales = self.constant(np.array([1, 1, 2, 2], np.float32))
        mode: dict[str, Any] = {"mode": kind}
        if kind == "nearest":
            mode |= {"nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        self.node("Resize", "", scales, **mode)
        self.conv(taken, made, 3, pad=1)


def write_generator(
    path: Path,
    *,
    ngf: int = 4,
    n_blocks: int = 2,
    upsampling: str = "nearest",
    padding: str = "reflect",
    affine: bool = False,
    seed: int = 0,
    weights: Sequence[Floats] = (),
) -> Path:
    """Write a CycleGAN generator.

    Args:
        weights: in the order of the layers; random ones where none are given.
        upsampling: nearest, linear (both with a convolution after them) or transposed.
        padding: reflect, constant or edge.
    """
    net = _Builder(affine=affine, padding=padding, seed=seed, weights=weights)
    net.conv(3, ngf, 7, pad=3)
    net.norm(ngf)
    net.node("Relu")
    for level in (1, 2):
        net.conv(ngf * level, ngf * level * 2, 3, stride=2, pad=1)
        net.norm(ngf * level * 2)
        net.node("Relu")
    for _ in range(n_blocks):
        skip = net.last
        net.conv(ngf * 4, ngf * 4, 3, pad=1)
        net.norm(ngf * 4)
        net.node("Relu")
        net.conv(ngf * 4, ngf * 4, 3, pad=1)
        net.norm(ngf * 4)
        net.node("Add", skip)
    for level in (2, 1):
        net.up(upsampling, ngf * level * 2, ngf * level)
        net.norm(ngf * level)
        net.node("Relu")
    net.conv(ngf, 3, 7, pad=3)
    net.node("Tanh")
    net.nodes[-1].output[0] = "stylized"
    reach = {"ngf": ngf, "receptive_field": 15 + 8 * n_blocks + (3 if upsampling != "nearest" else 0)}
    return write_graph(path, net.nodes, net.constants, make_info("A2B", **reach))


def truth_of(path: Path) -> Callable[[Floats], Floats]:
    """Return the model at `path` with each InstanceNormalization written out in float64, untiled."""
    model = onnx.load(path)
    constants = [*model.graph.initializer, numpy_helper.from_array(np.array([2, 3]), "truth/axes")]
    shape = numpy_helper.from_array(np.array([1, -1, 1, 1]), "truth/shape")
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type != "InstanceNormalization":
            nodes.append(node)
            continue
        (taken, gain, bias), made = node.input, node.output[0]
        epsilon = next((one.f for one in node.attribute if one.name == "epsilon"), 1e-5)
        constants.append(numpy_helper.from_array(np.array(epsilon, np.float64), f"{made}/epsilon"))
        steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
            ("Cast", [taken], "wide", {"to": TensorProto.DOUBLE}),
            ("ReduceMean", ["wide", "truth/axes"], "mean", {}),
            ("Sub", ["wide", "mean"], "centred", {}),
            ("Mul", ["centred", "centred"], "squared", {}),
            ("ReduceMean", ["squared", "truth/axes"], "variance", {}),
            ("Add", ["variance", "epsilon"], "more", {}),
            ("Sqrt", ["more"], "deviation", {}),
            ("Div", ["centred", "deviation"], "normal", {}),
            ("Cast", ["normal"], "narrow", {"to": TensorProto.FLOAT}),
            ("Reshape", [gain, "truth/shape"], "gain", {}),
            ("Reshape", [bias, "truth/shape"], "bias", {}),
            ("Mul", ["narrow", "gain"], "scaled", {}),
        ]
        known = {taken, gain, bias, "truth/axes", "truth/shape"}
        for op_type, inputs, output, attributes in steps:
            names = [name if name in known else f"{made}/{name}" for name in inputs]
            nodes.append(helper.make_node(op_type, names, [f"{made}/{output}"], **attributes))
        nodes.append(helper.make_node("Add", [f"{made}/scaled", f"{made}/bias"], [made]))
    graph = helper.make_graph(nodes, "truth", model.graph.input, model.graph.output, [*constants, shape])
    written = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    options = ort.SessionOptions()
    options.enable_cpu_mem_arena = False
    session = ort.InferenceSession(written.SerializeToString(), options, providers=["CPUExecutionProvider"])
    name = model.graph.input[0].name

    def run(batch: Floats) -> Floats:
        result: Floats = session.run(None, {name: batch})[0]
        return result

    return run
