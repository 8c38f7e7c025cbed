"""A short, small film of several films below each other, for a page that shows them in step.

One film with all of them in each frame cannot get out of step, whatever the player does. The time of a frame is the
first film's.

Units: seconds as Fraction; sizes in pixels.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

from stylegan_tool.errors import InputError, OutputError
from stylegan_tool.film.convert import plan_window
from stylegan_tool.film.frame_maker import FrameMaker
from stylegan_tool.film.look import look_at
from stylegan_tool.film.plan import BT709, LIMITED, Colours, Encoding
from stylegan_tool.film.reader import FilmReader
from stylegan_tool.options import FilmOptions
from stylegan_tool.pixels import Image, in_8_bits

WIDEST = 640
LONGEST_S = Fraction(10)
_TIME_BASE = Fraction(1, 90000)  # of the preview
# Little of the page: 1 to 2 MB for ten seconds. A key frame every half second or so: the time bar is dragged.
_OPTIONS = {"crf": "25", "preset": "medium", "maxrate": "1500k", "bufsize": "3000k", "g": "12"}


class Advance(Protocol):
    """Called for each frame."""

    def __call__(self) -> None:
        """Count a frame."""


@dataclass(frozen=True)
class Preview:
    """An MP4 of `rows` films below each other, each `width` x `height`."""

    content: bytes
    width: int
    height: int
    rows: int
    duration_s: float


def make_preview(films: Sequence[tuple[Path, FilmOptions]], on_frame: Advance) -> Preview:
    """Return a preview of `films`, of each what its options take of it; all begin together.

    Raises:
        InputError: one cannot be read.
        OutputError: it cannot be encoded.
    """
    memory = io.BytesIO()
    with ExitStack() as stack:
        shown = [_Shown(stack, path, options) for path, options in films]
        width, height = shown[0].size
        scale = min(1.0, WIDEST / width)
        size = (max(16, round(width * scale / 2) * 2), max(16, round(height * scale / 2) * 2))
        end_s = _encode([one.frames() for one in shown], size, shown[0].frame_rate, memory, on_frame)
    return Preview(memory.getvalue(), *size, len(films), float(end_s))


class _Shown:
    """A film that is read for its frames' times and pictures."""

    def __init__(self, stack: ExitStack, path: Path, options: FilmOptions) -> None:
        look = look_at(path, options.sequence_rate)
        window = plan_window(look, options, path)
        self.frame_rate = look.info.frame_rate
        # As players show it: the pixels of old formats are not square.
        self.size = (round(look.info.width * (look.facts.pixel_shape or 1)), look.info.height)
        self._path, self._time_base = path, look.facts.time_base
        self._reader = stack.enter_context(FilmReader(path, look, window, sequence_rate=options.sequence_rate))

    def frames(self) -> Iterator[tuple[Fraction, Image]]:
        """Yield (seconds, picture), of at least one frame.

        Raises:
            InputError: it has none.
        """
        frame = None
        for frame in self._reader:
            yield frame.pts * self._time_base, frame.image
        if frame is None:
            raise InputError(f"no frame of {self._path} can be decoded", hint="Play it to see whether it is damaged.")


def _encode(
    films: list[Iterator[tuple[Fraction, Image]]],
    size: tuple[int, int],
    frame_rate: Fraction,
    memory: io.BytesIO,
    on_frame: Advance,
) -> Fraction:
    """Write the frames of all films to `memory`, and return the time of the last one's end."""
    encoding = _plan_encoding(size[0], size[1] * len(films), frame_rate)
    maker = FrameMaker(encoding)
    end_s = Fraction(0)
    try:
        with av.open(memory, "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=frame_rate, options=dict(encoding.options))
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt = encoding.width, encoding.height, encoding.pixel_format
            stream.codec_context.time_base = _TIME_BASE
            for time_s, images in _in_step(films):
                frame = maker.make(np.concatenate([_scaled(image, size) for image in images]))
                frame.pts, frame.time_base = round(time_s / _TIME_BASE), _TIME_BASE
                container.mux(stream.encode(frame))
                end_s = time_s + 1 / frame_rate
                on_frame()
            container.mux(stream.encode(None))
    except av.error.FFmpegError as error:
        raise OutputError(f"no preview can be encoded: {error.strerror}", hint="See sgt doctor.") from error
    return end_s


def _in_step(films: list[Iterator[tuple[Fraction, Image]]]) -> Iterator[tuple[Fraction, list[Image]]]:
    """Yield the first film's times, counted from its first, and what each film shows then, for LONGEST_S."""
    leading, *others = films
    following = [_Following(film) for film in others]
    begin_s: Fraction | None = None
    for time_s, image in leading:
        begin_s = time_s if begin_s is None else begin_s
        if time_s - begin_s >= LONGEST_S:
            return
        yield time_s - begin_s, [image, *(one.at(time_s - begin_s) for one in following)]


class _Following:
    """What a film shows at growing times after its first frame's."""

    def __init__(self, frames: Iterator[tuple[Fraction, Image]]) -> None:
        self._frames = frames
        self._begin_s, self._image = next(frames)
        self._next: tuple[Fraction, Image] | None = next(frames, None)

    def at(self, time_s: Fraction) -> Image:
        """Return the picture shown `time_s` after the first; the last one stays."""
        # Times that went through milliseconds (Matroska) may be one late.
        while self._next is not None and self._next[0] - self._begin_s <= time_s + Fraction(2, 1000):
            self._image = self._next[1]
            self._next = next(self._frames, None)
        return self._image


def _scaled(image: Image, size: tuple[int, int]) -> Image:
    pixels = in_8_bits(image)
    if pixels.shape[1::-1] == size:
        return pixels
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _plan_encoding(width: int, height: int, frame_rate: Fraction) -> Encoding:
    return Encoding(
        container="mp4",
        encoder="libx264",
        pixel_format="yuv420p",
        width=width,
        height=height,
        padded_width=width,
        padded_height=height,
        frame_rate=frame_rate,
        time_base=_TIME_BASE,
        colours=Colours(BT709, LIMITED, BT709, BT709),
        options=tuple(_OPTIONS.items()),
    )
