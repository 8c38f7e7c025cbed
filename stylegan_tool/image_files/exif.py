"""EXIF and orientation: pictures are turned upright, and what EXIF says stays true of the turned picture.

Source: EXIF 2.32, 4.6.4 (orientation).
"""

from collections.abc import Callable

import cv2
import numpy as np
import PIL.Image
from PIL import ImageFile

from stylegan_tool.image_files.picture import Array, Picture

ORIENTATION = 274
EXIF_IFD = 34665
GPS_IFD = 34853
# Tags of a TIFF that say how its pixels lie in the file, or repeat what `Picture` holds: not to carry over.
# 700 XMP, 33723 IPTC, 34377 Photoshop, 34675 ICC profile, 37724 Photoshop layers.
LAYOUT_TAGS = frozenset(
    {*range(254, 260), *range(262, 267), 273, *range(277, 282), 284, *range(288, 294), 297, 301, 317}
    | {*range(320, 326), *range(330, 348), *range(512, 522), *range(529, 533)}
    | {700, 33723, 34377, 34675, 37724}
)
_EXIF_SIZES = (0xA002, 0xA003)  # width and height as shot; the picture may have been turned since

_TURNS: dict[int, Callable[[Array], Array]] = {  # EXIF 2.32, 4.6.4: what brings each orientation upright
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}


def finish(
    values: Array, alpha: Array | None, icc: bytes | None, exif: PIL.Image.Exif, orientation: object = None
) -> Picture:
    """Turn upright, make grey RGB, pack; nothing is copied that already lies right."""
    orientation = exif.get(ORIENTATION) if orientation is None else orientation
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    if turn is not None:
        values = turn(values)
        alpha = None if alpha is None else turn(alpha)
    image = np.ascontiguousarray(values)
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    packed_alpha = None if alpha is None else np.ascontiguousarray(alpha)
    return Picture(image, packed_alpha, icc, _exif_bytes(exif))


def exif_of(opened: ImageFile.ImageFile) -> PIL.Image.Exif:
    """Return the EXIF, empty if it is bad. Not `opened.getexif()`: that of a PNG may decode the pixels again."""
    try:
        return PIL.Image.Image.getexif(opened)
    except Exception:  # noqa: BLE001 a bad EXIF block raises anything, and is never a reason to refuse a picture
        return PIL.Image.Exif()


def _exif_bytes(exif: PIL.Image.Exif) -> bytes | None:
    """Return `exif` for another file, orientation 1; None if nothing is left or it cannot be written."""
    try:
        if getattr(exif, "bigtiff", False):
            return None
        details = exif.get_ifd(EXIF_IFD)
        for tag in _EXIF_SIZES:
            details.pop(tag, None)
        for tag in list(exif):
            if tag in LAYOUT_TAGS:
                del exif[tag]
        if not list(exif):
            return None
        exif[ORIENTATION] = 1
        block = exif.tobytes()
        PIL.Image.Exif().load(block)
    except Exception:  # noqa: BLE001 a bad EXIF block raises anything, and is never a reason to refuse a picture
        return None
    return block
