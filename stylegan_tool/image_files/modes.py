"""From what Pillow has decoded, in whatever mode, to grey or RGB values with alpha and profile."""

from pathlib import Path

import numpy as np
from PIL import ImageCms, ImageFile, TiffImagePlugin

from stylegan_tool.image_files.picture import Array
from stylegan_tool.image_files.profiles import Values, cmyk_to_srgb, grey_to_srgb, profile_space, to_srgb
from stylegan_tool.image_files.refusing import refuse


def values_of(path: Path, opened: ImageFile.ImageFile) -> Values:
    """Return (H,W) grey or (H,W,3) RGB, alpha or None, and the RGB profile of the values."""
    icc = opened.info.get("icc_profile")
    mode = opened.mode
    if mode in ("1", "L", "LA", "La", "I", "F") or mode.startswith("I;16"):
        grey, alpha = _grey_of(path, opened)
        return grey_to_srgb(grey, icc, alpha)
    if mode == "CMYK":
        return np.asarray(cmyk_to_srgb(opened, icc)), None, None
    if mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        return np.asarray(to_srgb(opened, lab, "RGB") or opened.convert("RGB")), None, None
    icc = icc if profile_space(icc) == "RGB" else None
    if mode in ("RGBA", "RGBa", "PA") or opened.has_transparency_data:
        both = np.asarray(opened if mode == "RGBA" else opened.convert("RGBA"))
        return both[..., :3], both[..., 3], icc
    return np.asarray(opened if mode == "RGB" else opened.convert("RGB")), None, icc


def _grey_of(path: Path, opened: ImageFile.ImageFile) -> tuple[Array, Array | None]:
    mode = opened.mode
    if mode in ("LA", "La"):
        both = np.asarray(opened if mode == "LA" else opened.convert("LA"))
        return both[..., 0], both[..., 1]
    if mode == "F":
        return _float_to_16(path, np.asarray(opened)), None
    if mode == "I":
        return _int32_to_16(path, opened), None
    if mode.startswith("I;16"):
        grey: Array = np.asarray(opened).astype(np.uint16, copy=False)
        if isinstance(opened, TiffImagePlugin.TiffImageFile):
            grey = _tiff_grey_scale(opened, grey)
    else:
        grey = np.asarray(opened.convert("L") if mode == "1" else opened)
    key = opened.info.get("transparency")
    if not isinstance(key, int):
        return grey, None
    opaque = np.iinfo(grey.dtype).max
    return grey, np.where(grey == key, 0, opaque).astype(grey.dtype)


def _tiff_grey_scale(opened: TiffImagePlugin.TiffImageFile, grey: Array) -> Array:
    """Pillow hands over 12-bit samples as they are, and 16-bit ones of which 0 means white uninverted."""
    if opened.tag_v2.get(258) in (12, (12,)):
        grey = (grey.astype(np.uint32) * 65535 // 4095).astype(np.uint16)
    if opened.tag_v2.get(262) == 0:
        grey = ~grey
    return grey


def _float_to_16(path: Path, values: Array) -> Array:
    low, high = float(values.min()), float(values.max())
    if not (low >= -0.001 and high <= 1.001):  # also false for NaN
        reason = f"its floating-point values go from {low:.4g} to {high:.4g}, and only 0 to 1 has a meaning here"
        refuse(path, reason, "Save it as a 16-bit TIFF or PNG.")
    scaled: Array = np.rint(np.clip(values, 0.0, 1.0) * np.float32(65535))
    return scaled.astype(np.uint16)


def _int32_to_16(path: Path, opened: ImageFile.ImageFile) -> Array:
    values: Array = np.asarray(opened)
    if opened.format != "TIFF":  # 16-bit PGM and PNG: Pillow has scaled them to 0..65535
        return np.clip(values, 0, 65535).astype(np.uint16)
    sample_format = opened.tag_v2.get(339, 1) if isinstance(opened, TiffImagePlugin.TiffImageFile) else 1
    if sample_format not in (1, (1,)):
        refuse(
            path,
            "its samples are signed numbers, which have no brightness",
            "Save it as a 16-bit TIFF or PNG.",
        )
    return (values.view(np.uint32) >> 16).astype(np.uint16)
