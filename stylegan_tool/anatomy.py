"""What a model's graph tells: parameters, operations, receptive field, whether it tiles exactly."""

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import shape_inference

from stylegan_tool.normstats import CutModel, Stage
from stylegan_tool.reach import UnknownReachError, sense_expected

_SIDE = 1024  # pixels of the picture for which operations are counted: a megapixel


@dataclass(frozen=True)
class Anatomy:
    """What a graph tells.

    Attributes:
        parameters: how many numbers were learnt, constants included.
        macs_per_megapixel: multiplications with an addition, of convolutions and matrix products; 0: not known.
        receptive_field: pixels to the further side, statistics aside; None: not known.
        obstacle: why tiles cannot equal the untiled picture; empty if they do.
    """

    parameters: int
    macs_per_megapixel: float
    receptive_field: int | None
    obstacle: str


def examine(source: Path | bytes) -> Anatomy:
    """Read a model, a file or what would be in one, that takes pictures as ours do."""
    model = onnx.load(source) if isinstance(source, Path) else onnx.load_model_from_string(source)
    parameters = sum(math.prod(one.dims) for one in model.graph.initializer)
    reach: int | None = None
    obstacle = ""
    try:
        cut = CutModel(model)
        whole = Stage(1, cut.nodes, (cut.image,), (), (), cut.output)
        reach, macs = cut.halo(whole), cut.multiplications(whole) * 1e6
    except UnknownReachError as error:
        obstacle, macs = str(error), 0.0
        with suppress(UnknownReachError), sense_expected():
            macs = _macs_by_shapes(model)
    return Anatomy(parameters, macs, reach, obstacle)


def _macs_by_shapes(model: onnx.ModelProto) -> float:
    """Count with every tensor's shape worked out for one picture; 0 where shapes cannot be."""
    sides = model.graph.input[0].type.tensor_type.shape.dim
    for dim, value in zip(sides, (1, 3, _SIDE, _SIDE), strict=True):
        if not dim.dim_value:
            dim.dim_value = value
    del model.graph.value_info[:]
    for dim in model.graph.output[0].type.tensor_type.shape.dim:
        dim.Clear()
    pixels = sides[2].dim_value * sides[3].dim_value
    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        one.name: [dim.dim_value for dim in one.type.tensor_type.shape.dim]
        for one in (*inferred.value_info, *inferred.input, *inferred.output)
    }
    shapes |= {one.name: list(one.dims) for one in model.graph.initializer}
    macs = 0
    for node in model.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose", "MatMul", "Gemm"):
            continue
        at = shapes.get(node.input[0] if node.op_type == "ConvTranspose" else node.output[0], [])
        weight = shapes.get(node.input[1], [])
        if not at or not weight or 0 in (*at, *weight):
            return 0.0
        # A weight is used once for each place.
        places = math.prod(at[2:]) if "Conv" in node.op_type else math.prod(at[:-1])
        macs += math.prod(weight) * places
    return float(macs / pixels * 1e6)
