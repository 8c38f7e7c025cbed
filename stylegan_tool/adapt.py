"""Somebody else's .onnx, made to take and give pictures as ours do: its graph between two small adapters.

The first turns float32 (N,3,H,W) RGB in [-1,1] into what the network takes (one 1x1 convolution for range and order
of the channels, a transposition, a cast), the second turns its result back. Inputs beside the picture become
constants. All that follows, exact tiles and steady film too, sees one of our own models.

Where the graph's sizes are fixed only by what is written on its ends, they are set free; where a place in the graph
depends on them, the model keeps its size and pictures are cut into pieces of it.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stylegan_tool.errors import ModelError, typed
from stylegan_tool.interface import RANGES, Interface, Stated, find_encoder, find_interface
from stylegan_tool.model_info import PREFIX, ModelInfo
from stylegan_tool.norm_fusion import fuse_norms
from stylegan_tool.normstats import CutModel
from stylegan_tool.operators import Constants, attributes_of, element_type
from stylegan_tool.reach import UnknownReachError, sense_expected

# How the value of an input beside the picture is found: its text, the input, and the range that pictures have.
Evaluate: TypeAlias = Callable[[str, onnx.ValueInfoProto, str], NDArray[Any]]

IMAGE, STYLIZED = "sgt/image", "sgt/stylized"
_SMALLEST_SIZE = 32  # of a network of which nothing is known; smaller pictures are filled up
_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


@dataclass(frozen=True)
class Adapted:
    """A model that takes and gives pictures as ours do.

    Attributes:
        source: the file as it is, or the adapted graph.
        interface: how the network itself takes pictures; None where it is one of ours.
    """

    source: Path | bytes
    info: ModelInfo
    interface: Interface | None


def read_graph(path: Path) -> onnx.ModelProto:
    """Return the model in the file at `path`.

    Raises:
        ModelError: it cannot be read, or is no ONNX.
    """
    try:
        model = onnx.load(path)
    except OSError as error:
        raise ModelError(
            f"cannot read the model {path}: {error.strerror or error}",
            hint="Name an .onnx file, a run folder or a style: `sgt models list` shows them.",
        ) from error
    except Exception as error:  # protobuf's and onnx's own classes, of no common base
        raise _no_onnx(path) from error
    if not model.graph.node:
        raise _no_onnx(path)
    return model


def _no_onnx(path: Path) -> ModelError:
    if path.suffix in (".pth", ".pt", ".ckpt", ".safetensors"):
        return ModelError(
            f"{path} is a checkpoint, and no ONNX model", hint=f"Turn it into one: sgt import {typed(path)}"
        )
    return ModelError(
        f"{path} is no ONNX model, or a damaged one",
        hint="Download or export it again, or name another: `sgt models list` shows what is here.",
    )


@contextmanager
def _sense_expected(path: Path) -> Iterator[None]:
    """Raise ModelError for whatever fails inside: `reach.sense_expected` in words for people."""
    try:
        with sense_expected():
            yield
    except UnknownReachError as error:
        raise ModelError(
            f"{path} cannot be run: {error}",
            hint="Download or export it again. If another program runs it, report that with what `sgt doctor` prints.",
        ) from error


def info_of(model: onnx.ModelProto, path: Path) -> ModelInfo:
    """Return what the model says of itself.

    Raises:
        ModelError: see `ModelInfo.from_metadata`; or it is no text.
    """
    with _sense_expected(path):  # text that is not UTF-8 comes as bytes
        return ModelInfo.from_metadata({one.key: one.value for one in model.metadata_props}, path=str(path))


def adapt(path: Path, inputs: Mapping[str, str], evaluate: Evaluate, stated: Stated | None = None) -> Adapted:
    """Read the model at `path` and adapt it, if it needs that.

    Args:
        inputs: values of inputs beside the picture: name -> text.
        stated: what is known of it beside what the file says.

    Raises:
        ModelError: see `find_interface`; or it has no input of such a name.
    """
    model = read_graph(path)
    info = info_of(model, path)
    _check_names(model, inputs, path)
    if info.schema and not info.layout:
        return Adapted(path, info, None)
    stated = stated or Stated.by(info)
    with _sense_expected(path):
        interface = find_interface(model, stated, path, given=inputs)
        values = {
            one.name: evaluate(inputs[one.name], one, interface.takes)
            for one in model.graph.input
            if one.name in inputs and one.name != interface.image
        }
        set_inputs(model, values)
        _drop_defaults(model, interface.image)
        fuse_norms(model)
        _wrap_input(model, interface)
        _wrap_output(model, interface)
        info = _complete(model, info, interface, stated.size_multiple)
        return Adapted(bytes(model.SerializeToString()), info, interface)


def adapt_encoder(path: Path, takes: str) -> tuple[bytes, Interface]:
    """Return a network that makes a vector of a picture, adapted to take our pictures.

    Args:
        takes: the range of its pictures where its graph does not show it.

    Raises:
        ModelError: it takes no picture.
    """
    model = read_graph(path)
    info = info_of(model, path)
    with _sense_expected(path):
        interface = find_encoder(model, Stated.by(info), path, takes)
        _drop_defaults(model, interface.image)
        _wrap_input(model, interface)
    return bytes(model.SerializeToString()), interface


def describe_in_file(path: Path, info: ModelInfo, inputs: Mapping[str, str], evaluate: Evaluate) -> bytes:
    """Return the model at `path` with `info` and the values of further inputs written into it, its graph unchanged.

    Raises:
        ModelError: see `adapt`.
    """
    model = read_graph(path)
    _check_names(model, inputs, path)
    interface = find_interface(model, Stated.by(info), path, given=inputs)
    given = [one for one in model.graph.input if one.name in inputs]
    set_inputs(model, {one.name: evaluate(inputs[one.name], one, interface.takes) for one in given})
    others = {one.key: one.value for one in model.metadata_props if not one.key.startswith(PREFIX)}
    del model.metadata_props[:]
    helper.set_model_props(model, others | info.to_metadata())
    return bytes(model.SerializeToString())


def set_inputs(model: onnx.ModelProto, values: Mapping[str, NDArray[Any]]) -> None:
    """Give inputs of `model` a value by default, which is how ONNX writes constants that may be replaced."""
    kept = [one for one in model.graph.initializer if one.name not in values]
    kept += [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in values.items()]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.ir_version = max(model.ir_version, 4)  # before, an initializer without an input was no constant


def _check_names(model: onnx.ModelProto, inputs: Mapping[str, str], path: Path) -> None:
    known = [one.name for one in model.graph.input]
    for name in inputs:
        if name not in known:
            raise ModelError(
                f"{path} has no input {name}",
                hint=f"It has {', '.join(known)}: correct the name, or leave --input {name}=... out.",
            )


def _drop_defaults(model: onnx.ModelProto, image: str) -> None:
    """Make constants of all inputs but the picture."""
    kept = [one for one in model.graph.input if one.name == image]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.ir_version = max(model.ir_version, 4)


# The adapters --------------------------------------------------------------------------------------------


def _wrap_input(model: onnx.ModelProto, interface: Interface) -> None:
    graph = model.graph
    low, high = RANGES[interface.takes]
    kind = element_type(graph.input[0])
    # Whole numbers: the cast cuts off.
    half = 0.5 if kind == TensorProto.UINT8 else 0.0
    nodes, name = _point_conv(
        graph, IMAGE, "sgt/taken", (high - low) / 2, (high + low) / 2 + half, swap=interface.order == "BGR"
    )
    if kind != TensorProto.FLOAT:
        nodes.append(helper.make_node("Cast", [name], ["sgt/cast"], to=kind))
        name = "sgt/cast"
    if interface.layout == "NHWC":
        name = _transpose_input(graph, nodes, name, interface.image)
    _rename(graph, interface.image, name)
    del graph.input[:]
    graph.input.append(_picture(IMAGE, interface))
    _set_nodes(graph, [*nodes, *graph.node])


def _wrap_output(model: onnx.ModelProto, interface: Interface) -> None:
    graph = model.graph
    name = interface.output
    nodes: list[onnx.NodeProto] = []
    kind = next(element_type(one) for one in graph.output if one.name == name)
    if interface.output_layout == "NHWC":
        last = next(node for node in graph.node if name in node.output)
        if last.op_type == "Transpose" and tuple(attributes_of(last).get("perm", ())) == _TO_NHWC:
            name = last.input[0]
        else:
            nodes.append(helper.make_node("Transpose", [name], ["sgt/made"], perm=_TO_NCHW))
            name = "sgt/made"
    if kind != TensorProto.FLOAT:
        nodes.append(helper.make_node("Cast", [name], ["sgt/float"], to=TensorProto.FLOAT))
        name = "sgt/float"
    low, high = RANGES[interface.makes]
    more, made = _point_conv(
        graph, name, STYLIZED, 2 / (high - low), -(high + low) / (high - low), swap=interface.order == "BGR"
    )
    nodes += more
    if made != STYLIZED:
        nodes.append(helper.make_node("Identity", [made], [STYLIZED]))
    del graph.output[:]
    graph.output.append(_picture(STYLIZED, interface))
    _set_nodes(graph, [*graph.node, *nodes])


def _picture(name: str, interface: Interface) -> onnx.ValueInfoProto:
    shape: list[str | int | None] = ["N", 3, interface.height or "H", interface.width or "W"]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _point_conv(
    graph: onnx.GraphProto, taken: str, made: str, factor: float, offset: float, *, swap: bool
) -> tuple[list[onnx.NodeProto], str]:
    """Return a 1x1 convolution for channel * factor + offset, channels reversed if `swap`; none if it does nothing."""
    if factor == 1 and offset == 0 and not swap:
        return [], taken
    weight = np.eye(3, dtype=np.float32)[:: -1 if swap else 1] * np.float32(factor)
    names = (f"{made}/weight", f"{made}/bias")
    arrays = (weight.reshape(3, 3, 1, 1), np.full(3, offset, np.float32))
    graph.initializer.extend(numpy_helper.from_array(array, name) for array, name in zip(arrays, names, strict=True))
    return [helper.make_node("Conv", [taken, *names], [made])], made


def _transpose_input(graph: onnx.GraphProto, nodes: list[onnx.NodeProto], name: str, image: str) -> str:
    """Transpose to NHWC, unless all that the network does with the picture first is to transpose it back."""
    takers = [node for node in graph.node if image in node.input]
    if takers and all(
        node.op_type == "Transpose" and tuple(attributes_of(node).get("perm", ())) == _TO_NCHW for node in takers
    ):
        made = [node.output[0] for node in takers]
        _set_nodes(graph, [node for node in graph.node if node not in takers])
        for one in made:
            _rename(graph, one, name)
        return name
    nodes.append(helper.make_node("Transpose", [name], ["sgt/nhwc"], perm=_TO_NHWC))
    return "sgt/nhwc"


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == old:
                node.input[i] = new


def _set_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    copied = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copied)


# What must be known to run it ------------------------------------------------------------------------------


def _complete(model: onnx.ModelProto, info: ModelInfo, interface: Interface, stated_multiple: int) -> ModelInfo:
    """Fill in sizes, and set fixed ones free where nothing in the graph depends on them."""
    height, width = interface.height, interface.width
    try:
        cut = CutModel(model)
    except UnknownReachError:
        multiple = _size_multiple(model)
    else:
        multiple = math.lcm(*(scale.denominator for scale in cut.scale.values()))
        if height or width:
            _free_sizes(model)
            height, width = 0, 0
    multiple = stated_multiple or multiple
    return replace(
        info,
        size_multiple=multiple,
        smallest_size=max(_SMALLEST_SIZE, 2 * multiple),
        ngf=_first_filters(model.graph) or info.ngf,
        layout=interface.layout,
        channel_order=interface.order,
        input_range=interface.takes,
        output_range=interface.makes,
        fixed_height=height,
        fixed_width=width,
    )


def _free_sizes(model: onnx.ModelProto) -> None:
    for one in (*model.graph.input, *model.graph.output):
        for dim, name in zip(one.type.tensor_type.shape.dim[2:], ("H", "W"), strict=True):
            dim.dim_param = name
    del model.graph.value_info[:]


def _first_filters(graph: onnx.GraphProto) -> int:
    """Return the filters of the first convolution with a kernel of more than one pixel; 0 if there is none."""
    shapes = {one.name: tuple(one.dims) for one in graph.initializer}
    for node in graph.node:
        shape = shapes.get(node.input[1], ()) if node.op_type == "Conv" else ()
        if len(shape) == 4 and shape[2] > 1:
            return int(shape[0])
    return 0


def _size_multiple(model: onnx.ModelProto) -> int:
    """Return the largest factor by which strides make a tensor of the graph smaller than the picture."""
    constants = Constants(model.graph, model.opset_import)
    scale = {IMAGE: Fraction(1)}
    largest = 1
    for node in model.graph.node:
        taken = [scale[name] for name in node.input if name in scale]
        if not taken:
            if all(name in constants for name in node.input if name):
                constants.add(node)
            continue
        made = min(taken) * _factor(node, constants)
        scale |= dict.fromkeys(node.output, made)
        largest = max(largest, made.denominator)
    return largest


def _factor(node: onnx.NodeProto, constants: Constants) -> Fraction:
    stride = int(attributes_of(node).get("strides", [1])[0])
    if node.op_type in ("Conv", "MaxPool", "AveragePool"):
        return Fraction(1, stride)
    if node.op_type == "ConvTranspose":
        return Fraction(stride)
    if node.op_type == "Resize" and len(node.input) > 2 and node.input[2] in constants:
        given = constants.value(node.input[2])
        return Fraction(float(given[-1])).limit_denominator(64) if given.size else Fraction(1)
    return Fraction(1)
