"""Write one segment of a film: a closed Matroska file of one video track that begins with a key frame."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import av.error
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stylegan_tool.errors import OutputError
from stylegan_tool.film.file_errors import target_errors, url_of
from stylegan_tool.film.frame_maker import FrameMaker
from stylegan_tool.film.packets import AnyPacket
from stylegan_tool.film.plan import Encoding
from stylegan_tool.image_files.picture import Plane
from stylegan_tool.pixels import Image

# Matroska counts milliseconds, and no two frames may fall on one.
_MOST_A_SECOND = Fraction(240)

_LONGEST_DELAY = 64  # frames; no encoder here looks further ahead for what it shows first


@dataclass(frozen=True)
class SegmentInfo:
    """What a finished segment holds: its number of frames, and `Segment.delay`."""

    frames: int
    delay: int


class SegmentWriter:
    """A segment being written to `path`, which is whole only after `close`.

    Leaving the `with` block by an exception leaves an unfinished file.
    """

    def __init__(self, path: Path, encoding: Encoding) -> None:
        """Open the encoder and the file.

        Raises:
            OutputError: the file cannot be made, or the encoder refuses the encoding.
        """
        os.environ.setdefault("SVT_LOG", "0")  # SVT-AV1 talks on stderr; what fails is told by FFmpeg too
        self.frames = 0
        self._path = path
        self._encoding = encoding
        self._maker = FrameMaker(encoding)
        self._order: list[int] = []  # the frames' numbers as their packets come
        self._info: SegmentInfo | None = None
        with target_errors(self._path):
            self._container: OutputContainer = av.open(url_of(path), "w", format="matroska")
            try:
                self._stream = self._add_stream()
            except BaseException:
                self._container.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        with suppress(av.error.FFmpegError, OSError):  # what went wrong first is what is told
            self._container.close()

    def write(self, image: Image, alpha: Plane | None = None) -> None:
        """Encode the next picture, uint8 or uint16 (H,W,3) RGB, with its alpha (H,W) of the same type.

        Without alpha it is opaque; where the encoding has no room for alpha, that is left out.

        Raises:
            OutputError: encoding or writing fails.
            ValueError: size or type are wrong, or the segment is closed.
        """
        if self._info is not None:
            raise ValueError(f"{self._path} is closed")
        frame = self._maker.make(image, alpha)
        frame.pts, frame.time_base, frame.duration = self.frames, 1 / self._rate, 1
        self._mux(frame)
        self.frames += 1

    def close(self) -> SegmentInfo:
        """Drain the encoder, write the index, wait until the disk has it all; a second call changes nothing.

        Raises:
            OutputError: not all of it could be written, or the encoder lost a frame.
        """
        if self._info is not None:
            return self._info
        with target_errors(self._path):
            try:
                if self.frames:
                    self._mux(None)
            finally:
                self._container.close()
            with self._path.open("rb+") as file:
                os.fsync(file.fileno())
        if sorted(self._order) != list(range(self.frames)):
            raise OutputError(
                f"{self._encoding.encoder} gave {len(self._order)} of {self.frames} frames for {self._path}",
                hint="Choose another encoder, such as --codec hevc",
            )
        delay = max((place - number for place, number in enumerate(self._order)), default=0)
        self._info = SegmentInfo(self.frames, delay)
        return self._info

    @property
    def _rate(self) -> Fraction:
        return min(self._encoding.frame_rate.limit_denominator(100_000), _MOST_A_SECOND)

    def _add_stream(self) -> VideoStream:
        encoding = self._encoding
        options = dict(encoding.options)
        stream = self._container.add_stream(
            encoding.encoder,
            rate=self._rate,
            options=options,
            width=encoding.padded_width,
            height=encoding.padded_height,
            time_base=1 / self._rate,
        )
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.pix_fmt = encoding.pixel_format
        context.thread_type = "AUTO"  # PyAV's default cuts each frame into slices, which costs quality
        colours = encoding.colours
        context.colorspace, context.color_range = self._maker.matrix, colours.range
        context.color_primaries, context.color_trc = colours.primaries, colours.transfer
        if encoding.pixel_shape is not None:
            context.sample_aspect_ratio = encoding.pixel_shape
        with self._encoder_errors():
            context.open()
        self._container.start_encoding()  # the file is made now, not at the first packet
        return stream

    def _mux(self, frame: VideoFrame | None) -> None:
        with self._encoder_errors():
            packets = self._stream.encode(frame)
        with target_errors(self._path):
            for packet in packets:
                # Matroska stores no decoding times, but its writer wants them to grow and be early enough; those that
                # libx265 gives with a film of one or two frames are neither.
                packet.pts = number = self._number_of(packet)
                packet.dts, packet.time_base = len(self._order) - _LONGEST_DELAY, 1 / self._rate
                self._order.append(number)
                self._container.mux(packet)

    def _number_of(self, packet: AnyPacket) -> int:
        assert packet.pts is not None  # every encoder hands on what the frame said
        return round(packet.pts * packet.time_base * self._rate)

    @contextmanager
    def _encoder_errors(self) -> Iterator[None]:
        """Turn what an encoder says into OutputError: the disk is not to blame."""
        try:
            yield
        except av.error.FFmpegError as error:
            encoding = self._encoding
            raise OutputError(
                f"{encoding.encoder} failed on pictures of {encoding.width}x{encoding.height} "
                f"in {encoding.pixel_format} for {self._path}: {error.strerror or type(error).__name__}",
                hint="Leave --hardware out, or choose another encoder, such as --codec hevc",
            ) from error
