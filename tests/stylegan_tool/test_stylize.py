from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper

from stylegan_tool.errors import ComputeError, MemoryShortError, ModelError, UsageError
from stylegan_tool.model_info import ModelInfo
from stylegan_tool.options import TileOption, TileStatistics
from stylegan_tool.pixels import Image, to_batch, to_image
from stylegan_tool.session import Part, Session
from stylegan_tool.stylize import Stylizer, pad_image
from tests.models import RED, make_info, write_blur_model, write_colour_model, write_graph, write_nan_model
from tests.networks import truth_of, write_generator

OFF = TileOption("off")


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def blur(tmp_path: Path) -> Session:
    return Session(write_blur_model(tmp_path / "blur.onnx", 8, make_info("A2B", smallest_size=12)), provider="cpu")


@pytest.fixture
def net(tmp_path: Path) -> Session:
    """A CycleGAN generator with random weights."""
    return Session(write_generator(tmp_path / "net.onnx"), provider="cpu")


@pytest.fixture
def squeeze(tmp_path: Path) -> Session:
    """A model that cannot be cut: it looks at the whole picture."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"], name="squeeze"),
        helper.make_node("Mul", ["image", "mean"], ["stylized"]),
    ]
    return Session(write_graph(tmp_path / "squeeze.onnx", nodes, {}, make_info("A2B")), provider="cpu")


def random_image(height: int, width: int, dtype: type[np.uint8] | type[np.uint16] = np.uint8) -> Image:
    image = np.random.default_rng(1).integers(0, np.iinfo(dtype).max + 1, (height, width, 3), dtype)
    return cast("Image", cv2.GaussianBlur(image, (0, 0), 3))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(301, 403), (64, 500), (500, 63)])
def test_exact_tiles_equal_the_untiled_picture(
    net: Session, size: tuple[int, int], dtype: type[np.uint8] | type[np.uint16]
) -> None:
    image = random_image(*size, dtype)
    tiled = Stylizer(net, TileOption("fixed", 96))(image)
    untiled = Stylizer(net, OFF)(image)
    assert (tiled.shape, tiled.dtype) == (image.shape, image.dtype)
    steps = 1 if dtype == np.uint8 else 4
    assert np.abs(tiled.astype(int) - untiled).max() <= steps
    assert (tiled == untiled).mean() > (0.999 if dtype == np.uint8 else 0.5)


@pytest.mark.parametrize("statistics", ["thumbnail", "local"])
def test_other_statistics_differ_and_say_so(net: Session, notes: list[str], statistics: TileStatistics) -> None:
    image = random_image(420, 640)
    image[:, 320:] //= 4
    stylizer = Stylizer(net, TileOption("fixed", 320), statistics=statistics, note=notes.append)
    tiled = stylizer(image)
    stylizer(image)
    assert tiled.shape == image.shape
    assert np.abs(tiled.astype(int) - Stylizer(net, OFF)(image)).mean() > 0.5
    assert len(notes) == 1
    assert "their tones may differ" in notes[0]


def test_a_thumbnail_of_a_small_picture_is_itself(net: Session) -> None:
    """One pass with the right statistics is exact too: only whose statistics they are makes the difference."""
    image = random_image(384, 512)
    tiled = Stylizer(net, TileOption("fixed", 256), statistics="thumbnail")(image)
    assert np.abs(tiled.astype(int) - Stylizer(net, OFF)(image)).max() <= 1


def test_local_tiles_with_less_halo_than_the_reach_show_it(tmp_path: Path) -> None:
    path = write_blur_model(tmp_path / "blur.onnx", 24, make_info("A2B", receptive_field=0))
    session = Session(path, provider="cpu")
    image = np.random.default_rng(1).integers(0, 256, (301, 403, 3), np.uint8)
    tiled = Stylizer(session, TileOption("fixed", 160), statistics="local")(image)
    assert np.abs(tiled.astype(int) - Stylizer(session, OFF)(image)).max() > 1


def test_verify_tells_exact_from_local(net: Session) -> None:
    image = random_image(700, 900)
    exact = Stylizer(net, TileOption("auto")).verify(image)
    assert (exact.width, exact.height) == (768, 700)
    assert exact.largest <= 1
    assert exact.identical > 0.999
    local = Stylizer(net, TileOption("auto"), statistics="local").verify(image)
    assert local.mean > 10 * exact.mean
    assert exact.tiled
    assert not Stylizer(net, TileOption("fixed", 900)).verify(image).tiled


def test_what_is_expected_is_what_happens(net: Session) -> None:
    image = random_image(500, 900)
    stylizer = Stylizer(net, TileOption("fixed", 200), memory_bytes=2**30)
    expected = stylizer.expect(image)
    assert expected.tiles >= 15
    assert (expected.side, expected.passes, expected.scratch_bytes) == (200, 10, 0)
    assert 0 < expected.memory_bytes < 2**30
    assert expected.seconds > 0
    assert Stylizer(net, OFF).expect(image).tiles == 1
    assert Stylizer(net, TileOption("fixed", 300), statistics="local").expect(image).passes == 1


def test_when_memory_runs_out_tiles_step_down_once_said(
    net: Session, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = random_image(400, 500)
    expected = Stylizer(net, TileOption("fixed", 96))(image)
    right = Part.run

    def short(self: Part, inputs: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        if max(inputs[name].shape[-1] for name in inputs) > 200:
            raise MemoryShortError("out of memory")
        return right(self, inputs)

    monkeypatch.setattr(Part, "run", short)
    stylizer = Stylizer(net, TileOption("fixed", 384), note=notes.append)
    result = stylizer(image)
    stylizer(image)
    assert np.abs(result.astype(int) - expected).max() <= 1
    assert notes == ["memory ran out: going on with tiles of 192 pixels or less"]


def test_local_tiles_step_down_from_what_they_were(
    net: Session, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Session.run
    sides = []

    def short(self: Session, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        sides.append(max(batch.shape))
        if sides[-1] > 300:
            raise MemoryShortError("out of memory")
        return right(self, batch)

    monkeypatch.setattr(Session, "run", short)
    Stylizer(net, TileOption("fixed", 500), statistics="local", note=notes.append)(random_image(300, 700))
    assert notes[1:] == ["memory ran out: going on with tiles of 252 pixels or less"]
    assert sides.count(max(sides)) == 1  # what was too large is not tried again


def test_nearly_flat_frames_are_right(net: Session, tmp_path: Path) -> None:
    """There the runtime's own InstanceNormalization is far off: a black frame with one grey pixel, a letterbox."""
    truth = truth_of(net.path)
    speck, box = np.zeros((200, 280, 3), np.uint8), random_image(200, 280)
    speck[90, 70] = 3
    box[:60] = box[-60:] = 0
    for image in (speck, box):
        wanted = to_image(truth(to_batch(image)), np.dtype(np.uint8)).astype(int)
        for tile in (TileOption("auto"), OFF, TileOption("fixed", 96)):
            result = Stylizer(net, tile)(image)
            assert np.abs(result - wanted).max() <= 1
            assert (result == wanted).mean() > 0.99


def test_a_model_that_looks_far_runs_untiled_where_that_fits(tmp_path: Path) -> None:
    weight = np.full((3, 3, 3, 3), 1 / 27, np.float32)
    conv = helper.make_node("Conv", ["image", "weight"], ["stylized"], dilations=[400, 400], pads=[400] * 4)
    path = write_graph(tmp_path / "far.onnx", [conv], {"weight": weight}, make_info("A2B", receptive_field=400))
    session = Session(path, provider="cpu")
    image = random_image(900, 850)
    stylizer = Stylizer(session, TileOption("auto"))
    assert stylizer.expect(image).tiles == 1
    with pytest.raises(ComputeError, match="cannot be cut into tiles that fit") as caught:
        Stylizer(session, TileOption("auto"), memory_bytes=2**20)(image)
    assert "--memory" in caught.value.hint


def test_a_size_that_the_model_cannot_take_is_a_message(tmp_path: Path) -> None:
    """A U-Net of two levels given 6 rows: its halves do not meet again."""
    nodes = [
        helper.make_node("MaxPool", ["image"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("MaxPool", ["half"], ["quarter"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Resize", ["quarter", "", "scales"], ["up"], mode="nearest"),
        helper.make_node("Add", ["half", "up"], ["both"]),
        helper.make_node("Resize", ["both", "", "scales"], ["stylized"], mode="nearest"),
    ]
    scales: dict[str, NDArray[np.generic]] = {"scales": np.array([1, 1, 2, 2], np.float32)}
    path = write_graph(tmp_path / "unet.onnx", nodes, scales, make_info("A2B", size_multiple=2))
    session = Session(path, provider="cpu")
    assert Stylizer(session, TileOption("auto"))(random_image(64, 64)).shape == (64, 64, 3)
    with pytest.raises(ModelError, match=r"at this size: Add \(both\): its inputs do not lie on one grid"):
        Stylizer(session, TileOption("auto"))(random_image(66, 64))


def test_when_memory_runs_out_at_the_smallest_tile_it_is_an_error(
    net: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(self: Part, inputs: object) -> None:
        raise MemoryShortError("out of memory", hint="Close other programs")

    monkeypatch.setattr(Part, "run", short)
    with pytest.raises(ComputeError, match="out of memory"):
        Stylizer(net, TileOption("fixed", 384))(random_image(400, 500))


def test_a_flat_picture_is_the_same_tiled_and_untiled(net: Session) -> None:
    for value in (0, 77, 255):
        small, large = (np.full((*size, 3), value, np.uint8) for size in ((100, 120), (420, 560)))
        assert np.array_equal(Stylizer(net, OFF)(large), Stylizer(net, TileOption("fixed", 96))(large))
        assert Stylizer(net, TileOption("auto"))(small).std() < 60  # and no noise made of rounding


def test_a_model_that_cannot_be_cut_is_named_and_nothing_is_done_silently(squeeze: Session) -> None:
    image = random_image(301, 403)
    with pytest.raises(ModelError, match=r"cannot be tiled exactly: GlobalAveragePool \(squeeze\)") as caught:
        Stylizer(squeeze, TileOption("fixed", 160))(image)
    assert "--tile-stats local" in caught.value.hint
    assert Stylizer(squeeze, TileOption("fixed", 300), statistics="local")(image).shape == image.shape
    assert Stylizer(squeeze, TileOption("auto"))(image).shape == image.shape  # untiled: it fits
    with pytest.raises(ModelError, match="cannot be tiled exactly"):
        Stylizer(squeeze, TileOption("auto"), memory_bytes=2**20)(image)


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


def test_a_films_frames_are_all_cut_alike(net: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    image = random_image(400, 400)
    stylizer = Stylizer(net, TileOption("auto"))
    results = []
    for free in (2**32, 2**25):  # something else takes the memory between two frames
        monkeypatch.setattr("psutil.virtual_memory", lambda free=free: SimpleNamespace(available=free))
        results.append(stylizer(image))
    assert np.array_equal(results[0], results[1])


@pytest.mark.parametrize("tile", [OFF, TileOption("auto"), TileOption("fixed", 96)], ids=str)
def test_a_films_frames_share_one_plan(net: Session, tile: TileOption) -> None:
    stylizer = Stylizer(net, tile)
    assert stylizer._choice.plan(128, 160) is stylizer._choice.plan(128, 160)


def test_too_small_tiles_are_a_usage_error(blur: Session) -> None:
    with pytest.raises(UsageError, match="too small"):
        Stylizer(blur, TileOption("fixed", 16))(np.zeros((400, 400, 3), np.uint8))


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs on a GPU is done as there: untiled, in batches, 8 bits converted in the graph; but by the CPU."""
    monkeypatch.setattr(Session, "on_gpu", True)


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_batch_gives_what_its_pictures_give(net: Session, dtype: type[np.uint8] | type[np.uint16]) -> None:
    images = [random_image(67, 90, dtype)[:, :: 1 - 2 * (i % 2)] // cast("np.uint8", i + 1) for i in range(5)]
    stylizer = Stylizer(net, TileOption("auto"))
    together = stylizer.batch(images)
    for image, result in zip(images, together, strict=True):
        assert (result.shape, result.dtype) == (image.shape, image.dtype)
        assert np.array_equal(result, stylizer(image))
    # And by another way: the stages with statistics in float64.
    tiled = Stylizer(net, TileOption("fixed", 64))(images[2])
    assert np.abs(tiled.astype(int) - together[2]).max() <= (1 if dtype == np.uint8 else 64)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_batch_is_one_run_where_it_can_be(net: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    right = Session.run_pixels

    def count(self: Session, images: Sequence[Image]) -> list[Image]:
        runs.append(len(images))
        if len(images) > 4:
            raise MemoryShortError("out of memory")
        return right(self, images)

    monkeypatch.setattr(Session, "run_pixels", count)
    stylizer = Stylizer(net, TileOption("auto"))
    image, other = random_image(64, 64), random_image(64, 72)
    for images in ([image] * 4, [image, other], [image] * 6):
        assert len(stylizer.batch(images)) == len(images)
    assert runs == [4, *[1] * 2, 6, *[1] * 6]
    assert stylizer.batch_size(64, 64) == 3  # from then on
    assert stylizer.batch([]) == []


def test_batches_are_what_memory_and_sense_allow(net: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Stylizer(net, TileOption("auto")).batch_size(64, 64) == 1  # the CPU gains nothing
    monkeypatch.setattr(Session, "on_gpu", True)
    monkeypatch.setattr(Session, "device_bytes", 2**30)
    stylizer = Stylizer(net, TileOption("auto"))
    assert stylizer.batch_size(256, 256) == 16
    assert stylizer.batch_size(720, 1280) == 4
    assert stylizer.batch_size(1080, 1920) == 2
    assert stylizer.batch_size(4320, 7680) == 1
    assert Stylizer(net, TileOption("fixed", 128)).batch_size(256, 256) == 1  # tiles
    monkeypatch.setattr(Session, "device_bytes", 2**24)
    assert Stylizer(net, TileOption("auto")).batch_size(128, 128) == 6
    monkeypatch.setattr(net, "info", replace(net.info, schema=0))
    assert stylizer.batch_size(256, 256) == 1  # somebody else's may mix pictures


def test_a_gpu_runs_untiled_what_fits_its_own_memory(net: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "on_gpu", True)
    stylizer = Stylizer(net, TileOption("auto"), memory_bytes=2**25)
    assert stylizer._choice.method(800, 1000) == "exact"
    monkeypatch.setattr(net, "device_bytes", 2**28)
    assert stylizer._choice.method(800, 1000) == "plain"


@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_nan_is_a_compute_error_that_names_model_and_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_gpu: bool, dtype: type[np.uint8] | type[np.uint16]
) -> None:
    """In any of the ways that pictures take."""
    monkeypatch.setattr(Session, "on_gpu", on_gpu)
    session = Session(write_nan_model(tmp_path / "nan.onnx", make_info("A2B")), provider="cpu")
    right = random_image(40, 48, dtype) // cast("np.uint8", 2)
    wrong = right.copy()
    wrong[5, 5, 2] = np.iinfo(dtype).max
    for tile in (OFF, TileOption("auto"), TileOption("fixed", 32)):
        stylizer = Stylizer(session, tile)
        with pytest.raises(ComputeError, match=r"^b\.png: nan\.onnx made values of 48x40 pixels that are no") as caught:
            stylizer.batch([right, wrong], names=["a.png", "b.png"])
        assert "--provider cpu" in caught.value.hint
        assert np.array_equal(stylizer(right), right)


def test_a_picture_that_comes_out_blank_is_noted_once(tmp_path: Path, notes: list[str]) -> None:
    path = write_colour_model(tmp_path / "red.onnx", RED, make_info("A2B"))
    stylizer = Stylizer(Session(path, provider="cpu"), OFF, note=notes.append)
    stylizer(np.full((40, 40, 3), 7, np.uint8), name="flat.png")
    assert notes == []
    for name in ("frame 3", "frame 4"):
        stylizer(random_image(40, 40), name=name)
    assert len(notes) == 1
    assert "red.onnx makes one colour of frame 3" in notes[0]


def test_a_model_that_shrinks_pictures_is_refused(tmp_path: Path, noise_image: NDArray[np.uint8]) -> None:
    node = helper.make_node("MaxPool", ["image"], ["stylized"], kernel_shape=[2, 2], strides=[2, 2])
    path = write_graph(tmp_path / "half.onnx", [node], {}, make_info("A2B"))
    with pytest.raises(ModelError, match="not a picture of the same size"):
        Stylizer(Session(path, provider="cpu"), OFF)(noise_image)


def test_red_is_red(tmp_path: Path, noise_image: NDArray[np.uint8]) -> None:
    path = write_colour_model(tmp_path / "red.onnx", RED, make_info("A2B"))
    result = Stylizer(Session(path, provider="cpu"), OFF)(noise_image)
    assert (result == np.array(RED)).all()
