"""Decode a film, stylize it picture by picture, encode what comes back: the only file that imports av.

One frame in is one frame out, at the same time: pts (presentation time stamps, in ticks of `time_base`
seconds) go through unchanged, so variable frame rates, late starts and gaps survive. Colours are converted
with the film's own matrix and range and written with the same ones. Sound is copied packet by packet.

Pictures are uint8 (H,W,3) RGB as displayed, that is after rotation. At most two of them are held at a time;
memory does not grow with the length of the film. Numbers called `matrix`, `range`, `primaries` and
`transfer` are those of ITU-T H.273, which are FFmpeg's AVCOL_* and what the files carry.
"""

import io
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias

import av
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec import Codec
from av.codec.context import Flags as CodecFlags
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from stylegan_tool.errors import InputError, MissingError, OutputError
from stylegan_tool.pixels import Image

if TYPE_CHECKING:
    _AnyPacket: TypeAlias = Packet[Any]
else:
    _AnyPacket = Packet  # takes no parameters at run time

# Container names are given to FFmpeg, never guessed by it: it takes `.m4v` for a bare MPEG-4 stream.
_CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}

# FFmpeg also writes Vorbis, PCM and more into MP4, but browsers and QuickTime then stay silent.
_COPIED_SOUND = {
    "mp4": frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp2", "mp3", "opus"}),
    "webm": frozenset({"opus", "vorbis"}),
}

_ENCODERS = (
    "libx264",
    "libx265",
    "libsvtav1",
    "libvpx-vp9",
    "prores_ks",
    "ffv1",
    "h264_nvenc",
    "aac",
    "libopus",
)

_BT709, _UNTAGGED, _BT601, _BT2020 = 1, 2, 6, 9
_MATRICES = frozenset({1, 4, 5, 6, 7, 9})  # those that swscale can convert; 5 and 6 are both BT.601
_LIMITED, _FULL = 1, 2
_HDR = {16: "PQ", 18: "HLG"}  # transfer -> the name people know it by

# swscale's defaults round carelessly and halve the chroma resolution on the way to RGB.
_ACCURATE = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)

_CONSTANT_S = 0.002  # gaps between frames may differ by this much (Matroska rounds to 0.001 s) in a constant rate
_CUT_SHORT_S = 0.5  # a film that ends this much before what its header says has lost its end
_TONE_RATE = 48000  # samples a second


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


@dataclass(frozen=True)
class FilmReport:
    """What `convert_film` wrote.

    `repaired` counts frames that the decoder patched, frames that were lost and stand in the film as a
    repetition of the one before, unreadable places between packets, and a missing end (1).
    """

    frames: int
    repaired: int
    width: int
    height: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Colours:
    """How YUV and RGB belong together, in H.273's numbers; 2 is 'not said' (range: 1 limited, 2 full)."""

    matrix: int
    range: int
    primaries: int = _UNTAGGED
    transfer: int = _UNTAGGED


@dataclass(frozen=True)
class _Orientation:
    """From stored to displayed: first exchange the axes, then mirror; gives all eight orientations."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False


@dataclass(frozen=True)
class _Look:
    """What the first frame and the headers say."""

    info: FilmInfo
    stored_size: tuple[int, int]  # width, height before rotation
    time_base: Fraction
    colours: _Colours
    orientation: _Orientation
    pixel_shape: Fraction | None  # width : height of one pixel as displayed; None is square
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Plan:
    """What the encoder is asked for."""

    container: str
    encoder: str
    pixel_format: str
    width: int
    height: int
    frame_rate: Fraction
    time_base: Fraction
    colours: _Colours
    pixel_shape: Fraction | None = None
    b_frames: bool = True


class _Track(Protocol):
    """A sound track of the output."""

    def write(self, packet: _AnyPacket) -> None: ...

    def finish(self) -> None: ...


def _nothing() -> None:
    """Stand in for a progress callback."""


def read_film_info(path: Path) -> FilmInfo:
    """Open `path`, decode its first frame, and say what it is.

    Raises:
        InputError: `path` is missing, empty, unreadable, not a film, or no frame of it can be decoded.
    """
    return _look_at(path).info


def list_encoders() -> dict[str, bool]:
    """Which of the encoders that this project can use exist in this FFmpeg (the hardware may still lack)."""
    return {name: _has_encoder(name) for name in _ENCODERS}


def check_target(source: Path, target: Path, *, overwrite: bool) -> None:
    """Refuse now what would otherwise be refused after hours of work.

    Raises:
        OutputError: the suffix is no container for film, the folder is missing or not writable, `target` is
            `source`, or it exists and `overwrite` is False.
    """
    _container_of(target)
    if target.exists() and source.exists() and target.samefile(source):
        raise OutputError(f"{target} is the source itself", hint="Give the new film another name.")
    _check_place(target, overwrite=overwrite)


def convert_film(
    source: Path,
    target: Path,
    stylize: Callable[[Image], Image],
    *,
    overwrite: bool = False,
    on_frame: Callable[[], None] = _nothing,
) -> FilmReport:
    """Write `source` to `target` with every picture passed through `stylize`.

    `stylize` takes and returns uint8 (H,W,3) RGB of one size, once for each frame in their order. What it raises
    passes through unchanged, after the unfinished file is removed: `target` appears whole or not at all. `on_frame`
    is called once a frame.

    Raises:
        InputError: no film, nothing in it can be decoded, or its colours are of a kind that is not supported.
        OutputError: `target` is refused (see `check_target`), cannot hold this film, or writing fails.
        ValueError: `stylize` returned something of another size or type.
    """
    check_target(source, target, overwrite=overwrite)
    look = _look_at(source)
    plan, plan_notes = _plan_video(look, target, constant_rate=_has_constant_rate(source))
    with _part_file(target, overwrite=overwrite) as part, _Reader(source, look) as reader:
        with _Writer(part, target, plan) as writer:
            writer.copy_metadata(reader.container)
            sound_notes = writer.add_sound(reader)
            _stylize_all(reader, writer, stylize, on_frame)
            if not writer.frames:
                raise InputError(f"no frame of {source} can be decoded", hint="Play it to see whether it is damaged.")
            writer.finish()
        _check_written(part, target, writer.frames)
    notes = (*look.notes, *plan_notes, *sound_notes, *reader.notes(), *writer.notes)
    return FilmReport(writer.frames, reader.repaired, plan.width, plan.height, notes)


def write_film(
    target: Path,
    frames: Iterable[Image],
    *,
    frame_rate: Fraction,
    tone_hz: float | None = None,
    overwrite: bool = False,
) -> None:
    """Encode `frames`, uint8 (H,W,3) RGB of one size, at `frame_rate` per second; with a sine tone if asked.

    Raises:
        OutputError: `target` is refused or cannot be written.
        ValueError: there are no frames, or they differ in size or type.
    """
    container = _container_of(target)
    _check_place(target, overwrite=overwrite)
    pictures = iter(frames)
    first = next(pictures, None)
    if first is None:
        raise ValueError("a film needs at least one frame")
    height, width = first.shape[:2]
    matrix = _guess_matrix(height)
    colours = _Colours(matrix, _LIMITED, primaries=matrix, transfer=matrix)  # 1 and 6 name all three alike
    encoder, pixel_format = _choose_encoder(container, width, height, hdr=False)
    plan = _Plan(container, encoder, pixel_format, width, height, frame_rate, 1 / frame_rate, colours)
    with _part_file(target, overwrite=overwrite) as part:
        with _Writer(part, target, plan) as writer:
            tone = writer.add_tone(tone_hz) if tone_hz is not None else None
            writer.write_image(first, 0, 1)
            for pts, image in enumerate(pictures, start=1):
                writer.write_image(image, pts, 1)
                if tone is not None:
                    tone.write_until(pts / frame_rate)
            if tone is not None:
                tone.write_until(writer.frames / frame_rate)
            writer.finish()
        _check_written(part, target, writer.frames)


# Looking ------------------------------------------------------------------------------------------------


def _url(path: Path) -> str:
    """Without the protocol, FFmpeg reads `a:b.mp4` as protocol a, and `-` as standard input."""
    return f"file:{path}"


@contextmanager
def _input_errors(path: Path) -> Iterator[None]:
    """Turn what FFmpeg and the system say while reading `path` into InputError."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(
            f"no such file: {path}", hint="Check the name; the film comes first, then the target."
        ) from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder, not a film", hint="Name one film.") from error
    except PermissionError as error:
        raise InputError(f"{path} may not be read", hint=f"Check its permissions: ls -l '{path}'") from error
    except (av.error.FFmpegError, OSError) as error:
        reason = error.strerror or type(error).__name__
        raise InputError(
            f"{path} cannot be read as a film: {reason}", hint="Play it to see whether it is damaged."
        ) from error


def _open_film(path: Path) -> tuple[InputContainer, VideoStream]:
    """Open `path` and choose its picture track: the default one, else the first; never a cover picture."""
    with _input_errors(path):
        # Titles that are not UTF-8 come through byte for byte.
        container = av.open(_url(path), "r", metadata_errors="surrogateescape")
    try:
        names = container.format.name.split(",")
        if any(name in {"image2", "tty"} or name.endswith("_pipe") for name in names) or (
            container.metadata.get("major_brand") in {"avif", "heic", "mif1"}
        ):
            raise InputError(f"{path} is not a film", hint="For pictures: sgt images FOLDER OUT")
        still = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails
        tracks = [stream for stream in container.streams.video if not stream.disposition & still]
        if not tracks:
            raise InputError(f"{path} has no pictures, only {_list_streams(container)}", hint="Name a film.")
        video = next((track for track in tracks if track.disposition & Disposition.default), tracks[0])
        if video.codec_context is None:
            raise InputError(
                f"{path}: this FFmpeg has no decoder for its pictures",
                hint="Convert it to H.264 with another tool first.",
            )
        # Slices only: with frame threads FFmpeg reports damage at a later packet than the damaged one, PyAV
        # swallows it when a frame came along, and a damaged VP9 film lost 99 of 120 frames instead of one.
        video.thread_type = "SLICE"
    except BaseException:
        container.close()
        raise
    return container, video


def _look_at(path: Path) -> _Look:
    """Decode up to the first frame and gather what is said of the film.

    Raises:
        InputError: see `read_film_info`.
    """
    container, video = _open_film(path)
    with container:
        frame = _first_frame(path, container, video)
        orientation, tilted = _orientation_of(frame)
        pixel_shape = video.sample_aspect_ratio
        if pixel_shape is not None and (pixel_shape <= 0 or pixel_shape == 1):
            pixel_shape = None
        width, height = frame.width, frame.height
        if orientation.transpose:
            width, height = height, width
            pixel_shape = 1 / pixel_shape if pixel_shape else None
        frame_rate = _frame_rate_of(video)
        duration_s = _duration_s(container, video)
        frames = video.frames or (max(1, round(duration_s * frame_rate)) if duration_s else None)
        sound = [track for track in container.streams.audio if track.codec_context is not None]
        codec = video.codec_context.codec.canonical_name
        info = FilmInfo(width, height, frame_rate, frames, duration_s, len(sound), codec)
        notes = _frame_notes(frame, video) + _stream_notes(container, video)
        if tilted:
            notes += ("the film asks to be shown tilted by less than a right angle, which is left out",)
        assert video.time_base is not None  # every demuxer sets it
        return _Look(
            info,
            (frame.width, frame.height),
            video.time_base,
            _colours_of(frame, path),
            orientation,
            pixel_shape,
            notes,
        )


def _first_frame(path: Path, container: InputContainer, video: VideoStream) -> VideoFrame:
    """Return the first frame that can be decoded, or raise InputError."""
    with _input_errors(path):
        for packet in container.demux(video):
            with suppress(av.error.FFmpegError):  # a damaged start: the frames after it may be sound
                for frame in video.decode(packet if packet.size else None):
                    return frame
    raise InputError(f"no frame of {path} can be decoded", hint="Play it to see whether it is damaged.")


def _has_constant_rate(path: Path) -> bool:
    """Whether the frames come at one rate, judged by the time stamps of all packets; nothing is decoded."""
    container, video = _open_film(path)
    shortest, longest, before = math.inf, 0.0, None
    with container, suppress(av.error.FFmpegError):  # damage is met, counted and reported by the reader
        for packet in container.demux(video):
            if packet.dts is None:
                continue
            if before is not None:
                gap_s = float((packet.dts - before) * packet.time_base)
                shortest, longest = min(shortest, gap_s), max(longest, gap_s)
                if longest - shortest > _CONSTANT_S:
                    return False
            before = packet.dts
    return True


def _frame_rate_of(video: VideoStream) -> Fraction:
    """Return the average frame rate per second, always positive."""
    rate = video.average_rate
    # 'Every tick a frame', or more, is what FFmpeg makes of Matroska files that say nothing: 1000 a second.
    if not rate or (video.time_base and rate >= 1 / video.time_base):
        rate = video.guessed_rate or rate
    return Fraction(rate) if rate and rate > 0 else Fraction(25)


def _duration_s(container: InputContainer, video: VideoStream) -> float | None:
    if video.duration and video.time_base:
        return float(video.duration * video.time_base)
    return container.duration / 1_000_000 if container.duration else None


def _orientation_of(frame: VideoFrame) -> tuple[_Orientation, bool]:
    """Read the display matrix; the second value says that it holds an angle which is left out.

    Its nine numbers a b u, c d v, x y w send a stored point (x,y) to (a*x + c*y, b*x + d*y), so what is
    mirrored is told by the signs, and whether the axes are exchanged by which two are zero.
    """
    entries: Any = frame.side_data  # typed as a dict, iterates over its values
    for entry in entries:
        if entry.type.name == "DISPLAYMATRIX":
            matrix = np.frombuffer(bytes(entry), dtype=np.int32)
            a, b, c, d = (int(matrix[place]) / 65536 for place in (0, 1, 3, 4))
            tilted = min(abs(a) + abs(d), abs(b) + abs(c)) > 0.02  # about half a degree
            if abs(b) + abs(c) > abs(a) + abs(d):
                return _Orientation(transpose=True, flip_x=c < 0, flip_y=b < 0), tilted
            return _Orientation(flip_x=a < 0, flip_y=d < 0), tilted
    return _Orientation(), False


def _guess_matrix(height: int) -> int:
    """Untagged films: BT.709 from 720 lines on, BT.601 below, as players do."""
    return _BT709 if height >= 720 else _BT601


def _colours_of(frame: VideoFrame, path: Path) -> _Colours:
    """Return how this frame's YUV is meant, with every gap in its tags filled but primaries and transfer.

    Raises:
        InputError: a matrix that swscale cannot convert (YCgCo, ICtCp, BT.2020 constant luminance).
    """
    transfer, primaries = int(frame.color_trc), int(frame.color_primaries)
    matrix = int(frame.colorspace)
    if frame.format.is_rgb or matrix in {0, _UNTAGGED, 3}:  # 0 is RGB, 3 is reserved
        matrix = _BT2020 if transfer in _HDR else _guess_matrix(frame.height)
    elif matrix not in _MATRICES:
        raise InputError(
            f"{path}: its colour matrix (number {matrix} of ITU-T H.273) is not supported",
            hint="Convert the film to BT.709 with another tool first.",
        )
    full = frame.format.name.startswith("yuvj") or int(frame.color_range) == _FULL
    return _Colours(matrix, _FULL if full and not frame.format.is_rgb else _LIMITED, primaries, transfer)


def _frame_notes(frame: VideoFrame, video: VideoStream) -> tuple[str, ...]:
    notes = []
    bits = max(component.bits for component in frame.format.components)
    transfer = int(frame.color_trc)
    if transfer in _HDR:
        notes.append(
            f"HDR ({_HDR[transfer]}): kept, written in 10 bits, but the model sees and gives 8; "
            "mastering and Dolby Vision data are left out"
        )
    elif bits > 8:
        notes.append(f"the film has {bits} bits a channel and comes out with 8")
    if frame.interlaced_frame:
        notes.append("the film is interlaced; its frames are processed as they are stored, both fields at once")
    has_alpha = any(component.is_alpha for component in frame.format.components)
    if has_alpha or video.metadata.get("alpha_mode") == "1":
        notes.append("transparency is left out")
    return tuple(notes)


def _name_stream(stream: Stream) -> str:
    context = stream.codec_context
    # PyAV's streams without a codec may lack even the attribute.
    codec = context.codec.canonical_name if context is not None else getattr(stream, "name", None)
    return f"{stream.type} track {stream.index} ({codec or 'unknown codec'})"


def _list_streams(container: InputContainer) -> str:
    return ", ".join(_name_stream(stream) for stream in container.streams) or "nothing"


def _stream_notes(container: InputContainer, video: VideoStream) -> tuple[str, ...]:
    """Say which streams have no place in the output."""
    left_out = [
        _name_stream(stream)
        for stream in container.streams
        if stream.index != video.index and (stream.type != "audio" or stream.codec_context is None)
    ]
    return (f"left out: {', '.join(left_out)}",) if left_out else ()


# Reading ------------------------------------------------------------------------------------------------


class _Reader:
    """A film as a sequence of decoded frames and sound packets, in the order of the file.

    Damage does not end the sequence: it is counted in `repaired`, and the pts of lost frames are kept for
    `take_lost`.
    """

    def __init__(self, path: Path, look: _Look) -> None:
        self.path = path
        self.repaired = 0
        self._look = look
        self._lost: list[int] = []
        self._reached_s = 0.0
        self._resized = False
        self._reformatter = VideoReformatter()
        self.container, self._video = _open_film(path)
        self.sound = [track for track in self.container.streams.audio if track.codec_context is not None]
        self._shift_s = self._clock_start_s()
        self._promised_s = self._promised_end_s()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.container.close()

    def _clock_start_s(self) -> Fraction:
        """Return what the clock shows at the start if that means nothing, in s: broadcasts start anywhere."""
        if not {"mpegts", "mpeg"} & set(self.container.format.name.split(",")):
            return Fraction(0)
        starts = [
            stream.start_time * stream.time_base
            for stream in (self._video, *self.sound)
            if stream.start_time is not None and stream.time_base is not None
        ]
        return min(starts, default=Fraction(0))

    def _promised_end_s(self) -> float | None:
        """Return when the film ends by its header, in s; None where FFmpeg would only estimate it."""
        container = self.container
        stated = {"mov", "matroska"} & set(container.format.name.split(","))
        if not container.duration or not stated:
            return None
        return (max(container.start_time or 0, 0) + container.duration) / 1_000_000

    def events(self) -> Iterator[VideoFrame | _AnyPacket]:
        """Yield frames in the order of their pts, and sound packets untouched."""
        sound = {track.index for track in self.sound}
        for packet in self._packets():
            if packet.stream_index == self._video.index:
                yield from self._decode(packet)
            elif packet.stream_index in sound:
                yield packet
        yield from self._decode(None)

    def _packets(self) -> Iterator[_AnyPacket]:
        """Yield the packets of all streams; go on after unreadable places, but not for ever."""
        failures = 0
        while failures < 8:
            try:
                with _input_errors(self.path):
                    for packet in self.container.demux():
                        if not packet.size:  # PyAV's signs of the end; inside a film they would end the decoder
                            continue
                        failures = 0
                        self._note_time(packet)
                        yield packet
                return
            except InputError as error:
                if not isinstance(error.__cause__, av.error.InvalidDataError):
                    raise
                self.repaired += 1
                failures += 1

    def _note_time(self, packet: _AnyPacket) -> None:
        if packet.pts is not None:
            self._reached_s = max(self._reached_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if self._shift_s:
            ticks = round(self._shift_s / packet.time_base)
            packet.pts = packet.pts - ticks if packet.pts is not None else None
            packet.dts = packet.dts - ticks if packet.dts is not None else None

    def _decode(self, packet: _AnyPacket | None) -> list[VideoFrame]:
        try:
            frames = self._video.decode(packet)
        except av.error.FFmpegError:
            self.repaired += 1
            if packet is not None and packet.pts is not None and not packet.is_discard:
                self._lost.append(packet.pts)
            return []
        self.repaired += sum(frame.is_corrupt for frame in frames)
        return frames

    def take_lost(self, *, after: int, before: int | None) -> list[int]:
        """Return, once, the pts of lost frames with after < pts < before (None: to the end), in order."""
        due = sorted(pts for pts in self._lost if before is None or pts <= before)
        self._lost = [pts for pts in self._lost if before is not None and pts > before]
        return [pts for pts in due if pts > after and pts != before]

    def to_image(self, frame: VideoFrame) -> Image:
        """Return the frame as displayed, uint8 (H,W,3) RGB; one of another size is scaled to the first's."""
        colours = _colours_of(frame, self.path)
        if not frame.format.is_rgb:  # its own tags where it has them: swscale takes everything else for BT.601
            frame.colorspace, frame.color_range = colours.matrix, colours.range
        width, height = self._look.stored_size
        self._resized = self._resized or (frame.width, frame.height) != (width, height)
        with _input_errors(self.path):
            rgb = self._reformatter.reformat(
                frame,
                width=width,
                height=height,
                format="rgb24",
                interpolation=_ACCURATE,
                dst_color_range=ColorRange.JPEG,
            )
        image = _pixels_of(rgb)
        orientation = self._look.orientation
        if orientation.transpose:
            image = image.transpose(1, 0, 2)
        if orientation.flip_x:
            image = image[:, ::-1]
        if orientation.flip_y:
            image = image[::-1]
        return np.ascontiguousarray(image)

    def notes(self) -> list[str]:
        """What is known only at the end; call it once. A missing end is added to `repaired` here."""
        notes = []
        if self._shift_s:
            notes.append(f"the film's clock starts at {float(self._shift_s):.3f} s; the new one's starts at 0")
        if self._resized:
            notes.append("the film changes its size on the way; later pictures are scaled to the first one's")
        end_s = self._promised_s
        if end_s is not None and self._reached_s < end_s - _CUT_SHORT_S:
            self.repaired += 1
            notes.append(f"the file is cut short: it ends at {self._reached_s:.2f} s of {end_s:.2f} s")
        if self.repaired:
            notes.append(f"damaged places in {self.path.name}: {self.repaired}")
        return notes


def _pixels_of(rgb: VideoFrame) -> NDArray[np.uint8]:
    """Return an rgb24 frame's memory as (H,W,3), not copied; rows may be padded."""
    plane = rgb.planes[0]
    buffer: Any = plane  # a buffer to Python, not yet to the type checker
    return np.ndarray((rgb.height, rgb.width, 3), np.uint8, buffer, 0, (plane.line_size, 3, 1))


# From full-range 10 bits to 8: luma is a share of the whole range, chroma a distance from the middle. swscale
# rounds the chroma of full-range YUV down, half a level on average, which the 0.5 takes back.
_LUMA_TO_8 = np.rint(np.arange(1024) * (255 / 1023)).astype(np.uint8)
_CHROMA_TO_8 = np.clip(np.rint((np.arange(1024) + 0.5 - 512) * (255 / 1023) + 128), 0, 255).astype(np.uint8)


def _round_full_range(deep: VideoFrame, pixel_format: str) -> VideoFrame:
    """Return a full-range 10-bit YUV frame in 8 bits, rounded to nearest: swscale alone would tint the film."""
    frame = VideoFrame(deep.width, deep.height, pixel_format)
    tables = (_LUMA_TO_8, _CHROMA_TO_8, _CHROMA_TO_8)
    for source, goal, table in zip(deep.planes, frame.planes, tables, strict=True):
        source_memory: Any = source
        goal_memory: Any = goal
        levels = np.ndarray((source.height, source.width), "<u2", source_memory, 0, (source.line_size, 2))
        rows = np.ndarray((goal.height, goal.width), np.uint8, goal_memory, 0, (goal.line_size, 1))
        np.take(table, levels, out=rows, mode="clip")
    return frame


def _stylize_all(
    reader: _Reader, writer: "_Writer", stylize: Callable[[Image], Image], on_frame: Callable[[], None]
) -> None:
    """Run the film through; a lost frame is shown as the one before it, at its own time."""
    for event in reader.events():
        if isinstance(event, Packet):
            writer.write_sound(event)
            continue
        if writer.frames:
            for pts in reader.take_lost(after=writer.last_pts, before=event.pts if event.pts is not None else 0):
                writer.repeat(pts)
        writer.write_image(stylize(reader.to_image(event)), event.pts, event.duration)
        on_frame()
    if writer.frames:
        for pts in reader.take_lost(after=writer.last_pts, before=None):
            writer.repeat(pts)


# Writing ------------------------------------------------------------------------------------------------


@contextmanager
def _output_errors(target: Path) -> Iterator[None]:
    """Turn what FFmpeg and the system say while writing `target` into OutputError."""
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        reason = error.strerror or type(error).__name__
        raise OutputError(
            f"{target} cannot be written: {reason}",
            hint=f"Check the space and the rights: df -h '{target.parent}'",
        ) from error


def _container_of(target: Path) -> str:
    """Return FFmpeg's name of the container that `target`'s suffix means, or raise OutputError."""
    container = _CONTAINERS.get(target.suffix.lower())
    if container is None:
        good = " ".join(_CONTAINERS)
        raise OutputError(
            f"{target}: no film can be written as '{target.suffix}'", hint=f"End the name in one of {good}"
        )
    return container


def _check_place(target: Path, *, overwrite: bool) -> None:
    """Raise OutputError if `target` may not be put where it is to go."""
    folder = target.parent
    if not folder.exists():
        raise OutputError(f"the folder {folder} does not exist", hint=f"mkdir -p '{folder}'")
    if not folder.is_dir():
        raise OutputError(f"{folder} is not a folder", hint="Name another place for the film.")
    if target.is_dir():
        raise OutputError(f"{target} is a folder", hint=f"Name a film in it: {target / 'film.mp4'}")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists", hint="Add --overwrite to replace it, or give another name.")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"the folder {folder} is not writable", hint="Name another place for the film.")


@contextmanager
def _part_file(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a name beside `target` to write to; it becomes `target` if all goes well, else it is removed."""
    part = target.with_name(f".{target.stem[:40]}.{os.getpid()}.part{target.suffix}")
    try:
        yield part
        _check_place(target, overwrite=overwrite)  # hours may have passed
        with _output_errors(target):
            part.replace(target)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _check_written(part: Path, target: Path, frames: int) -> None:
    """Count the frames that arrived in the file, so that a silent loss on the way is an error."""
    with _output_errors(target), av.open(_url(part), "r", metadata_errors="surrogateescape") as container:
        arrived = sum(1 for packet in container.demux(video=0) if packet.size)
    if arrived != frames:
        raise OutputError(
            f"{target}: only {arrived} of {frames} frames arrived in the file",
            hint="Check the disk; try another suffix.",
        )


def _has_encoder(name: str) -> bool:
    try:
        Codec(name, "w")
    except ValueError:  # PyAV's UnknownCodecError
        return False
    return True


def _choose_encoder(container: str, width: int, height: int, *, hdr: bool) -> tuple[str, str]:
    """Return the encoder and its pixel format.

    Raises:
        MissingError: this FFmpeg was built without it.
    """
    odd = bool(width % 2 or height % 2)
    if container == "webm":
        choice = ("libvpx-vp9", "yuv420p")  # VP9 rounds half-size chroma up, so odd sizes are no trouble
    elif hdr:
        # 10-bit H.264 plays nearly nowhere; HEVC Main 10 is what HDR films are.
        choice = ("libx265", "yuv444p10le" if odd else "yuv420p10le")
    else:
        choice = ("libx264", "yuv444p" if odd else "yuv420p")
    if not _has_encoder(choice[0]):
        raise MissingError(f"this FFmpeg has no {choice[0]}", hint="pip install --force-reinstall av")
    return choice


def _plan_video(look: _Look, target: Path, *, constant_rate: bool) -> tuple[_Plan, list[str]]:
    """Decide how the pictures are encoded.

    Raises:
        OutputError: a .webm cannot hold this film: HDR needs 10 bits, and PyAV cannot write the pixel shape
            into a Matroska header (H.264 and HEVC carry it themselves).
        MissingError: see `_choose_encoder`.
    """
    container, info = _container_of(target), look.info
    hdr = look.colours.transfer in _HDR
    if container == "webm" and (hdr or look.pixel_shape is not None):
        what = "HDR" if hdr else "pixels that are not square"
        raise OutputError(f"{target}: a .webm with {what} cannot be written yet", hint="End the name in .mkv or .mp4.")
    encoder, pixel_format = _choose_encoder(container, info.width, info.height, hdr=hdr)
    notes = []
    if pixel_format.startswith("yuv444p"):
        notes.append(f"{info.width}x{info.height} is an odd size: written as 4:4:4, which some players cannot play")
    plan = _Plan(
        container=container,
        encoder=encoder,
        pixel_format=pixel_format,
        width=info.width,
        height=info.height,
        frame_rate=info.frame_rate,
        time_base=look.time_base,
        colours=look.colours,
        pixel_shape=look.pixel_shape,
        # MP4 stores decoding times, so so with B-frames a variable rate gives a wrong length.
        # Given one or two frames and leave to reorder them, libx265 makes up decoding times.
        b_frames=(constant_rate or container == "matroska") and encoder != "libx265",
    )
    return plan, notes


def _encoder_options(encoder: str) -> dict[str, str]:
    return {
        "libx264": {"crf": "17", "preset": "medium"},
        "libx265": {"crf": "17", "preset": "medium", "x265-params": "log-level=none"},
        "libvpx-vp9": {"crf": "20", "deadline": "good", "cpu-used": "3", "row-mt": "1"},
    }[encoder]


class _Writer:
    """A film being written to `part`: pictures, and the sound tracks announced before the first write."""

    def __init__(self, part: Path, target: Path, plan: _Plan) -> None:
        self.frames = 0
        self.last_pts = 0
        self.notes: list[str] = []
        self._target = target
        self._plan = plan
        self._tracks: dict[int, _Track] = {}
        self._waiting: VideoFrame | None = None  # its duration is known when the next one comes
        self._last_image: Image | None = None
        self._reformatter = VideoReformatter()
        with _output_errors(target):
            # The index first, for playing while loading; and late starts, which MP4 otherwise rounds to 0.001 s.
            options = {"movflags": "+faststart", "movie_timescale": "90000"}
            self._container: OutputContainer = av.open(
                _url(part),
                "w",
                format=plan.container,
                container_options=options if plan.container in {"mp4", "mov"} else {},
                metadata_errors="surrogateescape",
            )
            self._video = self._add_video()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(av.error.FFmpegError, OSError):  # after `finish` nothing is left to fail
            self._container.close()

    def _add_video(self) -> VideoStream:
        plan = self._plan
        options = _encoder_options(plan.encoder)
        stream = self._container.add_stream(
            plan.encoder,
            rate=plan.frame_rate.limit_denominator(1_000_000),
            options=options,
            width=plan.width,
            height=plan.height,
            time_base=plan.time_base,
        )
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.pix_fmt = plan.pixel_format
        context.thread_type = "AUTO"  # PyAV's default cuts each frame into slices, which costs quality
        context.flags |= int(CodecFlags.frame_duration)
        colours = plan.colours
        context.colorspace, context.color_range = colours.matrix, colours.range
        context.color_primaries, context.color_trc = colours.primaries, colours.transfer
        if plan.pixel_shape is not None:
            context.sample_aspect_ratio = plan.pixel_shape
        if not plan.b_frames:
            context.max_b_frames = 0
        if plan.encoder == "libx265" and plan.container != "matroska":
            context.codec_tag = "hvc1"  # the only name under which Apple's players take HEVC
        return stream

    def copy_metadata(self, source: InputContainer) -> None:
        """Take over title, date, place and so on; what describes the old file itself is left."""
        own = {"compatible_brands", "encoder", "major_brand", "minor_version"}
        self._container.metadata.update(
            {key: value for key, value in source.metadata.items() if key.lower() not in own}
        )

    def add_sound(self, reader: _Reader) -> list[str]:
        """Announce a track for each sound track of `reader`; return notes on those that cannot be copied."""
        notes = []
        for source in reader.sound:
            with _output_errors(self._target):
                if _takes_sound(self._plan.container, source):
                    track: _Track = _CopiedTrack(self._container, source)
                else:
                    recoded = _RecodedTrack(self._container, source)
                    track = recoded
                    notes.append(f"{_name_stream(source)} has no place in {self._target.suffix}: now {recoded.codec}")
            self._tracks[source.index] = track
        return notes

    def add_tone(self, tone_hz: float) -> "_Tone":
        """Announce a track with a sine of `tone_hz`."""
        with _output_errors(self._target):
            tone = _Tone(self._container, self._target, tone_hz)
        self._tracks[-1] = tone
        return tone

    def write_sound(self, packet: _AnyPacket) -> None:
        """Pass on a packet of one of the announced source tracks."""
        with _output_errors(self._target):
            self._tracks[packet.stream_index].write(packet)

    def write_image(self, image: Image, pts: int | None, duration: int) -> None:
        """Encode `image`, shown from `pts` on; `duration` (ticks, 0 if unknown) counts for the last one only.

        Raises:
            OutputError: encoding or writing fails.
            ValueError: `image` is not uint8 (H,W,3) of the film's size.
        """
        plan = self._plan
        if image.shape != (plan.height, plan.width, 3) or image.dtype != np.uint8:
            wanted = f"uint8 {(plan.height, plan.width, 3)}"
            raise ValueError(f"the film's pictures are {wanted}, this one is {image.dtype} {image.shape}")
        step = max(1, round(1 / (plan.frame_rate * plan.time_base)))
        if pts is None:
            pts = self.last_pts + step if self.frames else 0
        if self.frames and pts <= self.last_pts:  # no container takes two frames at one time
            pts = self.last_pts + 1
            self._note_once("time stamps that do not grow were moved by the least possible")
        with _output_errors(self._target):
            frame = self._to_frame(image)
            frame.pts, frame.duration = pts, duration or step
            if self._waiting is not None and self._waiting.pts is not None:
                self._waiting.duration = pts - self._waiting.pts
                self._container.mux(self._video.encode(self._waiting))
        self._waiting, self._last_image, self.last_pts = frame, image, pts
        self.frames += 1

    def repeat(self, pts: int) -> None:
        """Show the last picture once more from `pts` on."""
        assert self._last_image is not None
        self.write_image(self._last_image, pts, 0)

    def _note_once(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _to_frame(self, image: Image) -> VideoFrame:
        """Convert RGB to the film's YUV, with the film's matrix and range, and say so on the frame."""
        plan, colours = self._plan, self._plan.colours
        # swscale may read past the end of rows, so the picture goes into memory aligned and padded by FFmpeg.
        rgb = VideoFrame(plan.width, plan.height, "rgb24")
        _pixels_of(rgb)[...] = image
        rgb.colorspace, rgb.color_range = colours.matrix, ColorRange.JPEG
        by_hand = colours.range == _FULL and not plan.pixel_format.endswith("10le")
        frame = self._reformatter.reformat(
            rgb,
            format=f"{plan.pixel_format}10le" if by_hand else plan.pixel_format,
            interpolation=_ACCURATE,
            dst_color_range=colours.range,
        )
        if by_hand:
            frame = _round_full_range(frame, plan.pixel_format)
        frame.colorspace, frame.color_range = colours.matrix, colours.range
        frame.color_primaries, frame.color_trc = colours.primaries, colours.transfer
        frame.time_base = plan.time_base
        return frame

    def finish(self) -> None:
        """Drain the encoders, write the index, close the file.

        Raises:
            OutputError: not all of it could be written.
        """
        with _output_errors(self._target):
            if self._waiting is not None:
                self._container.mux(self._video.encode(self._waiting))
            self._container.mux(self._video.encode(None))
            for track in self._tracks.values():
                track.finish()
            self._container.close()


# Sound --------------------------------------------------------------------------------------------------


def _takes_sound(container: str, source: AudioStream) -> bool:
    """Whether `container` takes the track as it is: our list first, then FFmpeg writes a header in memory."""
    codec = source.codec_context.codec.canonical_name
    if container in _COPIED_SOUND and codec not in _COPIED_SOUND[container]:
        return False
    try:
        with av.open(io.BytesIO(), "w", format=container) as trial:
            trial.add_stream_from_template(source)
            trial.start_encoding()
    except (ValueError, av.error.FFmpegError):  # ValueError: PyAV asked FFmpeg's list
        return False
    return True


def _copy_labels(source: AudioStream, track: AudioStream) -> None:
    """Keep the language, the title, and which track is the default."""
    keep = {"language", "title", "handler_name"}
    track.metadata.update({key: value for key, value in source.metadata.items() if key.lower() in keep})
    track.disposition = source.disposition


class _CopiedTrack:
    """Sound that goes into the new file byte for byte, at its own times."""

    def __init__(self, container: OutputContainer, source: AudioStream) -> None:
        self._container = container
        self._stream = container.add_stream_from_template(source)
        self._last_dts: int | None = None
        _copy_labels(source, self._stream)

    def write(self, packet: _AnyPacket) -> None:
        if packet.dts is not None:
            if self._last_dts is not None and packet.dts <= self._last_dts:  # damaged or cut files
                packet.dts = self._last_dts + 1
                packet.pts = packet.dts if packet.pts is None else max(packet.pts, packet.dts)
            self._last_dts = packet.dts
        packet.stream = self._stream
        self._container.mux(packet)

    def finish(self) -> None:
        """Nothing is held back."""


class _RecodedTrack:
    """Sound in a codec that the container does not take: decoded, and encoded as AAC (Opus in .webm)."""

    def __init__(self, container: OutputContainer, source: AudioStream) -> None:
        opus = container.format.name == "webm"
        self.codec = "Opus" if opus else "AAC"
        self._container = container
        self._source = source
        context = source.codec_context
        rate = 48000 if opus or not 8000 <= context.sample_rate <= 96000 else context.sample_rate
        channels = context.layout.nb_channels
        self._stream = container.add_stream("libopus" if opus else "aac", rate=rate)
        layouts = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
        self._stream.codec_context.layout = layouts.get(channels, "stereo")
        self._stream.codec_context.bit_rate = 96_000 * min(channels, 6)
        self._heard = False
        _copy_labels(source, self._stream)

    def write(self, packet: _AnyPacket | None) -> None:
        try:
            frames = self._source.decode(packet)
        except av.error.FFmpegError:  # a click in the sound; the times of what follows are kept
            return
        for frame in frames:
            self._heard = True
            self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        self.write(None)
        if self._heard:
            self._container.mux(self._stream.encode(None))


class _Tone:
    """A quiet sine in AAC, one channel."""

    def __init__(self, container: OutputContainer, target: Path, tone_hz: float) -> None:
        self._container = container
        self._target = target
        self._turn = 2 * math.pi * tone_hz / _TONE_RATE
        self._stream = container.add_stream("aac", rate=_TONE_RATE)
        self._stream.codec_context.layout = "mono"
        self._stream.codec_context.bit_rate = 64_000
        self._done = 0  # samples

    def write_until(self, end_s: Fraction) -> None:
        """Write whole blocks of 1024 samples that begin before `end_s`."""
        with _output_errors(self._target):
            while self._done < end_s * _TONE_RATE:
                phase = self._turn * np.arange(self._done, self._done + 1024)
                block = (0.25 * np.sin(phase)).astype(np.float32)[None]  # (channels, samples)
                frame = AudioFrame.from_ndarray(block, format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = (
                    _TONE_RATE,
                    self._done,
                    Fraction(1, _TONE_RATE),
                )
                self._container.mux(self._stream.encode(frame))
                self._done += 1024

    def write(self, packet: _AnyPacket) -> None:
        """No packets are passed on to a tone."""

    def finish(self) -> None:
        self._container.mux(self._stream.encode(None))
