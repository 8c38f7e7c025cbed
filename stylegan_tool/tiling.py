"""Cut an image axis into overlapping tiles and weigh them so that they blend back.

Pure geometry: integers in, integers and small arrays out; no file, no model, no clock, so that every claim
below is a property test (tests/stylegan_tool/test_tiling.py).

Units: every length, start, halo and feather is in pixels of the input image.
Source: plain linear feathering; no paper.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylegan_tool.errors import UsageError


@dataclass(frozen=True)
class Span:
    """One tile along one axis: it reads [start, stop) and contributes [keep_start, keep_stop)."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


def round_up(value: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that is at least `value`."""
    return -(-value // multiple) * multiple


def smallest_tile(halo: int, feather: int, multiple: int) -> int:
    """Return the smallest tile that `plan_axis` accepts.

    Two halos, and between them room for a feather on either side that never meets the next one.
    """
    return round_up(2 * halo + 3 * feather + 4 * multiple, multiple)


def plan_axis(length: int, *, tile: int, halo: int, feather: int, multiple: int) -> tuple[Span, ...]:
    """Cut [0, length) into spans of equal length whose starts are on `multiple`.

    `length` must be a multiple of `multiple`. Neighbours contribute to `feather` common pixels, and no
    pixel has more than two tiles.

    Returns:
        Spans in order, of one length of at most `tile`. What a span keeps begins on a multiple, and is at least
        `halo` away from each of its ends that is not an end of the axis. One span where `length <= tile`.

    Raises:
        UsageError: the tile is too small (see `smallest_tile`).
    """
    tile -= tile % multiple
    least = smallest_tile(halo, feather, multiple)
    if length <= tile:
        return (Span(0, length, 0, length),)
    if tile < least:
        raise UsageError(
            f"tiles of {tile} pixels are too small for this model, which looks {halo} pixels to each side",
            hint=f"Use --tile {least} or more, or --tile auto.",
        )
    lost = 2 * halo + feather + 2 * multiple  # the last: starts and borders move when they are put on the multiple
    n = 1 - (-(length - tile) // (tile - lost))
    # As many, but no larger than they must be: else they would overlap by more than the halo, for nothing.
    tile = min(tile, round_up(-(-(length + (n - 1) * lost) // n), multiple))
    # Evenly spread: a last tile that is merely pushed back would overlap its neighbour's neighbour.
    starts = [(length - tile) * i // (n - 1) // multiple * multiple for i in range(n)]
    middles = [(later + earlier + tile) // 2 - feather // 2 for earlier, later in itertools.pairwise(starts)]
    borders = [middle // multiple * multiple for middle in middles]
    keep_starts = [0, *borders]
    keep_stops = [*(border + feather for border in borders), length]
    return tuple(
        Span(start, start + tile, keep_start, keep_stop)
        for start, keep_start, keep_stop in zip(starts, keep_starts, keep_stops, strict=True)
    )


def axis_weights(spans: tuple[Span, ...]) -> list[NDArray[np.float32]]:
    """Return, for each span, the weights of the pixels that it keeps.

    Returns:
        Arrays of length keep_stop - keep_start, values in (0,1]; over all spans they add up to 1 for each
        pixel of the axis: straight ramps where two spans meet, 1 elsewhere.
    """
    weights = [np.ones(span.keep_stop - span.keep_start, np.float32) for span in spans]
    for i, (earlier, later) in enumerate(itertools.pairwise(spans)):
        feather = earlier.keep_stop - later.keep_start
        if feather > 0:
            ramp = ((np.arange(feather) + 0.5) / feather).astype(np.float32)
            weights[i][-feather:] = 1 - ramp
            weights[i + 1][:feather] = ramp
    return weights
