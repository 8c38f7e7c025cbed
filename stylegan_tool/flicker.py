"""Measure how much a stylised film flickers, how sharp it is, and how far it is from frame-by-frame pictures.

The warp error (Lai et al. 2018, 'Learning blind video temporal consistency') is the mean absolute difference, in
8-bit steps, between a frame and its predecessor carried along the motion, where the motion is known. A film that is
not stylised has one too (noise, light, what the motion misses), so that what counts is the excess over it.

The motion is measured on the source with another method than the one that steadies the film, so that no method
judges itself: points of a grid tracked by Lucas and Kanade's method in Bouguet's pyramid, there and back. What can
be trusted of it spreads to where the picture has nothing to hold on to. The same places are left out for all films.

Pictures are uint8 (H,W,3) RGB, motions as in steady.py. Only numbers are kept of the frames before the last.
"""

from dataclasses import dataclass, field
from typing import TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from stylegan_tool.pixels import Image
from stylegan_tool.steady import Bytes, Floats, SourceMotion, flow_agrees, shrink, warp

Mask: TypeAlias = NDArray[np.bool_]

MEASURE_SIDE = 640  # pixels, the longer side of the picture on which motion is measured
GRID = 8  # pixels between tracked points
WINDOW = 21  # pixels around a point that are compared
PYRAMID = 5  # levels above the picture itself
BLUR = 1.2  # pixels; without it the tracks keep to whole pixels, by a tenth of the way
FIRM = 3e-4  # smallest eigenvalue from which a point has something to hold on to
MOST_MISSED = 0.5  # pixels between a point and where its track leads back to
SPREAD, SPREAD_SHARE = (1, 3, 9, 27), 0.03  # grid points, and how much less each step outwards counts
GAP, GAP_SHARE = 0.5, 0.01  # as for flow_agrees, stricter
MOST_APART = 12.0  # 8-bit steps; a source that differs more from its predecessor is not the same thing
DISTANCE_SIGMA = 4.0  # pixels
NO_SHARPNESS = 0.1  # 8-bit steps; a plain film has none to keep
NO_FLICKER = 0.5  # 8-bit steps; with less excess than this, a share of it says nothing


@dataclass(frozen=True)
class Triple:
    """One figure for each of the three films."""

    source: float
    per_frame: float
    steady: float


@dataclass
class Flicker:
    """What was measured of a film, by frame as it was decoded.

    A warp error is None where no motion leads there (the first frame of a scene) and where the source was repeated.
    """

    warp_errors: list[Triple | None] = field(default_factory=list)
    sharpnesses: list[Triple] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)  # frames, from 0, that begin another scene

    @property
    def warp_error(self) -> Triple | None:
        """The means, in 8-bit steps; None for a film in which no frame has a predecessor."""
        known = [errors for errors in self.warp_errors if errors is not None]
        return _mean(known) if known else None

    @property
    def excess(self) -> float | None:
        """The steady film's excess over the source as a share of the per-frame film's; None if that has none."""
        error = self.warp_error
        if error is None or error.per_frame - error.source < NO_FLICKER:
            return None
        return (error.steady - error.source) / (error.per_frame - error.source)

    @property
    def sharpness(self) -> Triple:
        """The mean absolute Laplacian, in 8-bit steps."""
        return _mean(self.sharpnesses)

    @property
    def sharpness_kept(self) -> float | None:
        """The steady film's sharpness as a share of the per-frame film's; None if that has none."""
        if self.sharpness.per_frame < NO_SHARPNESS:
            return None
        return self.sharpness.steady / self.sharpness.per_frame

    @property
    def distance(self) -> float:
        """The mean absolute difference of steady from per-frame pictures after a Gaussian of 4 px, in 8-bit steps."""
        return float(np.mean(self.distances))


def _mean(triples: list[Triple]) -> Triple:
    return Triple(*(float(np.mean([getattr(one, name) for one in triples])) for name in Triple.__annotations__))


class FlickerMeter:
    """Takes the frames of a film one after the other, as source, stylised by itself, and steady.

    `flicker` holds what was measured so far.
    """

    def __init__(self) -> None:
        self.flicker = Flicker()
        self._follow = SourceMotion()
        self._before: tuple[Image, Image, Image] | None = None

    def add(self, source: Image, per_frame: Image, steady: Image, *, motion: tuple[Floats, Mask] | None = None) -> None:
        """Measure the next frame, three pictures uint8 (H,W,3) of one size.

        `motion` is the way back to the frame before, (H,W,2) in pixels of the film, and where it holds, (H,W); it
        is for films whose motion is known, and is otherwise measured.
        """
        frames = (source, per_frame, steady)
        repeated = self._before is not None and np.array_equal(source, self._before[0])
        step = None if repeated else self._follow(source)
        if step is not None and step.is_cut:
            self.flicker.cuts.append(len(self.flicker.sharpnesses))
        errors = None
        if self._before is not None and step is not None and not step.is_cut:
            back, holds = motion or measure_motion(source, self._before[0])
            if holds.any():
                errors = Triple(*(_warp_error(*pair, back, holds) for pair in zip(frames, self._before, strict=True)))
        self.flicker.warp_errors.append(errors)
        self.flicker.sharpnesses.append(Triple(*(_sharpness(frame) for frame in frames)))
        self.flicker.distances.append(_distance(per_frame, steady))
        self._before = frames


def _warp_error(frame: Image, before: Image, back: Floats, holds: Mask) -> float:
    # Cubic: linear interpolation would blur, and count the loss as flicker.
    difference = cv2.absdiff(warp(before, back, cv2.INTER_CUBIC), frame)
    return float(difference[holds].mean())


def _sharpness(image: Image) -> float:
    return float(np.abs(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_32F)).mean())


def _distance(one: Image, other: Image) -> float:
    difference = one.astype(np.float32) - other.astype(np.float32)
    return float(np.abs(cv2.GaussianBlur(difference, (0, 0), DISTANCE_SIGMA)).mean())


def measure_motion(source: Image, before: Image) -> tuple[Floats, Mask]:
    """Return the way from each pixel of `source` back into `before`, (H,W,2) in pixels, and where it holds, (H,W)."""
    height, width = source.shape[:2]
    small, small_before = shrink(source, MEASURE_SIDE), shrink(before, MEASURE_SIDE)
    grey, grey_before = (_blurred_grey(image) for image in (small, small_before))
    back, forth = _track(grey, grey_before), _track(grey_before, grey)
    apart = cv2.absdiff(warp(small_before, back, cv2.INTER_LINEAR), small).mean(-1, dtype=np.float32)
    holds = flow_agrees(back, forth, gap=GAP, gap_share=GAP_SHARE) & (cv2.blur(apart, (5, 5)) < MOST_APART)
    back = back * np.array([width / small.shape[1], height / small.shape[0]], np.float32)
    large = cv2.resize(back, (width, height), interpolation=cv2.INTER_LINEAR)
    holds_large = cv2.resize(holds.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    return cast("Floats", large), cast("Mask", holds_large)


def _blurred_grey(image: Bytes) -> Bytes:
    return cast("Bytes", cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), BLUR))


def _track(grey: Bytes, other: Bytes) -> Floats:
    """Return the dense motion from `grey` to `other`, (h,w,2)."""
    height, width = grey.shape
    rows, columns = -(-height // GRID), -(-width // GRID)
    points = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).astype(np.float32) * GRID + (GRID - 1) / 2
    points = np.minimum(points, np.array([width - 1, height - 1], np.float32)).reshape(-1, 1, 2)
    moved, firmness, found = _follow(grey, other, points)
    returned, _, found_again = _follow(other, grey, moved)
    missed = np.sqrt(((returned - points) ** 2).sum(-1))
    # Squared: where there is next to nothing to hold on to, tracks stand still and claim to be sure of it.
    trust = (firmness / (firmness + FIRM)) ** 2 * (found & found_again & (missed < MOST_MISSED))
    motion = np.where(trust[..., None] > 0, moved - points, 0).reshape(rows, columns, 2)
    filled = _spread(motion.astype(np.float32), trust.reshape(rows, columns).astype(np.float32))
    # In whole steps of the grid, so that each point stays in the middle of its cell, then cut to size.
    large = cv2.resize(filled, (columns * GRID, rows * GRID), interpolation=cv2.INTER_LINEAR)
    return cast("Floats", np.ascontiguousarray(large[:height, :width]))


def _follow(grey: Bytes, other: Bytes, points: Floats) -> tuple[Floats, Floats, Mask]:
    """Return where the points, (n,1,2), have gone, how firmly each is held, and whether it was found, (n,1)."""
    moved, found, firmness = cv2.calcOpticalFlowPyrLK(
        grey,
        other,
        points,
        np.empty_like(points),
        winSize=(WINDOW, WINDOW),
        maxLevel=PYRAMID,
        flags=cv2.OPTFLOW_LK_GET_MIN_EIGENVALS,
        minEigThreshold=0,
    )
    return cast("Floats", moved), cast("Floats", firmness), found > 0


def _spread(motion: Floats, trust: Floats) -> Floats:
    """Return `motion` (h,w,2) where `trust` is high, and where it is low that of the trusted places around."""
    weighted = motion * trust[..., None]
    total, weight = weighted.copy(), trust.copy()
    for step, sigma in enumerate(SPREAD, start=1):
        total += SPREAD_SHARE**step * cv2.GaussianBlur(weighted, (0, 0), sigma)
        weight += SPREAD_SHARE**step * cv2.GaussianBlur(trust, (0, 0), sigma)
    return cast("Floats", total / (weight + 1e-12)[..., None])
