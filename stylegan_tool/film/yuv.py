"""Between YUV of any matrix, range and depth and RGB of 16 bits: arithmetic by the book, and frames' memory as arrays.

swscale converts 8-bit YUV exactly to rounding, but works with about 8 bits inside even where both sides have more,
drops half a step of full-range chroma, and copies planes of other depths without rounding. So all of that is arithmetic
here: swscale is left with shuffling bytes, 8 bits of limited range, and with scaling chroma between its own size and
the picture's.
"""

from functools import cache
from typing import Any, TypeAlias

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from stylegan_tool.film.plan import FULL

Words: TypeAlias = NDArray[np.uint16]

# Kr and Kb of ITU-R BT.709, FCC, BT.601 (two numbers), SMPTE 240M and BT.2020: the matrices that can be converted.
WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
RGB = 0  # H.273's matrix of films that hold RGB

# swscale's defaults round carelessly and halve the chroma resolution on the way to RGB.
ACCURATE = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)


def whole_range(levels: NDArray[Any], bits: int) -> Words:
    """Return values of 0..2^bits-1 as 0..65535."""
    return np.asarray(rescaling(bits, 16)[levels]) if bits < 16 else np.asarray(levels, np.uint16)


@cache
def rescaling(bits: int, goal_bits: int) -> NDArray[Any]:
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


def plane_of(frame: VideoFrame, number: int, kind: type[np.uint8] | type[np.uint16]) -> NDArray[Any]:
    """Return one plane of a planar frame as (H,W), not copied."""
    memory: NDArray[Any] = _memory(frame, number, kind, 1)[..., 0]
    return memory


def packed_of(frame: VideoFrame, kind: type[np.uint8] | type[np.uint16], channels: int) -> NDArray[Any]:
    """Return the pixels of a packed frame as (H,W,channels), not copied."""
    return _memory(frame, 0, kind, channels)


def _scales(range_: int, bits: int) -> tuple[float, float, float]:
    """Return black, and how far white lies above it and chroma reaches both ways, of YUV, in 65536ths of 2^bits."""
    if range_ == FULL:
        whole = (2**bits - 1) * 2 ** (16 - bits)
        return 0.0, whole, whole
    return 16.0 * 256, 219.0 * 256, 224.0 * 256


def _yuv_of_rgb(matrix: int) -> NDArray[np.float64]:
    """Return the 3x3 matrix from R, G, B in [0,1] to Y in [0,1] and U, V in [-0.5,0.5] (ITU-R BT.601 and others)."""
    red, blue = WEIGHTS[matrix]
    luma = np.array([red, 1 - red - blue, blue])
    return np.stack([luma, ([0, 0, 1] - luma) / (2 * (1 - blue)), ([1, 0, 0] - luma) / (2 * (1 - red))])


@cache
def to_yuv(matrix: int, range_: int, bits: int) -> NDArray[np.float64]:
    """Return 3x4 for cv2.transform, from RGB in 0..65535 to YUV of `bits` whose levels are shifted up to 16 bits."""
    black, luma, chroma = _scales(range_, bits)
    scaled = _yuv_of_rgb(matrix) * np.array([[luma], [chroma], [chroma]]) / 65535
    return np.hstack([scaled, [[black], [32768], [32768]]])


@cache
def to_rgb(matrix: int, range_: int, bits: int) -> NDArray[np.float64]:
    """Return the way back from `to_yuv`."""
    forward = to_yuv(matrix, range_, bits)
    inverse = np.linalg.inv(forward[:, :3])
    return np.hstack([inverse, -inverse @ forward[:, 3:]])


# From full-range 10 bits to 8: luma is a share of the whole range, chroma a distance from the middle. swscale
# rounds the chroma of full-range YUV down, half a level on average, which the 0.5 takes back.
_LUMA_TO_8 = np.rint(np.arange(1024) * (255 / 1023)).astype(np.uint8)
_CHROMA_TO_8 = np.clip(np.rint((np.arange(1024) + 0.5 - 512) * (255 / 1023) + 128), 0, 255).astype(np.uint8)


def round_full_range(deep: VideoFrame, pixel_format: str) -> VideoFrame:
    """Return a full-range 10-bit YUV frame in 8 bits, rounded to nearest: swscale alone would tint the film."""
    frame = VideoFrame(deep.width, deep.height, pixel_format)
    for number, table in enumerate((_LUMA_TO_8, _CHROMA_TO_8, _CHROMA_TO_8)):
        np.take(table, plane_of(deep, number, np.uint16), out=plane_of(frame, number, np.uint8), mode="clip")
    return frame
