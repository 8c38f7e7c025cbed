"""Sliced Wasserstein distance on Laplacian pyramids: how far two sets of pictures are apart, size by size.

Karras et al. 2018, "Progressive Growing of GANs", section 5 and appendix: of each picture and each level of its
Laplacian pyramid, PATCHES neighbourhoods of 7x7 at random; per level, both sets' neighbourhoods are normalised and
projected on random directions, where the Wasserstein distance of two equally large sets is the mean distance of their
sorted values. 256 px is strokes and grain, 16 px (the last, low-pass level) composition and large areas of colour.

A set is normalised by its own mean and deviation, channel by channel, as the paper's code does it: a cast or a
contrast that all its pictures share is not seen; `channel_statistics` has those.

Units: an `image` is uint8 (SIDE,SIDE,3); distances are multiplied by 1000, as the paper prints them.
"""

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from stylegan_tool.pixels import Image, in_8_bits

Plane: TypeAlias = NDArray[np.float32]

SIDE = 256  # pixels
LEVELS = (256, 128, 64, 32, 16)  # sides, pixels
NEIGHBOURHOOD = 7  # pixels a side
PATCHES = 128  # of each picture and level
REPEATS, DIRECTIONS = 4, 128
SCALE = 1000.0

_BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16
_FLAT = 1e-8  # a deviation below this is none; values are 0 to 255


def to_square(image: Image) -> NDArray[np.uint8]:
    """Return the middle square of `image` (H,W,3), SIDE pixels a side, in 8 bits.

    Scaled by Pillow's bicubic filter, which is antialiased where it shrinks; a picture of that size keeps its values.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = PilImage.fromarray(in_8_bits(image[top : top + side, left : left + side]))
    return np.asarray(square if side == SIDE else square.resize((SIDE, SIDE), PilImage.Resampling.BICUBIC))


def _blur(plane: Plane, gain: float) -> Plane:
    kernel = _BINOMIAL * gain
    blurred: Plane = cv2.sepFilter2D(plane, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT_101).astype(np.float32)
    return blurred


def laplacian_pyramid(image: Image) -> list[Plane]:
    """Return one (side,side,3) for each of LEVELS: band-passes, and the low-pass rest as the last.

    Upsampling the rest and adding level to level gives the picture back.
    """
    level = image.astype(np.float32)
    pyramid = []
    for _ in LEVELS[1:]:
        smaller = np.ascontiguousarray(_blur(level, 1.0)[::2, ::2])
        pyramid.append(level - upsample(smaller))
        level = smaller
    return [*pyramid, level]


def upsample(plane: Plane) -> Plane:
    """Return `plane` at twice the side: zeros between its values, then the pyramid's filter."""
    height, width, channels = plane.shape
    spread = np.zeros((2 * height, 2 * width, channels), np.float32)
    spread[::2, ::2] = plane
    return _blur(spread, 2.0)  # along each axis


def sample_patches(images: Sequence[NDArray[np.uint8]], rng: np.random.Generator) -> list[NDArray[np.float32]]:
    """Return for each of LEVELS the normalised neighbourhoods of all `images`, (len(images) * PATCHES, 3 * 7 * 7)."""
    found: list[list[NDArray[np.float32]]] = [[] for _ in LEVELS]
    window = (NEIGHBOURHOOD, NEIGHBOURHOOD)
    for image in images:
        for level, patches in zip(laplacian_pyramid(image), found, strict=True):
            views = np.lib.stride_tricks.sliding_window_view(level, window, axis=(0, 1))  # H'W'C77
            rows, columns = rng.integers(0, views.shape[:2], (PATCHES, 2)).T
            patches.append(views[rows, columns])
    return [_normalize(np.concatenate(patches)) for patches in found]


def _normalize(patches: NDArray[np.float32]) -> NDArray[np.float32]:
    mean = patches.mean(axis=(0, 2, 3), keepdims=True, dtype=np.float64)
    deviation = patches.std(axis=(0, 2, 3), keepdims=True, dtype=np.float64)
    normal: NDArray[np.float32] = ((patches - mean) / np.maximum(deviation, _FLAT)).astype(np.float32)
    return normal.reshape(len(patches), -1)


def sliced_wasserstein(one: NDArray[np.float32], other: NDArray[np.float32], rng: np.random.Generator) -> float:
    """Return the mean over REPEATS * DIRECTIONS random directions of the distance of the projections, not scaled.

    Args:
        one, other: (M,D), of the same shape: sorted values are compared one to one.
    """
    if one.shape != other.shape:
        raise ValueError(f"sets of the same size are compared, not {one.shape} and {other.shape}")
    distances = []
    for _ in range(REPEATS):
        directions = rng.standard_normal((one.shape[1], DIRECTIONS)).astype(np.float32)
        directions /= np.linalg.norm(directions, axis=0)
        # DM: sorting runs along memory.
        projected = [np.sort(np.ascontiguousarray((patches @ directions).T), axis=1) for patches in (one, other)]
        distances.append(np.abs(projected[0] - projected[1]).mean(dtype=np.float64))
    return float(np.mean(distances))


def level_distances(
    one: Sequence[NDArray[np.float32]], other: Sequence[NDArray[np.float32]], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the distance at each of LEVELS, times 1000, of what `sample_patches` gave for two sets.

    The estimate falls with the number of pictures: two samples of one set are never at 0, and further apart the
    smaller they are. Compare figures of the same number alone.
    """
    return SCALE * np.array([sliced_wasserstein(a, b, rng) for a, b in zip(one, other, strict=True)])


def channel_statistics(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Return mean and deviation of R, G and B over all `images`, (2,3), in 8-bit steps."""
    pixels = np.stack(images).reshape(-1, 3)
    return np.stack([pixels.mean(axis=0, dtype=np.float64), pixels.std(axis=0, dtype=np.float64)])
