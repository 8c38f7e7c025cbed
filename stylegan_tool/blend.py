"""What of the result is shown: how strongly, in whose colours, and beside what.

Pictures are uint8 or uint16 (H,W,3) RGB, source and result of one size and type.
"""

from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from stylegan_tool.options import Blend, Comparison
from stylegan_tool.pixels import Image

_LUMA = np.array([[0.2126, 0.7152, 0.0722]], np.float32)  # ITU-R BT.709, of the coded values
_LINE = 2  # pixels, between the halves of a split


def blend(source: Image, stylized: Image, options: Blend) -> Image:
    """Return what `options` ask for; wider than the two where they are put side by side."""
    shown = stylized
    if options.keep_colour:
        shown = keep_colour(source, shown)
    if options.strength < 1:
        shown = mix(source, shown, options.strength)
    return shown if options.compare is None else compare(source, shown, options.compare)


def mix(source: Image, stylized: Image, strength: float) -> Image:
    """Return the mean of both, `stylized` with weight `strength`, 0 <= strength <= 1."""
    return cast("Image", cv2.addWeighted(stylized, strength, source, 1 - strength, 0))


def keep_colour(source: Image, stylized: Image) -> Image:
    """Return `source` with the luma of `stylized`: one number is added to the three channels of a pixel.

    Luma and both colour differences are exact, but where a channel would leave the range and is clipped.
    """
    change: NDArray[Any] = cv2.transform(stylized, _LUMA).astype(np.float32) - cv2.transform(source, _LUMA)
    most = np.iinfo(source.dtype).max
    return cast("Image", np.clip(np.rint(source + change.reshape(*source.shape[:2], 1)), 0, most).astype(source.dtype))


def compare(source: Image, stylized: Image, how: Comparison) -> Image:
    """Return both side by side, (H,2W,3), or the left half of the source and the right one of the result."""
    if how == "side":
        return cast("Image", np.hstack([source, stylized]))
    half = source.shape[1] // 2
    both = stylized.copy()
    both[:, :half] = source[:, :half]
    both[:, max(0, half - _LINE // 2) : half + _LINE // 2] = np.iinfo(source.dtype).max
    return both


def compared_width(width: int, options: Blend) -> int:
    """Return how wide pictures come out, in pixels."""
    return 2 * width if options.compare == "side" else width


def compare_alpha(alpha: NDArray[Any], options: Blend) -> NDArray[Any]:
    """Return the alpha (H,W) that belongs to `blend`'s result."""
    return np.hstack([alpha, alpha]) if options.compare == "side" else alpha
