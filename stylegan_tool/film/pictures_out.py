"""Make of a film's lossless segments what has no packets to copy: a GIF, or a sequence of picture files."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stylegan_tool.film.file_errors import target_errors, url_of
from stylegan_tool.film.naming import NUMBER
from stylegan_tool.film.plan import Encoding, Segment
from stylegan_tool.image_files.picture import Picture
from stylegan_tool.image_files.writing import write_picture

_GIF_TICK = Fraction(1, 100)
_BGRA = VideoFormat("bgra")


def frames_of(segments: Sequence[Segment]) -> Iterator[VideoFrame]:
    """Decode segments one after the other; the frames' pts are those of the film."""
    for segment in segments:
        with av.open(url_of(segment.path)) as container:
            for frame, pts in zip(container.decode(video=0), segment.pts, strict=True):
                frame.pts = pts
                yield frame


def write_gif(segments: Sequence[Segment], part: Path, *, target: Path, encoding: Encoding, last_duration: int) -> int:
    """Write the GIF `part`, one palette for all of it; return the number of frames.

    Raises:
        OutputError: it cannot be written.
    """
    last = max(1, round(last_duration * encoding.time_base / _GIF_TICK))
    with target_errors(target):
        palette = _palette_of(segments, encoding)
        with av.open(url_of(part), "w", format="gif", container_options={"loop": "0", "final_delay": str(last)}) as gif:
            stream = gif.add_stream(
                "gif",
                rate=encoding.frame_rate.limit_denominator(1000),
                width=encoding.width,
                height=encoding.height,
                time_base=_GIF_TICK,
            )
            assert isinstance(stream, VideoStream)
            stream.codec_context.pix_fmt = "pal8"
            frames, before = 0, -1
            for frame in _mapped(segments, encoding, palette):
                assert frame.pts is not None
                frame.pts = max(round(frame.pts * encoding.time_base / _GIF_TICK), before + 1)
                frame.time_base, before = _GIF_TICK, frame.pts
                gif.mux(stream.encode(frame))
                frames += 1
            gif.mux(stream.encode(None))
    return frames


def _palette_of(segments: Sequence[Segment], encoding: Encoding) -> VideoFrame:
    graph = Graph()
    source = graph.add_buffer(width=encoding.width, height=encoding.height, format=_BGRA, time_base=encoding.time_base)
    graph.link_nodes(source, graph.add("palettegen", reserve_transparent="1"), graph.add("buffersink")).configure()
    for frame in frames_of(segments):
        graph.push(_as_bgra(frame))
    graph.push(None)
    palette = graph.pull()
    assert isinstance(palette, VideoFrame)
    return palette


def _as_bgra(frame: VideoFrame) -> VideoFrame:
    pts, time_base = frame.pts, frame.time_base
    frame = frame.reformat(format="bgra")
    frame.pts, frame.time_base = pts, time_base
    return frame


def _mapped(segments: Sequence[Segment], encoding: Encoding, palette: VideoFrame) -> Iterator[VideoFrame]:
    """Yield the frames in the palette's colours."""
    graph = Graph()
    pictures = graph.add_buffer(
        width=encoding.width, height=encoding.height, format=_BGRA, time_base=encoding.time_base
    )
    colours = graph.add_buffer(width=16, height=16, format=palette.format, time_base=encoding.time_base)
    use, sink = graph.add("paletteuse", dither="sierra2_4a"), graph.add("buffersink")
    pictures.link_to(use, 0, 0)
    colours.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    palette.pts, palette.time_base = 0, encoding.time_base
    colours.push(palette)
    colours.push(None)
    for frame in frames_of(segments):
        frame = _as_bgra(frame)
        frame.time_base = encoding.time_base
        pictures.push(frame)
        yield from _ready(sink)
    pictures.push(None)
    yield from _ready(sink)


def _ready(sink: object) -> Iterator[VideoFrame]:
    while True:
        try:
            yield sink.pull()  # type: ignore[attr-defined]
        except (av.error.BlockingIOError, av.error.EOFError):
            return


def write_pictures(segments: Sequence[Segment], pattern: Path, *, encoding: Encoding, first_number: int) -> int:
    """Write a picture file for each frame, named by `pattern` (such as out/%05d.png); return their number.

    Raises:
        OutputError: one cannot be written.
    """
    frames = 0
    for number, frame in zip(count(first_number), frames_of(segments), strict=False):
        write_picture(_numbered(pattern, number), _picture_of(frame, encoding), overwrite=True)
        frames += 1
    return frames


def _numbered(pattern: Path, number: int) -> Path:
    """Return the name for a picture; a % elsewhere in it, or in its folder's, means nothing."""
    return pattern.with_name(NUMBER.sub(lambda found: found[0] % number, pattern.name))


def _picture_of(frame: VideoFrame, encoding: Encoding) -> Picture:
    depth = "64le" if encoding.is_deep else ""
    values: Any = frame.to_ndarray(format=f"rgba{depth}" if encoding.has_alpha else ("rgb48le" if depth else "rgb24"))
    if encoding.has_alpha:
        return Picture(np.ascontiguousarray(values[..., :3]), np.ascontiguousarray(values[..., 3]))
    return Picture(values)
