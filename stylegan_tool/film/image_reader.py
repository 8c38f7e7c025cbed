"""Turn a film's decoded frames into pictures as displayed, with the film's own matrix and range.

A picture is uint8 (H,W,3) RGB, or uint16 where the film has more than 8 bits a channel (the whole 0..65535, as
16-bit PNGs have it); alpha is (H,W) of the same type, 0 is see-through.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av.error
import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter

from stylegan_tool.errors import InputError
from stylegan_tool.film.colours import bits_of, colours_of, has_alpha, is_rgb, orientation_of
from stylegan_tool.film.plan import Colours
from stylegan_tool.film.siting import SitingMark, needs_siting
from stylegan_tool.film.yuv import ACCURATE, Words, packed_of, plane_of, to_rgb, whole_range
from stylegan_tool.image_files.picture import Plane
from stylegan_tool.pixels import Image


class ImageReader:
    """Turns the decoded frames of one film into pictures as displayed.

    Depth, transparency, size and orientation are those of the first frame: later ones are scaled to it.

    Attributes:
        width, height: as displayed.
        bits: a channel, of the first frame.
        is_deep: pictures are uint16.
        has_alpha: every picture comes with its alpha.
        orientation: from stored to displayed.
        is_tilted: the film asks for an angle that is not a right one, which is left out.
        was_resized: a frame of another size has been met.
    """

    def __init__(
        self, first: VideoFrame, path: Path, codec: str | None = None, size: tuple[int, int] | None = None
    ) -> None:
        """Take the film's first frame, `path` for messages, and the codec's canonical name (h264, vp9...) if known.

        Args:
            size: width and height as displayed, where `first` is not the film's first frame.

        Raises:
            InputError: see `read`.
        """
        self.bits = bits_of(first.format)
        self.is_deep = self.bits > 8
        self.has_alpha = has_alpha(first.format)
        self.orientation, self.is_tilted = orientation_of(first)
        self.was_resized = False
        self._path = path
        self._reformatter = VideoReformatter()
        self._say_colours(first)
        with self._errors(first):
            self._mark = SitingMark() if needs_siting(first, codec) else None
        self._stored = (first.width, first.height)
        if size is not None:
            self._stored = (size[1], size[0]) if self.orientation.transpose else size
        self.width, self.height = self._stored[:: -1 if self.orientation.transpose else 1]

    def read(self, frame: VideoFrame) -> tuple[Image, Plane | None]:
        """Return the picture and its alpha (None without `has_alpha`) as displayed, in memory of their own.

        Raises:
            InputError: see `colours_of`; or a kind of frame that cannot be converted.
        """
        colours = self._say_colours(frame)
        self.was_resized = self.was_resized or (frame.width, frame.height) != self._stored
        with self._errors(frame):
            if self._mark is not None and not is_rgb(frame.format):
                frame = self._mark.put_on(frame)
            image, alpha = self._convert(frame, colours)
        if self.has_alpha and alpha is None:
            alpha = np.full(image.shape[:2], np.iinfo(image.dtype).max, image.dtype)
        shown = np.ascontiguousarray(self.orientation.apply(image))
        if not self.has_alpha or alpha is None:
            return shown, None
        return shown, np.ascontiguousarray(self.orientation.apply(alpha))

    def _say_colours(self, frame: VideoFrame) -> Colours:
        """Fill the gaps in the frame's tags: swscale takes what has none for BT.601."""
        colours = colours_of(frame, self._path)
        if not is_rgb(frame.format):
            frame.colorspace, frame.color_range = colours.matrix, colours.range
        return colours

    @contextmanager
    def _errors(self, frame: VideoFrame) -> Iterator[None]:
        try:
            yield
        except (av.error.FFmpegError, ValueError) as error:
            raise InputError(
                f"{self._path}: its pictures ({frame.format.name}) cannot be converted",
                hint="Convert the film to yuv420p with another tool first.",
            ) from error

    def _convert(self, frame: VideoFrame, colours: Colours) -> tuple[Image, Plane | None]:
        """Return picture and alpha as stored, of the first frame's size and depth."""
        form = frame.format
        if not self.is_deep and (is_rgb(form) or bits_of(form) > 8 or not has_alpha(form)):
            return self._by_swscale(frame)
        if is_rgb(form):
            return self._deep_rgb(frame)
        if self.is_deep:
            return self._deep_yuv(frame, colours)
        # Taken from its plane, alpha is not touched; swscale would take it through its YUV pipeline.
        planar = self._reformat(frame, "yuva444p") if not form.name.startswith("yuva") else self._scaled(frame)
        return packed_of(self._reformat(frame, "rgb24"), np.uint8, 3), plane_of(planar, 3, np.uint8).copy()

    def _by_swscale(self, frame: VideoFrame) -> tuple[Image, Plane | None]:
        if has_alpha(frame.format):
            pixels = packed_of(self._reformat(frame, "rgba"), np.uint8, 4)
            return pixels[..., :3], pixels[..., 3]
        return packed_of(self._reformat(frame, "rgb24"), np.uint8, 3), None

    def _deep_rgb(self, frame: VideoFrame) -> tuple[Image, Plane | None]:
        """16 bits of RGB: from its planes, each value its share of the whole, else as swscale shuffles it."""
        form = self._scaled(frame).format
        alpha = has_alpha(form)
        if form.name.startswith("gbr") and "f" not in form.name:
            bits = bits_of(form)
            planar = self._reformat(frame, f"gbr{'a' if alpha else ''}p{f'{bits}le' if bits > 8 else ''}")
            kind = np.uint16 if bits > 8 else np.uint8
            levels = [plane_of(planar, number, kind) for number in range(4 if alpha else 3)]
            green, blue, red, *rest = (whole_range(level, bits) for level in levels)
            image: Words = np.asarray(cv2.merge([red, green, blue]), np.uint16)
            return image, rest[0] if rest else None
        if bits_of(form) <= 8:  # swscale would widen them by 256, not 257
            plain, clear = self._by_swscale(frame)
            return whole_range(plain, 8), None if clear is None else whole_range(clear, 8)
        if alpha:
            pixels = packed_of(self._reformat(frame, "rgba64le"), np.uint16, 4)
            return pixels[..., :3], pixels[..., 3]
        return packed_of(self._reformat(frame, "rgb48le"), np.uint16, 3), None

    def _deep_yuv(self, frame: VideoFrame, colours: Colours) -> tuple[Image, Plane | None]:
        """16 bits of RGB, by the book; swscale only brings chroma to the picture's size."""
        alpha = has_alpha(frame.format)
        bits = bits_of(frame.format)
        family = "yuva444p" if alpha else "yuv444p"
        is_whole = frame.format.name.startswith(family) and (frame.width, frame.height) == self._stored
        if is_whole and bits > 8:  # nothing to scale, and between depths swscale would not round
            planar, shift = self._reformat(frame, f"{family}{bits}le"), 16 - bits
        else:
            planar, shift = self._reformat(frame, f"{family}16le"), 0
        levels = [plane_of(planar, number, np.uint16) << shift for number in range(3)]
        words = cv2.transform(cv2.merge(levels), to_rgb(colours.matrix, colours.range, bits))
        image: Words = np.asarray(words, np.uint16)
        if not alpha:
            return image, None
        return image, whole_range(plane_of(planar, 3, np.uint16) >> (16 - bits - shift), bits)

    def _scaled(self, frame: VideoFrame) -> VideoFrame:
        if (frame.width, frame.height) == self._stored:
            return frame
        return self._reformat(frame, frame.format.name)

    def _reformat(self, frame: VideoFrame, name: str) -> VideoFrame:
        rgb = name.startswith(("rgb", "gbr"))
        return self._reformatter.reformat(
            frame,
            *self._stored,
            format=name,
            interpolation=ACCURATE,
            dst_color_range=ColorRange.JPEG if rgb else int(frame.color_range),
        )
