"""A generator as one ordinary .onnx: input `image`, output `stylized`, N, H and W dynamic, metadata inside.

By torch's dynamo exporter (opset 20): Pad, Conv, InstanceNormalization, Relu, Add, Resize, Tanh and nothing else.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
import torch
from torch import nn

OPSET = 20
TRACED_SIZE = 64  # any multiple of 4 gives the same graph


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's own progress lines and deprecation warnings are none of the user's business."""
    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    exporter_log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        exporter_log.setLevel(level)


def build_onnx(generator: nn.Module) -> onnx.ModelProto:
    """Return the graph of `generator` (in eval mode, on the CPU, fp32)."""
    example = torch.zeros(2, 3, TRACED_SIZE, TRACED_SIZE)
    dynamic = {0: torch.export.Dim("N"), 2: torch.export.Dim("H", min=8), 3: torch.export.Dim("W", min=8)}
    with _quiet():
        program = torch.onnx.export(
            generator,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["stylized"],
            dynamic_shapes=(dynamic,),
            verbose=False,
        )
    assert program is not None  # None is for exports straight into a file
    model = program.model_proto
    _drop_traces(model)
    return model


def _drop_traces(model: onnx.ModelProto) -> None:
    """Remove the exporter's notes, which hold stack traces with the paths of this machine."""
    graph = model.graph
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer, graph):
        del part.metadata_props[:]


def write_onnx(model: onnx.ModelProto, metadata: Mapping[str, str], path: Path) -> None:
    """Write `model` with `metadata` as its metadata_props, in place of those it had."""
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(metadata))
    path.write_bytes(model.SerializeToString())
