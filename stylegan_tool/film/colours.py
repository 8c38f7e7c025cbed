"""What a film's frames say of themselves: colours, depth, transparency, and how they are turned for display.

Colours are numbers of ITU-T H.273; see plan.py. Gaps in a film's tags are filled as players fill them.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from stylegan_tool.errors import InputError
from stylegan_tool.film.plan import BT601, BT709, BT2020, FULL, HDR, LIMITED, UNTAGGED, Colours
from stylegan_tool.film.yuv import RGB, WEIGHTS


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
    if is_rgb(frame.format) or matrix in {RGB, UNTAGGED, 3}:  # 3 is reserved
        matrix = BT2020 if transfer in HDR else guess_matrix(frame.height)
    elif matrix not in WEIGHTS:
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
