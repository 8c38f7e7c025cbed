"""Pictures as they stand in a page: sRGB, scaled down, as WebP in data URIs.

Units: sides in pixels, of the page's own copies unless said otherwise.
"""

import base64
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PilImage

from stylegan_tool.image_files.profiles import in_srgb
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.pixels import in_8_bits

LONGEST = 1600
SHORTEST_LIMIT = 640  # however many pictures there are
_AT_FULL_SIZE = 36  # pictures; beyond, all are smaller, so that the page stays at some 20 MB
_QUALITY = 82


@dataclass(frozen=True)
class Embedded:
    """A picture in a page; `full_*` is the file's own size."""

    uri: str
    width: int
    height: int
    full_width: int
    full_height: int


def limit_side(n_pictures: int) -> int:
    """Return the longest side that each of so many pictures gets."""
    share = min(1.0, _AT_FULL_SIZE / max(1, n_pictures))
    return max(SHORTEST_LIMIT, round(LONGEST * math.sqrt(share)))


def embed_picture(path: Path, longest: int) -> Embedded:
    """Return the picture at `path` with no side above `longest`.

    Raises:
        InputError, MissingError: see `read_picture`.
    """
    picture = in_srgb(read_picture(path))
    values = in_8_bits(picture.image)
    if picture.alpha is not None:
        values = np.dstack((values, in_8_bits(picture.alpha)))
    full_height, full_width = values.shape[:2]
    image = PilImage.fromarray(values)
    scale = min(1.0, longest / max(full_width, full_height))
    if scale < 1:
        size = (max(1, round(full_width * scale)), max(1, round(full_height * scale)))
        image = image.resize(size, PilImage.Resampling.LANCZOS, reducing_gap=3.0)
    memory = io.BytesIO()
    image.save(memory, "WEBP", quality=_QUALITY, method=4)
    return Embedded(data_uri("image/webp", memory.getvalue()), *image.size, full_width, full_height)


def data_uri(kind: str, content: bytes) -> str:
    """Return `content` of the MIME type `kind` as a URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
