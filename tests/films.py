"""Films made on the spot, and what is in a film, for the tests."""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.codec.context import Flags
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from stylegan_tool.pixels import Image

FILMS = Path(__file__).parents[1].parent / "shared/data/videos"
SECOND = Fraction(1, 1000)

# Kr and Kb of ITU-R BT.601, BT.709 and BT.2020, by H.273's number for the matrix.
WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
PATCHES = [(200, 40, 40), (40, 180, 60), (50, 60, 210), (220, 200, 40), (40, 190, 200), (128, 128, 128)]


def real(name: str) -> Path:
    path = FILMS / name
    if not path.exists():
        pytest.skip(f"the shared films are not here: {path}")
    return path


def identity(image: Image) -> Image:
    return image


# Colour by the book, in NumPy, so that no test asks swscale about swscale.


def rgb_to_yuv(rgb: Sequence[float], matrix: int, full: bool) -> tuple[float, float, float]:
    """Return 8-bit Y, U, V of 8-bit RGB, not rounded."""
    kr, kb = WEIGHTS[matrix]
    r, g, b = (value / 255 for value in rgb)
    y = kr * r + (1 - kr - kb) * g + kb * b
    u, v = (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr))
    return (255 * y, 255 * u + 128, 255 * v + 128) if full else (219 * y + 16, 224 * u + 128, 224 * v + 128)


def yuv_to_rgb(yuv: Sequence[Any], matrix: int, full: bool) -> NDArray[np.float64]:
    """Return 8-bit R, G, B, neither rounded nor clipped, of three numbers or three planes."""
    kr, kb = WEIGHTS[matrix]
    y = yuv[0] / 255 if full else (yuv[0] - 16) / 219
    u, v = ((chroma - 128) / (255 if full else 224) for chroma in yuv[1:])
    r, b = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    return 255 * np.array([r, (y - kr * r - kb * b) / (1 - kr - kb), b])


def planes(frame: VideoFrame) -> list[NDArray[Any]]:
    """Return the frame's planes, without padding, as they lie in memory."""
    result: list[NDArray[Any]] = []
    for plane in frame.planes:
        kind: type[np.uint8] | type[np.uint16] = np.uint16 if "10le" in frame.format.name else np.uint8
        rows = np.frombuffer(bytes(plane), kind).reshape(-1, plane.line_size // np.dtype(kind).itemsize)
        result.append(rows[: plane.height, : plane.width])
    return result


def draw_patches(matrix: int, full: bool) -> VideoFrame:
    """Return 96x64 yuv420p: six patches of 32x32."""
    frame = VideoFrame(96, 64, "yuv420p")
    for plane, channel, scale in zip(frame.planes, range(3), (32, 16, 16), strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        for number, rgb in enumerate(PATCHES):
            top, left = number // 3 * scale, number % 3 * scale
            rows[top : top + scale, left : left + scale] = round(rgb_to_yuv(rgb, matrix, full)[channel])
        plane.update(rows.tobytes())
    return frame


def grey(level: int, width: int = 32, height: int = 16) -> VideoFrame:
    frame = VideoFrame(width, height, "yuv420p")
    for plane, value in zip(frame.planes, (level, 128, 128), strict=True):
        plane.update(np.full(plane.buffer_size, value, np.uint8).tobytes())
    return frame


def make_film(
    path: Path,
    frames: Sequence[VideoFrame],
    pts: Sequence[int] | None = None,
    *,
    last_ms: int = 40,
    encoder: str = "libx264",
    tags: tuple[int, int, int, int] = (2, 0, 2, 2),  # matrix, range, primaries, transfer
    options: dict[str, str] | None = None,
    sound: Sequence[str] = (),
    prepare: Callable[[VideoStream], None] = lambda stream: None,
) -> Path:
    """Encode frames at times in ms (40 apart if not given), with tracks of noise in the codecs of `sound`."""
    pts = [40 * number for number in range(len(frames))] if pts is None else pts
    with av.open(f"file:{path}", "w", metadata_errors="strict") as container:
        container.metadata["title"] = "Étude"
        stream = container.add_stream(
            encoder,
            rate=25,
            options={"crf": "1", "bf": "0"} if options is None else options,
            width=frames[0].width,
            height=frames[0].height,
            time_base=SECOND,
        )
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.pix_fmt = frames[0].format.name
        context.colorspace, context.color_range, context.color_primaries, context.color_trc = tags
        context.flags |= int(Flags.frame_duration)
        prepare(stream)
        tracks: list[Any] = [container.add_stream(codec, rate=48000) for codec in sound]
        for number, track in enumerate(tracks):
            track.codec_context.layout = "mono"
            track.metadata["language"] = ("eng", "deu")[number]
        for number, track in enumerate(tracks):
            noise = np.random.default_rng(number).integers(-3000, 3000, (1, 48000 // 2), np.int16)
            heard = AudioFrame.from_ndarray(noise, format="s16", layout="mono")
            heard.sample_rate, heard.pts, heard.time_base = 48000, 0, Fraction(1, 48000)
            container.mux([*track.encode(heard), *track.encode(None)])
        for frame, at, after in zip(frames, pts, [*pts[1:], pts[-1] + last_ms], strict=True):
            frame.pts, frame.time_base, frame.duration = at, SECOND, after - at
            frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc = tags
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decode(path: Path) -> list[VideoFrame]:
    with av.open(f"file:{path}") as container:
        return list(container.decode(video=0))


def times_s(path: Path) -> list[Fraction]:
    with av.open(f"file:{path}") as container:
        tick = container.streams.video[0].time_base
        assert tick is not None
        return [(frame.pts or 0) * tick for frame in container.decode(video=0)]


def sound_of(path: Path) -> list[list[tuple[float, bytes]]]:
    with av.open(f"file:{path}") as container:
        tracks: dict[int, list[tuple[float, bytes]]] = {track.index: [] for track in container.streams.audio}
        for packet in container.demux(container.streams.audio):
            if packet.size and packet.pts is not None:
                tracks[packet.stream_index].append((float(packet.pts * packet.time_base), bytes(packet)))
        return list(tracks.values())


def noise_images(count: int, width: int = 64, height: int = 48) -> list[Image]:
    rng = np.random.default_rng(0)
    return [np.full((height, width, 3), rng.integers(0, 255, 3), np.uint8) for _ in range(count)]


def write_film(
    path: Path, images: Iterable[Image], *, frame_rate: Fraction = Fraction(25), tone_hz: float | None = None
) -> Path:
    """Encode pictures of one size, as good as lossless, with a tone of the film's length if asked for."""
    images = list(images)
    height, width = images[0].shape[:2]
    encoder, options = {
        ".webm": ("libvpx-vp9", {"crf": "4", "b": "0", "cpu-used": "5"}),
        ".mkv": ("ffv1", {}),
    }.get(path.suffix, ("libx264", {"crf": "1"}))
    options_of_file = {"movflags": "+faststart"} if path.suffix in {".mp4", ".mov"} else {}
    with av.open(f"file:{path}", "w", container_options=options_of_file) as container:
        stream = container.add_stream(encoder, rate=frame_rate, options=options, width=width, height=height)
        assert isinstance(stream, VideoStream)
        stream.codec_context.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"
        tone: Any = container.add_stream("aac", rate=48000, layout="mono") if tone_hz else None
        for image in images:
            container.mux(stream.encode(VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
        if tone is not None:
            clock = np.arange(round(48000 * len(images) / frame_rate)) / 48000
            heard = AudioFrame.from_ndarray(
                (0.3 * np.sin(2 * np.pi * (tone_hz or 0) * clock)).astype(np.float32)[None],
                format="fltp",
                layout="mono",
            )
            heard.sample_rate, heard.pts, heard.time_base = 48000, 0, Fraction(1, 48000)
            container.mux([*tone.encode(heard), *tone.encode(None)])
    return path


def damage(path: Path, numbers: Sequence[int]) -> Path:
    """Overwrite the pictures' packets of these numbers with zeros."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for number in numbers:
        pos, size = places[number]
        assert pos is not None
        data[pos : pos + size] = bytes(size)
    path.write_bytes(data)
    return path
