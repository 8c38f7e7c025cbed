"""Make whole pictures of interlaced frames: one out for each one in, at the same time."""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction

import av.error
from av.filter import Graph
from av.video.frame import VideoFrame


class Deinterlacer:
    """FFmpeg's bwdif over the frames of a film: as many come out as went in, with the same pts.

    Frames that are not marked as interlaced pass unchanged. The filter looks one frame ahead: what `push` takes is
    yielded by the next call, the last one by `finish`. A frame of another size or format begins anew.
    """

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._kind: tuple[int, int, str] | None = None
        self._times: deque[tuple[int | None, int, Fraction | None]] = (
            deque()
        )  # of the frames inside; the filter guesses

    def push(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        """Take the next frame; yield those that are ready."""
        kind = (frame.width, frame.height, frame.format.name)
        if self._graph is None or kind != self._kind:
            yield from self.finish()
            self._graph, self._kind = _build(frame), kind
        self._times.append((frame.pts, frame.duration, frame.time_base))
        self._graph.vpush(frame)
        yield from self._ready(self._graph)

    def finish(self) -> Iterator[VideoFrame]:
        """Yield what the filter still holds."""
        if self._graph is not None:
            self._graph.vpush(None)
            yield from self._ready(self._graph)
        self._graph = self._kind = None

    def _ready(self, graph: Graph) -> Iterator[VideoFrame]:
        while True:
            try:
                frame = graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            frame.pts, frame.duration, time_base = self._times.popleft()
            if time_base is not None:
                frame.time_base = time_base
            yield frame


def _build(frame: VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 1000)
    )
    bwdif = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
    sink = graph.add("buffersink")
    source.link_to(bwdif)
    bwdif.link_to(sink)
    graph.configure()
    return graph
