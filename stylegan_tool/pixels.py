"""Between pictures and batches: the only file that knows 127.5.

An `image` is uint8 or uint16, shape (H,W,3), RGB. A `batch` is float32, shape (N,3,H,W), RGB, in [-1,1].
0 is -1 and the type's maximum (255 or 65535) is +1; back again we round to the nearest integer, where the
first CycleGAN code truncated.
"""

from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
Batch: TypeAlias = NDArray[np.float32]

_TO_8 = ((np.arange(65536, dtype=np.uint32) + 128) // 257).astype(np.uint8)  # x / 257, rounded; 257 is odd: no ties
HALF = {np.dtype(np.uint8): np.float32(127.5), np.dtype(np.uint16): np.float32(32767.5)}


def in_8_bits(values: Image) -> NDArray[np.uint8]:
    """Return uint8 or uint16 values of any shape in 8 bits, 16 bit rounded to the nearest."""
    return np.asarray(_TO_8[values] if values.dtype == np.uint16 else values, np.uint8)


def to_batch(image: Image) -> Batch:
    """Return `image` as a batch of one, shape (1,3,H,W), float32 in [-1,1].

    Raises:
        ValueError: the array is not (H,W,3) of uint8 or uint16.
    """
    half = HALF.get(image.dtype)
    if half is None or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"an image is uint8 or uint16 of shape (H,W,3), not {image.dtype} {image.shape}")
    planes = np.ascontiguousarray(image.transpose(2, 0, 1)[None])  # HWC -> NCHW
    batch = planes.astype(np.float32)
    batch /= half
    batch -= np.float32(1.0)
    return batch


def to_image(batch: Batch, dtype: np.dtype[np.uint8] | np.dtype[np.uint16]) -> Image:
    """Return the first picture of `batch` as (H,W,3) of `dtype`; values beyond [-1,1] are clipped."""
    half = HALF[np.dtype(dtype)]
    values = (batch[0] + np.float32(1.0)) * half
    np.rint(values, out=values)
    np.clip(values, 0.0, 2.0 * half, out=values)
    return cast("Image", np.ascontiguousarray(values.transpose(1, 2, 0)).astype(dtype))  # CHW -> HWC
