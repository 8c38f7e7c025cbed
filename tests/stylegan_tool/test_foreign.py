"""Somebody else's ONNX models, built here as their makers build them, and real ones where they are at hand."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stylegan_tool.__main__ import main
from stylegan_tool.adding import add_model
from stylegan_tool.errors import ModelError, UsageError
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.interface import RANGES, Stated
from stylegan_tool.models import choose_model
from stylegan_tool.options import TileOption
from stylegan_tool.session import Session
from stylegan_tool.stylize import Stylizer
from tests.models import REPOSITORY, SHARED_DATA

REAL = SHARED_DATA / "models"
Image = NDArray[np.uint8]


def _write_png(path: Path, image: Image) -> None:
    assert cv2.imwrite(str(path), image[..., ::-1])


def _write(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray[Any]],
    *,
    shape: list[Any],
    out_shape: list[Any] | None = None,
    dtype: int = TensorProto.FLOAT,
    inputs: list[onnx.ValueInfoProto] | None = None,
    opset: int = 17,
) -> Path:
    """Write a graph from `image` to `result`."""
    taken = helper.make_tensor_value_info("image", dtype, shape)
    made = helper.make_tensor_value_info("result", dtype, out_shape or shape)
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "foreign", [taken, *(inputs or [])], [made], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def _stylize(path: Path, image: Image, *, tile: TileOption | None = None, **options: Any) -> NDArray[Any]:
    return Stylizer(Session(path, provider="cpu", **options), tile or TileOption("off"))(image)


# How pictures are taken ------------------------------------------------------------------------------------

GAIN, SHIFT = np.array([0.5, 0.25, 0.75], np.float32), np.array([0.05, 0.1, 0.15], np.float32)


def _tinting(path: Path, layout: str, values: str, dtype: int) -> Path:
    """Write a network that makes something else of each channel, in its own order, and ends in its own range."""
    low, high = RANGES[values]
    kind = helper.tensor_dtype_to_np_dtype(dtype)
    place = (3, 1, 1) if layout == "NCHW" else (1, 1, 3)
    constants = {
        "gain": GAIN.reshape(place).astype(kind),
        "shift": (SHIFT * (high - low)).reshape(place).astype(kind),
        "low": np.array(low, kind),
        "high": np.array(high, kind),
    }
    nodes = [
        helper.make_node("Mul", ["image", "gain"], ["scaled"]),
        helper.make_node("Add", ["scaled", "shift"], ["shifted"]),
        helper.make_node("Clip", ["shifted", "low", "high"], ["result"]),
    ]
    shape = ["n", 3, "h", "w"] if layout == "NCHW" else ["n", "h", "w", 3]
    return _write(path, nodes, constants, shape=shape, dtype=dtype)


def _tinted(image: Image, order: str, values: str) -> NDArray[np.float64]:
    """Return what that network makes, worked out plainly."""
    low, high = RANGES[values]
    ordered = image[..., ::-1] if order == "BGR" else image
    taken = ordered / 255 * (high - low) + low
    made = np.clip(taken * GAIN + SHIFT * (high - low), low, high)
    made = (made - low) / (high - low) * 255
    return made[..., ::-1] if order == "BGR" else made


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.FLOAT16], ids=["float32", "float16"])
@pytest.mark.parametrize("values", RANGES)
@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_layout_order_range_and_type(
    tmp_path: Path, noise_image: Image, layout: str, order: str, values: str, dtype: int
) -> None:
    path = _tinting(tmp_path / "tint.onnx", layout, values, dtype)
    stated = Stated(order=order, takes=values, makes=values)
    made = _stylize(path, noise_image, stated=stated)
    tolerance = 0.51 if dtype == TensorProto.FLOAT else 1
    assert np.abs(made - _tinted(noise_image, order, values)).max() <= tolerance


def test_whole_numbers(tmp_path: Path, noise_image: Image) -> None:
    """A network that takes and gives bytes gets each value as it is."""
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["white", "float"], ["negative"]),
        helper.make_node("Cast", ["negative"], ["result"], to=TensorProto.UINT8),
    ]
    path = _write(
        tmp_path / "negative.onnx",
        nodes,
        {"white": np.array(255, np.float32)},
        shape=[1, "h", "w", 3],
        dtype=TensorProto.UINT8,
    )
    np.testing.assert_array_equal(_stylize(path, noise_image), 255 - noise_image)


def _conv(path: Path, before: list[onnx.NodeProto], after: list[onnx.NodeProto], **constants: Any) -> Path:
    """Write a 1x1 convolution with what stands before (image -> a) and after it (b -> result)."""
    weight = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    arrays = {name: np.asarray(value, np.float32) for name, value in constants.items()}
    first = "a" if before else "image"
    last = "b" if after else "result"
    nodes = [*before, helper.make_node("Conv", [first, "weight"], [last]), *after]
    return _write(path, nodes, {"weight": weight, **arrays}, shape=[1, 3, "h", "w"])


def _node(kind: str, *names: str) -> onnx.NodeProto:
    return helper.make_node(kind, list(names[:-1]), [names[-1]])


_TANH, _SIGMOID = [_node("Tanh", "b", "result")], [_node("Sigmoid", "b", "result")]
_TO_BYTES = [_node("Tanh", "b", "t"), _node("Mul", "t", "half", "u"), _node("Add", "u", "half", "result")]
_TO_ONE = [_node("Tanh", "b", "t"), _node("Add", "t", "one", "u"), _node("Div", "u", "two", "result")]
_CLIPPED = [_node("Clip", "b", "zero", "white", "result")]


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        pytest.param([], _TANH, "-1..1 -> -1..1", id="Tanh"),
        pytest.param([], _SIGMOID, "0..1 -> 0..1", id="Sigmoid"),
        pytest.param([], _TO_BYTES, "0..255 -> 0..255", id="Tanh, scaled to bytes"),
        pytest.param([], _TO_ONE, "0..1 -> 0..1", id="Tanh, scaled to [0,1]"),
        pytest.param([], _CLIPPED, "0..255 -> 0..255", id="Clip"),
        pytest.param([_node("Div", "image", "white", "a")], _SIGMOID, "0..255 -> 0..1", id="divided by 255"),
        pytest.param([_node("Sub", "image", "mean", "a")], _TANH, "0..1 -> -1..1", id="ImageNet's mean off"),
        pytest.param([_node("Sub", "image", "vgg", "a")], _CLIPPED, "0..255 -> 0..255", id="VGG's mean off"),
        pytest.param([_node("Mul", "image", "two", "a")], _TANH, "0..1 -> -1..1", id="doubled"),
    ],
)
def test_ranges_are_found_in_the_graph(
    tmp_path: Path, before: list[onnx.NodeProto], after: list[onnx.NodeProto], found: str
) -> None:
    mean = np.array([0.485, 0.456, 0.406]).reshape(3, 1, 1)
    constants = {"half": 127.5, "one": 1, "two": 2, "zero": 0, "white": 255, "mean": mean, "vgg": mean * 255}
    path = _conv(tmp_path / "one.onnx", before, after, **constants)
    assert Session(path, provider="cpu").reading == f"NCHW RGB {found}"


def test_what_cannot_be_found_is_asked_for(tmp_path: Path) -> None:
    path = _conv(tmp_path / "open.onnx", [], [])
    with pytest.raises(ModelError, match="does not show which values it takes") as caught:
        Session(path)
    assert f"sgt models add {path} --range 0..255" in caught.value.hint


def test_a_layout_that_cannot_be_found_is_asked_for(tmp_path: Path) -> None:
    path = _write(tmp_path / "any.onnx", [_node("Sigmoid", "image", "result")], {}, shape=["n", "a", "b", "c"])
    with pytest.raises(ModelError, match="batch") as caught:
        Session(path)
    assert "--layout NHWC" in caught.value.hint
    Session(path, stated=Stated(layout="NHWC"))


@pytest.mark.parametrize(
    ("shape", "out_shape", "message"),
    [
        pytest.param([1, 1, "h", "w"], None, "no picture of 3 channels", id="grey"),
        pytest.param([1, 3, "h", "w"], [1, 1000], "no picture", id="a classifier"),
    ],
)
def test_what_is_no_picture_is_refused(
    tmp_path: Path, shape: list[Any], out_shape: list[Any] | None, message: str
) -> None:
    nodes = [_node("Sigmoid", "image", "result")]
    if out_shape:
        nodes = [helper.make_node("Reshape", ["image", "size"], ["result"])]
    path = _write(
        tmp_path / "no.onnx", nodes, {"size": np.array([1, 1000], np.int64)}, shape=shape, out_shape=out_shape
    )
    with pytest.raises(ModelError, match=message):
        Session(path)


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        pytest.param("style.pth", b"PK", "sgt import", id="a checkpoint"),
        pytest.param("photo.jpg", b"\xff\xd8\xff\xe0", "sgt models list", id="a picture"),
        pytest.param("empty.onnx", b"", "sgt models list", id="an empty file"),
    ],
)
def test_what_is_no_onnx_is_said(
    in_folder: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, hint: str
) -> None:
    (in_folder / name).write_bytes(content)
    _write_png(in_folder / "in.png", _picture(20, 20))
    assert main(["images", "in.png", "out.png", "--model", name]) == 4
    message = capsys.readouterr().err
    assert name in message
    assert hint in message


# Networks as others build them -----------------------------------------------------------------------------


def _weights(*shape: int, seed: int) -> NDArray[np.float32]:
    fan = int(np.prod(shape[1:]))
    return np.random.default_rng(seed).normal(0, fan**-0.5, shape).astype(np.float32)


def _norm_by_hand(taken: str, made: str) -> list[onnx.NodeProto]:
    """TensorFlow's tf.nn.moments, as converters write it."""
    return [
        helper.make_node("ReduceMean", [taken], [f"{made}/mean"], axes=[2, 3], keepdims=1),
        _node("Sub", taken, f"{made}/mean", f"{made}/apart"),
        _node("Mul", f"{made}/apart", f"{made}/apart", f"{made}/square"),
        helper.make_node("ReduceMean", [f"{made}/square"], [f"{made}/variance"], axes=[2, 3], keepdims=1),
        _node("Add", f"{made}/variance", "epsilon", f"{made}/above"),
        _node("Sqrt", f"{made}/above", f"{made}/root"),
        _node("Div", f"{made}/apart", f"{made}/root", made),
    ]


def _animegan(path: Path, *, opset: int = 17) -> Path:
    """AnimeGAN's way: NHWC ends, reflected borders, norms written out, LeakyRelu, upsampling by 2, Tanh."""
    constants: dict[str, NDArray[Any]] = {
        "w1": _weights(8, 3, 7, 7, seed=1),
        "w2": _weights(16, 8, 3, 3, seed=2),
        "w3": _weights(8, 16, 3, 3, seed=3),
        "w4": _weights(3, 8, 7, 7, seed=4),
        "pad3": np.array([0, 0, 3, 3, 0, 0, 3, 3]),
        "pad1": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "epsilon": np.array(1e-6, np.float32),
        "scales": np.array([1, 1, 2, 2], np.float32),
    }
    nodes = [
        helper.make_node("Transpose", ["image"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Pad", ["nchw", "pad3"], ["p1"], mode="reflect"),
        _node("Conv", "p1", "w1", "c1"),
        *_norm_by_hand("c1", "n1"),
        helper.make_node("LeakyRelu", ["n1"], ["r1"], alpha=0.2),
        helper.make_node("Pad", ["r1", "pad1"], ["p2"], mode="reflect"),
        helper.make_node("Conv", ["p2", "w2"], ["c2"], strides=[2, 2]),
        *_norm_by_hand("c2", "n2"),
        helper.make_node("LeakyRelu", ["n2"], ["r2"], alpha=0.2),
        helper.make_node(
            "Resize", ["r2", "", "scales"], ["u"], mode="linear", coordinate_transformation_mode="half_pixel"
        ),
        helper.make_node("Pad", ["u", "pad1"], ["p3"], mode="reflect"),
        _node("Conv", "p3", "w3", "c3"),
        *_norm_by_hand("c3", "n3"),
        helper.make_node("LeakyRelu", ["n3"], ["r3"], alpha=0.2),
        helper.make_node("Pad", ["r3", "pad3"], ["p4"], mode="reflect"),
        _node("Conv", "p4", "w4", "c4"),
        _node("Tanh", "c4", "t"),
        helper.make_node("Transpose", ["t"], ["result"], perm=[0, 2, 3, 1]),
    ]
    return _write(path, nodes, constants, shape=["n", "h", "w", 3], opset=opset)


def _fast_style(path: Path) -> Path:
    """The ONNX model zoo's fast style: opset 9, 224x224, bytes without bounds, Upsample."""
    constants: dict[str, NDArray[Any]] = {
        "w1": _weights(8, 3, 9, 9, seed=1) / 40,
        "w2": _weights(16, 8, 3, 3, seed=2),
        "w3": _weights(8, 16, 3, 3, seed=3),
        "w4": _weights(3, 8, 9, 9, seed=4) * 60,
        "b4": np.full(3, 128, np.float32),
        **{f"one{n}": np.ones(n, np.float32) for n in (8, 16)},
        **{f"nil{n}": np.zeros(n, np.float32) for n in (8, 16)},
        "scales": np.array([1, 1, 2, 2], np.float32),
    }
    nodes = [
        helper.make_node("Pad", ["image"], ["p1"], mode="reflect", pads=[0, 0, 4, 4, 0, 0, 4, 4]),
        _node("Conv", "p1", "w1", "c1"),
        _node("InstanceNormalization", "c1", "one8", "nil8", "n1"),
        _node("Relu", "n1", "r1"),
        helper.make_node("Pad", ["r1"], ["p2"], mode="reflect", pads=[0, 0, 1, 1, 0, 0, 1, 1]),
        helper.make_node("Conv", ["p2", "w2"], ["c2"], strides=[2, 2]),
        _node("InstanceNormalization", "c2", "one16", "nil16", "n2"),
        _node("Relu", "n2", "r2"),
        helper.make_node("Upsample", ["r2", "scales"], ["u"], mode="nearest"),
        helper.make_node("Pad", ["u"], ["p3"], mode="reflect", pads=[0, 0, 1, 1, 0, 0, 1, 1]),
        _node("Conv", "p3", "w3", "c3"),
        _node("InstanceNormalization", "c3", "one8", "nil8", "n3"),
        _node("Relu", "n3", "r3"),
        helper.make_node("Pad", ["r3"], ["p4"], mode="reflect", pads=[0, 0, 4, 4, 0, 0, 4, 4]),
        _node("Conv", "p4", "w4", "b4", "result"),
    ]
    return _write(path, nodes, constants, shape=[1, 3, 224, 224], opset=9)


def _runtime(path: Path, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """What ONNX Runtime makes of the file as it is."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, {"image": batch})[0]
    return result


def _picture(height: int, width: int) -> Image:
    """A picture with forms in it: waves of several lengths."""
    y, x = np.mgrid[:height, :width]
    waves = [127 + 60 * np.sin(x / a) + 60 * np.cos(y / b + x / 90) for a, b in ((9, 31), (17, 11), (40, 7))]
    return np.stack(waves, -1).clip(0, 255).astype(np.uint8)


def _as_runtime(image: Image, *, nhwc: bool, low: float, high: float, path: Path) -> NDArray[np.float64]:
    taken = (image / 255 * (high - low) + low).astype(np.float32)[None]
    made = _runtime(path, taken if nhwc else np.ascontiguousarray(taken.transpose(0, 3, 1, 2)))[0]
    made = made if nhwc else made.transpose(1, 2, 0)
    shown: NDArray[np.float64] = ((made.astype(np.float64) - low) / (high - low) * 255).clip(0, 255)
    return shown


def test_animegan_as_the_runtime_makes_it(tmp_path: Path) -> None:
    path, image = _animegan(tmp_path / "hayao.onnx"), _picture(96, 128)
    expected = _as_runtime(image, nhwc=True, low=-1, high=1, path=path)
    assert expected.std() > 10
    assert np.abs(_stylize(path, image) - expected).max() <= 0.6
    session = Session(path)
    assert (session.reading, session.info.size_multiple, session.info.ngf) == ("NHWC RGB -1..1 -> -1..1", 2, 8)
    assert _stylize(path, _picture(95, 61)).shape == (95, 61, 3)


def test_tiles_of_animegan_equal_the_untiled_picture(tmp_path: Path) -> None:
    path, image = _animegan(tmp_path / "hayao.onnx"), _picture(301, 401)
    tiled = _stylize(path, image, tile=TileOption("fixed", 128))
    untiled = _stylize(path, image)
    assert np.abs(tiled.astype(int) - untiled).max() <= 1


def test_fast_style_needs_its_range_and_is_freed_of_its_size(tmp_path: Path) -> None:
    path = _fast_style(tmp_path / "mosaic.onnx")
    with pytest.raises(ModelError, match="which values it takes"):
        Session(path)
    stated = Stated(takes="0..255", makes="0..255")
    image = _picture(224, 224)
    expected = _as_runtime(image, nhwc=False, low=0, high=255, path=path)
    assert expected.std() > 10
    assert np.abs(_stylize(path, image, stated=stated) - expected).max() <= 0.6
    assert (Session(path, stated=stated).info.fixed_height, Session(path, stated=stated).info.size_multiple) == (0, 2)
    large = _picture(301, 401)
    untiled = _stylize(path, large, stated=stated)
    tiled = _stylize(path, large, stated=stated, tile=TileOption("fixed", 128))
    assert np.abs(tiled.astype(int) - untiled).max() <= 1


def _fixed(path: Path, side: int) -> Path:
    """A network that cannot do without its size, and darkens each pixel by half: seams would show."""
    nodes = [
        helper.make_node("Reshape", ["image", "flat"], ["row"]),
        _node("Mul", "row", "half", "dark"),
        helper.make_node("Reshape", ["dark", "square"], ["again"]),
        _node("Clip", "again", "nil", "one", "result"),
    ]
    constants = {
        "flat": np.array([1, 3, side * side]),
        "square": np.array([1, 3, side, side]),
        "half": np.array(0.5, np.float32),
        "nil": np.array(0, np.float32),
        "one": np.array(1, np.float32),
    }
    return _write(path, nodes, constants, shape=[1, 3, side, side])


@pytest.mark.parametrize("size", [(64, 64), (40, 30), (64, 65), (200, 131), (30, 300)])
def test_a_fixed_size_tiles_by_itself(tmp_path: Path, size: tuple[int, int]) -> None:
    path, image = _fixed(tmp_path / "fixed.onnx", 64), _picture(*size)
    session = Session(path)
    assert session.reading.endswith("64x64 pixels")
    for tile in (TileOption("auto"), TileOption("off"), TileOption("fixed", 128)):
        made = Stylizer(session, tile)(image)
        assert np.abs(made - image / 2).max() <= 0.51
    assert Stylizer(session, TileOption("auto")).expect(image).tiles >= 1


# Further inputs --------------------------------------------------------------------------------------------


def _weighted(path: Path) -> Path:
    """A network whose second input chooses which of three colours is added."""
    nodes = [
        _node("MatMul", "weights", "colours", "row"),
        helper.make_node("Reshape", ["row", "place"], ["colour"]),
        _node("Mul", "image", "nil", "black"),
        _node("Add", "black", "colour", "sum"),
        _node("Clip", "sum", "nil", "one", "result"),
    ]
    constants = {
        "colours": np.eye(3, dtype=np.float32),
        "place": np.array([1, 3, 1, 1]),
        "nil": np.array(0, np.float32),
        "one": np.array(1, np.float32),
    }
    weights = helper.make_tensor_value_info("weights", TensorProto.FLOAT, [1, 3])
    return _write(path, nodes, constants, shape=[1, 3, "h", "w"], inputs=[weights])


@pytest.mark.parametrize(
    ("value", "colour"),
    [
        pytest.param("one-hot:0", (255, 0, 0), id="one-hot"),
        pytest.param("0,1,1", (0, 255, 255), id="numbers"),
        pytest.param("0.2", (51, 51, 51), id="one number for all"),
        pytest.param("FILE", (0, 0, 255), id="a file"),
    ],
)
def test_a_further_input(tmp_path: Path, noise_image: Image, value: str, colour: tuple[int, int, int]) -> None:
    if value == "FILE":
        np.save(tmp_path / "value.npy", np.array([0, 0, 1.0]))
        value = str(tmp_path / "value.npy")
    made = _stylize(_weighted(tmp_path / "w.onnx"), noise_image, inputs={"weights": value})
    np.testing.assert_array_equal(made, np.broadcast_to(np.array(colour), made.shape))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        pytest.param({}, r"beside the picture, weights float \[1, 3\]", id="none"),
        pytest.param({"weights": "one-hot:3"}, "one-hot goes from 0 to 2", id="beyond"),
        pytest.param({"weights": "1,2"}, "2 numbers", id="too few"),
        pytest.param({"weights": "red"}, "does not fit", id="no number"),
        pytest.param({"weights": "absent.npy"}, "absent.npy", id="no file"),
        pytest.param({"style": "1"}, "no input style", id="no such input"),
    ],
)
def test_an_unfit_further_input(tmp_path: Path, inputs: dict[str, str], message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        Session(_weighted(tmp_path / "w.onnx"), inputs=inputs)
    assert caught.value.hint


def test_a_style_by_example(tmp_path: Path, noise_image: Image) -> None:
    """MODEL.onnx:PICTURE: what an encoder makes of a picture becomes the value; here its mean colour."""
    nodes = [
        _node("GlobalAveragePool", "image", "mean"),
        helper.make_node("Flatten", ["mean"], ["result"]),
    ]
    encoder = _write(tmp_path / "mean.onnx", nodes, {}, shape=[1, 3, 32, 32], out_shape=[1, 3])
    _write_png(tmp_path / "style.png", np.full((20, 50, 3), (10, 200, 90), np.uint8))
    made = _stylize(
        _weighted(tmp_path / "w.onnx"), noise_image, inputs={"weights": f"{encoder}:{tmp_path / 'style.png'}"}
    )
    assert np.abs(made.astype(int) - (10, 200, 90)).max() <= 1


# Adding ----------------------------------------------------------------------------------------------------


def test_an_added_model_needs_no_options(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _fast_style(in_folder / "mosaic.onnx")
    _write_png(in_folder / "in.png", _picture(60, 70))
    assert main(["images", "in.png", "out.png", "--model", str(path)]) == 4
    assert "--range 0..255" in capsys.readouterr().err
    assert main(["models", "add", str(path), "--range", "0..255"]) == 0
    assert "--model mosaic" in capsys.readouterr().out
    path.unlink()
    assert main(["images", "in.png", "out.png", "--model", "mosaic"]) == 0
    assert read_picture(in_folder / "out.png").image.shape == (60, 70, 3)


def test_values_are_kept_and_may_be_replaced(tmp_path: Path, noise_image: Image) -> None:
    added = add_model(str(_weighted(tmp_path / "w.onnx")), "red", Stated(), {"weights": "one-hot:0"}, overwrite=False)
    path = choose_model("red").path
    assert [one.path for one in added] == [path]
    assert _stylize(path, noise_image)[0, 0].tolist() == [255, 0, 0]
    assert _stylize(path, noise_image, inputs={"weights": "one-hot:2"})[0, 0].tolist() == [0, 0, 255]


def test_the_order_of_channels_is_kept(tmp_path: Path, noise_image: Image) -> None:
    path = _tinting(tmp_path / "tint.onnx", "NHWC", "0..1", TensorProto.FLOAT)
    add_model(str(path), "tint", Stated(order="BGR"), {}, overwrite=False)
    made = _stylize(choose_model("tint").path, noise_image)
    assert np.abs(made - _tinted(noise_image, "BGR", "0..1")).max() <= 0.51


def test_domains_may_be_stated(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _animegan(in_folder / "hayao.onnx")
    assert main(["models", "add", str(path), "--from", "photo", "--to", "anime"]) == 0
    assert choose_model("hayao", to="anime").describe() == "photo -> anime (A2B), model hayao"
    assert main(["models", "add", str(path), "--name", "other", "--to", "anime"]) == 2
    assert "go together" in capsys.readouterr().err


def test_a_run_is_added_both_ways(both_ways: Path) -> None:
    add_model(str(both_ways), "mine", Stated(), {}, overwrite=False)
    assert choose_model("mine", to="photo").info.direction == "B2A"
    with pytest.raises(UsageError, match="says itself"):
        add_model(str(both_ways), "other", Stated(takes="0..1", makes="0..1"), {}, overwrite=False)


def test_nothing_that_fails_is_added(tmp_path: Path) -> None:
    nodes = [_node("Resize", "image", "", "scales", "big"), _node("Sigmoid", "big", "result")]
    path = _write(
        tmp_path / "twice.onnx", nodes, {"scales": np.array([1, 1, 2, 2], np.float32)}, shape=[1, 3, "h", "w"]
    )
    with pytest.raises(ModelError):
        add_model(str(path), "twice", Stated(), {}, overwrite=False)
    with pytest.raises(ModelError):
        choose_model("twice")


# Real ones -------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared models are not here")
def test_multistyle_tiles_exactly() -> None:
    path, inputs = REAL / "multistyle26.onnx", {"style_weights": "one-hot:19"}
    image = read_picture(REPOSITORY / "examples" / "pictures" / "cat.jpg").image[:296, :448].astype(np.uint8)
    untiled = _stylize(path, image, inputs=inputs)
    tiled = _stylize(path, image, inputs=inputs, tile=TileOption("fixed", 192))
    assert np.abs(tiled.astype(int) - untiled).max() <= 1
    import onnxruntime

    weights = np.zeros(26, np.float32)
    weights[19] = 1
    taken = np.ascontiguousarray(image[None].transpose(0, 3, 1, 2) / np.float32(255))
    made = onnxruntime.InferenceSession(str(path)).run(None, {"image": taken, "style_weights": weights})[0][0]
    apart = np.abs(untiled - made.transpose(1, 2, 0) * 255)
    assert apart.mean() < 0.3
    assert np.percentile(apart, 99.9) <= 1


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared models are not here")
def test_a_style_by_example_of_fixed_size() -> None:
    style = f"{REAL / 'arbitrary_predict.onnx'}:{REPOSITORY / 'examples' / 'paintings' / 'vangogh_1.jpg'}"
    image = read_picture(REPOSITORY / "examples" / "pictures" / "coffee.jpg").image
    made = _stylize(
        REAL / "arbitrary_transform.onnx", image.astype(np.uint8), inputs={"mobilenet_conv/Conv/BiasAdd": style}
    )
    assert made.shape == image.shape
    assert made.std() > 30
