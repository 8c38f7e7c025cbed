"""Read a picture file of any kind, size and orientation into one form, `Picture`.

The content decides what a file is, never its suffix. Of animations, multi-page TIFF and MPO the first frame is
read. 16-bit values survive in PNG, TIFF and PGM; other formats are read with 8 bits.
"""

from dataclasses import replace
from pathlib import Path

from PIL import ImageFile

from stylegan_tool.image_files import jpeg_xl
from stylegan_tool.image_files.exif import exif_of, finish
from stylegan_tool.image_files.modes import values_of
from stylegan_tool.image_files.opening import open_with_pillow, refuse_bomb
from stylegan_tool.image_files.picture import Picture
from stylegan_tool.image_files.png import read_deep_png, read_png_header, scale_png_key
from stylegan_tool.image_files.quiet import pillow_kept_quiet
from stylegan_tool.image_files.refusing import damage_reported, open_regular
from stylegan_tool.image_files.tiff import read_deep_tiff


def read_picture(path: Path) -> Picture:
    """Return the first frame of the picture file `path`, upright, in RGB.

    Raises:
        InputError: no such file, no permission, no picture, a kind that is not read, damaged, or too large.
        MissingError: it is JPEG XL, and the extra `[jxl]` is not installed.
    """
    with pillow_kept_quiet, open_regular(path) as file:
        deep = read_deep_tiff(path, file)
        if deep is not None:
            return deep
        opened = open_with_pillow(path, file)
        refuse_bomb(path, opened, file)
        depth, colour_type = read_png_header(opened, file)
        if depth == 16 and colour_type in (2, 4, 6):  # 16-bit grey is what Pillow can do
            return read_deep_png(path, opened, file, is_grey=colour_type == 4)
        with damage_reported(path):
            opened.load()
        exif = exif_of(opened)
        scale_png_key(opened, depth)
        values, alpha, icc = values_of(path, opened)
        upright = 1 if opened.format == "JXL" and jpeg_xl.is_turned(opened) else None
        return replace(finish(values, alpha, icc, exif, upright), is_first_of_several=_has_several(opened))


def check_readable(path: Path) -> None:
    """Decode `path` fully, so that a long run can refuse a bad file before it starts.

    Raises:
        InputError: as `read_picture`.
    """
    read_picture(path)


def _has_several(opened: ImageFile.ImageFile) -> bool:
    """Whether it is an animation or has pages. The further views of an MPO do not count: cameras put previews there."""
    try:
        return opened.format != "MPO" and bool(getattr(opened, "is_animated", False))
    except Exception:  # noqa: BLE001 a GIF looks for its second picture, and may find anything
        return False
