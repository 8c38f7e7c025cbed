"""Join a film's segments, and all that the source holds beside its pictures, into the finished film."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path

import av
import av.error
from av.container import OutputContainer
from av.stream import Disposition
from av.video.format import VideoFormat
from av.video.stream import VideoStream

from stylegan_tool.errors import InputError, OutputError, typed
from stylegan_tool.film.file_errors import target_errors, url_of
from stylegan_tool.film.packets import AnyPacket
from stylegan_tool.film.pictures_out import write_gif, write_pictures
from stylegan_tool.film.plan import Encoding, Segment, Window
from stylegan_tool.film.streams import OtherStreams, name_others


@dataclass(frozen=True)
class Joined:
    """What `join` wrote.

    Attributes:
        notes: what the user should know of it.
        has_sound: there is sound in it.
        damage: damaged places met in what is carried over beside the pictures.
    """

    frames: int
    notes: tuple[str, ...]
    has_sound: bool = False
    damage: int = 0


def join(
    segments: Sequence[Segment],
    source: Path | None,
    target_part: Path,
    *,
    target: Path,
    encoding: Encoding,
    window: Window,
    last_duration: int,
    first_number: int = 1,
) -> Joined:
    """Write the whole film to `target_part`, a name beside `target`, under which errors speak of it.

    Args:
        segments: at least one, in the film's order.
        source: where sound, subtitles and the like come from; None: nowhere.
        last_duration: of the last frame, in ticks of the encoding's time_base, at least 1.
        first_number: of the first picture, where the film becomes a sequence of pictures.

    Raises:
        InputError: `source` cannot be read (again).
        OutputError: the film cannot be written, or not all frames arrived in it.
    """
    if encoding.container == "gif":
        frames = write_gif(segments, target_part, target=target, encoding=encoding, last_duration=last_duration)
        return Joined(frames, _pictures_only(source, target))
    if encoding.container == "image2":
        frames = write_pictures(segments, target_part, encoding=encoding, first_number=first_number)
        return Joined(frames, _pictures_only(source, target))
    frames = sum(len(segment.pts) for segment in segments)
    with OtherStreams(source, target, encoding, window) as others:
        with target_errors(target):
            container = _open_target(target_part, encoding, others.options())
        with _ClosingAnyway(container):
            with target_errors(target):
                video = _add_video(container, segments[0], encoding)
            others.announce(container, video)
            _mux_all(container, video, segments, others, encoding, last_duration, target)
            has_sound = bool(container.streams.audio)
            with target_errors(target), _tracks_refused(source, target):
                container.close()
        _check_written(target_part, target, frames, others)
    return Joined(frames, tuple(others.notes()), has_sound, others.damage)


@contextmanager
def _tracks_refused(source: Path | None, target: Path) -> Iterator[None]:
    """Name the source where MP4 finds at its end that it cannot describe a copied track: its header is damaged."""
    try:
        yield
    except av.error.InvalidDataError as error:
        raise InputError(
            f"a track of {source} beside its pictures is damaged, and {target.suffix} does not take it as it is",
            hint=f"End the new film's name in .mkv, which does: {typed(target.with_suffix('.mkv').name)}",
        ) from error


def _pictures_only(source: Path | None, target: Path) -> tuple[str, ...]:
    others = name_others(source) if source is not None else None
    return (f"left out, since {target.suffix} takes none: {others}; most has a place in .mkv",) if others else ()


class _ClosingAnyway:
    """Close the container whatever happened; what went wrong first is what is told."""

    def __init__(self, container: OutputContainer) -> None:
        self._container = container

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        with suppress(av.error.FFmpegError, OSError):
            self._container.close()


def decoding_times(pts: Sequence[int], delay: int, step: int) -> Iterator[int]:
    """Yield when each packet of a film is decoded, in coding order: strictly growing, never after it is shown.

    Args:
        pts: of all frames, growing.
        delay: see `Segment.delay`.
        step: ticks between frames, nominally, at least 1.
    """
    early = min(delay, len(pts))
    yield from (pts[0] - step * ahead for ahead in range(delay, delay - early, -1))
    yield from pts[: len(pts) - early]


def _open_target(part: Path, encoding: Encoding, options: dict[str, str]) -> OutputContainer:
    return av.open(
        url_of(part), "w", format=encoding.container, container_options=options, metadata_errors="surrogateescape"
    )


def _add_video(container: OutputContainer, first: Segment, encoding: Encoding) -> VideoStream:
    with av.open(url_of(first.path)) as segment:
        template = segment.streams.video[0]
        stream = container.add_stream_from_template(template, opaque=True)
        stream.time_base = encoding.time_base
        context = stream.codec_context
        context.framerate = encoding.frame_rate  # without it WebM says nothing of how long the last frame is shown
        if encoding.pixel_shape is not None:
            context.sample_aspect_ratio = encoding.pixel_shape
        colours = encoding.colours
        matrix = 0 if VideoFormat(encoding.pixel_format).is_rgb else colours.matrix  # H.273's number for RGB
        context.colorspace, context.color_range = matrix, colours.range
        context.color_primaries, context.color_trc = colours.primaries, colours.transfer
        codec = context.codec.canonical_name
        if codec == "hevc" and encoding.container in {"mp4", "mov"}:
            context.codec_tag = "hvc1"  # the only name under which Apple's players take HEVC
        if codec == "prores":
            context.codec_tag = template.codec_tag  # says which of the six ProRes it is
        stream.disposition = Disposition.default
        if encoding.has_alpha and codec in {"vp8", "vp9"} and encoding.container in {"matroska", "webm"}:
            stream.metadata["alpha_mode"] = "1"
    return stream


def _packets_of(segment: Segment) -> Iterator[tuple[AnyPacket, int]]:
    """Yield the packets in coding order, each with its frame's number in the segment."""
    with av.open(url_of(segment.path)) as container:
        stamps = [packet.pts for packet in container.demux(video=0) if packet.size and packet.pts is not None]
    number = {stamp: place for place, stamp in enumerate(sorted(stamps))}
    if len(number) != len(segment.pts):
        raise OutputError(
            f"{segment.path} is damaged: {len(number)} of {len(segment.pts)} frames are in it",
            hint=f"Delete it, then type the same command, which makes it anew: rm {typed(segment.path)}",
        )
    with av.open(url_of(segment.path)) as container:
        for packet in container.demux(video=0):
            if packet.size and packet.pts is not None:
                yield packet, number[packet.pts]


def _mux_all(
    container: OutputContainer,
    video: VideoStream,
    segments: Sequence[Segment],
    others: OtherStreams,
    encoding: Encoding,
    last_duration: int,
    target: Path,
) -> None:
    step = max(1, round(1 / (encoding.frame_rate * encoding.time_base)))
    pts = list(chain.from_iterable(segment.pts for segment in segments))
    durations = [after - before for before, after in pairwise(pts)] + [last_duration]
    times = decoding_times(pts, max(segment.delay for segment in segments), step)
    offset = 0
    for segment in segments:
        for packet, number in _packets_of(segment):
            packet.stream = video
            packet.time_base = encoding.time_base
            packet.pts, packet.dts = pts[offset + number], next(times)
            packet.duration = durations[offset + number]
            others.mux_until(Fraction(packet.dts) * encoding.time_base)
            with target_errors(target):
                container.mux(packet)
        offset += len(segment.pts)
    others.mux_until(None)


def _check_written(part: Path, target: Path, frames: int, others: OtherStreams) -> None:
    """Count the frames that arrived in the file, so that a silent loss on the way is an error."""
    with target_errors(target), av.open(url_of(part), "r", metadata_errors="surrogateescape") as container:
        others.check(container)
        arrived = sum(1 for packet in container.demux(video=0) if packet.size)
    if arrived != frames:
        raise OutputError(
            f"{target}: only {arrived} of {frames} frames arrived in the file",
            hint=f"Look at the disk (df -h {typed(target.parent)}); if it has room, end the name in .mkv.",
        )
