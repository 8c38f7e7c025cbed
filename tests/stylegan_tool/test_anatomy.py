from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper

from stylegan_tool.__main__ import main
from stylegan_tool.anatomy import examine
from stylegan_tool.installed import install_model
from tests.models import RED, make_info, write_blur_model, write_colour_model, write_graph


def test_a_convolution_is_counted(tmp_path: Path) -> None:
    told = examine(write_blur_model(tmp_path / "blur.onnx", 8, make_info("A2B")))
    assert told.macs_per_megapixel == pytest.approx(3 * 3 * 17 * 17 * 1e6, rel=0.01)
    assert (told.receptive_field, told.obstacle) == (8, "")
    assert told.parameters == 3 * 3 * 17 * 17 + 8


def test_without_exact_tiles_shapes_are_worked_out(tmp_path: Path) -> None:
    """A graph that looks at the whole picture: what it costs is found by another way, and the reason is told."""
    nodes = [
        helper.make_node("Conv", ["image", "weight"], ["wide"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Conv", ["wide", "second"], ["narrow"]),
        helper.make_node("GlobalAveragePool", ["narrow"], ["mean"]),
        helper.make_node("Add", ["image", "mean"], ["stylized"]),
    ]
    constants: dict[str, NDArray[Any]] = {
        "weight": np.zeros((8, 3, 3, 3), np.float32),
        "second": np.zeros((3, 8, 1, 1), np.float32),
    }
    told = examine(write_graph(tmp_path / "mean.onnx", nodes, constants, make_info("A2B")))
    assert told.macs_per_megapixel == pytest.approx((8 * 3 * 9 + 3 * 8) / 4 * 1e6)
    assert told.receptive_field is None
    assert "GlobalAveragePool" in told.obstacle


def test_info_tells_cost_and_tiles(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install_model("blur", "A2B", write_blur_model(in_folder / "b.onnx", 8, make_info("A2B")).read_bytes())
    assert main(["models", "info", "blur"]) == 0
    shown = capsys.readouterr().out
    for text in ("operations         3 GMAC", "8 pixels to each side", "equal the untiled picture", "domain b"):
        assert text in shown


def test_info_of_what_cannot_be_used_says_why(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    node = helper.make_node("Conv", ["image", "weight"], ["stylized"])
    write_graph(in_folder / "open.onnx", [node], {"weight": np.zeros((3, 3, 1, 1), np.float32)}, None)
    assert main(["models", "info", "open.onnx"]) == 0
    assert "--range 0..255" in capsys.readouterr().out


def test_list_and_remove(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = install_model("mine", "A2B", write_colour_model(in_folder / "r.onnx", RED, make_info("A2B")).read_bytes())
    main(["models", "list"])
    shown = capsys.readouterr().out
    assert "  mine " in shown
    assert str(path.parents[1]) in shown
    assert main(["models", "remove", "mine"]) == 0
    assert not path.exists()
    assert main(["models", "remove", "mine"]) == 4
    assert main(["models", "remove", "vangogh"]) == 4
    assert "ships with the tool" in capsys.readouterr().err
