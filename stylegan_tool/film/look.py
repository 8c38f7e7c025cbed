"""Look at a film before any work: what its headers and its first frame say."""

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av.error
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stylegan_tool.errors import InputError
from stylegan_tool.film.colours import colours_of
from stylegan_tool.film.decoding import decoder_for
from stylegan_tool.film.facts import Facts, light_of
from stylegan_tool.film.file_errors import input_errors
from stylegan_tool.film.image_reader import ImageReader
from stylegan_tool.film.source import open_film

INTERLACED = "the film is interlaced: its frames are made whole (bwdif), one for each"


@dataclass(frozen=True)
class FilmInfo:
    """What a film is, as displayed (after rotation); `frames` is what the header promises, or None."""

    width: int
    height: int
    frame_rate: Fraction
    frames: int | None
    duration_s: float | None
    audio_tracks: int
    codec: str

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height


@dataclass(frozen=True)
class Look:
    """What the first frame and the headers say.

    Attributes:
        facts: what the encoding goes by.
        zero_s: where the clock of a broadcast starts, which means nothing; else 0.
        start_s: the first frame's time, after zero_s.
        begin_s: when the first of pictures and sound begins: where players begin to count.
        interlaced: frames are made whole.
        notes: for the viewer.
    """

    info: FilmInfo
    facts: Facts
    zero_s: Fraction
    start_s: Fraction
    begin_s: Fraction
    interlaced: bool
    notes: tuple[str, ...]


def read_film_info(path: Path, sequence_rate: Fraction | None = None) -> FilmInfo:
    """Open `path`, decode its first frame, and say what it is.

    Raises:
        InputError: `path` is missing, empty, unreadable, not a film, or no frame of it can be decoded.
    """
    return look_at(path, sequence_rate).info


def look_at(path: Path, sequence_rate: Fraction | None = None) -> Look:
    """Decode up to the first frame and gather what is said of the film.

    Raises:
        InputError: see `read_film_info`.
    """
    container, video = open_film(path, sequence_rate)
    with container:
        frame = _first_frame(path, container, video)
        reader = ImageReader(frame, path, video.codec_context.codec.canonical_name)
        pixel_shape = video.sample_aspect_ratio
        if pixel_shape is not None and (pixel_shape <= 0 or pixel_shape == 1):
            pixel_shape = None
        if pixel_shape and reader.orientation.transpose:
            pixel_shape = 1 / pixel_shape
        frame_rate = _frame_rate_of(video)
        duration_s = _duration_s(container, video)
        frames = video.frames or (max(1, round(duration_s * frame_rate)) if duration_s else None)
        sound = [track for track in container.streams.audio if track.codec_context is not None]
        codec = video.codec_context.codec.canonical_name
        assert video.time_base is not None  # every demuxer sets it
        begin_s = _begin_s(container)
        # What the clock of a broadcast shows at its start means nothing: it starts anywhere.
        zero_s = begin_s if {"mpegts", "mpeg"} & set(container.format.name.split(",")) else Fraction(0)
        return Look(
            FilmInfo(reader.width, reader.height, frame_rate, frames, duration_s, len(sound), codec),
            Facts(
                width=reader.width,
                height=reader.height,
                frame_rate=frame_rate,
                time_base=video.time_base,
                colours=colours_of(frame, path),
                pixel_shape=pixel_shape,
                bits=reader.bits,
                has_alpha=reader.has_alpha and (codec != "gif" or _is_clear(reader, frame)),
                light=light_of(frame),
            ),
            zero_s,
            (frame.pts or 0) * video.time_base - zero_s,
            begin_s,
            bool(frame.interlaced_frame),
            _notes(reader, frame, zero_s),
        )


def _is_clear(reader: ImageReader, frame: VideoFrame) -> bool:
    """Whether something of the frame is see-through: every GIF could be, and most are not."""
    alpha = reader.read(frame)[1]
    return alpha is not None and bool((alpha < np.iinfo(alpha.dtype).max).any())


def _notes(reader: ImageReader, frame: VideoFrame, zero_s: Fraction) -> tuple[str, ...]:
    notes = []
    if zero_s:
        notes.append(f"the clock starts at {float(zero_s):.3f} s; the film at 0")
    if reader.is_tilted:
        notes.append("the film asks to be shown tilted by less than a right angle, which is left out")
    if frame.interlaced_frame:
        notes.append(INTERLACED)
    return tuple(notes)


def _first_frame(path: Path, container: InputContainer, video: VideoStream) -> VideoFrame:
    """Return the first frame that can be decoded, or raise InputError."""
    decoder = decoder_for(video)
    with input_errors(path):
        for packet in container.demux(video):
            with suppress(av.error.FFmpegError):  # a damaged start: the frames after it may be sound
                for frame in decoder.decode(packet if packet.size else None):
                    return frame
    raise InputError(
        f"no frame of {path} can be decoded", hint="Play it to see whether it is damaged; copy or download it again."
    )


def _frame_rate_of(video: VideoStream) -> Fraction:
    """Return the average frame rate per second, always positive."""
    rate = video.average_rate
    # 'Every tick a frame', or more, is what FFmpeg makes of Matroska files that say nothing: 1000 a second.
    if not rate or (video.time_base and rate >= 1 / video.time_base and 1 / video.time_base > 240):
        rate = video.guessed_rate or rate
    return Fraction(rate) if rate and rate > 0 else Fraction(25)


def _duration_s(container: InputContainer, video: VideoStream) -> float | None:
    if video.duration and video.time_base:
        return float(video.duration * video.time_base)
    if not container.duration:
        return None
    duration_s = container.duration / 1_000_000
    if "matroska" in container.format.name:  # counts from 0, wherever its film begins
        duration_s -= float(_begin_s(container))
    return duration_s if duration_s > 0 else None


def _begin_s(container: InputContainer) -> Fraction:
    """Return when the first track begins, in s."""
    starts = [
        stream.start_time * stream.time_base
        for stream in (*container.streams.video, *container.streams.audio)
        if stream.start_time is not None and stream.time_base is not None
    ]
    return min(starts, default=Fraction(container.start_time or 0, 1_000_000))  # Matroska's tracks do not say
