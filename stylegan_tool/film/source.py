"""Read a film: what it is, and its frames one after the other, at their own times.

Damage does not end a film: what cannot be decoded is counted, and a lost frame stands in the film as a repetition of
the one before it, at its own time, so that picture and sound never drift apart.

A film may also be a sequence of numbered pictures, named by a pattern such as frames/%05d.png.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stylegan_tool.errors import InputError, typed
from stylegan_tool.film.colours import ImageReader, colours_of
from stylegan_tool.film.decoding import decoder_for
from stylegan_tool.film.deinterlace import Deinterlacer
from stylegan_tool.film.encoding import NUMBER, Facts, light_of, names_sequence
from stylegan_tool.film.file_errors import url_of
from stylegan_tool.film.plan import Window
from stylegan_tool.image_files import Plane
from stylegan_tool.pixels import Image

if TYPE_CHECKING:
    _AnyPacket: TypeAlias = Packet[Any]
else:
    _AnyPacket = Packet  # takes no parameters at run time

_CUT_SHORT_S = 0.5  # a film that ends this much before what its header says has lost its end
_MOST_FAILURES = 8  # unreadable places in a row, after which a file is given up
_RUN_UP_S = 5  # before the place looked for: some key frames need what comes before them
INTERLACED = "the film is interlaced: its frames are made whole (bwdif), one for each"
_SEQUENCE_RATE = Fraction(25)


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


@dataclass(frozen=True)
class FilmFrame:
    """A picture of the film as displayed.

    Attributes:
        number: of the frame in the film (in its window), from 0.
        pts: in the film, in ticks of the source's time base, growing.
        duration: ticks; 0 if unknown.
        image, alpha: see ImageReader; a repeated frame has the very arrays of the one before.
        damage: damaged places met since the frame before, this one's own included.
    """

    number: int
    pts: int
    duration: int
    image: Image
    alpha: Plane | None
    damage: int = 0


@dataclass(frozen=True)
class Place:
    """Where to go on in a film: after so many frames, the last of which was shown at `last_pts` (in the film).

    `even`: all times up to there are the source's own, so that the place can be found by its time.
    """

    frames: int
    last_pts: int
    even: bool = True


def is_sequence(path: Path) -> bool:
    """Whether `path` is a pattern of numbered pictures: frames/%05d.png."""
    return names_sequence(path) and not path.exists()


def list_sequence(pattern: Path) -> dict[int, Path]:
    """Return the pictures that `pattern` names, by their numbers, in order."""
    before, after = (re.escape(part) for part in NUMBER.split(pattern.name, maxsplit=1))
    found_number = NUMBER.search(pattern.name)
    width = int(found_number[0][1:-1] or 1) if found_number else 1
    # As FFmpeg's and C's: %05d has at least five digits, %d none before the first that counts.
    digits = rf"\d{{{width}}}|[1-9]\d{{{width},}}"
    name = re.compile(rf"{before}({digits}){after}")
    with input_errors(pattern.parent):
        found = {int(match[1]): path for path in pattern.parent.iterdir() if (match := name.fullmatch(path.name))}
    return dict(sorted(found.items()))


@contextmanager
def input_errors(path: Path) -> Iterator[None]:
    """Turn what FFmpeg and the system say while reading `path` into InputError."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(
            f"no such file: {path}",
            hint="Check the name, and quote it if it has spaces; the film comes first, then the target.",
        ) from error
    except IsADirectoryError as error:
        raise InputError(
            f"{path} is a folder, not a film", hint=f"Name one film, or numbered pictures: {typed(path / '%05d.png')}"
        ) from error
    except PermissionError as error:
        raise InputError(
            f"you may not read {path}", hint=f"Copy it, or change who may read it: ls -l {typed(path)}"
        ) from error
    except (av.error.FFmpegError, OSError) as error:
        reason = error.strerror or type(error).__name__
        raise InputError(
            f"cannot read {path} as a film: {reason}",
            hint="Play it to see whether it is damaged; copy or download it again.",
        ) from error


def open_film(path: Path, sequence_rate: Fraction | None = None) -> tuple[InputContainer, VideoStream]:
    """Open `path` and choose its picture track: the default one, else the first; never a cover picture.

    Args:
        sequence_rate: frames a second of numbered pictures; by default 25.

    Raises:
        InputError: missing, empty, unreadable, or no film.
    """
    with input_errors(path):
        if is_sequence(path):
            first = _first_number(path)
            options = {"framerate": str(sequence_rate or _SEQUENCE_RATE), "start_number": str(first)}
            pattern = f"{str(path.parent).replace('%', '%%')}/{path.name}"
            container = av.open(pattern, "r", format="image2", options=options)
        else:
            if path.exists() and not (path.is_file() or path.is_dir()):
                raise InputError(  # a pipe would block for ever
                    f"{path} is no ordinary file", hint="Save it as a film first, and name that."
                )
            # Titles that are not UTF-8 come through byte for byte.
            container = av.open(url_of(path), "r", metadata_errors="surrogateescape")
    try:
        return container, _picture_track(path, container)
    except BaseException:
        container.close()
        raise


def _first_number(pattern: Path) -> int:
    """Return the number of a sequence's first picture.

    Raises:
        InputError: there is none, one is no file or empty, or a number is left out: FFmpeg would wait for a pipe, and
            take the others for the end.
    """
    numbered = list_sequence(pattern)
    if not numbered:
        raise InputError(
            f"no picture is named like {pattern}",
            hint=f"See how many digits its numbers have: ls {typed(pattern.parent)}",
        )
    for path in numbered.values():
        if not path.is_file():
            raise InputError(f"{path} is no ordinary file", hint=f"Take it away from there: mv {typed(path)} ..")
        if not path.stat().st_size:
            raise InputError(f"{path} is empty", hint="Make that picture again: a film has no gaps.")
    for before, after in pairwise(numbered):
        if after != before + 1:
            raise InputError(
                f"after {numbered[before]} comes {numbered[after].name}: what is between them is missing",
                hint="Number the pictures without a gap.",
            )
    return next(iter(numbered))


def _picture_track(path: Path, container: InputContainer) -> VideoStream:
    names = container.format.name.split(",")
    a_picture = any(name in {"image2", "tty"} or name.endswith("_pipe") for name in names)
    if (a_picture and not is_sequence(path)) or container.metadata.get("major_brand") in {"avif", "heic", "mif1"}:
        raise InputError(f"{path} is not a film", hint=f"For pictures: sgt images {typed(path)} OUT")
    still = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails
    tracks = [stream for stream in container.streams.video if not stream.disposition & still]
    if not tracks:
        raise InputError(f"{path} has no pictures, only {_list_streams(container)}", hint="Name a film that has some.")
    video = next((track for track in tracks if track.disposition & Disposition.default), tracks[0])
    if video.codec_context is None:
        raise InputError(
            f"{path}: the FFmpeg that is installed has no decoder for its pictures",
            hint="Convert it to H.264 with another tool first.",
        )
    # Slices only: with frame threads FFmpeg reports damage at a later packet than the damaged one, PyAV
    # swallows it when a frame came along, and a damaged VP9 film lost 99 of 120 frames instead of one.
    video.thread_type = "SLICE"
    return video


def _list_streams(container: InputContainer) -> str:
    return ", ".join(name_stream(stream) for stream in container.streams) or "nothing"


def name_stream(stream: Stream) -> str:
    """Return 'audio track 1 (aac)'."""
    context = stream.codec_context
    # PyAV's streams without a codec may lack even the attribute.
    codec = context.codec.canonical_name if context is not None else getattr(stream, "name", None)
    return f"{stream.type} track {stream.index} ({codec or 'unknown codec'})"


# Looking ------------------------------------------------------------------------------------------------


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


def _promised_end_s(container: InputContainer) -> float | None:
    """Return when the film ends by its header, in s; None where FFmpeg would only estimate it."""
    stated = {"mov", "matroska"} & set(container.format.name.split(","))
    if not container.duration or not stated:
        return None
    return (max(container.start_time or 0, 0) + container.duration) / 1_000_000


# Reading ------------------------------------------------------------------------------------------------


class FilmReader:
    """The frames of a film inside a window, in the order of their times.

    Args:
        after: the place from which on frames are wanted. Frames before it are decoded as far as needed, and the last
            one of them is yielded, too: what follows may be compared with it.

    Attributes:
        damage: damaged places met after the last frame that was yielded; the missing end of a file is one.
        even: all times so far are the source's own.
        notes: what is known only on the way.
    """

    def __init__(
        self,
        path: Path,
        look: Look,
        window: Window,
        *,
        sequence_rate: Fraction | None = None,
        after: Place | None = None,
    ) -> None:
        self.damage = 0
        self.even = after.even if after is not None else True
        self.notes: list[str] = []
        self._path, self._look, self._window, self._rate = path, look, window, sequence_rate
        self._time_base = look.facts.time_base
        self._zero = round(window.zero_s / self._time_base)
        self._after = after
        self._open()
        try:
            if after is not None and after.even:
                self._found_by_time = self._seek((after.last_pts + self._zero) * self._time_base)
            elif after is None and window.start_s is not None:
                self._seek(window.start_s)
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def _open(self) -> None:
        self._container, self._video = open_film(self._path, self._rate)
        self._decoder = decoder_for(self._video)
        self._lost: list[int] = []
        self._reached_s = 0.0
        self._found_by_time = self._has_arrived = False
        self._number = 0  # of the next frame
        self._last_pts: int | None = None

    def _seek(self, time_s: Fraction) -> bool:
        """Go to a key frame at least _RUN_UP_S before `time_s`; False (and at the start) where that cannot be."""
        ticks = round((time_s - _RUN_UP_S) / self._time_base)
        start = self._video.start_time or 0
        if ticks <= start or is_sequence(self._path):
            return False
        try:
            self._container.seek(ticks, stream=self._video, backward=True)
            arrived = self._peek_pts()
            if arrived is not None and arrived * self._time_base <= time_s:
                self._container.seek(ticks, stream=self._video, backward=True)
                self._decoder.flush_buffers()
                return True
        except (av.error.FFmpegError, OSError, InputError):
            pass
        self._container.close()
        self._open()
        return False

    def _peek_pts(self) -> int | None:
        """Return the first time stamp of a frame that can be decoded from here on."""
        for packet in self._container.demux(self._video):
            for frame in self._decoder.decode(packet if packet.size else None):
                self._decoder.flush_buffers()
                return frame.pts
        return None

    def __iter__(self) -> Iterator[FilmFrame]:
        """Yield the frames; once.

        Raises:
            InputError: the file cannot be read any further, or its pictures cannot be converted.
        """
        images: ImageReader | None = None
        shown: VideoFrame | None = None  # the last one
        last: FilmFrame | None = None
        for frame in self._shown():
            end_s = self._window.end_s
            if end_s is not None and frame.pts is not None and frame.pts * self._time_base >= end_s:
                self.damage, self._reached_s = 0, float("inf")
                break
            if images is None:
                images = ImageReader(frame, self._path, self._look.info.codec, self._look.info.size)
            pts = self._time_of(frame)
            if pts is None:
                continue
            for at, new in (*((lost, None) for lost in self._take_lost(before=pts)), (pts, frame)):
                if self._passes_over(at):
                    shown = new or shown
                    continue
                if last is None and self._after is not None and shown is not None:
                    last = FilmFrame(self._after.frames - 1, self._after.last_pts, 0, *images.read(shown))
                    yield last
                image, alpha = (last.image, last.alpha) if new is None and last is not None else images.read(frame)
                duration = (frame.duration or 0) if new is not None else 0
                last = FilmFrame(self._count(at), at, duration, image, alpha, self._take_damage())
                if images.was_resized:
                    self._note_once(
                        "the film changes its size on the way; later pictures are scaled to the first one's"
                    )
                yield last
        for lost in self._take_lost(before=None):
            if last is not None and not self._passes_over(lost):
                last = FilmFrame(self._count(lost), lost, 0, last.image, last.alpha, self._take_damage())
                yield last
        self._finish()

    def _passes_over(self, pts: int) -> bool:
        """Whether the frame at `pts` was made before."""
        after = self._after
        if after is None:
            return False
        if self._found_by_time:
            if pts > after.last_pts:
                if not self._has_arrived:
                    self._number, self._has_arrived = after.frames, True
                return False
        elif self._number >= after.frames:
            return False
        self._count(pts)
        self.damage = 0  # it was counted then
        return True

    def _count(self, pts: int) -> int:
        self._number, self._last_pts = self._number + 1, pts
        return self._number - 1

    def _take_damage(self) -> int:
        damage, self.damage = self.damage, 0
        return damage

    def _time_of(self, frame: VideoFrame) -> int | None:
        """Return the frame's pts in the film, made to grow; None if it lies before what is wanted."""
        step = max(1, round(1 / (self._look.info.frame_rate * self._time_base)))
        if frame.pts is None:
            self.even = False
            return self._last_pts + step if self._last_pts is not None else 0
        start_s = self._window.start_s
        pts = frame.pts - self._zero
        if start_s is not None and frame.pts * self._time_base < start_s:
            self.damage = 0
            self._lost = [lost for lost in self._lost if lost > pts]
            return None
        if self._last_pts is not None and pts <= self._last_pts:  # no container takes two frames at one time
            self.even = False
            self._note_once("time stamps that do not grow were moved by the least possible")
            return self._last_pts + 1
        return pts

    def _note_once(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _shown(self) -> Iterator[VideoFrame]:
        """Yield decoded frames, whole ones from the first interlaced one on; it lets whole ones pass."""
        deinterlacer = Deinterlacer() if self._look.interlaced else None
        for frame in self._decoded():
            if deinterlacer is None and frame.interlaced_frame:
                deinterlacer = Deinterlacer()
                self._note_once(f"{INTERLACED}, from frame {self._number + 1} on")
            if deinterlacer is None:
                yield frame
            else:
                yield from deinterlacer.push(frame)
        if deinterlacer is not None:
            yield from deinterlacer.finish()

    def _decoded(self) -> Iterator[VideoFrame]:
        for packet in self._packets():
            yield from self._decode(packet)
        yield from self._decode(None)

    def _packets(self) -> Iterator[_AnyPacket]:
        """Yield the packets of the picture track; go on after unreadable places, but not for ever."""
        failures = 0
        while failures < _MOST_FAILURES:
            try:
                with input_errors(self._path):
                    # All streams: what is damaged in between shows only so, and FFmpeg reads them anyway.
                    for packet in self._container.demux():
                        if not packet.size:  # PyAV's signs of the end; inside a film they would end the decoder
                            continue
                        failures = 0
                        if packet.pts is not None:
                            end = packet.pts + (packet.duration or 0)
                            self._reached_s = max(self._reached_s, float(end * packet.time_base))
                        if packet.stream_index == self._video.index:
                            yield packet
                return
            except InputError as error:
                if not isinstance(error.__cause__, av.error.InvalidDataError):
                    raise
                self.damage += 1
                failures += 1

    def _decode(self, packet: _AnyPacket | None) -> list[VideoFrame]:
        try:
            frames = self._decoder.decode(packet)
        except av.error.FFmpegError:
            self.damage += 1
            if packet is not None and packet.pts is not None and not packet.is_discard:
                self._lost.append(packet.pts - self._zero)
            return []
        self.damage += sum(frame.is_corrupt for frame in frames)
        return frames

    def _take_lost(self, *, before: int | None) -> list[int]:
        """Return, once, the pts of lost frames between the last one and `before` (None: the end), in order."""
        due = sorted(pts for pts in self._lost if before is None or pts <= before)
        self._lost = [pts for pts in self._lost if before is not None and pts > before]
        after = self._last_pts
        return [pts for pts in due if after is not None and pts > after and pts != before]

    def _finish(self) -> None:
        """Note what is known only at the end."""
        end_s = _promised_end_s(self._container)
        if end_s is not None and self._reached_s < end_s - _CUT_SHORT_S:
            self.damage += 1
            self._note_once(f"the file is cut short: it ends at {self._reached_s:.2f} s of {end_s:.2f} s")
