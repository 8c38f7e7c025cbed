"""Between a film's frames and pictures as displayed, with the film's own matrix and range.

A picture is uint8 (H,W,3) RGB, or uint16 where the film has more than 8 bits a channel (the whole 0..65535, as
16-bit PNGs have it); alpha is (H,W) of the same type, 0 is see-through. swscale converts 8-bit YUV exactly to
rounding, but works with about 8 bits inside even where both sides have more, drops half a step of full-range chroma,
and copies planes of other depths without rounding. So all of that is arithmetic here: swscale is left with shuffling
bytes, 8 bits of limited range, and with scaling chroma between its own size and the picture's.

Chroma of half the width lies on the left one of its two columns unless a film says otherwise (H.264, HEVC and AV1
players take it so). swscale takes what says nothing to lie between the two, which would push colours half a pixel to
the side in every film: so all frames are marked on their way through it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import av.error
import cv2
import numpy as np
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray

from stylegan_tool.errors import InputError
from stylegan_tool.film.plan import BT601, BT709, BT2020, FULL, HDR, LIMITED, UNTAGGED, Colours, Encoding
from stylegan_tool.image_files.picture import Plane
from stylegan_tool.pixels import Image, in_8_bits

_Words: TypeAlias = NDArray[np.uint16]

# Kr and Kb of ITU-R BT.709, FCC, BT.601 (two numbers), SMPTE 240M and BT.2020: the matrices that can be converted.
_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
_RGB = 0  # H.273's matrix of films that hold RGB

# swscale's defaults round carelessly and halve the chroma resolution on the way to RGB.
_ACCURATE = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)


@dataclass(frozen=True)
class Orientation:
    """From stored to displayed: first exchange the axes, then mirror; gives all eight orientations."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def apply(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return (H,W) or (H,W,C) as displayed, as a view."""
        if self.transpose:
            pixels = pixels.swapaxes(0, 1)
        if self.flip_x:
            pixels = pixels[:, ::-1]
        return pixels[::-1] if self.flip_y else pixels


def orientation_of(frame: VideoFrame) -> tuple[Orientation, bool]:
    """Read the display matrix; the second value says that it holds an angle which is left out.

    Its nine numbers a b u, c d v, x y w send a stored point (x,y) to (a*x + c*y, b*x + d*y), so what is
    mirrored is told by the signs, and whether the axes are exchanged by which two are zero.
    """
    stored = side_data_of(frame, "DISPLAYMATRIX")
    if stored is None:
        return Orientation(), False
    matrix = np.frombuffer(stored, dtype=np.int32)
    a, b, c, d = (int(matrix[place]) / 65536 for place in (0, 1, 3, 4))
    tilted = min(abs(a) + abs(d), abs(b) + abs(c)) > 0.02  # about half a degree
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(transpose=True, flip_x=c < 0, flip_y=b < 0), tilted
    return Orientation(flip_x=a < 0, flip_y=d < 0), tilted


def side_data_of(frame: VideoFrame, name: str) -> bytes | None:
    """Return what the frame carries under PyAV's `name`, or None."""
    with suppress(ValueError):  # PyAV does not know all kinds that FFmpeg has: EXIF of pictures
        entries: Any = frame.side_data  # typed as a dict, iterates over its values
        return next((bytes(entry) for entry in entries if entry.type.name == name), None)
    return None


def guess_matrix(height: int) -> int:
    """Untagged films: BT.709 from 720 lines on, BT.601 below, as players do."""
    return BT709 if height >= 720 else BT601


def colours_of(frame: VideoFrame, path: Path) -> Colours:
    """Return how this frame's YUV is meant, with every gap in its tags filled but primaries and transfer.

    Frames of RGB get the matrix and the range in which YUV would best be made of them.

    Raises:
        InputError: a matrix that cannot be converted (YCgCo, ICtCp, BT.2020 constant luminance).
    """
    transfer, primaries = int(frame.color_trc), int(frame.color_primaries)
    matrix = int(frame.colorspace)
    if is_rgb(frame.format) or matrix in {_RGB, UNTAGGED, 3}:  # 3 is reserved
        matrix = BT2020 if transfer in HDR else guess_matrix(frame.height)
    elif matrix not in _WEIGHTS:
        raise InputError(
            f"{path}: its colour matrix (number {matrix} of ITU-T H.273) is not supported",
            hint="Convert the film to BT.709 with another tool first.",
        )
    full = frame.format.name.startswith("yuvj") or int(frame.color_range) == FULL
    return Colours(matrix, FULL if full and not is_rgb(frame.format) else LIMITED, primaries, transfer)


def is_rgb(form: VideoFormat) -> bool:
    """Whether the pixels are RGB; a palette is."""
    return form.is_rgb or form.has_palette


def bits_of(form: VideoFormat) -> int:
    """Bits a channel, at most 16: floating point counts as that."""
    return min(16, max(component.bits for component in form.components))


def has_alpha(form: VideoFormat) -> bool:
    """Whether the pixels have transparency, be it nowhere used; a palette may have."""
    return form.has_palette or any(component.is_alpha for component in form.components)


# Where chroma lies ---------------------------------------------------------------------------------------


_ALWAYS_SAID = frozenset({"h264", "hevc", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4"})  # by these codecs' decoders


def _needs_siting(frame: VideoFrame, codec: str | None) -> bool:
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
        _plane(small, number, np.uint8)[...] = level
    _plane(small, 1, np.uint8)[16, 4] = 228
    row = _plane(reformatter.reformat(small, format="yuv444p", interpolation=_ACCURATE), 1, np.uint8)[16].astype(int)
    return bool(row[17] != row[18])


class _SitingMark:
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


# Reading ------------------------------------------------------------------------------------------------


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
            self._mark = _SitingMark() if _needs_siting(first, codec) else None
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
        return _packed(self._reformat(frame, "rgb24"), np.uint8, 3), _plane(planar, 3, np.uint8).copy()

    def _by_swscale(self, frame: VideoFrame) -> tuple[Image, Plane | None]:
        if has_alpha(frame.format):
            pixels = _packed(self._reformat(frame, "rgba"), np.uint8, 4)
            return pixels[..., :3], pixels[..., 3]
        return _packed(self._reformat(frame, "rgb24"), np.uint8, 3), None

    def _deep_rgb(self, frame: VideoFrame) -> tuple[Image, Plane | None]:
        """16 bits of RGB: from its planes, each value its share of the whole, else as swscale shuffles it."""
        form = self._scaled(frame).format
        alpha = has_alpha(form)
        if form.name.startswith("gbr") and "f" not in form.name:
            bits = bits_of(form)
            planar = self._reformat(frame, f"gbr{'a' if alpha else ''}p{f'{bits}le' if bits > 8 else ''}")
            kind = np.uint16 if bits > 8 else np.uint8
            levels = [_plane(planar, number, kind) for number in range(4 if alpha else 3)]
            green, blue, red, *rest = (_whole_range(level, bits) for level in levels)
            image: _Words = np.asarray(cv2.merge([red, green, blue]), np.uint16)
            return image, rest[0] if rest else None
        if bits_of(form) <= 8:  # swscale would widen them by 256, not 257
            plain, clear = self._by_swscale(frame)
            return _whole_range(plain, 8), None if clear is None else _whole_range(clear, 8)
        if alpha:
            pixels = _packed(self._reformat(frame, "rgba64le"), np.uint16, 4)
            return pixels[..., :3], pixels[..., 3]
        return _packed(self._reformat(frame, "rgb48le"), np.uint16, 3), None

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
        levels = [_plane(planar, number, np.uint16) << shift for number in range(3)]
        words = cv2.transform(cv2.merge(levels), _to_rgb(colours.matrix, colours.range, bits))
        image: _Words = np.asarray(words, np.uint16)
        if not alpha:
            return image, None
        return image, _whole_range(_plane(planar, 3, np.uint16) >> (16 - bits - shift), bits)

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
            interpolation=_ACCURATE,
            dst_color_range=ColorRange.JPEG if rgb else int(frame.color_range),
        )


def _whole_range(levels: NDArray[Any], bits: int) -> _Words:
    """Return values of 0..2^bits-1 as 0..65535."""
    return np.asarray(_rescaling(bits, 16)[levels]) if bits < 16 else np.asarray(levels, np.uint16)


@cache
def _rescaling(bits: int, goal_bits: int) -> NDArray[Any]:
    """Return the table from 0..2^bits-1 to 0..2^goal_bits-1, rounded to nearest."""
    shares = np.arange(2**bits) / (2**bits - 1)
    table: NDArray[Any] = np.rint(shares * (2**goal_bits - 1)).astype(np.uint16 if goal_bits > 8 else np.uint8)
    return table


def _memory(frame: VideoFrame, number: int, kind: type[np.uint8] | type[np.uint16], channels: int) -> NDArray[Any]:
    """Return one plane's memory as (H,W,channels), not copied; rows may be padded."""
    plane = frame.planes[number]
    buffer: Any = plane  # a buffer to Python, not yet to the type checker
    size = np.dtype(kind).itemsize
    shape = (plane.height, plane.width, channels)
    memory: NDArray[Any] = np.ndarray(shape, kind, buffer, 0, (plane.line_size, channels * size, size))
    return memory


def _plane(frame: VideoFrame, number: int, kind: type[np.uint8] | type[np.uint16]) -> NDArray[Any]:
    memory: NDArray[Any] = _memory(frame, number, kind, 1)[..., 0]
    return memory


def _packed(frame: VideoFrame, kind: type[np.uint8] | type[np.uint16], channels: int) -> NDArray[Any]:
    return _memory(frame, 0, kind, channels)


# Arithmetic ---------------------------------------------------------------------------------------------


def _scales(range_: int, bits: int) -> tuple[float, float, float]:
    """Return black, and how far white lies above it and chroma reaches both ways, of YUV, in 65536ths of 2^bits."""
    if range_ == FULL:
        whole = (2**bits - 1) * 2 ** (16 - bits)
        return 0.0, whole, whole
    return 16.0 * 256, 219.0 * 256, 224.0 * 256


def _yuv_of_rgb(matrix: int) -> NDArray[np.float64]:
    """Return the 3x3 matrix from R, G, B in [0,1] to Y in [0,1] and U, V in [-0.5,0.5] (ITU-R BT.601 and others)."""
    red, blue = _WEIGHTS[matrix]
    luma = np.array([red, 1 - red - blue, blue])
    return np.stack([luma, ([0, 0, 1] - luma) / (2 * (1 - blue)), ([1, 0, 0] - luma) / (2 * (1 - red))])


@cache
def _to_yuv(matrix: int, range_: int, bits: int) -> NDArray[np.float64]:
    """Return 3x4 for cv2.transform, from RGB in 0..65535 to YUV of `bits` whose levels are shifted up to 16 bits."""
    black, luma, chroma = _scales(range_, bits)
    scaled = _yuv_of_rgb(matrix) * np.array([[luma], [chroma], [chroma]]) / 65535
    return np.hstack([scaled, [[black], [32768], [32768]]])


@cache
def _to_rgb(matrix: int, range_: int, bits: int) -> NDArray[np.float64]:
    """Return the way back from `_to_yuv`."""
    forward = _to_yuv(matrix, range_, bits)
    inverse = np.linalg.inv(forward[:, :3])
    return np.hstack([inverse, -inverse @ forward[:, 3:]])


# Writing ------------------------------------------------------------------------------------------------


class FrameMaker:
    """Turns pictures into the frames that one encoding takes; `matrix` is what they are tagged with."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._format = form = VideoFormat(encoding.pixel_format, encoding.padded_width, encoding.padded_height)
        self._bits = bits_of(form)
        self.matrix = _RGB if form.is_rgb else encoding.colours.matrix
        self._reformatter = VideoReformatter()
        # What swscale makes YUV from. It may read past the end of rows, so this is memory aligned and padded by FFmpeg.
        blank = VideoFrame(form.width, form.height, "rgb24" if self._bits <= 8 else "yuv444p16le")
        self._scratch = _SitingMark().put_on(blank)

    def make(self, image: Image, alpha: Plane | None = None) -> VideoFrame:
        """Return the frame, tagged with the encoding's colours, without a time.

        8 bits are widened and 16 are rounded as the encoding needs. Without alpha a frame is opaque; what the
        encoding has no room for is left out.

        Raises:
            ValueError: `image` is not uint8 or uint16 (H,W,3) of the encoding's size, or `alpha` not its (H,W).
        """
        encoding = self._encoding
        size = (encoding.height, encoding.width)
        if image.shape != (*size, 3) or image.dtype not in (np.uint8, np.uint16):
            raise ValueError(
                f"the film's pictures are uint8 or uint16 {(*size, 3)}, this one is {image.dtype} {image.shape}"
            )
        if alpha is not None and (alpha.shape != size or alpha.dtype != image.dtype):
            raise ValueError(f"this picture's alpha is {image.dtype} {size}, not {alpha.dtype} {alpha.shape}")
        image, alpha = self._fit(image), None if alpha is None else self._fit(alpha)
        if is_rgb(self._format):
            frame = self._rgb(image, alpha)
        else:
            frame = self._deep_yuv(image) if self._bits > 8 else self._yuv(image)
            if has_alpha(self._format):
                plane = _plane(frame, 3, np.uint16 if self._bits > 8 else np.uint8)
                plane[...] = 2**self._bits - 1 if alpha is None else self._levels(alpha)
        colours = encoding.colours
        frame.colorspace, frame.color_range = self.matrix, colours.range
        frame.color_primaries, frame.color_trc = colours.primaries, colours.transfer
        return frame

    def _fit(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Repeat the last row and column where the codec needs even sides; go to the depth worked in."""
        down, right = (self._encoding.padded_height - pixels.shape[0], self._encoding.padded_width - pixels.shape[1])
        if down or right:
            pixels = np.pad(pixels, ((0, down), (0, right), (0, 0))[: pixels.ndim], mode="edge")
        if self._bits <= 8:
            return in_8_bits(pixels)
        return pixels if pixels.dtype == np.uint16 else pixels.astype(np.uint16) * np.uint16(257)

    def _levels(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return 0..65535 in the encoding's bits; 8 bits as they are."""
        return values if self._bits in {8, 16} else np.asarray(_rescaling(16, self._bits)[values])

    def _rgb(self, image: Image, alpha: Plane | None) -> VideoFrame:
        encoding = self._encoding
        frame = VideoFrame(encoding.padded_width, encoding.padded_height, encoding.pixel_format)
        if encoding.pixel_format in {"bgr0", "bgra"}:
            memory = _packed(frame, np.uint8, 4)
            memory[..., :3] = image[..., ::-1]
            memory[..., 3] = 255 if alpha is None else alpha
            return frame
        channels: Sequence[NDArray[Any]] = [image[..., 1], image[..., 2], image[..., 0]]
        for number, channel in enumerate(channels):
            _plane(frame, number, np.uint16)[...] = self._levels(channel)
        if has_alpha(self._format):
            _plane(frame, 3, np.uint16)[...] = 2**self._bits - 1 if alpha is None else self._levels(alpha)
        return frame

    def _deep_yuv(self, image: NDArray[Any]) -> VideoFrame:
        encoding, bits = self._encoding, self._bits
        levels = cv2.transform(image, _to_yuv(encoding.colours.matrix, encoding.colours.range, bits))
        whole = "444" in encoding.pixel_format
        frame = (
            VideoFrame(encoding.padded_width, encoding.padded_height, encoding.pixel_format) if whole else self._scratch
        )
        if whole and bits < 16:  # swscale would not round
            half, shift = np.uint16(2 ** (15 - bits)), 16 - bits
            levels = np.minimum(levels, np.uint16(65535 - half)) + half >> shift
        for number in range(3):
            _plane(frame, number, np.uint16)[...] = levels[..., number]
        return frame if whole else self._reformat(frame, encoding.pixel_format, ColorRange.UNSPECIFIED)

    def _yuv(self, image: NDArray[Any]) -> VideoFrame:
        encoding, colours = self._encoding, self._encoding.colours
        rgb = self._scratch
        _packed(rgb, np.uint8, 3)[...] = image
        rgb.colorspace, rgb.color_range = colours.matrix, ColorRange.JPEG
        if colours.range != FULL:
            return self._reformat(rgb, encoding.pixel_format, colours.range)
        planar = encoding.pixel_format.replace("nv12", "yuv420p").replace("yuva", "yuv")
        frame = _round_full_range(self._reformat(rgb, f"{planar}10le", FULL), planar)
        frame.colorspace, frame.color_range = colours.matrix, FULL
        return frame if planar == encoding.pixel_format else self._reformat(frame, encoding.pixel_format, FULL)

    def _reformat(self, frame: VideoFrame, name: str, range_: int) -> VideoFrame:
        return self._reformatter.reformat(frame, format=name, interpolation=_ACCURATE, dst_color_range=range_)


# From full-range 10 bits to 8: luma is a share of the whole range, chroma a distance from the middle. swscale
# rounds the chroma of full-range YUV down, half a level on average, which the 0.5 takes back.
_LUMA_TO_8 = np.rint(np.arange(1024) * (255 / 1023)).astype(np.uint8)
_CHROMA_TO_8 = np.clip(np.rint((np.arange(1024) + 0.5 - 512) * (255 / 1023) + 128), 0, 255).astype(np.uint8)


def _round_full_range(deep: VideoFrame, pixel_format: str) -> VideoFrame:
    """Return a full-range 10-bit YUV frame in 8 bits, rounded to nearest: swscale alone would tint the film."""
    frame = VideoFrame(deep.width, deep.height, pixel_format)
    for number, table in enumerate((_LUMA_TO_8, _CHROMA_TO_8, _CHROMA_TO_8)):
        np.take(table, _plane(deep, number, np.uint16), out=_plane(frame, number, np.uint8), mode="clip")
    return frame
