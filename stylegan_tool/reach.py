"""How far each operator of a network looks, and where a tile's values are those of the whole picture.

Pure geometry along one axis: integers in, integers out; no graph, no array. A tile is run with the operator's
own padding acting on all its edges; where such an edge is not the picture's border, the values that the padding
has touched are wrong, and the rules below say how many they are. What is kept of a tile is what stays valid.

Units: indices of the tensor in question along one axis, in the whole picture's own grid at that tensor's scale.
Source: definitions of the operators in the ONNX specification (opset 20).
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

from stylegan_tool.errors import SgtError, first_line


class UnknownReachError(Exception):
    """An operator whose values cannot be told from a tile; the text says why."""


@contextmanager
def sense_expected() -> Iterator[None]:
    """Around what reads a graph: one that makes no sense (damaged, or by a bug elsewhere) fails it anywhere.

    Raises:
        UnknownReachError: something went wrong inside.
    """
    try:
        yield
    except (UnknownReachError, SgtError, MemoryError):
        raise
    except Exception as error:
        raise UnknownReachError(f"its graph makes no sense ({type(error).__name__}: {first_line(error)})") from error


@dataclass(frozen=True)
class Axis:
    """One tensor along one axis, as a tile holds it.

    Attributes:
        origin: index in the whole picture of what the tile holds first.
        length: how much the tile holds.
        total: the tensor's length in the whole picture.
        start, stop: what is valid, as indices in the whole picture; empty where stop <= start.
    """

    origin: int
    length: int
    total: int
    start: int
    stop: int

    @classmethod
    def of_window(cls, start: int, stop: int, total: int) -> "Axis":
        """Return [start, stop) of an input with `total` values, all of it valid."""
        return cls(start, stop - start, total, start, stop)

    @property
    def at_start(self) -> bool:
        """Whether it is right up to the picture's own first border, so that padding there is real."""
        return self.origin == 0 and self.start == 0

    @property
    def at_end(self) -> bool:
        """Whether it is right up to the picture's own last border."""
        return self.origin + self.length == self.total and self.stop == self.total

    def covers(self, start: int, stop: int) -> bool:
        """Whether [start, stop) is valid here."""
        return self.start <= start and stop <= self.stop


def _made(origin: int, length: int, total: int, start: int, stop: int) -> Axis:
    """Return an axis whose valid part lies inside what the tile holds."""
    return Axis(origin, length, total, max(start, origin), min(stop, origin + length, total))


def _divided(origin: int, step: int) -> int:
    if origin % step:
        raise UnknownReachError(f"a tile that starts at {origin} does not fit steps of {step}")
    return origin // step


def filtered(axis: Axis, *, kernel: int, stride: int, dilation: int, pads: tuple[int, int]) -> Axis:
    """A convolution or pooling: output j is made of inputs j*stride - pads[0] + i*dilation, 0 <= i < kernel."""
    span, before = (kernel - 1) * dilation, pads[0]
    length = (axis.length + sum(pads) - span - 1) // stride + 1
    total = (axis.total + sum(pads) - span - 1) // stride + 1
    start = 0 if axis.at_start else -(-(axis.start + before) // stride)
    stop = total if axis.at_end else (axis.stop - 1 - span + before) // stride + 1
    return _made(_divided(axis.origin, stride), length, total, start, stop)


def same_pads(axis: Axis, *, kernel: int, stride: int, dilation: int, upper: bool) -> tuple[int, int]:
    """Return the padding that auto_pad SAME_UPPER or SAME_LOWER means for this length.

    Raises:
        UnknownReachError: it would begin differently in the tile and in the whole picture.
    """

    def pads(length: int) -> tuple[int, int]:
        both = max((-(-length // stride) - 1) * stride + (kernel - 1) * dilation + 1 - length, 0)
        less, more = both // 2, both - both // 2
        return (less, more) if upper else (more, less)

    if pads(axis.length)[0] != pads(axis.total)[0]:
        raise UnknownReachError("automatic padding depends on the picture's size")
    return pads(axis.length)


def padded(axis: Axis, before: int, after: int) -> Axis:
    """Padding of any kind; negative numbers crop."""
    length, total = axis.length + before + after, axis.total + before + after
    start = 0 if axis.at_start else axis.start + before
    stop = total if axis.at_end else axis.stop + before
    return _made(axis.origin, length, total, start, stop)


def mirrored(axis: Axis, before: int, after: int) -> Axis:
    """Padding by reflection: as `padded`, but at a real border it reads `before` or `after` values inwards."""
    made = padded(axis, before, after)
    short_start = axis.at_start and axis.stop <= before
    short_end = axis.at_end and axis.start > axis.total - 1 - after
    if short_start or short_end:
        return Axis(made.origin, made.length, made.total, made.start, made.start)
    return made


def transposed(
    axis: Axis, *, kernel: int, stride: int, dilation: int, pads: tuple[int, int], output_padding: int
) -> Axis:
    """A transposed convolution: input i adds to outputs i*stride - pads[0] + k*dilation, 0 <= k < kernel."""
    span, before = (kernel - 1) * dilation, pads[0]
    grow = span + 1 - sum(pads) + output_padding
    length, total = (axis.length - 1) * stride + grow, (axis.total - 1) * stride + grow
    start = 0 if axis.at_start else (axis.start - 1) * stride + span + 1 - before
    stop = total if axis.at_end else axis.stop * stride - before
    return _made(axis.origin * stride, length, total, start, stop)


_ROUNDINGS: dict[str, Callable[[Fraction], int]] = {
    "floor": math.floor,
    "ceil": math.ceil,
    "round_prefer_floor": lambda x: math.ceil(x - Fraction(1, 2)),
    "round_prefer_ceil": lambda x: math.floor(x + Fraction(1, 2)),
}
_TAPS = {"linear": (0, 1), "cubic": (-1, 2)}  # first and last neighbour read, from floor(x)


def resized(axis: Axis, *, scale: Fraction, mode: str, coordinates: str, rounding: str) -> Axis:
    """Interpolation by a whole factor, up or down.

    Raises:
        UnknownReachError: the factor is not whole, or the grid depends on the picture's size (align_corners).
    """
    if scale == 1:
        return axis
    if 1 not in (scale.numerator, scale.denominator):
        raise UnknownReachError(f"it scales by {scale}, which is no whole factor")
    if coordinates not in ("asymmetric", "half_pixel", "pytorch_half_pixel"):
        raise UnknownReachError(f"its grid ({coordinates}) depends on the picture's size")
    shift = Fraction(0) if coordinates == "asymmetric" else Fraction(1, 2)

    def read(j: int) -> tuple[int, int]:
        x = (j + shift) / scale - shift
        if mode == "nearest":
            return (_ROUNDINGS[rounding](x),) * 2
        first, last = _TAPS[mode]
        return math.floor(x) + first, math.floor(x) + last

    total = math.floor(axis.total * scale)
    start, stop = 0, total
    # `read` grows with j and is within three inputs of j / scale: a short search from outside.
    if not axis.at_start:
        first_tried = math.floor((axis.start - 3) * scale)
        start = next(j for j in itertools.count(first_tried) if read(j)[0] >= axis.start)
    if not axis.at_end:
        last_tried = math.ceil((axis.stop + 3) * scale)
        stop = 1 + next(j for j in itertools.count(last_tried, -1) if read(j)[1] < axis.stop)
    origin = axis.origin * scale
    if origin.denominator != 1:
        raise UnknownReachError(f"a tile that starts at {axis.origin} does not fit a scale of {scale}")
    return _made(int(origin), math.floor(axis.length * scale), total, start, stop)


def folded(axis: Axis, block: int) -> Axis:
    """SpaceToDepth: `block` neighbours become channels."""
    return _made(
        _divided(axis.origin, block),
        axis.length // block,
        axis.total // block,
        -(-axis.start // block),
        axis.stop // block,
    )


def unfolded(axis: Axis, block: int) -> Axis:
    """DepthToSpace: channels become `block` neighbours."""
    return Axis(axis.origin * block, axis.length * block, axis.total * block, axis.start * block, axis.stop * block)


def joined(axes: Sequence[Axis]) -> Axis:
    """Values of several tensors at the same place; those of length 1 in the whole picture are broadcast.

    Raises:
        UnknownReachError: their grids differ.
    """
    wide = [axis for axis in axes if axis.total != 1] or list(axes)
    first = wide[0]
    if any((one.origin, one.length, one.total) != (first.origin, first.length, first.total) for one in wide):
        raise UnknownReachError("its inputs do not lie on one grid")
    return Axis(first.origin, first.length, first.total, max(one.start for one in wide), min(one.stop for one in wide))
