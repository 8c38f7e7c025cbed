"""Smaller and faster models out of an exported one: half precision, or convolutions in 8 bits.

Both keep the contract: float32 (N,3,H,W) in [-1,1] in and out, any size. InstanceNormalization stays in float32, since
its sums over a picture do not fit half precision, and since 8 bits of what it makes are better than 8 bits of it.

8 bits: one scale serves all channels of a convolution's result, and a channel that is small beside the others would be
left with a few steps, which the normalisation after it then blows up. But a channel's own scale and mean vanish in
that normalisation: so they are first made alike (`equalise`), which changes nothing in float and is worth 6 dB here.
Source: Nagel et al. 2019, 'Data-Free Quantization Through Weight Equalization and Bias Correction', whose equalisation
goes across ReLUs; across InstanceNorm it is exact.
"""

import contextlib
import io
import logging
import tempfile
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stylegan_tool.demo_files import example_pictures
from stylegan_tool.errors import InputError
from stylegan_tool.image_files.naming import find_pictures
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.pixels import Batch, to_batch

PRECISIONS = ("fp32", "fp16", "int8")
# What is refused without --force: a signal-to-noise ratio (of 8-bit pictures) against torch below that, in dB.
LEAST_PSNR_DB = {
    "fp32": 80.0,  # a fortieth of a step: rounding, and nothing else; on noise and odd sizes also parity.LIMIT
    "fp16": 45.0,  # 1.4 steps: ten bits of mantissa leave less, unless values outgrow half precision
    "int8": 30.0,  # 8 steps: brushwork looks alike side by side, and differs where one is laid over the other
}
# Convolutions stay in float, those first whose 8 bits alone cost most, until pictures are that close; mean, of 255.
_CLOSE = 2.5
# Of the values that are seen, this many percent are inside what 8 bits span; the rest is cut off.
_PERCENTILE = 99.99
_MOST, _FEWEST, _LONGEST = 32, 4, 384  # pictures, and pixels of their longer side
_ONE_OF = 6  # one picture of so many tells what stays in float
_CONVOLUTIONS = ("Conv", "ConvTranspose")
_IN_8_BITS = ("Conv",)  # ONNX Runtime computes a ConvTranspose in float all the same
_LEAST_DEVIATION = 1e-6


@dataclass(frozen=True)
class Accuracy:
    """How far a model is from torch on pictures: steps of 8 bits, and the signal-to-noise ratio in dB."""

    largest: float
    mean: float
    psnr_db: float

    @classmethod
    def of(cls, made: Sequence[Batch], expected: Sequence[Batch]) -> "Accuracy":
        """Compare results in [-1,1]."""
        apart = np.concatenate([((a - b) * 127.5).ravel() for a, b in zip(made, expected, strict=True)])
        noise = float((apart.astype(np.float64) ** 2).mean())
        psnr = np.inf if noise == 0 else 10 * np.log10(255**2 / noise)  # NaN of NaN
        return cls(float(np.abs(apart).max()), float(np.abs(apart).mean()), float(psnr))


@dataclass(frozen=True)
class Pictures:
    """What a model is calibrated with and what it is measured on, none in both; (1,3,H,W) each."""

    seen: list[Batch]
    held: list[Batch]


def read_pictures(folder: Path | None, multiple: int) -> Pictures:
    """Read up to 32 pictures of `folder`, three to calibrate with for each to measure on; by default the examples.

    Args:
        multiple: what their sides are brought to a multiple of.

    Raises:
        InputError: the folder has fewer than four pictures, or one cannot be read.
    """
    paths = find_pictures(folder) if folder is not None else example_pictures()
    if len(paths) < _FEWEST:
        raise InputError(
            f"{len(paths)} pictures in {folder}: too few to calibrate with, and to measure on others",
            hint=f"Name a folder of at least {_FEWEST}, better 32, such as those that will be stylised.",
        )
    step = max(1, len(paths) // _MOST)
    batches = [_read(path, multiple) for path in paths[::step][:_MOST]]
    if folder is None:  # nothing is calibrated
        return Pictures([], batches)
    return Pictures([batch for i, batch in enumerate(batches) if i % 4], batches[::4])


def _read(path: Path, multiple: int) -> Batch:
    image: Any = read_picture(path).image
    scale = min(1.0, _LONGEST / max(image.shape[:2]))
    sides = [max(multiple, round(side * scale) // multiple * multiple) for side in image.shape[1::-1]]
    return to_batch(cv2.resize(image, sides, interpolation=cv2.INTER_AREA))


def lower(model: onnx.ModelProto, precision: str, pictures: Pictures) -> tuple[onnx.ModelProto, str]:
    """Return `model` in another precision, and what there is to say of it."""
    if precision == "fp16":
        return to_half(model), ""
    lowered, kept = to_int8(model, pictures.seen)
    n = sum(node.op_type in _IN_8_BITS for node in model.graph.node)
    return lowered, f"{n - kept} of {n} convolutions in 8 bits, calibrated with {len(pictures.seen)} pictures"


# Half precision --------------------------------------------------------------------------------------------

_WIDE = ("InstanceNormalization", "Resize")  # Resize: its scales are float32 by definition, and it runs nowhere in half


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return `model` with weights and activations in float16, its ends and its normalisations in float32."""
    half = onnx.ModelProto()
    half.CopyFrom(model)
    graph = half.graph
    del graph.value_info[:]
    widths = _Widths(graph)
    nodes = [node for old in graph.node for node in widths.convert(old)]
    output = graph.output[0].name
    nodes.append(helper.make_node("Cast", [f"{output}/half"], [output], to=TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend(nodes)
    kept = {name for node in nodes for name in node.input}
    tensors = [one for one in (*graph.initializer, *widths.made) if one.name in kept]
    copied = [TensorProto.FromString(one.SerializeToString()) for one in tensors]
    del graph.initializer[:]
    graph.initializer.extend(copied)
    return half


class _Widths:
    """Which tensors are half, and under which name the half and the full one of each are."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._floats = {one.name: one for one in graph.initializer if one.data_type == TensorProto.FLOAT}
        self._output = graph.output[0].name
        self._wide = {graph.input[0].name}
        self._halved: dict[str, str] = {}
        self._widened: dict[str, str] = {}
        self.made: list[TensorProto] = []

    def convert(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Return the nodes that stand for `node`."""
        new = onnx.NodeProto()
        new.CopyFrom(node)
        before: list[onnx.NodeProto] = []
        wide = node.op_type in _WIDE
        for i, name in enumerate(node.input):
            if wide and i > 0:  # weights of a norm, scales of a Resize
                continue
            new.input[i] = self._as_wide(name, before) if wide else self._as_half(name, before)
        for i, name in enumerate(node.output):
            if name == self._output:
                new.output[i] = f"{name}/half"
            elif wide:
                self._wide.add(name)
        return [*before, new]

    def _as_half(self, name: str, before: list[onnx.NodeProto]) -> str:
        if name in self._floats:
            if name not in self._halved:
                with np.errstate(over="ignore"):  # what outgrows it is found out by running it: see is_finite
                    values = numpy_helper.to_array(self._floats[name]).astype(np.float16)
                self.made.append(numpy_helper.from_array(values, f"{name}/half"))
                self._halved[name] = f"{name}/half"
            return self._halved[name]
        if name not in self._wide:
            return name
        if name not in self._halved:
            before.append(helper.make_node("Cast", [name], [f"{name}/half"], to=TensorProto.FLOAT16))
            self._halved[name] = f"{name}/half"
        return self._halved[name]

    def _as_wide(self, name: str, before: list[onnx.NodeProto]) -> str:
        if name in self._wide or name in self._floats:
            return name
        if name not in self._widened:
            before.append(helper.make_node("Cast", [name], [f"{name}/wide"], to=TensorProto.FLOAT))
            self._widened[name] = f"{name}/wide"
        return self._widened[name]


# 8 bits ----------------------------------------------------------------------------------------------------


def to_int8(model: onnx.ModelProto, pictures: Sequence[Batch]) -> tuple[onnx.ModelProto, int]:
    """Return `model` with its convolutions in 8 bits, and how many of them stayed in float.

    Static, per channel, with QuantizeLinear and DequantizeLinear around each convolution.

    Args:
        pictures: what the spans of values are found with; (1,3,H,W) each.
    """
    equal = onnx.ModelProto()
    equal.CopyFrom(model)
    for i, node in enumerate(equal.graph.node):  # the quantiser knows them by their names
        node.name = node.name or f"node_{i}"
    equalise(equal, pictures)
    names = [node.name for node in equal.graph.node if node.op_type in _IN_8_BITS]
    # On others than the spans are found with: a picture that helped to choose them comes out too well.
    sample = pictures[::_ONE_OF]
    expected = run_all(equal, sample)
    spans = [picture for i, picture in enumerate(pictures) if i % _ONE_OF]
    with _Quantiser(equal, spans or pictures) as quantize:

        def apart(kept: Sequence[str]) -> float:
            return Accuracy.of(run_all(quantize(kept), sample), expected).mean

        alone = {name: apart([other for other in names if other != name]) for name in names}
        worst_first = sorted(names, key=alone.__getitem__, reverse=True)
        n_kept = bisect_left(range(len(names)), True, key=lambda n: apart(worst_first[:n]) <= _CLOSE)
        return quantize(worst_first[:n_kept]), n_kept


def equalise(model: onnx.ModelProto, pictures: Sequence[Batch]) -> None:
    """Give the channels of each convolution before an InstanceNormalization mean 0 and deviation 1, on average."""
    graph = model.graph
    producer = {name: node for node in graph.node for name in node.output}
    readers: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    tensors = {one.name: one for one in graph.initializer}
    convolutions = [
        node
        for norm in graph.node
        if norm.op_type == "InstanceNormalization"
        and (node := producer.get(norm.input[0])) is not None
        and node.op_type in _CONVOLUTIONS
        and readers[node.output[0]] == 1
        and len(node.input) == 3
        and all(name in tensors and readers[name] == 1 for name in node.input[1:])
        and not any(one.name == "group" and one.i != 1 for one in node.attribute)
    ]
    for node, (mean, deviation) in zip(convolutions, _measure(model, convolutions, pictures), strict=True):
        weight, bias = (numpy_helper.to_array(tensors[name]) for name in node.input[1:])
        place = (-1, 1, 1, 1) if node.op_type == "Conv" else (1, -1, 1, 1)  # [out,in,...], [in,out,...]
        scaled = (weight / deviation.reshape(place), (bias - mean) / deviation)
        for name, values in zip(node.input[1:], scaled, strict=True):
            tensors[name].CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))


def _measure(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], pictures: Sequence[Batch]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return mean and deviation of each channel of what `nodes` make, averaged over pictures."""
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    names = [node.output[0] for node in nodes]
    probed.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = _session(probed)
    sums = [(0.0, 0.0) for _ in nodes]
    for picture in pictures:
        made = session.run(names, {model.graph.input[0].name: picture})
        sums = [
            (mean + one.mean((0, 2, 3), dtype=np.float64), deviation + one.std((0, 2, 3), dtype=np.float64))
            for (mean, deviation), one in zip(sums, made, strict=True)
        ]
    n = len(pictures)
    return [(np.asarray(mean / n), np.maximum(deviation / n, _LEAST_DEVIATION)) for mean, deviation in sums]


class _Quantiser:
    """Brings any of a model's convolutions to 8 bits; the spans of values are found once, which takes the longest."""

    def __init__(self, model: onnx.ModelProto, pictures: Sequence[Batch]) -> None:
        self._model = model
        self._pictures = pictures
        self._folder = tempfile.TemporaryDirectory(prefix="sgt-")

    def __enter__(self) -> "_Quantiser":
        onnx.save(self._model, self._path("float.onnx"))  # a model in memory would be changed
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def _path(self, name: str) -> Path:
        return Path(self._folder.name) / name

    def __call__(self, kept: Sequence[str]) -> onnx.ModelProto:
        """Return the model with all convolutions but those named `kept` in 8 bits."""
        from onnxruntime.quantization import (
            CalibrationDataReader,
            CalibrationMethod,
            QuantFormat,
            QuantType,
            quantize_static,
        )

        pictures, image = self._pictures, self._model.graph.input[0].name

        class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
            def __len__(self) -> int:
                return len(pictures)

            def set_range(self, start_index: int, end_index: int) -> None:
                self._left = iter(pictures[start_index:end_index])

            def get_next(self) -> dict[str, Batch] | None:
                picture = next(self._left, None)
                return None if picture is None else {image: picture}

        with _quiet():
            quantize_static(
                str(self._path("float.onnx")),
                str(self._path("int8.onnx")),
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=list(_IN_8_BITS),
                nodes_to_exclude=list(kept),
                calibrate_method=CalibrationMethod.Percentile,
                calibration_cache_path=self._path("spans.json"),
                extra_options={
                    "CalibPercentile": _PERCENTILE,
                    "CalibTensorRangeSymmetric": False,  # half of the steps would be for what no ReLU lets through
                    "CalibStridedMinMax": 1,  # picture by picture: it holds all that a network makes of each at once
                },
            )
        return onnx.load(self._path("int8.onnx"))


def run_all(model: onnx.ModelProto, pictures: Sequence[Batch]) -> list[Batch]:
    """Return what `model` makes of each picture, on the CPU."""
    session = _session(model)
    return [session.run(None, {model.graph.input[0].name: picture})[0] for picture in pictures]


def is_finite(model: onnx.ModelProto, pictures: Sequence[Batch]) -> bool:
    """Return whether `model` makes numbers of all pictures and of a black one, whose channels have no deviation."""
    black = np.full((1, 3, 64, 64), -1, np.float32)
    return all(np.isfinite(made).all() for made in run_all(model, [*pictures, black]))


def _session(model: onnx.ModelProto) -> Any:
    import onnxruntime  # not before stylegan_tool, which switches off what it would send

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser's advice and its progress are none of the user's business."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
