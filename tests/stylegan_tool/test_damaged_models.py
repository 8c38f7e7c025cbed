"""Graphs that make no sense: each failed in another place, with a traceback, until its place was guarded."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from stylegan_tool.__main__ import main
from stylegan_tool.errors import ComputeError, ModelError
from stylegan_tool.image_files.picture import Picture
from stylegan_tool.image_files.writing import write_picture
from stylegan_tool.options import TileOption
from stylegan_tool.pixels import Image
from stylegan_tool.session import Session
from stylegan_tool.stylize import Stylizer
from tests.models import make_info, write_blur_model
from tests.networks import write_generator


def _stylize(path: Path, image: Image) -> Image:
    return Stylizer(Session(path, provider="cpu"), TileOption("auto"))(image)


def _change(path: Path, change: Callable[[onnx.ModelProto], object], *, foreign: bool) -> Path:
    model = onnx.load(write_generator(path, ngf=2, n_blocks=1, affine=True))
    if foreign:
        del model.metadata_props[:]
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def _find(model: onnx.ModelProto, kind: str) -> onnx.NodeProto:
    found: onnx.NodeProto = next(node for node in model.graph.node if node.op_type == kind)
    return found


def _lose_a_kernel(model: onnx.ModelProto) -> None:
    name = _find(model, "Conv").input[1]
    kept = [one for one in model.graph.initializer if one.name != name]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _strides_of_one_number(model: onnx.ModelProto) -> None:
    node = _find(model, "Conv")
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("strides", 2))


def _no_gain(model: onnx.ModelProto) -> None:
    name = _find(model, "InstanceNormalization").input[1]
    one = next(one for one in model.graph.initializer if one.name == name)
    one.CopyFrom(numpy_helper.from_array(np.zeros((0, 3), np.float32), name))


def _crop_everything(model: onnx.ModelProto) -> None:
    name = _find(model, "Pad").input[1]
    one = next(one for one in model.graph.initializer if one.name == name)
    one.CopyFrom(numpy_helper.from_array(np.array([0, 0, -100, -100, 0, 0, 0, 0]), name))


@pytest.mark.parametrize("foreign", [pytest.param(False, id="ours"), pytest.param(True, id="somebody else's")])
@pytest.mark.parametrize("change", [_lose_a_kernel, _strides_of_one_number, _no_gain, _crop_everything])
def test_a_graph_that_makes_no_sense_is_refused(
    tmp_path: Path, noise_image: Image, change: Callable[[onnx.ModelProto], None], foreign: bool
) -> None:
    path = _change(tmp_path / "senseless.onnx", change, foreign=foreign)
    with pytest.raises((ModelError, ComputeError), match=r"senseless\.onnx"):
        _stylize(path, noise_image)


def test_metadata_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = write_blur_model(tmp_path / "odd.onnx", 1, make_info("A2B"))
    path.write_bytes(path.read_bytes().replace(b"sgt.style", b"sgt.\xff\xfe\xfd\xfc\xfb"))
    with pytest.raises(ModelError, match=r"odd\.onnx"):
        Session(path, provider="cpu")


def test_info_of_a_model_without_an_output_says_so(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _change(in_folder / "endless.onnx", lambda model: model.graph.ClearField("output"), foreign=False)
    assert main(["models", "info", "endless.onnx"]) == 0
    assert "it has more than one input or output" in capsys.readouterr().out


def test_weights_that_are_no_numbers_are_noticed_without_a_warning(tmp_path: Path, noise_image: Image) -> None:
    def spoil(model: onnx.ModelProto) -> None:
        one = next(one for one in model.graph.initializer if one.name == _find(model, "Conv").input[1])
        values = numpy_helper.to_array(one).copy()
        values.flat[0] = np.inf
        one.CopyFrom(numpy_helper.from_array(values, one.name))

    with pytest.raises(ComputeError, match="finite"):
        _stylize(_change(tmp_path / "spoilt.onnx", spoil, foreign=False), noise_image)


def test_a_model_may_have_any_name(in_folder: Path, noise_image: Image) -> None:
    name = os.fsdecode(b"caf\xe9.onnx")
    write_blur_model(in_folder / name, 1, make_info("A2B", size_multiple=1, smallest_size=4))
    write_picture(in_folder / "in.png", Picture(noise_image))
    assert main(["images", "in.png", "out.png", "--model", name]) == 0


def test_a_size_too_small_for_its_network_is_the_models_fault(tmp_path: Path, noise_image: Image) -> None:
    info = make_info("A2B", size_multiple=1, smallest_size=4, fixed_height=7)
    with pytest.raises(ModelError, match="any"):
        _stylize(write_blur_model(tmp_path / "small.onnx", 1, info), noise_image)
