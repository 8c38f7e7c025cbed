from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from stylegan_tool.errors import ComputeError
from stylegan_tool.pixel_graph import add_pixels
from stylegan_tool.pixels import to_batch, to_image
from stylegan_tool.session import Session
from tests.models import make_info, write_graph

# Every value of 8 bits, in each of three colours a different one.
EVERY = np.arange(256, dtype=np.uint8).reshape(16, 16)
IMAGE = np.stack([EVERY, EVERY[::-1], EVERY.T], axis=2)


def write_line(path: Path, gain: float, offset: float) -> Path:
    """Write a model that makes gain * x + offset."""
    nodes = [
        helper.make_node("Mul", ["image", "gain"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["stylized"]),
    ]
    constants = {"gain": np.array(gain, np.float32), "offset": np.array(offset, np.float32)}
    return write_graph(path, nodes, {**constants}, make_info("A2B"))


@pytest.mark.parametrize(
    ("gain", "offset"),
    [(1, 0), (0.5, 0.25 / 127.5), (0.5, 0.75 / 127.5), (1, 0.5 / 127.5), (-1.37, 0.1), (3, 0), (1e30, 0)],
    ids=["as it is", "ties", "more ties", "half a step", "turned round", "clipped", "far outside"],
)
def test_the_graph_gives_what_pixels_gives(tmp_path: Path, gain: float, offset: float) -> None:
    session = Session(write_line(tmp_path / "line.onnx", gain, offset), provider="cpu")
    assert session._pixel_engine is not None
    outside = to_image(session.run(to_batch(IMAGE)), IMAGE.dtype)
    assert np.array_equal(session.run_pixels([IMAGE])[0], outside)


def test_16_bits_go_as_floats(tmp_path: Path) -> None:
    session = Session(write_line(tmp_path / "same.onnx", 1, 0), provider="cpu")
    deep = np.arange(65536, dtype=np.uint16).reshape(128, 512, 1).repeat(3, axis=2)
    assert np.array_equal(session.run_pixels([deep, deep[::-1]])[1], deep[::-1])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_seen_though_bytes_come_out(tmp_path: Path, value: float) -> None:
    """In one value of one picture of several."""
    node = helper.make_node("Where", ["is_first", "value", "image"], ["stylized"])
    first = helper.make_node("Equal", ["image", "white"], ["is_first"])
    constants: dict[str, NDArray[np.generic]] = {"value": np.array(value, np.float32), "white": np.array(1, np.float32)}
    session = Session(write_graph(tmp_path / "odd.onnx", [first, node], constants, make_info("A2B")), provider="cpu")
    grey = np.full((16, 16, 3), 99, np.uint8)
    spot = grey.copy()
    spot[7, 9, 1] = 255
    assert np.array_equal(session.run_pixels([grey, grey])[1], grey)
    with pytest.raises(ComputeError, match=r"odd\.onnx made values of 16x16 pixels that are no finite numbers"):
        session.run_pixels([grey, spot])


@pytest.mark.parametrize("opset", [12, 13])
def test_an_old_graph_is_converted_for_outside(tmp_path: Path, opset: int) -> None:
    path = write_line(tmp_path / "old.onnx", -1, 0)
    model = onnx.load(path)
    model.opset_import[0].version = opset
    onnx.save(model, path)
    assert (add_pixels(path) is None) == (opset == 12)
    assert np.array_equal(Session(path, provider="cpu").run_pixels([IMAGE])[0], 255 - IMAGE)


def test_the_file_keeps_its_ends(tmp_path: Path) -> None:
    path = write_line(tmp_path / "line.onnx", 1, 0)
    before = path.read_bytes()
    graph = add_pixels(path)
    assert graph is not None
    assert add_pixels(graph) is None  # bytes are not floats
    onnx.checker.check_model(onnx.load_model_from_string(graph), full_check=True)
    assert path.read_bytes() == before
