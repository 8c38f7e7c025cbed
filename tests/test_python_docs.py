"""Every Python block of docs/python.md and of the README runs, one after the other, on pictures made on the spot."""

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image as PilImage

from tests.films import write_film
from tests.models import REPOSITORY

PAGES = (REPOSITORY / "README.md", REPOSITORY / "docs" / "python.md")


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def scene(shift: int = 0) -> NDArray[np.uint8]:
    """A small picture, (48,64,3), brown below and blue above."""
    rows, columns = np.mgrid[:48, :64]
    wave = 30 * np.sin((columns - shift) / 4 + rows / 6)[:, :, None]
    base = np.where((rows < 24)[:, :, None], (70, 120, 200), (150, 100, 50))
    image: NDArray[np.uint8] = np.clip(base + wave, 0, 255).astype(np.uint8)
    return image


def write_foreign_model(path: Path, *, with_weights: bool) -> None:
    """A model that says nothing of itself; with weights as a second input, it takes the picture times their sum."""
    shape: list[str | int] = [1, 3, "H", "W"]
    taken = [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)]
    nodes = [helper.make_node("Tanh", ["image"], ["stylized"])]
    if with_weights:
        taken.append(helper.make_tensor_value_info("style_weights", TensorProto.FLOAT, [4]))
        nodes = [
            helper.make_node("ReduceSum", ["style_weights"], ["sum"], keepdims=0),
            helper.make_node("Mul", ["image", "sum"], ["scaled"]),
            helper.make_node("Tanh", ["scaled"], ["stylized"]),
        ]
    made = helper.make_tensor_value_info("stylized", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "foreign", taken, [made])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


@pytest.fixture
def material(in_folder: Path) -> Path:
    """What the pages speak of."""
    for name in ("photo.jpg", "photos/a.jpg", "photos/deep/b.png", "more/c.png"):
        (in_folder / name).parent.mkdir(parents=True, exist_ok=True)
        PilImage.fromarray(scene()).save(in_folder / name)
    (in_folder / "more" / "d.png").write_bytes(b"no picture")
    write_film(in_folder / "holiday.mp4", [scene(i) for i in range(6)], tone_hz=440)
    write_foreign_model(in_folder / "mosaic.onnx", with_weights=False)
    write_foreign_model(in_folder / "mixed.onnx", with_weights=True)
    return in_folder


def run(page: Path) -> dict[str, Any]:
    """Run the page's blocks and return what they leave; each sees what the ones before it have defined."""
    names: dict[str, Any] = {"image": scene()}
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        for number, block in enumerate(blocks(page)):
            exec(compile(block, f"{page.name}, block {number}", "exec"), names)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    return names


def test_the_page(material: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(REPOSITORY / "docs" / "python.md")
    said = capsys.readouterr().out
    assert "monet photo B2A cpu" in said
    assert f"2 of 2: {Path('photos/deep/b.png')} made\n2 0\n" in said
    assert f"{Path('more/d.png')} cannot read" in said.replace("\r", "\n")
    assert "6 64 48 True" in said
    for name in ("painted.jpg", "painted/a.jpg", "painted/deep/b.png", "painted_more/c.png", "frame00005.png"):
        with PilImage.open(material / name) as painted:
            assert painted.size == (64, 48)
    for name in ("painted.mp4", "look.mp4"):
        assert (material / name).stat().st_size > 500
    # Turned round both ways: what OpenCV's users get is what the file becomes.
    by_opencv = np.asarray(PilImage.open(material / "painted_by_opencv.jpg"), np.float64)
    plain = np.asarray(PilImage.open(material / "painted/a.jpg"), np.float64)
    assert np.abs(by_opencv - plain).mean() < 8


def test_the_readme(material: Path) -> None:
    names = run(REPOSITORY / "README.md")
    assert names["painted"].shape == (48, 64, 3)
    assert not np.array_equal(names["painted"], scene())
    for name in ("painted.jpg", "painted.mp4"):
        assert (material / name).exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_there_are_blocks(page: Path) -> None:
    assert len(blocks(page)) == {"README.md": 1, "python.md": 16}[page.name]
