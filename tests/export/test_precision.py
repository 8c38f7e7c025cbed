"""Half precision and 8 bits: the same contract, the same picture within a stated distance, exact tiles."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from stylegan_export.precision import Accuracy, equalise, read_pictures, run_all, to_half, to_int8
from stylegan_tool.__main__ import main
from stylegan_tool.errors import InputError
from stylegan_tool.installed import installed_models
from stylegan_tool.models import choose_model
from stylegan_tool.options import TileOption
from stylegan_tool.pixels import Batch, to_batch
from stylegan_tool.session import Session, read_model_info
from stylegan_tool.stylize import Stylizer
from tests.networks import write_generator


def _pictures(n: int = 4, side: int = 48) -> list[Batch]:
    """Smooth forms, as photographs have them; noise has no sums that a norm could lose."""
    y, x = np.mgrid[:side, :side] / side
    waves = [[np.sin(6 * (a * x + b * y) + k + i) for i in range(3)] for k in range(n) for a, b in [(k + 1, 2)]]
    return [np.array(one, np.float32)[None] for one in waves]


@pytest.fixture
def model(tmp_path: Path) -> onnx.ModelProto:
    return onnx.load(write_generator(tmp_path / "net.onnx", ngf=8))


@pytest.fixture
def photos(in_folder: Path) -> Path:
    folder = in_folder / "photos"
    folder.mkdir()
    for i, picture in enumerate(_pictures(8)):
        image = np.rint((picture[0].transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8)
        assert cv2.imwrite(str(folder / f"{i}.png"), image[..., ::-1])
    return folder


def _types(model: onnx.ModelProto, op_type: str) -> set[int]:
    """The types of what nodes of a kind take first."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    types = {one.name: one.type.tensor_type.elem_type for one in (*inferred.value_info, *inferred.input)}
    return {types[node.input[0]] for node in model.graph.node if node.op_type == op_type}


def test_half_precision_keeps_ends_and_norms_wide(model: onnx.ModelProto) -> None:
    half = to_half(model)
    onnx.checker.check_model(half, full_check=True)
    assert _types(half, "Conv") == {TensorProto.FLOAT16}
    assert _types(half, "InstanceNormalization") == {TensorProto.FLOAT}
    ends = (*half.graph.input, *half.graph.output)
    assert {one.type.tensor_type.elem_type for one in ends} == {TensorProto.FLOAT}
    assert half.ByteSize() < 0.65 * model.ByteSize()
    accuracy = Accuracy.of(run_all(half, _pictures()), run_all(model, _pictures()))
    assert accuracy.psnr_db > 50
    assert accuracy.mean > 0  # it was not the same model after all


def test_equalised_channels_change_nothing_in_float(model: onnx.ModelProto) -> None:
    before = run_all(model, _pictures())
    weights = {one.name: numpy_helper.to_array(one).copy() for one in model.graph.initializer}
    equalise(model, _pictures())
    changed = [
        one for one in model.graph.initializer if not np.array_equal(numpy_helper.to_array(one), weights[one.name])
    ]
    assert len(changed) >= 2 * 8
    assert Accuracy.of(run_all(model, _pictures()), before).psnr_db > 80


def test_small_channels_survive_8_bits(model: onnx.ModelProto) -> None:
    """A channel a thousand times smaller than its neighbours counts as much as they do after the norm."""
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    for one in model.graph.initializer:
        if one.name in first.input[1:]:
            values = numpy_helper.to_array(one).copy()
            values[::2] *= 0.03
            one.CopyFrom(numpy_helper.from_array(values, one.name))
    lowered, kept = to_int8(model, _pictures())
    alone = [node for node in lowered.graph.node if node.op_type == "QuantizeLinear"]
    assert alone
    assert Accuracy.of(run_all(lowered, _pictures()), run_all(model, _pictures())).psnr_db > 30
    assert kept < sum(node.op_type == "Conv" for node in model.graph.node)


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
@pytest.mark.parametrize("lower", [to_half, lambda model: to_int8(model, _pictures())[0]], ids=["fp16", "int8"])
def test_tiles_equal_the_untiled_picture(tmp_path: Path, model: onnx.ModelProto, lower, provider: str) -> None:  # type: ignore[no-untyped-def]  # two lambdas
    path = tmp_path / "lowered.onnx"
    onnx.save(lower(model), path)
    session = Session(path, provider=provider)
    noise = np.random.default_rng(0).integers(0, 256, (150, 210, 3), np.uint8)
    image = cv2.GaussianBlur(noise, (0, 0), 4).astype(np.uint8)
    tiled = Stylizer(session, TileOption("fixed", 96))(image)
    untiled = Stylizer(session, TileOption("off"))(image)
    assert np.abs(tiled.astype(int) - untiled).max() <= 1
    plain = session.run(to_batch(image[:148, :208]))
    assert plain.shape == (1, 3, 148, 208)


def test_a_run_is_exported_in_half_precision(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = (exported / "A2B.onnx").stat().st_size
    assert main(["export", str(exported), "--precision", "fp16"]) == 0
    assert "dB, on 6 pictures" in capsys.readouterr().err
    info = read_model_info(exported / "A2B.onnx")
    assert (info.precision, info.parity_checked) == ("fp16", "6 pictures of at most 384 pixels")
    assert float(info.parity_psnr_db) > 45
    assert 0 < float(info.parity_mean_abs) < float(info.parity_max_abs) < 0.1
    assert (exported / "A2B.onnx").stat().st_size < full


def test_few_pictures_at_a_time_are_held_in_memory(monkeypatch: pytest.MonkeyPatch, model: onnx.ModelProto) -> None:
    """All that a full-size network makes of 24 pictures is more than 10 GB."""
    from onnxruntime.quantization.calibrate import HistogramCollector

    taken: list[int] = []
    collect = HistogramCollector.collect

    def count(self: HistogramCollector, values: dict[str, list[Batch]]) -> None:
        taken.append(max(map(len, values.values())))
        collect(self, values)

    monkeypatch.setattr(HistogramCollector, "collect", count)
    to_int8(model, _pictures())
    assert taken == [
        1,
        1,
        1,
    ]  # the fourth tells what stays in float; once for the model, not for each of its convolutions


def test_full_precision_is_measured_too(made_once: Path) -> None:
    assert float(read_model_info(made_once / "A2B.onnx").parity_psnr_db) > 80


def test_an_installed_model_in_8_bits(
    in_folder: Path, photos: Path, model: onnx.ModelProto, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_generator(in_folder / "small.onnx", ngf=8)
    assert main(["export", str(path), "--precision", "int8", "--calibrate", str(photos), "--force"]) == 0
    shown = capsys.readouterr()
    assert "convolutions in 8 bits, calibrated with 6 pictures" in shown.err
    assert "on 2 pictures" in shown.err
    assert shown.out == ""  # the quantiser's own lines are kept back
    made = choose_model("small-int8")
    assert (made.info.precision, made.info.style) == ("int8", "small-int8")
    assert any(node.op_type == "QuantizeLinear" for node in onnx.load(made.path).graph.node)


def test_what_differs_too_much_is_refused_unless_forced(
    in_folder: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write_generator(in_folder / "small.onnx", ngf=8))
    monkeypatch.setattr("stylegan_export.precision.LEAST_PSNR_DB", {"fp16": 200.0})
    assert main(["export", path, "--precision", "fp16"]) == 4
    message = capsys.readouterr().err
    assert "less than 200 dB is refused" in message
    assert "--force" in message
    assert main(["export", path, "--precision", "fp16", "--force"]) == 0


def test_what_is_no_number_is_refused_even_if_forced(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Float32 normalises values of any size; half precision ends at 65504."""
    path = write_generator(in_folder / "large.onnx", ngf=8)
    model = onnx.load(path)
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    for one in model.graph.initializer:
        if one.name in first.input[1:]:
            one.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(one) * np.float32(1e6), one.name))
    onnx.save(model, path)
    assert main(["export", str(path), "--precision", "fp16", "--force"]) == 4
    assert "no finite numbers" in capsys.readouterr().err
    assert (
        not Accuracy.of([np.full((1, 3, 4, 4), np.nan, np.float32)], [np.zeros((1, 3, 4, 4), np.float32)]).psnr_db > 0
    )


def test_neither_direction_is_installed_if_one_is_refused(
    in_folder: Path, both_ways: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def refuse_the_second(model: onnx.ModelProto, precision: str, pictures: object) -> tuple[onnx.ModelProto, str]:
        asked.append(precision)
        return (model, "") if len(asked) == 1 else (onnx.load(both_ways / "A2B.onnx"), "")  # blue becomes red

    monkeypatch.setattr("stylegan_export.precision.lower", refuse_the_second)
    assert main(["export", str(both_ways), "--precision", "fp16"]) == 4
    assert "B2A in fp16 differs from fp32 by" in capsys.readouterr().err
    assert len(asked) == 2
    assert "style-fp16" not in installed_models()


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        pytest.param(["--precision", "int8"], "--calibrate photos/", id="nothing to calibrate with"),
        pytest.param(["--precision", "fp16", "--calibrate", "photos"], "go together", id="for nothing"),
        pytest.param(["--precision", "int4"], "fp32, fp16 or int8", id="unknown"),
    ],
)
def test_options_that_do_not_fit_are_2(options: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "vangogh", *options]) == 2
    assert hint in capsys.readouterr().err


def test_pictures_are_either_calibrated_with_or_measured_on(photos: Path) -> None:
    pictures = read_pictures(photos, 4)
    assert (len(pictures.seen), len(pictures.held)) == (6, 2)
    for held in pictures.held:
        assert not any(np.array_equal(held, seen) for seen in pictures.seen)
    for path in list(photos.iterdir())[:5]:
        path.unlink()
    with pytest.raises(InputError, match=r"3 pictures in .*: too few"):
        read_pictures(photos, 4)
