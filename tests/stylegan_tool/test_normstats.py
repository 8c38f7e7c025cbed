from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from stylegan_tool.exact import ExactModel
from stylegan_tool.normstats import CutModel, Statistics, cut_model
from stylegan_tool.reach import UnknownReachError
from stylegan_tool.session import Session
from tests.models import make_info, write_graph
from tests.networks import write_generator


@given(st.integers(0, 99), st.floats(-1e6, 1e6), st.floats(1e-3, 1e3), st.integers(1, 5))
def test_pieces_add_up_to_the_whole(seed: int, mean: float, deviation: float, pieces: int) -> None:
    values = np.random.default_rng(seed).normal(mean, deviation, (2, 30, 17)).astype(np.float32)
    total = Statistics(2)
    for piece in np.array_split(values, pieces, axis=1):
        total.add(Statistics.of(piece))
    exact = values.astype(np.float64)
    np.testing.assert_allclose(total.mean, exact.mean(axis=(1, 2)), rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(total.variance, exact.var(axis=(1, 2)), rtol=1e-6, atol=1e-12 * max(1, mean**2))


@given(st.floats(-(2.0**60), 2.0**60, width=32), st.integers(1, 4))
def test_a_flat_channel_has_no_deviation_and_no_scale(value: float, pieces: int) -> None:
    total = Statistics(1)
    for _ in range(pieces):
        total.add(Statistics.of(np.full((1, 33, 20), value, np.float32)))
    scale = total.scale(np.ones(1), 1e-5)
    assert scale[0] == 0


def test_a_faint_channel_keeps_its_scale() -> None:
    values = 100 + np.random.default_rng(0).normal(0, 0.01, (1, 60, 60)).astype(np.float32)
    scale = Statistics.of(values).scale(np.full(1, 2.0), 1e-5)
    np.testing.assert_allclose(scale[0], 2 / np.sqrt(values.astype(np.float64).var() + 1e-5), rtol=1e-5)


def test_empty_pieces_change_nothing() -> None:
    total = Statistics(1)
    total.add(Statistics(1))
    assert total.count == 0
    assert (total.variance == 0).all()


def cut(path: Path) -> CutModel:
    return cut_model(path)


def test_stages_are_as_many_as_norms_in_a_row_and_one(tmp_path: Path) -> None:
    model = cut(write_generator(tmp_path / "net.onnx", n_blocks=2))
    assert model.n_stages == 3 + 4 + 2 + 1
    assert [len(stage.measured) for stage in model.stages(model.cuts)] == [1] * 9 + [0]
    assert {str(model.scale[name]) for name in model.cuts} == {"1", "1/2", "1/4"}


def test_with_nothing_stored_each_stage_starts_from_the_picture(tmp_path: Path) -> None:
    model = cut(write_generator(tmp_path / "net.onnx"))
    assert all(stage.taken == ("image",) for stage in model.stages(()))
    assert model.halo(model.stages(())[-1]) == 32  # 15 + 8 for each block, and up to the next multiple of 4


def test_a_halo_of_one_stage_is_its_own_operators_reach(tmp_path: Path) -> None:
    model = cut(write_generator(tmp_path / "net.onnx"))
    assert [model.halo(stage) for stage in model.stages(model.cuts)] == [3, 2, 4, 4, 4, 4, 4, 4, 2, 3]


def two_branches(path: Path) -> Path:
    """Two norms side by side, one of which nobody needs, and one shared by two affines."""
    ones, other = np.ones(3, np.float32), np.full(3, 2, np.float32)
    zeros = np.zeros(3, np.float32)
    nodes = [
        helper.make_node("InstanceNormalization", ["image", "ones", "zeros"], ["a"]),
        helper.make_node("InstanceNormalization", ["image", "other", "zeros"], ["b"]),
        helper.make_node("InstanceNormalization", ["a", "other", "zeros"], ["unused"]),
        helper.make_node("Add", ["a", "b"], ["stylized"]),
    ]
    return write_graph(path, nodes, {"ones": ones, "other": other, "zeros": zeros}, make_info("A2B"))


def test_norms_side_by_side_are_measured_in_one_pass(tmp_path: Path) -> None:
    model = cut(two_branches(tmp_path / "two.onnx"))
    assert model.n_stages == 2
    assert set(model.norms) == {"a", "b"}
    assert model.stages(model.cuts)[0].measured == ("image",)


def test_a_network_without_norms_is_one_stage(tmp_path: Path) -> None:
    node = helper.make_node("AveragePool", ["image"], ["stylized"], kernel_shape=[5, 5], pads=[2, 2, 2, 2])
    model = cut(write_graph(tmp_path / "blur.onnx", [node], {}, make_info("A2B")))
    (stage,) = model.stages(model.cuts)
    assert (stage.taken, stage.made, model.halo(stage)) == (("image",), ("stylized",), 2)


def test_half_precision_is_normalised_in_float(tmp_path: Path) -> None:
    ones, zeros = np.ones(3, np.float16), np.zeros(3, np.float16)
    nodes = [
        helper.make_node("Cast", ["image"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("InstanceNormalization", ["half", "ones", "zeros"], ["normal"]),
        helper.make_node("Cast", ["normal"], ["stylized"], to=TensorProto.FLOAT),
    ]
    path = write_graph(tmp_path / "half.onnx", nodes, {"ones": ones, "zeros": zeros}, make_info("A2B"))
    model = ExactModel(Session(path, provider="cpu"))
    batch = np.random.default_rng(0).uniform(0.2, 0.9, (1, 3, 60, 50)).astype(np.float32)
    result = np.empty_like(batch)

    def write(rows: slice, columns: slice, piece: NDArray[np.float32]) -> None:
        result[:, :, rows, columns] = piece

    plan = model.planner.plan(60, 50, memory_bytes=2**30, side=24)
    model.run(plan, lambda rows, columns: np.ascontiguousarray(batch[:, :, rows, columns]), write)
    half = batch.astype(np.float16).astype(np.float64)
    wanted = (half - half.mean((2, 3), keepdims=True)) / np.sqrt(half.var((2, 3), keepdims=True) + 1e-5)
    np.testing.assert_allclose(result, wanted, atol=2e-3)


def test_a_stage_is_a_valid_model(tmp_path: Path) -> None:
    model = cut(write_generator(tmp_path / "net.onnx", affine=True, upsampling="transposed"))
    for stage in model.stages(model.cuts):
        onnx.checker.check_model(onnx.load_model_from_string(model.stage_model(stage)))


@pytest.mark.parametrize("n", [0, 2])
def test_models_of_several_pictures_are_refused(tmp_path: Path, n: int) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x0"], ["y"])],
        "g",
        [helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, [1, 3, None, None]) for i in range(n)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    with pytest.raises(UnknownReachError, match="more than one input"):
        CutModel(helper.make_model(graph))


def test_an_optional_output_that_nobody_takes_is_no_tensor(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MaxPool", ["image"], ["pooled", ""], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["pooled", "", "most"], ["stylized"]),
    ]
    path = write_graph(tmp_path / "pool.onnx", nodes, {"most": np.array(1, np.float32)}, make_info("A2B"))
    model = cut(path)
    assert "" not in model.level
    assert model.halo(model.stages(())[0]) == 1


@pytest.mark.parametrize("size", [(27, 48), (512, 768), (1080, 1920)])
def test_a_constant_plane_has_no_deviation(size: tuple[int, int]) -> None:
    """Sums of equal values leave rounding, which normalising would blow up to a pattern."""
    values = np.random.default_rng(0).normal(0, 1, 20).astype(np.float32)
    planes = np.broadcast_to(values[:, None, None], (20, *size)).copy()
    measured = Statistics.of(planes)
    assert not measured.variance.any()
    np.testing.assert_array_equal(measured.mean, values.astype(np.float64))


def test_a_single_step_on_a_large_plane_is_measured() -> None:
    plane = np.full((1, 1080, 1920), -0.7, np.float32)
    plane[0, 500, 700] += 2 / 255
    measured = Statistics.of(plane)
    assert measured.variance[0] == pytest.approx(plane[0].astype(np.float64).var(), rel=1e-4)
