"""Bad models: damaged files, graphs that make no sense, and things that are no model."""

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.faults import pictures
from tests.faults.bad_images import whole_result
from tests.faults.damage import DAMAGE, Rng, ways_of
from tests.faults.judge import Case, Outcome
from tests.faults.places import SKIP_AS_ROOT, as_shown, odd_path, write_odd
from tests.models import make_info, write_blur_model
from tests.networks import write_generator

DONE, MODEL, COMPUTE = 0, 4, 8

Change = Callable[[Rng, onnx.ModelProto], None]


def _blur(path: Path) -> Path:
    return write_blur_model(path, 2, make_info("A2B", size_multiple=1, smallest_size=4))


def _theirs(path: Path) -> Path:
    """Somebody else's: no metadata, what must be known is in the graph."""
    model = onnx.load(write_generator(path, ngf=2, n_blocks=1, upsampling="linear", affine=True))
    del model.metadata_props[:]
    path.write_bytes(model.SerializeToString())
    return path


def _channels_last(path: Path) -> Path:
    """Somebody else's from another framework: NHWC, in and out by a transposition."""
    model = onnx.load(_theirs(path))
    graph = model.graph
    for node in graph.node:
        node.input[:] = ["inside" if name == "image" else name for name in node.input]
        node.output[:] = ["made" if name == "stylized" else name for name in node.output]
    first = helper.make_node("Transpose", ["image"], ["inside"], perm=[0, 3, 1, 2])
    last = helper.make_node("Transpose", ["made"], ["stylized"], perm=[0, 2, 3, 1])
    nodes = [first, *graph.node, last]
    for end in (graph.input[0], graph.output[0]):
        end.CopyFrom(helper.make_tensor_value_info(end.name, TensorProto.FLOAT, ["n", "h", "w", 3]))
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)
    path.write_bytes(model.SerializeToString())
    return path


MODELS: dict[str, Callable[[Path], Path]] = {
    "convolution": _blur,
    "generator": lambda path: write_generator(path, ngf=2, n_blocks=1),
    "generator with transposed convolutions": lambda path: write_generator(path, ngf=2, upsampling="transposed"),
    "foreign generator": _theirs,
    "foreign generator, channels last": _channels_last,
}


@functools.cache
def _file(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return MODELS[name](Path(folder) / "A2B.onnx").read_bytes()


def _drawn(rng: Rng) -> tuple[str, bytes]:
    name = str(rng.choice(list(MODELS)))
    return name, _file(name)


def _case(rng: Rng, kind: str, model: Path, folder: Path, *codes: int, skip: str = "", named: str = "") -> Case:
    """Stylise a picture by `model`, or look at it, or keep it."""
    source = folder / "picture.png"
    source.write_bytes(pictures.whole("png"))
    target = folder / "out" / "picture.png"
    named = named or as_shown(model.name)
    draw = rng.random()
    argv: tuple[str, ...]
    if draw < 0.15:
        # What can be said of a model that cannot be used is said, and that is no failure.
        argv = ("models", "info", "--", str(model))
        return Case(kind, argv, folder / "nothing", frozenset({DONE, *codes}), named, frozenset(), skip=skip)
    if draw < 0.3:
        argv = ("models", "add", "--name", "kept", "--", str(model))
        target = folder / "models" / "kept" / "A2B.onnx"
        if model.suffix == ".onnx" and b"sgt." not in (model.read_bytes() if model.is_file() else b""):
            target = target.with_name("model.onnx")
    else:
        argv = ("images", "--model", str(model), "--", str(source), str(target.parent))

    def check(outcome: Outcome) -> list[str]:
        return whole_result(outcome, source, target) if argv[0] == "images" else []

    return Case(kind, argv, target, frozenset(codes), named, check=check, skip=skip)


def damaged(rng: Rng, folder: Path, way: str) -> Case:
    """A good file, damaged in one `way`."""
    name, content = _drawn(rng)
    model = folder / "style.onnx"
    model.write_bytes(DAMAGE[way](rng, content))
    return _case(rng, f"{way} {name}", model, folder, DONE, MODEL, COMPUTE)


truncated, flipped, sectors = ways_of(damaged)


def no_model(rng: Rng, folder: Path) -> Case:
    """Anything under a model's name."""
    contents = {
        "empty": b"",
        "text": b"just text\n" * 30,
        "noise": rng.bytes(999),
        "picture": pictures.whole("png"),
        "zeros": bytes(200),
        "checkpoint": b"PK\x03\x04" + rng.bytes(100),
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n",
    }
    kind = str(rng.choice(list(contents)))
    model = folder / ("style.pth" if kind == "checkpoint" else "style.onnx")
    model.write_bytes(contents[kind])
    return _case(rng, f"{kind} for a model", model, folder, MODEL)


def no_file(rng: Rng, folder: Path) -> Case:
    """Something that is no readable file where a model is expected, by itself or in a folder."""
    inside = bool(rng.random() < 0.5)
    place = folder / "style" / "A2B.onnx" if inside else folder / "style.onnx"
    place.parent.mkdir(exist_ok=True)
    kind, path = write_odd(rng, place)
    skip = SKIP_AS_ROOT if kind == "no rights" else ""
    named = place.parent if inside else path
    return _case(rng, f"{kind} for a model", named, folder, MODEL, skip=skip)


def odd_name(rng: Rng, folder: Path) -> Case:
    """A good model under a name that people do not expect."""
    model = odd_path(rng, folder, ".onnx")
    model.write_bytes(_file("convolution"))
    return _case(rng, "model of an odd name", model, folder, DONE)


# Graphs that are well-formed files and make no sense ------------------------------------------------------


def _some_node(rng: Rng, model: onnx.ModelProto, *kinds: str) -> onnx.NodeProto:
    nodes: list[onnx.NodeProto] = [node for node in model.graph.node if not kinds or node.op_type in kinds]
    return nodes[int(rng.integers(len(nodes)))]


def _wrong_operator(rng: Rng, model: onnx.ModelProto) -> None:
    _some_node(rng, model).op_type = str(rng.choice(["NoSuchThing", "Softmax", "Concat", "Loop", "If", "MatMul", ""]))


def _wrong_domain(rng: Rng, model: onnx.ModelProto) -> None:
    _some_node(rng, model).domain = str(rng.choice(["com.microsoft", "nobody.knows"]))


def _lost_constant(rng: Rng, model: onnx.ModelProto) -> None:
    del model.graph.initializer[int(rng.integers(len(model.graph.initializer)))]


def _other_shape(rng: Rng, model: onnx.ModelProto) -> None:
    one = model.graph.initializer[int(rng.integers(len(model.graph.initializer)))]
    shape = [int(rng.integers(0, 6)) for _ in range(int(rng.integers(0, 6)))]
    one.CopyFrom(numpy_helper.from_array(rng.random(shape, np.float32), one.name))


def _other_type(rng: Rng, model: onnx.ModelProto) -> None:
    one = model.graph.initializer[int(rng.integers(len(model.graph.initializer)))]
    kind = str(rng.choice(["int64", "float64", "bool", "float16", "uint8"]))
    one.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(one).astype(kind), one.name))


def _lying_shape(rng: Rng, model: onnx.ModelProto) -> None:
    one = model.graph.initializer[int(rng.integers(len(model.graph.initializer)))]
    one.dims[:] = [int(rng.choice([0, 1, 7, -1, 2**31, 2**62])) for _ in one.dims]


def _circle(rng: Rng, model: onnx.ModelProto) -> None:
    node = _some_node(rng, model)
    node.input[0] = node.output[0]


def _lost_end(rng: Rng, model: onnx.ModelProto) -> None:
    ends = model.graph.input if rng.random() < 0.5 else model.graph.output
    if rng.random() < 0.5:
        del ends[:]
    else:
        ends[0].name = "elsewhere"


def _other_end(rng: Rng, model: onnx.ModelProto) -> None:
    end = model.graph.input[0] if rng.random() < 0.5 else model.graph.output[0]
    kind = int(rng.choice([TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING, TensorProto.UINT8, 99]))
    shapes: list[list[int | str | None] | None] = [None, [], [3], [1, 3, 0, 0], [1, 4, "H", "W"], [1, 1, "H", "W"]]
    shapes += [[2, 3, 8, 8], [1, 3, 8, 8], [3] * 5]
    sides = shapes[int(rng.integers(len(shapes)))]
    end.type.tensor_type.elem_type = kind
    end.type.tensor_type.ClearField("shape")
    if sides is not None:
        end.CopyFrom(helper.make_tensor_value_info(end.name, kind, sides))


def _second_picture(rng: Rng, model: onnx.ModelProto) -> None:
    ends = model.graph.input if rng.random() < 0.5 else model.graph.output
    ends.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, [1, 3, "H", "W"]))


def _other_opset(rng: Rng, model: onnx.ModelProto) -> None:
    if rng.random() < 0.3:
        del model.opset_import[:]
    else:
        model.opset_import[0].version = int(rng.choice([-1, 0, 1, 6, 999, 2**40]))


def _other_attribute(rng: Rng, model: onnx.ModelProto) -> None:
    node = _some_node(rng, model, *[node.op_type for node in model.graph.node if node.attribute])
    name = node.attribute[int(rng.integers(len(node.attribute)))].name
    kept = [one for one in node.attribute if one.name != name]
    values = [0, -1, 1, 2**40, 0.5, "text", [0, 0], [-1, -1], [9, 9], [2**40, 2**40], [1, 1, 1, 1], [], [1.5]]
    value = values[int(rng.integers(len(values)))]
    node.ClearField("attribute")
    node.attribute.extend(kept)
    if value != []:
        node.attribute.append(helper.make_attribute(name, value))


def _pads(rng: Rng, model: onnx.ModelProto) -> None:
    one = next(one for one in model.graph.initializer if one.data_type == TensorProto.INT64)
    values = numpy_helper.to_array(one).copy()
    values[int(rng.integers(len(values)))] = int(rng.choice([-100, -1, 1, 1000, 2**20, 2**62]))
    one.CopyFrom(numpy_helper.from_array(values, one.name))


def _elsewhere(rng: Rng, model: onnx.ModelProto) -> None:
    """Weights in another file, as large models have them, and that file is missing or none of ours."""
    one = model.graph.initializer[0]
    one.ClearField("raw_data")
    one.ClearField("float_data")
    one.data_location = TensorProto.EXTERNAL
    place = str(rng.choice(["weights.bin", "../../../../../../etc/hostname", "/etc/hostname", "", "."]))
    one.external_data.append(onnx.StringStringEntryProto(key="location", value=place))


def _metadata(rng: Rng, model: onnx.ModelProto) -> None:
    """A file that says of itself what cannot be."""
    said = {one.key: one.value for one in model.metadata_props} or make_info("A2B").to_metadata()
    key = str(rng.choice([one for one in said if one != "sgt.tool_version"]))
    said[key] = str(rng.choice(["", "0", "-1", "abc", "10000000", "1000000000000", "1.5", "\x1b[31m", "C2D", "7"]))
    del model.metadata_props[:]
    helper.set_model_props(model, said)


def _no_number(rng: Rng, model: onnx.ModelProto) -> None:
    weights = [one for one in model.graph.initializer if one.data_type == TensorProto.FLOAT and one.dims]
    one = weights[int(rng.integers(len(weights)))]
    values = numpy_helper.to_array(one).copy()
    values.flat[int(rng.integers(values.size))] = rng.choice([np.nan, np.inf, -np.inf])
    one.CopyFrom(numpy_helper.from_array(values, one.name))


def _twice(rng: Rng, model: onnx.ModelProto) -> None:
    nodes = list(model.graph.node)
    nodes.insert(int(rng.integers(len(nodes))), nodes[int(rng.integers(len(nodes)))])
    copied = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    model.graph.ClearField("node")
    model.graph.node.extend(copied)


def _lost_node(rng: Rng, model: onnx.ModelProto) -> None:
    del model.graph.node[int(rng.integers(len(model.graph.node)))]


CHANGES: dict[str, Change] = {
    "wrong operator": _wrong_operator,
    "wrong domain": _wrong_domain,
    "a constant lost": _lost_constant,
    "a constant of another shape": _other_shape,
    "a constant of another type": _other_type,
    "a constant that lies of its shape": _lying_shape,
    "nodes in a circle": _circle,
    "an end lost": _lost_end,
    "another end": _other_end,
    "a second picture": _second_picture,
    "another operator set": _other_opset,
    "another attribute": _other_attribute,
    "other pads": _pads,
    "weights elsewhere": _elsewhere,
    "wrong metadata": _metadata,
    "weights that are no numbers": _no_number,
    "a node twice": _twice,
    "a node lost": _lost_node,
}


def changed(rng: Rng, folder: Path) -> Case:
    """A file that can be read, of a graph that cannot be, or is another network."""
    change = str(rng.choice(list(CHANGES)))
    name, content = _drawn(rng)
    model = onnx.ModelProto.FromString(content)
    CHANGES[change](rng, model)
    path = folder / "style.onnx"
    path.write_bytes(model.SerializeToString())
    return _case(rng, f"{change}: {name}", path, folder, DONE, MODEL, COMPUTE)


MODEL_KINDS = (
    truncated,
    flipped,
    changed,
    changed,
    no_model,
    flipped,
    changed,
    no_file,
    changed,
    sectors,
    flipped,
    changed,
    odd_name,
    changed,
    changed,
)
