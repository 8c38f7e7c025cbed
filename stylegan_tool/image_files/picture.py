"""What a picture is to the rest of the tool: upright RGB of 8 or 16 bits, with alpha, profile and EXIF beside it.

Kept of a file: values under transparent pixels, RGB profiles (and the values they explain), EXIF but its orientation.
Not kept: XMP, IPTC and text chunks (XMP may repeat an orientation that is no longer true), thumbnails, CMYK
and grey profiles (their pictures become sRGB).

Units: alpha 0 is transparent, the type's maximum opaque.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stylegan_tool.pixels import Image

Plane: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
Array: TypeAlias = NDArray[Any]  # inside this package: uint8 or uint16, of any shape


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture as the rest of the tool sees it. The arrays may be read-only.

    Attributes:
        image: uint8 or uint16, (H,W,3), RGB, upright: the file's orientation has been applied.
        alpha: (H,W) of the same type, 0 = transparent; None where the file has none. Not premultiplied.
        icc: the RGB profile that `image`'s values are in; None means sRGB.
        exif: block beginning with `Exif\\0\\0`, orientation 1; None where there was none fit to keep.
        is_first_of_several: the file is an animation or has pages.
    """

    image: Image
    alpha: Plane | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    is_first_of_several: bool = False
