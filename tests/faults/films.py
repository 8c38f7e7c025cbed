"""Short films in many codecs and containers, as bytes: what the corpus damages."""

import functools
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

FRAMES, WIDTH, HEIGHT = 14, 64, 32  # x265 takes no narrower ones

# Name -> suffix, encoder, pixel format, its options, codec of the sound or ''.
FORMATS: dict[str, tuple[str, str, str, dict[str, str], str]] = {
    "h264 mp4": (".mp4", "libx264", "yuv420p", {"g": "5", "crf": "20"}, "aac"),
    "h264 mp4 without sound": (".mp4", "libx264", "yuv420p", {"g": "5", "bf": "0"}, ""),
    "h264 mov": (".mov", "libx264", "yuv422p", {"g": "7"}, "pcm_s16le"),
    "hevc mp4": (".mp4", "libx265", "yuv420p10le", {"x265-params": "log-level=none:pools=none:keyint=6"}, ""),
    "vp9 webm": (".webm", "libvpx-vp9", "yuv420p", {"cpu-used": "8", "g": "5"}, "libopus"),
    "vp8 webm": (".webm", "libvpx", "yuv420p", {"cpu-used": "8", "g": "5"}, ""),
    "ffv1 mkv": (".mkv", "ffv1", "yuv444p", {"slicecrc": "1"}, "flac"),
    "mpeg-4 avi": (".avi", "mpeg4", "yuv420p", {"g": "5"}, "mp2"),
    "mpeg-2 ts": (".ts", "mpeg2video", "yuv420p", {"g": "5"}, "mp2"),
    "h264 ts": (".ts", "libx264", "yuv420p", {"g": "5"}, ""),
    "prores mov": (".mov", "prores_ks", "yuv422p10le", {}, ""),
    "motion jpeg avi": (".avi", "mjpeg", "yuvj420p", {}, ""),
    "png mov": (".mov", "png", "rgb24", {}, ""),
    "gif": (".gif", "gif", "rgb8", {}, ""),
}


def _picture(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """A texture that moves, and another one from the middle on: a cut."""
    rows, columns = np.mgrid[:height, :width]
    shift = 3 * number + (90 if number >= FRAMES // 2 else 0)
    return np.dstack((rows * 7 + shift, columns * 5 + shift, rows * columns + shift)).astype(np.uint8)


def write_film(path: Path, name: str, frames: int = FRAMES, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    """Write a film of format `name` to `path`."""
    _, encoder, pixels, options, sound = FORMATS[name]
    with av.open(f"file:{path}", "w") as container:
        stream = container.add_stream(encoder, rate=25, options=options, width=size[0], height=size[1])
        assert isinstance(stream, VideoStream)
        stream.codec_context.pix_fmt = pixels
        stream.codec_context.thread_count = 1
        track: Any = container.add_stream(sound, rate=48000, layout="mono") if sound else None
        for number in range(frames):
            frame = VideoFrame.from_ndarray(_picture(number, *size), format="rgb24")
            container.mux(stream.encode(frame.reformat(format=pixels)))
        container.mux(stream.encode(None))
        if track is not None:
            noise = np.random.default_rng(0).integers(-3000, 3000, (1, 1920 * frames), np.int16)
            heard = AudioFrame.from_ndarray(noise, format="s16", layout="mono")
            heard.sample_rate, heard.pts, heard.time_base = 48000, 0, Fraction(1, 48000)
            container.mux([*track.encode(heard), *track.encode(None)])
    return path


@functools.cache
def whole(name: str) -> bytes:
    """Return the film of format `name`."""
    with tempfile.TemporaryDirectory() as folder:
        return write_film(Path(folder) / f"film{FORMATS[name][0]}", name).read_bytes()


@functools.cache
def sound_only() -> bytes:
    """Return an .mp4 without pictures."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.mp4"
        with av.open(str(path), "w") as container:
            track: Any = container.add_stream("aac", rate=48000, layout="mono")
            heard = AudioFrame.from_ndarray(np.zeros((1, 9600), np.int16), format="s16", layout="mono")
            heard.sample_rate, heard.pts, heard.time_base = 48000, 0, Fraction(1, 48000)
            container.mux([*track.encode(heard), *track.encode(None)])
        return path.read_bytes()


def count_frames(path: Path) -> int:
    """Decode all of `path` and return how many frames there are.

    Raises:
        av.FFmpegError: something of it cannot be decoded.
    """
    with av.open(f"file:{path}", options={"err_detect": "explode"}) as container:
        return sum(1 for _ in container.decode(container.streams.video[0]))
