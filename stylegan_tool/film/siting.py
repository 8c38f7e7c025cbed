"""Where a frame's chroma lies.

Chroma of half the width lies on the left one of its two columns unless a film says otherwise (H.264, HEVC and AV1
players take it so). swscale takes what says nothing to lie between the two, which would push colours half a pixel to
the side in every film: so all frames are marked on their way through it.
"""

from fractions import Fraction

import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from stylegan_tool.film.colours import is_rgb
from stylegan_tool.film.yuv import ACCURATE, plane_of

_ALWAYS_SAID = frozenset({"h264", "hevc", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4"})  # by these codecs' decoders


def needs_siting(frame: VideoFrame, codec: str | None) -> bool:
    """Whether nothing says where the frame's chroma lies: VP8, VP9, AV1 and ProRes films mostly do not."""
    form = frame.format
    if is_rgb(form) or form.chroma_width(64) == 64 or form.name.startswith("yuvj") or codec in _ALWAYS_SAID:
        return False
    return not _says_siting(frame)


def _says_siting(frame: VideoFrame) -> bool:
    """Whether the frame says that its chroma lies elsewhere than between two columns.

    PyAV does not tell, but a small frame of our own inherits it, and what swscale does with a dot in that shows it.
    """
    reformatter = VideoReformatter()
    small = reformatter.reformat(frame, width=32, height=32, format="yuv411p")
    for number, level in enumerate((128, 128, 128)):
        plane_of(small, number, np.uint8)[...] = level
    plane_of(small, 1, np.uint8)[16, 4] = 228
    row = plane_of(reformatter.reformat(small, format="yuv444p", interpolation=ACCURATE), 1, np.uint8)[16].astype(int)
    return bool(row[17] != row[18])


class SitingMark:
    """Marks frames, without copying them, as having their chroma on the left."""

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._kind: tuple[int, int, str] | None = None

    def put_on(self, frame: VideoFrame) -> VideoFrame:
        kind = (frame.width, frame.height, frame.format.name)
        if self._graph is None or kind != self._kind:
            self._graph, self._kind = Graph(), kind
            source = self._graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
            )
            mark = self._graph.add("setparams", "chroma_location=left")
            sink = self._graph.add("buffersink")
            source.link_to(mark)
            mark.link_to(sink)
            self._graph.configure()
        self._graph.vpush(frame)
        return self._graph.vpull()
