"""Colour profiles: RGB ones are kept as they are, values under grey and CMYK ones become sRGB (LittleCMS)."""

import io
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
from PIL import ImageCms

from stylegan_tool.image_files.picture import Array, Picture
from stylegan_tool.pixels import in_8_bits

Values: TypeAlias = tuple[Array, Array | None, bytes | None]  # (H,W) or (H,W,3); alpha; RGB profile


def open_profile(icc: bytes | None) -> ImageCms.ImageCmsProfile | None:
    """A broken profile is no reason to refuse a picture: it is as if it were not there."""
    if not icc:
        return None
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(icc))
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return None


def profile_space(icc: bytes | None) -> str:
    """Return the colour space of the profile: `RGB`, `GRAY`, `CMYK`...; empty if it is missing or broken."""
    # From the header: ImageCms fails at a name that is not ASCII.
    return icc[16:20].decode("latin-1").strip() if icc and open_profile(icc) else ""


def to_srgb(
    picture: PIL.Image.Image, profile: Any, mode: str, extra: ImageCms.Flags = ImageCms.Flags.NONE
) -> PIL.Image.Image | None:
    """Return `picture` in sRGB (relative colorimetric, black point compensated); None if it cannot be."""
    try:
        return ImageCms.profileToProfile(
            picture,
            profile,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode=mode,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION | extra,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def cmyk_to_srgb(picture: PIL.Image.Image, icc: bytes | None) -> PIL.Image.Image:
    """Return a CMYK `picture` as RGB: by its profile, or by Pillow's plain formula where that is not usable."""
    profile = open_profile(icc)
    return (profile and to_srgb(picture, profile, "RGB")) or picture.convert("RGB")


def grey_to_srgb(grey: Array, icc: bytes | None, alpha: Array | None) -> Values:
    """Return grey values in sRGB; an RGB profile (cameras write them to grey files) stays, true for R=G=B."""
    space = profile_space(icc)
    if space == "RGB":
        return grey, alpha, icc
    if space == "GRAY" and icc:
        curve = _srgb_curve(icc, grey.dtype)
        if curve is not None:
            return curve[grey], alpha, None
    return grey, alpha, None


def _srgb_curve(icc: bytes, dtype: np.dtype[Any]) -> Array | None:
    """Return for each grey value of `dtype` the one that looks the same in sRGB, or None if there is no way.

    LittleCMS gives 8 bits out of 16 here, so the 16-bit curve is laid through the inputs at which its 8-bit
    answer steps: there the true answer is known to be half-way between two steps.
    """
    deep = dtype == np.uint16
    ramp = np.arange(65536 if deep else 256, dtype=np.dtype(dtype).newbyteorder("<"))
    picture = PIL.Image.frombytes("I;16" if deep else "L", (256, len(ramp) // 256), ramp.tobytes())
    profile = open_profile(icc)
    # Optimized, LittleCMS lays its own curve through few points, 10 of 255 steps off in the darks.
    exactly = ImageCms.Flags.NOOPTIMIZE
    converted = to_srgb(picture, profile, "RGB", exactly) if profile else None
    if converted is None:
        return None
    answer = np.asarray(converted)[..., 1].reshape(-1)
    if not deep:
        return answer
    answer = np.maximum.accumulate(answer)
    steps = np.flatnonzero(np.diff(answer))
    known_in = np.concatenate(([0.0], steps + 0.5, [65535.0]))
    known_out = np.concatenate(
        ([answer[0] * 257.0], (answer[steps] / 2.0 + answer[steps + 1] / 2.0) * 257.0, [answer[-1] * 257.0])
    )
    curve: Array = np.rint(np.interp(np.arange(65536.0), known_in, known_out))
    return curve.astype(np.uint16)


def in_srgb(picture: Picture) -> Picture:
    """Return `picture` in 8 bits of sRGB without a profile; itself where it has none that can be used."""
    profile = open_profile(picture.icc)
    if profile is None:
        return picture
    converted = to_srgb(PIL.Image.fromarray(in_8_bits(picture.image)), profile, "RGB")
    if converted is None:
        return picture
    alpha = None if picture.alpha is None else in_8_bits(picture.alpha)
    return Picture(np.asarray(converted), alpha, None, picture.exif)
