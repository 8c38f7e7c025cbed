import logging
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from stylegan_export.to_onnx import OPSET, build_onnx, write_onnx
from stylegan_train.checkpoint import read_plain
from stylegan_train.networks import Generator

SIDES = [("A2B", "gen_ab"), ("B2A", "gen_ba")]


def _dimensions(value: onnx.ValueInfoProto) -> list[str | int]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize("direction", ["A2B", "B2A"])
def test_the_graph_is_plain(made_once: Path, direction: str) -> None:
    model = onnx.load(made_once / f"{direction}.onnx")
    onnx.checker.check_model(model, full_check=True)
    ops = Counter(node.op_type for node in model.graph.node)
    # Two reflections outside and two in the block; 3 + 2 + 2 norms, of which one in the block has no ReLU.
    assert ops == {
        "Pad": 4,
        "Conv": 8,
        "InstanceNormalization": 7,
        "Relu": 6,
        "Add": 1,
        "Resize": 2,
        "Tanh": 1,
    }
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", OPSET)]
    assert not model.functions


@pytest.mark.parametrize("direction", ["A2B", "B2A"])
def test_input_and_output_are_the_contracts(made_once: Path, direction: str) -> None:
    graph = onnx.load(made_once / f"{direction}.onnx").graph
    assert [value.name for value in (*graph.input, *graph.output)] == ["image", "stylized"]
    assert {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)} == {onnx.TensorProto.FLOAT}
    assert _dimensions(graph.input[0]) == ["N", 3, "H", "W"]
    result = _dimensions(graph.output[0])
    assert result[:2] == ["N", 3]
    assert all(isinstance(side, str) for side in result[2:])  # of any size too


@pytest.mark.parametrize(("direction", "name"), SIDES)
def test_the_weights_are_those_of_the_checkpoint(made_once: Path, direction: str, name: str) -> None:
    tensors = [numpy_helper.to_array(tensor) for tensor in onnx.load(made_once / f"{direction}.onnx").graph.initializer]
    weights = [tensor for tensor in tensors if tensor.ndim == 4]
    trained = [value.numpy() for value in read_plain(made_once / "checkpoint.pt")[name].values() if value.ndim == 4]
    assert len(weights) == len(trained) == 8
    for weight in trained:
        assert any(np.array_equal(weight, other) for other in weights)
    assert (made_once / f"{direction}.onnx").stat().st_size < 4 * sum(weight.size for weight in trained) + 20_000


def test_writing_keeps_the_graph_and_replaces_the_metadata(made_once: Path, tmp_path: Path) -> None:
    model = onnx.load(made_once / "A2B.onnx")
    graph = model.graph.SerializeToString(deterministic=True)
    for metadata in ({"sgt.style": "first", "sgt.run": "x"}, {"sgt.style": "second"}):
        write_onnx(model, metadata, tmp_path / "model.onnx")
        written = onnx.load(tmp_path / "model.onnx")
        assert {entry.key: entry.value for entry in written.metadata_props} == metadata
        assert written.graph.SerializeToString(deterministic=True) == graph


def test_building_says_nothing_and_changes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """The exporter's own lines are no user's business."""
    level = logging.getLogger("torch.onnx").level
    generator = Generator(2, 2).eval()
    before = [param.detach().clone() for param in generator.parameters()]
    model = build_onnx(generator)
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("torch.onnx").level == level
    assert all(map(torch.equal, before, generator.parameters()))
    assert sum(node.op_type == "Add" for node in model.graph.node) == 2  # a sum for each block
