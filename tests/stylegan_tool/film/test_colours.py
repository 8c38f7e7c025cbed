"""Colour by the book, in NumPy, so that no test asks swscale about swscale."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from stylegan_tool.errors import InputError
from stylegan_tool.film.colours import colours_of
from stylegan_tool.film.frame_maker import FrameMaker
from stylegan_tool.film.image_reader import ImageReader
from stylegan_tool.film.plan import FULL, LIMITED, Colours, Encoding

FILMS = Path(__file__).parents[3].parent / "shared/data/videos"
NAME = Path("film.mkv")

# Kr and Kb of ITU-R BT.601, BT.709 and BT.2020, by H.273's number for the matrix.
WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def real(name: str) -> Path:
    path = FILMS / name
    if not path.exists():
        pytest.skip(f"the shared films are not here: {path}")
    return path


def rgb_to_yuv(rgb: NDArray[Any], matrix: int, full: bool, bits: int) -> list[NDArray[np.float64]]:
    """Return Y, U, V in levels of `bits`, not rounded, of RGB in [0,1] with its channels last."""
    kr, kb = WEIGHTS[matrix]
    r, g, b = np.moveaxis(rgb.astype(np.float64), -1, 0)
    y = kr * r + (1 - kr - kb) * g + kb * b
    u, v = (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr))
    step = 2.0 ** (bits - 8)
    if full:
        whole = 2**bits - 1
        return [whole * y, whole * u + 128 * step, whole * v + 128 * step]
    return [(219 * y + 16) * step, (224 * u + 128) * step, (224 * v + 128) * step]


def yuv_to_rgb(yuv: list[NDArray[Any]], matrix: int, full: bool, bits: int) -> NDArray[np.float64]:
    """Return RGB in [0,1] with its channels last, clipped, of Y, U, V in levels of `bits`."""
    kr, kb = WEIGHTS[matrix]
    step = 2.0 ** (bits - 8)
    whole = 2**bits - 1
    y = yuv[0] / whole if full else (yuv[0] - 16 * step) / (219 * step)
    u, v = ((chroma - 128 * step) / (whole if full else 224 * step) for chroma in yuv[1:])
    r, b = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    return np.stack([r, (y - kr * r - kb * b) / (1 - kr - kb), b], axis=-1).clip(0, 1)


def planes(frame: VideoFrame) -> list[NDArray[Any]]:
    """Return the frame's planes as they lie in memory, without padding, to be written to."""
    result: list[NDArray[Any]] = []
    for plane in frame.planes:
        kind = np.dtype(np.uint16 if frame.format.components[0].bits > 8 else np.uint8)
        buffer: Any = plane
        result.append(np.ndarray((plane.height, plane.width), kind, buffer, 0, (plane.line_size, kind.itemsize)))
    return result


def patches(seed: int = 0) -> NDArray[np.float64]:
    """Return (128,128,3) in [0,1]: 64 colours as squares of 16x16, so that their middles know no neighbour."""
    colours = np.random.default_rng(seed).random((8, 8, 3))
    colours[0, 0], colours[0, 1], colours[0, 2] = 0, 1, 0.5
    return colours.repeat(16, axis=0).repeat(16, axis=1)


def middles(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the middle pixel of each of the 8x8 patches, at whatever size the plane has."""
    step = pixels.shape[0] // 8
    return pixels[step // 2 :: step, pixels.shape[1] // 16 :: pixels.shape[1] // 8]


def draw(rgb: NDArray[Any], form: str, matrix: int, full: bool, bits: int) -> tuple[VideoFrame, NDArray[np.float64]]:
    """Return a frame of YUV patches, and what its rounded levels mean by the book, in [0,1]."""
    frame = VideoFrame(rgb.shape[1], rgb.shape[0], form)
    levels = [np.rint(plane) for plane in rgb_to_yuv(rgb, matrix, full, bits)]
    for plane, level in zip(planes(frame), levels, strict=False):
        plane[...] = level[:: rgb.shape[0] // plane.shape[0], :: rgb.shape[1] // plane.shape[1]]
    frame.colorspace, frame.color_range = matrix, FULL if full else LIMITED
    return frame, yuv_to_rgb(levels, matrix, full, bits)


def encoding(form: str, matrix: int, full: bool, size: tuple[int, int] = (128, 128)) -> Encoding:
    colours = Colours(matrix, FULL if full else LIMITED, matrix, matrix)
    return Encoding("matroska", "ffv1", form, *size, *size, Fraction(25), Fraction(1, 25), colours)


KINDS = [
    pytest.param("yuv420p", 8, id="420-8"),
    pytest.param("yuv444p", 8, id="444-8"),
    pytest.param("yuv420p10le", 10, id="420-10"),
    pytest.param("yuv422p10le", 10, id="422-10"),
    pytest.param("yuv444p10le", 10, id="444-10"),
    pytest.param("yuv420p12le", 12, id="420-12"),
]
SPACES = [pytest.param(m, full, id=f"{m}{'full' if full else ''}") for m in (1, 6, 9) for full in (False, True)]


@pytest.mark.parametrize(("form", "bits"), KINDS)
@pytest.mark.parametrize(("matrix", "full"), SPACES)
def test_yuv_is_read_by_the_book(form: str, bits: int, matrix: int, full: bool) -> None:
    frame, wanted = draw(patches(), form, matrix, full, bits)
    image, alpha = ImageReader(frame, NAME).read(frame)
    assert alpha is None
    assert image.dtype == (np.uint8 if bits == 8 else np.uint16)
    steps = (middles(image) / np.iinfo(image.dtype).max - middles(wanted)) * (2**bits - 1)
    assert np.abs(steps).max() <= 1
    assert np.abs(steps.mean(axis=(0, 1))).max() < 0.1, "a tint"


@pytest.mark.parametrize(("form", "bits"), KINDS)
@pytest.mark.parametrize(("matrix", "full"), SPACES)
def test_yuv_is_written_by_the_book(form: str, bits: int, matrix: int, full: bool) -> None:
    kind: Any = np.uint8 if bits == 8 else np.uint16
    image = np.rint(patches(1) * np.iinfo(kind).max).astype(kind)
    frame = FrameMaker(encoding(form, matrix, full)).make(image)
    assert (frame.colorspace, frame.color_range, frame.format.name) == (matrix, FULL if full else LIMITED, form)
    exact = rgb_to_yuv(image / np.iinfo(kind).max, matrix, full, bits)
    for plane, level in zip(planes(frame), exact, strict=True):
        steps = middles(plane) - middles(level)
        assert np.abs(steps).max() <= 1
        assert abs(steps.mean()) < 0.1, "a tint"


@pytest.mark.parametrize(("matrix", "full"), SPACES)
@pytest.mark.parametrize("form", ["yuv420p10le", "yuv422p10le", "yuv444p10le", "p010le"])
def test_ten_bits_come_back_from_a_picture_as_they_were(form: str, matrix: int, full: bool) -> None:
    frame, _ = draw(patches() * 0.8 + 0.1, "yuv444p10le" if form == "p010le" else form, matrix, full, 10)
    image, _ = ImageReader(frame, NAME).read(frame)
    again = FrameMaker(encoding(form, matrix, full)).make(image)
    if form == "p010le":
        assert np.abs(middles(planes(again)[0] >> 6) - middles(planes(frame)[0]).astype(int)).max() <= 1
        return
    for before, after in zip(planes(frame), planes(again), strict=True):
        steps = middles(after).astype(int) - middles(before)
        assert np.abs(steps).max() <= 1
        assert abs(steps.mean()) < 0.05


@pytest.mark.parametrize("form", ["yuv420p", "yuv420p10le", "yuv422p10le", "nv12"])
def test_chroma_lies_on_the_left_column(form: str) -> None:
    """An edge between columns 63 and 64 stays there, both ways, though nothing in the frame says where chroma is."""
    image = np.full((128, 128, 3), (60, 60, 60), np.uint16) * np.uint16(257)
    image[:, 64:] = np.array([200, 40, 40]) * 257
    frame = FrameMaker(encoding(form, 1, False)).make(image)
    if form != "nv12":
        row = planes(frame)[2][32].astype(float)
        share = (row - row[0]) / (row[-1] - row[0])
        assert share[32] > 0.6, "column 64 has a sample of its own"
        assert share[31] < 0.15
    shown, _ = ImageReader(frame, NAME).read(frame)
    red = shown[64, :, 0] / np.iinfo(shown.dtype).max
    assert abs(float((red - red[0]).sum() / (red[-1] - red[0])) - 64) < 0.1


def test_films_that_do_not_say_where_chroma_lies_are_read_as_those_that_do() -> None:
    frame, _ = draw(patches(), "yuv420p", 1, False, 8)  # says nothing, as VP9 and AV1 films
    graph = av.filter.Graph()
    source = graph.add_buffer(width=128, height=128, format=frame.format, time_base=Fraction(1, 25))
    mark, sink = graph.add("setparams", "chroma_location=left"), graph.add("buffersink")
    source.link_to(mark)
    mark.link_to(sink)
    graph.configure()
    graph.vpush(frame)
    marked = graph.vpull()
    assert np.array_equal(ImageReader(frame, NAME).read(frame)[0], ImageReader(marked, NAME).read(marked)[0])
    # Where the codec always says it, 'between the columns' is meant.
    between = ImageReader(frame, NAME, "h264").read(frame)[0]
    assert not np.array_equal(between, ImageReader(frame, NAME).read(frame)[0])


def test_16_bits_are_rounded_where_8_are_written() -> None:
    image = np.full((128, 128, 3), 128 * 257 + 100, np.uint16)
    maker = FrameMaker(encoding("yuv420p", 1, False))
    for deep, plain in zip(
        planes(maker.make(image)), planes(maker.make(np.full_like(image, 128, np.uint8))), strict=True
    ):
        assert np.array_equal(deep, plain)


@pytest.mark.parametrize(
    ("form", "bits"),
    [("bgr0", 8), ("bgra", 8), ("gbrp10le", 10), ("gbrap12le", 12), ("gbrp16le", 16), ("gbrap16le", 16)],
)
def test_rgb_is_lossless_to_its_bits(form: str, bits: int) -> None:
    kind: Any = np.uint8 if bits == 8 else np.uint16
    levels = np.random.default_rng(0).integers(0, 2**bits, (5, 7, 4))
    pixels = np.rint(levels / (2**bits - 1) * np.iinfo(kind).max).astype(kind)
    clear = "a" in form
    maker = FrameMaker(encoding(form, 1, True, (7, 5)))
    frame = maker.make(pixels[..., :3], pixels[..., 3] if clear else None)
    reader = ImageReader(frame, NAME)
    assert (reader.bits, reader.has_alpha) == (bits, clear)
    image, alpha = reader.read(frame)
    assert np.array_equal(image, pixels[..., :3])
    assert (alpha is None) if not clear else np.array_equal(alpha, pixels[..., 3])  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["rgb48be", "rgb48le", "rgba64be", "rgba64le", "gray16be", "ya16be"])
def test_16_bit_pictures_are_read_exactly(form: str) -> None:
    channels = {"rgb": 3, "rgba": 4, "gray": 1, "ya": 2}[form.rstrip("leb").rstrip("0123456789")]
    levels = np.random.default_rng(0).integers(0, 65536, (6, 8, channels)).astype(np.uint16)
    stored = levels.astype(">u2" if form.endswith("be") else "<u2")
    frame = VideoFrame(8, 6, form)
    rows = np.zeros((6, frame.planes[0].line_size), np.uint8)
    rows[:, : 8 * 2 * channels] = np.frombuffer(stored.tobytes(), np.uint8).reshape(6, -1)
    frame.planes[0].update(rows.tobytes())
    frame.color_range = FULL
    image, alpha = ImageReader(frame, NAME).read(frame)
    colour = levels[..., : 3 if channels > 2 else 1].astype(int)
    assert np.abs(image.astype(int) - colour).max() <= 1
    if channels in {2, 4}:
        assert alpha is not None
        assert np.abs(alpha.astype(int) - levels[..., -1]).max() <= 1


@pytest.mark.parametrize("form", ["yuva420p", "yuva444p10le", "rgba", "bgra", "ya8", "argb"])
def test_alpha_is_read_as_it_is(form: str) -> None:
    bits = 10 if "10" in form else 8
    ramp = np.linspace(0, 2**bits - 1, 16).round().astype(int)
    frame = VideoFrame(16, 8, form)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    if form.startswith("yuva"):
        planes(frame)[3][...] = ramp
    else:
        width = {"ya8": 2}.get(form, 4)
        rows = np.zeros((8, frame.planes[0].line_size), np.uint8)
        rows[:, (0 if form == "argb" else width - 1) : 16 * width : width] = ramp
        frame.planes[0].update(rows.tobytes())
    _, alpha = ImageReader(frame, NAME).read(frame)
    assert alpha is not None
    assert np.array_equal(alpha[3], np.rint(ramp / (2**bits - 1) * np.iinfo(alpha.dtype).max))


def test_later_frames_follow_the_first_in_size_depth_and_alpha() -> None:
    first, _ = draw(patches(), "yuva420p", 1, False, 8)
    planes(first)[3][...] = 7
    reader = ImageReader(first, NAME)
    plain, wanted = draw(patches()[::2, ::2], "yuv444p10le", 6, True, 10)  # 64x64, other colours, 10 bits, opaque
    image, alpha = reader.read(plain)
    assert reader.was_resized
    assert image.shape == (128, 128, 3)
    assert image.dtype == np.uint8
    assert alpha is not None
    assert alpha.min() == 255
    assert np.abs(middles(image) / 255 - middles(wanted)).max() < 0.02
    deep, _ = draw(patches(), "yuv420p10le", 1, False, 10)
    image, alpha = ImageReader(deep, NAME).read(plain)
    assert image.shape == (128, 128, 3)
    assert image.dtype == np.uint16
    assert np.abs(middles(image) / 65535 - middles(wanted)).max() < 0.02
    assert alpha is None


@pytest.mark.parametrize("form", ["rgb24", "rgba", "gbrp"])
def test_8_bits_after_16_are_widened_to_the_whole_range(form: str) -> None:
    deep = FrameMaker(encoding("gbrap16le", 1, True, (16, 8))).make(np.zeros((8, 16, 3), np.uint16))
    plain = VideoFrame.from_ndarray(np.full((8, 16, 3), (255, 128, 0), np.uint8)).reformat(format=form)
    image, alpha = ImageReader(deep, NAME).read(plain)
    assert image.dtype == np.uint16
    assert (image == np.array([65535, 128 * 257, 0])).all()
    assert alpha is not None
    assert (alpha == 65535).all()


@pytest.mark.parametrize(("height", "matrix"), [(480, 6), (720, 1)])
def test_untagged_films_are_read_as_players_do(height: int, matrix: int) -> None:
    frame = VideoFrame(16, height, "yuv420p")
    assert colours_of(frame, NAME) == Colours(matrix, LIMITED)


def test_an_unknown_matrix_is_refused() -> None:
    frame = VideoFrame(16, 16, "yuv420p")
    frame.colorspace = 8
    with pytest.raises(InputError, match="matrix"):
        ImageReader(frame, NAME)


def test_pictures_of_another_size_or_type_are_a_bug() -> None:
    maker = FrameMaker(encoding("yuv420p", 1, False, (16, 16)))
    good = np.zeros((16, 16, 3), np.uint8)
    for image, alpha in [
        (np.zeros((16, 15, 3), np.uint8), None),
        (good.astype(np.float32), None),
        (good[..., 0], None),
        (good, np.zeros((16, 15), np.uint8)),
        (good, np.zeros((16, 16), np.uint16)),
    ]:
        with pytest.raises(ValueError, match="this"):
            maker.make(image, alpha)  # type: ignore[arg-type]


def test_a_real_rotated_and_mirrored_film_lies_as_its_matrix_says() -> None:
    with av.open(str(real("rotate_and_reflect.mp4"))) as container:
        frame = next(container.decode(video=0))
    image, _ = ImageReader(frame, NAME, "h264").read(frame)
    stored = frame.to_ndarray(format="rgb24").astype(int)
    entries: Any = frame.side_data
    a, b, _, c, d = np.frombuffer(next(bytes(e) for e in entries if e.type.name == "DISPLAYMATRIX"), np.int32)[:5]
    height, width = stored.shape[:2]
    x, y = 200, 100  # by the definition: (x,y) is shown at (a*x + c*y, b*x + d*y), moved into the picture
    across, down = (a * x + c * y) // 65536, (b * x + d * y) // 65536
    across += (a < 0) * (width - 1) + (c < 0) * (height - 1)
    down += (b < 0) * (width - 1) + (d < 0) * (height - 1)
    assert np.abs(image[down, across].astype(int) - stored[y, x]).max() <= 12


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", [False, True], ids=["", "mirrored"])
def test_alpha_is_turned_and_mirrored_with_its_picture(tmp_path: Path, degrees: int, flip: bool) -> None:
    stored = np.zeros((32, 48, 4), np.uint8)
    stored[:16, :24], stored[:16, 24:], stored[16:, :24] = 80, 160, 240
    with av.open(str(tmp_path / "in.mov"), "w") as container:
        stream: Any = container.add_stream("qtrle", rate=25, width=48, height=32)
        stream.codec_context.pix_fmt = "argb"
        stream.set_display_rotation(degrees, hflip=flip)  # PyAV: counter-clockwise, the mirror after it
        container.mux(stream.encode(VideoFrame.from_ndarray(stored, format="rgba").reformat(format="argb")))
        container.mux(stream.encode(None))
    with av.open(str(tmp_path / "in.mov")) as container:
        frame = next(container.decode(video=0))
    reader = ImageReader(frame, NAME)
    image, alpha = reader.read(frame)
    wanted = np.rot90(stored, degrees // 90)
    wanted = wanted[:, ::-1] if flip else wanted
    assert (reader.height, reader.width) == wanted.shape[:2]
    assert np.array_equal(image, wanted[..., :3])
    assert alpha is not None
    assert np.array_equal(alpha, wanted[..., 3])


@pytest.mark.parametrize(
    ("name", "matrix", "full"), [("h264_bt709_full_range_720p.mp4", 1, True), ("bt601_aac_640x428.mov", 6, False)]
)
def test_real_films_are_read_in_their_own_colours(name: str, matrix: int, full: bool) -> None:
    with av.open(str(real(name))) as container:
        frame = next(container.decode(video=0))
    image, _ = ImageReader(frame, NAME, "h264").read(frame)
    luma, first, second = (plane.astype(np.float64) for plane in planes(frame))
    chroma = [plane.repeat(2, axis=0).repeat(2, axis=1)[: luma.shape[0], : luma.shape[1]] for plane in (first, second)]
    wanted = yuv_to_rgb([luma, *chroma], matrix, full, 8)
    assert np.abs((image / 255 - wanted).mean(axis=(0, 1))).max() * 255 < 0.6
