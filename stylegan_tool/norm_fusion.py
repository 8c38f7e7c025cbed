"""Find instance normalisations that are written out in arithmetic, and write them as the one operator that they are.

Converters and hand-made layers write mean, difference, square, mean, root and quotient. As InstanceNormalization the
same computation can be cut into exact tiles (see normstats.py).

Source: Ulyanov et al. 2016, 'Instance Normalization: The Missing Ingredient for Fast Stylization'.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from stylegan_tool.operators import Constants, attributes_of
from stylegan_tool.reach import UnknownReachError


def fuse_norms(model: onnx.ModelProto) -> int:
    """Replace, in `model`, (x - mean) / sqrt(variance + epsilon) over height and width; return how many were found."""
    graph = model.graph
    finder = _Finder(graph, Constants(graph, model.opset_import))
    found = {id(node): norm for node in graph.node if (norm := finder.norm_made_by(node)) is not None}
    if not found:
        return 0
    nodes = []
    for node in graph.node:
        if id(node) not in found:
            nodes.append(node)
            continue
        taken, channels, epsilon = found[id(node)]
        names = [f"{node.output[0]}/ones", f"{node.output[0]}/zeros"]
        arrays = (np.ones(channels, np.float32), np.zeros(channels, np.float32))
        graph.initializer.extend(numpy_helper.from_array(a, name) for a, name in zip(arrays, names, strict=True))
        nodes.append(
            helper.make_node(
                "InstanceNormalization", [taken, *names], [node.output[0]], name=node.name, epsilon=epsilon
            )
        )
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in _needed(nodes, graph)]
    del graph.node[:]
    graph.node.extend(kept)
    return len(found)


def _needed(nodes: Sequence[onnx.NodeProto], graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes that the outputs are made of."""
    wanted = {one.name for one in graph.output}
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1]


class _Finder:
    def __init__(self, graph: onnx.GraphProto, constants: Constants) -> None:
        self._constants = constants
        for node in graph.node:
            if all(name in constants for name in node.input if name):
                constants.add(node)
        self._producer = {name: node for node in graph.node for name in node.output}

    def norm_made_by(self, node: onnx.NodeProto) -> tuple[str, int, float] | None:
        """Return what a norm takes, its channels and epsilon, if `node` is the last of its nodes."""
        if node.op_type not in ("Mul", "Div") or len(node.input) != 2:
            return None
        for centred, other in (node.input, reversed(node.input)):
            if node.op_type == "Div" and centred != node.input[0]:
                continue
            root = self._made(other, "Sqrt") if node.op_type == "Div" else self._root_of_inverse(other)
            norm = self._norm(centred, root) if root is not None else None
            if norm is not None:
                return norm
        return None

    def _root_of_inverse(self, name: str) -> onnx.NodeProto | None:
        """Return the root whose inverse `name` is."""
        inverse = self._producer.get(name)
        if inverse is None:
            return None
        if inverse.op_type == "Reciprocal":
            return self._made(inverse.input[0], "Sqrt")
        if inverse.op_type == "Div" and self._number(inverse.input[0]) == 1:
            return self._made(inverse.input[1], "Sqrt")
        return None

    def _norm(self, centred: str, root: onnx.NodeProto) -> tuple[str, int, float] | None:
        variance, epsilon = root.input[0], 0.0
        sum_ = self._made(variance, "Add")
        if sum_ is not None:
            numbers = [self._number(name) for name in sum_.input]
            for given, name in ((numbers[1], sum_.input[0]), (numbers[0], sum_.input[1])):
                if given is not None:
                    variance, epsilon = name, given
        difference, square = self._made(centred, "Sub"), self._mean_of(variance)
        if difference is None or square is None or not self._is_square(square, centred):
            return None
        taken = difference.input[0]
        channels = self._channels(taken)
        return (taken, channels, epsilon) if channels and self._mean_of(difference.input[1]) == taken else None

    def _made(self, name: str, kind: str) -> onnx.NodeProto | None:
        node = self._producer.get(name)
        return node if node is not None and node.op_type == kind else None

    def _number(self, name: str) -> float | None:
        if name not in self._constants:
            return None
        try:
            value = self._constants.value(name)
        except UnknownReachError:
            return None
        return float(value.item()) if value.size == 1 else None

    def _mean_of(self, name: str) -> str | None:
        """Return what `name` is the mean of, over height and width."""
        node = self._producer.get(name)
        if node is None:
            return None
        taken: str = node.input[0]
        if node.op_type == "GlobalAveragePool":
            return taken
        if node.op_type != "ReduceMean":
            return None
        options = attributes_of(node)
        axes = options.get("axes", ())
        if len(node.input) > 1 and node.input[1] in self._constants:
            axes = self._constants.value(node.input[1]).tolist()
        over = sorted(int(axis) % 4 for axis in axes)
        return taken if over == [2, 3] and options.get("keepdims", 1) else None

    def _is_square(self, name: str, of: str) -> bool:
        node = self._producer.get(name)
        if node is None:
            return False
        if node.op_type == "Mul":
            return list(node.input) == [of, of]
        return node.op_type == "Pow" and node.input[0] == of and self._number(node.input[1]) == 2

    def _channels(self, name: str) -> int:
        """Return the channels of a convolution's result; 0 for anything else."""
        node = self._producer.get(name)
        if node is None or node.op_type not in ("Conv", "ConvTranspose") or node.input[1] not in self._constants:
            return 0
        shape = self._constants.shape(node.input[1])
        return shape[0] if node.op_type == "Conv" else shape[1] * int(attributes_of(node).get("group", 1))
