"""Exact tiles against the truth: the network with its statistics taken in float64, untiled."""

import random
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from stylegan_tool import exact, scratch
from stylegan_tool.errors import ComputeError, MemoryShortError, ModelError
from stylegan_tool.exact import ExactModel
from stylegan_tool.exact_plan import Plan, Planner
from stylegan_tool.models import choose_model
from stylegan_tool.normstats import Stage
from stylegan_tool.pixels import to_image
from stylegan_tool.reach import Axis, UnknownReachError
from stylegan_tool.session import Part, Session
from stylegan_tool.tiling import Span
from tests.models import SHARED_DATA, make_info, write_graph
from tests.networks import Floats, truth_of, write_generator

PLENTY = 2**34


def noise(height: int, width: int, seed: int = 0) -> Floats:
    """Smooth shapes and noise, (1,3,H,W)."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(y / 17 + x / 29 * k) for k in range(1, 4)])
    return (0.5 * waves + random.uniform(-0.5, 0.5, (3, height, width)))[None].astype(np.float32)


def run(model: ExactModel, plan: Plan, batch: Floats) -> Floats:
    y, x = model.planner._whole(plan.height, plan.width)[model.cut.output]
    result = np.full((1, 3, y.total, x.total), np.nan, np.float32)

    def write(rows: slice, columns: slice, piece: Floats) -> None:
        result[:, :, rows, columns] = piece

    model.run(plan, lambda rows, columns: np.ascontiguousarray(batch[:, :, rows, columns]), write)
    return result


def assert_equal_to(truth: Floats, result: Floats) -> None:
    assert np.abs(result - truth).max() <= 1e-4
    wanted, given_ = to_image(truth, np.dtype(np.uint8)).astype(int), to_image(result, np.dtype(np.uint8)).astype(int)
    assert np.abs(wanted - given_).max() <= 1
    assert (wanted == given_).mean() >= 0.999


VARIANTS = {
    "plain": {},
    "affine": {"affine": True},
    "transposed": {"upsampling": "transposed"},
    "bilinear": {"upsampling": "linear"},
    "zero padding": {"padding": "constant"},
    "replicate padding": {"padding": "edge", "affine": True},
    "6 blocks, 16 filters": {"n_blocks": 6, "ngf": 16},
    "9 blocks, 8 filters": {"n_blocks": 9, "ngf": 8, "upsampling": "transposed", "affine": True},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[ExactModel, Callable[[Floats], Floats]]]:
    known: dict[str, tuple[ExactModel, Callable[[Floats], Floats]]] = {}

    def make(variant: str) -> tuple[ExactModel, Callable[[Floats], Floats]]:
        if variant not in known:
            path = tmp_path_factory.mktemp("net") / "net.onnx"
            write_generator(path, **VARIANTS[variant])  # type: ignore[arg-type]  # options by name
            known[variant] = ExactModel(Session(path, provider="cpu")), truth_of(path)
        return known[variant]

    return make


@settings(max_examples=12, deadline=None)
@given(st.data())
@pytest.mark.parametrize("variant", VARIANTS)
def test_tiles_equal_the_untiled_picture(made: Callable, variant: str, data: st.DataObject) -> None:  # type: ignore[type-arg]  # the fixture above
    model, truth = made(variant)
    height, width = (data.draw(st.integers(32, 240)) for _ in range(2))
    side = data.draw(st.integers(40, 120))
    per_pixel = data.draw(st.sampled_from([1, 60, 10**6]))  # of memory: everything computed again, or stored
    batch = noise(height, width, data.draw(st.integers(0, 9)))
    plan = model.planner.plan(height, width, memory_bytes=height * width * per_pixel, side=side)
    assert_equal_to(truth(batch), run(model, plan, batch))


@settings(max_examples=20, deadline=None)
@given(st.integers(16, 300), st.integers(16, 300), st.integers(96, 200))
@pytest.mark.parametrize("variant", ["plain", "transposed"])
def test_all_tiles_of_a_pass_are_of_one_shape(
    made: Callable,  # type: ignore[type-arg]  # the fixture above
    variant: str,
    height: int,
    width: int,
    side: int,
) -> None:
    """A GPU's library looks for its algorithms anew for each shape; pictures come padded to the multiple."""
    model = made(variant)[0]
    multiple = model.session.info.size_multiple
    plan = model.planner.plan(height * multiple, width * multiple, memory_bytes=PLENTY, side=side)
    for one in plan.passes:
        for spans in (one.rows, one.columns):
            assert len({span.stop - span.start for span in spans}) == 1


@pytest.mark.parametrize("direction", ["A2B", "B2A"])
def test_the_bundled_style(direction: str) -> None:
    path = choose_model("vangogh", direction=direction).path
    model, batch = ExactModel(Session(path, provider="cpu")), noise(300, 412)
    plan = model.planner.plan(300, 412, memory_bytes=PLENTY, side=128)
    assert plan.n_tiles >= 12
    assert_equal_to(truth_of(path)(batch), run(model, plan, batch))


def test_somebody_elses_full_size_network(tmp_path: Path) -> None:
    """The reference's 9 blocks and 64 filters, with transposed convolutions and affine norms."""
    checkpoint = SHARED_DATA / "models" / "vintagify_G_A2B_epoch33_fp16.pth"
    if not checkpoint.exists():
        pytest.skip("shared/data/models is not here")
    torch = pytest.importorskip("torch")
    weights = torch.load(checkpoint, weights_only=True)
    weights = weights.get("state_dict", weights)
    path = write_generator(
        tmp_path / "full.onnx", n_blocks=9, ngf=64, upsampling="transposed", affine=True, weights=iter_tensors(weights)
    )
    model, batch = ExactModel(Session(path, provider="cpu")), noise(160, 200)
    plan = model.planner.plan(160, 200, memory_bytes=PLENTY, side=96)
    assert_equal_to(truth_of(path)(batch), run(model, plan, batch))


def iter_tensors(weights: dict[str, object]) -> list[Floats]:
    return [np.asarray(value.float().numpy()) for value in weights.values()]  # type: ignore[attr-defined]  # torch tensors


def narrow_spans(missing: int) -> Callable[[Planner, Stage, int, int], tuple[Span, ...]]:
    """Cut into pieces of 40 with no more around them than the halo less `missing` steps of the stage's grid."""

    def spans(planner: Planner, stage: Stage, length: int, side: int) -> tuple[Span, ...]:
        around = planner.cut.halo(stage) - missing * planner.cut.alignment(stage)
        starts = range(0, length, 40)
        stops = [min(start + 40, length) for start in starts]
        return tuple(
            Span(max(0, start - around), min(length, stop + around), start, stop)
            for start, stop in zip(starts, stops, strict=True)
        )

    return spans


@pytest.mark.parametrize("variant", ["plain", "transposed", "bilinear"])
def test_the_halo_is_no_pixel_too_small_and_none_too_large(
    made: Callable,  # type: ignore[type-arg]
    variant: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, truth = made(variant)
    batch = noise(120, 160)
    monkeypatch.setattr(Planner, "_spans", narrow_spans(0))
    assert_equal_to(truth(batch), run(model, model.planner.untiled(120, 160), batch))
    monkeypatch.setattr(Planner, "_spans", narrow_spans(1))
    plan = model.planner.untiled(120, 160)
    with pytest.raises(UnknownReachError, match="does not hold what it should"):
        run(model, plan, batch)
    monkeypatch.setattr(Axis, "covers", lambda self, start, stop: True)
    assert np.abs(run(model, plan, batch) - truth(batch)).max() > 1e-2


def test_less_memory_stores_less_and_computes_more(made: Callable) -> None:  # type: ignore[type-arg]
    model, _ = made("plain")
    roomy = model.planner.plan(400, 400, memory_bytes=PLENTY, side=200)
    tight = model.planner.plan(400, 400, memory_bytes=roomy.memory_bytes - 1, side=200)
    assert tight.stored_bytes < roomy.stored_bytes
    assert tight.memory_bytes < roomy.memory_bytes
    assert tight.work > roomy.work
    # Two arrays at a quarter of the resolution are all that the residual blocks need.
    least = min(plan.stored_bytes for plan in model.planner._plans(400, 400, 64, 1))
    array = 100 * 100 * 16 * 4
    assert least == 2 * array


def test_scratch_files_hold_what_memory_cannot_and_leave_nothing(
    made: Callable,  # type: ignore[type-arg]
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, truth = made("affine")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    used: list[bool] = []
    right = scratch.allocate

    def watched(*arguments: object, on_disk: bool) -> object:
        used.append(on_disk)
        return right(*arguments, on_disk=on_disk)  # type: ignore[arg-type]

    monkeypatch.setattr(exact, "allocate", watched)
    batch = noise(240, 200)
    plan = model.planner.plan(240, 200, memory_bytes=1, side=64)
    assert plan.on_disk
    assert_equal_to(truth(batch), run(model, plan, batch))
    assert used
    assert all(used)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_before_work(made: Callable, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[type-arg]
    model, _ = made("plain")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    plan = model.planner.plan(200, 200, memory_bytes=1, side=64)
    with pytest.raises(ComputeError, match="No space left on device") as caught:
        run(model, plan, noise(200, 200))
    assert "TMPDIR" in caught.value.hint


def test_a_constant_channel_becomes_exactly_its_bias(made: Callable) -> None:  # type: ignore[type-arg]
    """Black frames and fades: the same picture, tiled or not, with nothing made of rounding."""
    for variant in ("plain", "affine"):
        model, _ = made(variant)
        for value in (-1.0, -0.3, 0.7):
            batch = np.full((1, 3, 200, 240), value, np.float32)
            whole = run(model, model.planner.untiled(200, 240), batch)
            tiled = run(model, model.planner.plan(200, 240, memory_bytes=PLENTY, side=64), batch)
            assert np.isfinite(whole).all()
            assert_equal_to(whole, tiled)


def test_letterboxes_and_fades_are_the_same_tiled(made: Callable) -> None:  # type: ignore[type-arg]
    model, truth = made("affine")
    batch = noise(240, 200)
    batch[:, :, :60] = batch[:, :, -60:] = -1
    faded = batch * np.float32(0.01) - np.float32(0.99)
    for frame in (batch, faded):
        tiled = run(model, model.planner.plan(240, 200, memory_bytes=PLENTY, side=64), frame)
        assert_equal_to(truth(frame), tiled)


def test_the_order_in_which_tiles_end_changes_nothing(made: Callable, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[type-arg]
    model, _ = made("plain")
    batch = noise(200, 240)
    plan = model.planner.plan(200, 240, memory_bytes=PLENTY, side=64)
    monkeypatch.setattr(model.planner, "_most_workers", 4)
    four = model.planner.plan(200, 240, memory_bytes=PLENTY, side=64)
    assert four.workers == 4
    right, delay = Part.run, threading.Event()

    def uneven(self: Part, inputs: dict[str, Floats]) -> object:
        delay.wait(random.random() / 500)
        return right(self, inputs)

    expected = run(model, plan, batch)
    monkeypatch.setattr(Part, "run", uneven)
    assert np.array_equal(run(model, four, batch), expected)


def test_a_failing_tile_stops_the_rest(made: Callable, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[type-arg]
    model, _ = made("plain")

    calls = []

    def short(self: Part, inputs: object) -> None:
        calls.append(1)
        raise MemoryShortError("out of memory")

    monkeypatch.setattr(Part, "run", short)
    plan = model.planner.plan(200, 240, memory_bytes=PLENTY, side=64)
    with pytest.raises(MemoryShortError):
        run(model, plan, noise(200, 240))
    assert len(calls) <= 2 * plan.workers < plan.n_tiles


def test_an_error_that_somebody_keeps_keeps_no_activations(made: Callable) -> None:  # type: ignore[type-arg]
    model, _ = made("plain")
    plan = model.planner.plan(200, 240, memory_bytes=PLENTY, side=64)
    arrays: list[weakref.ref[np.ndarray]] = []
    right = scratch.allocate

    def watched(*arguments: object, on_disk: bool) -> object:
        array = right(*arguments, on_disk=on_disk)  # type: ignore[arg-type]
        arrays.append(weakref.ref(array))
        return array

    def write(rows: slice, columns: slice, piece: Floats) -> None:
        raise ComputeError("no finite numbers")

    batch = noise(200, 240)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "allocate", watched)
        with pytest.raises(ComputeError) as kept:
            model.run(plan, lambda rows, columns: np.ascontiguousarray(batch[:, :, rows, columns]), write)
    assert arrays
    assert kept.value is not None
    assert [array() for array in arrays if array() is not None] == []


def test_a_long_thin_picture_is_no_trouble(made: Callable) -> None:  # type: ignore[type-arg]
    model, truth = made("plain")
    batch = noise(16, 6000)
    plan = model.planner.plan(16, 6000, memory_bytes=PLENTY, side=64)
    assert plan.n_tiles > 100
    assert_equal_to(truth(batch), run(model, plan, batch))


def test_an_operator_that_sees_everything_is_named(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"], name="/squeeze/pool"),
        helper.make_node("Mul", ["image", "mean"], ["stylized"]),
    ]
    path = write_graph(tmp_path / "squeeze.onnx", nodes, {}, make_info("A2B"))
    with pytest.raises(UnknownReachError, match=r"GlobalAveragePool \(/squeeze/pool\)"):
        ExactModel(Session(path, provider="cpu"))


def test_a_model_of_another_size_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("MaxPool", ["image"], ["stylized"], kernel_shape=[2, 2], strides=[2, 2])
    path = write_graph(tmp_path / "half.onnx", [node], {}, make_info("A2B"))
    with pytest.raises(ModelError, match="of the same size"):
        ExactModel(Session(path, provider="cpu"))
