from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper

from stylegan_tool.errors import ComputeError, ModelError, UsageError
from stylegan_tool.model_info import ModelInfo
from stylegan_tool.options import TileOption
from stylegan_tool.session import Session
from stylegan_tool.stylize import Stylizer, choose_tile, estimate_bytes, pad_image
from tests.models import RED, make_info, write_blur_model, write_colour_model, write_graph

OFF = TileOption("off")


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def blur(tmp_path: Path) -> Session:
    return Session(write_blur_model(tmp_path / "blur.onnx", 8, make_info("A2B", smallest_size=12)), provider="cpu")


def test_tiles_of_a_network_without_statistics_equal_the_untiled_picture(blur: Session) -> None:
    image = np.random.default_rng(1).integers(0, 256, (301, 403, 3), np.uint8)
    tiled = Stylizer(blur, TileOption("fixed", 160))(image)
    untiled = Stylizer(blur, OFF)(image)
    assert np.abs(tiled.astype(int) - untiled).max() <= 1  # a value halfway may round either way
    assert (tiled == untiled).mean() > 0.999


def test_a_halo_smaller_than_the_reach_shows(tmp_path: Path) -> None:
    """The test above can fail: it does when the model promises a smaller reach than it has."""
    path = write_blur_model(tmp_path / "blur.onnx", 8, make_info("A2B", receptive_field=0))
    session = Session(path, provider="cpu")
    image = np.random.default_rng(1).integers(0, 256, (301, 403, 3), np.uint8)
    tiled = Stylizer(session, TileOption("fixed", 160))(image)
    assert np.abs(tiled.astype(int) - Stylizer(session, OFF)(image)).max() > 1


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3, 2), (7, 9), (64, 64), (65, 127)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_size_and_type_stay(blur: Session, size: tuple[int, int], dtype: type[np.uint8]) -> None:
    image = np.full((*size, 3), np.iinfo(dtype).max // 3, dtype)
    result = Stylizer(blur, OFF)(image)
    assert (result.shape, result.dtype) == (image.shape, image.dtype)
    assert np.abs(result.astype(int) - image).max() <= 1  # blurring one colour changes nothing


def test_16_bit_keeps_more_than_8(blur: Session) -> None:
    image = np.full((32, 32, 3), 1000, np.uint16)
    assert np.abs(Stylizer(blur, OFF)(image).astype(int) - 1000).max() <= 1


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 4, 16]), st.sampled_from([1, 8, 20]))
def test_padding_keeps_the_picture_and_fits_the_model(height: int, width: int, multiple: int, smallest: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    padded = pad_image(image, ModelInfo(size_multiple=multiple, smallest_size=smallest))
    assert np.array_equal(padded[:height, :width], image)
    for side, given_side in zip(padded.shape[:2], (height, width), strict=True):
        assert side % multiple == 0
        assert side >= max(smallest, given_side)


def test_auto_cuts_only_where_memory_asks_for_it(blur: Session, notes: list[str]) -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    need = estimate_bytes(400, 400, blur.info)
    Stylizer(blur, TileOption("auto"), memory_bytes=need, note=notes.append)(image)
    assert notes == []
    cutter = Stylizer(blur, TileOption("auto"), memory_bytes=need // 4, note=notes.append)
    cutter(image)
    cutter(image)
    assert len(notes) == 1
    assert "tiles of" in notes[0]


def test_a_films_frames_are_all_cut_alike(blur: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    need = estimate_bytes(400, 400, blur.info)
    notes: list[str] = []
    stylizer = Stylizer(blur, TileOption("auto"), note=notes.append)
    for free in (4 * need, need):  # something else takes the memory between two frames
        monkeypatch.setattr("psutil.virtual_memory", lambda free=free: SimpleNamespace(available=free))
        stylizer(image)
    assert notes == []


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.integers(1, 16_000))
def test_chosen_tiles_fit_the_memory_or_are_the_smallest(height: int, width: int, memory_mib: int) -> None:
    info = make_info("A2B", ngf=64, receptive_field=87)
    side = choose_tile(height, width, info, memory_mib << 20)
    if side is None:
        assert estimate_bytes(height, width, info) <= memory_mib << 20
    else:
        smallest = 2 * 88 + 3 * 32 + 3 * 4
        assert side == smallest or estimate_bytes(side, side, info) <= memory_mib << 20
        assert side >= smallest
        assert side % 4 == 0


def test_too_small_tiles_are_a_usage_error(blur: Session) -> None:
    with pytest.raises(UsageError, match="too small"):
        Stylizer(blur, TileOption("fixed", 64))(np.zeros((400, 400, 3), np.uint8))


def test_nan_is_a_compute_error(tmp_path: Path, noise_image: NDArray[np.uint8]) -> None:
    node = helper.make_node("Add", ["image", "nan"], ["stylized"])
    path = write_graph(tmp_path / "nan.onnx", [node], {"nan": np.array(np.nan, np.float32)}, make_info("A2B"))
    with pytest.raises(ComputeError, match="no finite numbers"):
        Stylizer(Session(path, provider="cpu"), OFF)(noise_image)


def test_a_model_that_shrinks_pictures_is_refused(tmp_path: Path, noise_image: NDArray[np.uint8]) -> None:
    node = helper.make_node("MaxPool", ["image"], ["stylized"], kernel_shape=[2, 2], strides=[2, 2])
    path = write_graph(tmp_path / "half.onnx", [node], {}, make_info("A2B"))
    with pytest.raises(ModelError, match="not a picture of the same size"):
        Stylizer(Session(path, provider="cpu"), OFF)(noise_image)


def test_red_is_red(tmp_path: Path, noise_image: NDArray[np.uint8]) -> None:
    path = write_colour_model(tmp_path / "red.onnx", RED, make_info("A2B"))
    result = Stylizer(Session(path, provider="cpu"), OFF)(noise_image)
    assert (result == np.array(RED)).all()
