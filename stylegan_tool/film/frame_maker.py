"""Turn pictures into the frames that a film's encoder takes, with the film's own matrix and range."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter
from numpy.typing import NDArray

from stylegan_tool.film.colours import bits_of, has_alpha, is_rgb
from stylegan_tool.film.plan import FULL, Encoding
from stylegan_tool.film.siting import SitingMark
from stylegan_tool.film.yuv import ACCURATE, RGB, packed_of, plane_of, rescaling, round_full_range, to_yuv
from stylegan_tool.image_files.picture import Plane
from stylegan_tool.pixels import Image, in_8_bits


class FrameMaker:
    """Turns pictures into the frames that one encoding takes; `matrix` is what they are tagged with."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._format = form = VideoFormat(encoding.pixel_format, encoding.padded_width, encoding.padded_height)
        self._bits = bits_of(form)
        self.matrix = RGB if form.is_rgb else encoding.colours.matrix
        self._reformatter = VideoReformatter()
        # What swscale makes YUV from. It may read past the end of rows, so this is memory aligned and padded by FFmpeg.
        blank = VideoFrame(form.width, form.height, "rgb24" if self._bits <= 8 else "yuv444p16le")
        self._scratch = SitingMark().put_on(blank)

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
                plane = plane_of(frame, 3, np.uint16 if self._bits > 8 else np.uint8)
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
        return values if self._bits in {8, 16} else np.asarray(rescaling(16, self._bits)[values])

    def _rgb(self, image: Image, alpha: Plane | None) -> VideoFrame:
        encoding = self._encoding
        frame = VideoFrame(encoding.padded_width, encoding.padded_height, encoding.pixel_format)
        if encoding.pixel_format in {"bgr0", "bgra"}:
            memory = packed_of(frame, np.uint8, 4)
            memory[..., :3] = image[..., ::-1]
            memory[..., 3] = 255 if alpha is None else alpha
            return frame
        channels: Sequence[NDArray[Any]] = [image[..., 1], image[..., 2], image[..., 0]]
        for number, channel in enumerate(channels):
            plane_of(frame, number, np.uint16)[...] = self._levels(channel)
        if has_alpha(self._format):
            plane_of(frame, 3, np.uint16)[...] = 2**self._bits - 1 if alpha is None else self._levels(alpha)
        return frame

    def _deep_yuv(self, image: NDArray[Any]) -> VideoFrame:
        encoding, bits = self._encoding, self._bits
        levels = cv2.transform(image, to_yuv(encoding.colours.matrix, encoding.colours.range, bits))
        whole = "444" in encoding.pixel_format
        frame = (
            VideoFrame(encoding.padded_width, encoding.padded_height, encoding.pixel_format) if whole else self._scratch
        )
        if whole and bits < 16:  # swscale would not round
            half, shift = np.uint16(2 ** (15 - bits)), 16 - bits
            levels = np.minimum(levels, np.uint16(65535 - half)) + half >> shift
        for number in range(3):
            plane_of(frame, number, np.uint16)[...] = levels[..., number]
        return frame if whole else self._reformat(frame, encoding.pixel_format, ColorRange.UNSPECIFIED)

    def _yuv(self, image: NDArray[Any]) -> VideoFrame:
        encoding, colours = self._encoding, self._encoding.colours
        rgb = self._scratch
        packed_of(rgb, np.uint8, 3)[...] = image
        rgb.colorspace, rgb.color_range = colours.matrix, ColorRange.JPEG
        if colours.range != FULL:
            return self._reformat(rgb, encoding.pixel_format, colours.range)
        planar = encoding.pixel_format.replace("nv12", "yuv420p").replace("yuva", "yuv")
        frame = round_full_range(self._reformat(rgb, f"{planar}10le", FULL), planar)
        frame.colorspace, frame.color_range = colours.matrix, FULL
        return frame if planar == encoding.pixel_format else self._reformat(frame, encoding.pixel_format, FULL)

    def _reformat(self, frame: VideoFrame, name: str, range_: int) -> VideoFrame:
        return self._reformatter.reformat(frame, format=name, interpolation=ACCURATE, dst_color_range=range_)
