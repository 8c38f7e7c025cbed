"""FFmpeg's encoders: their options for a quality, and which of them work here.

Every encoder is told its number of threads, and those encoders whose results depend on it get the same number
everywhere: a film is the same on 2 cores and on 64, and its segments fit together wherever they were made.

`quality` is 1 to 100; 80 looks the same as what was encoded. It is piecewise linear between the three columns, on the
encoders' own scales, where less is better:

    ==========  ===========================  =====  =====  =====
    codec       scale                            1     80    100
    ==========  ===========================  =====  =====  =====
    h264        x264 crf                        45     16      4
    hevc        x265 crf                        45     16      4
    av1         SVT-AV1 crf                     63     12      4
    vp9         libvpx crf                      63     21      4
    hardware    cq, global_quality, qp          45     19      6
    ==========  ===========================  =====  =====  =====

ProRes goes by profiles: up to 20 Proxy, 45 LT, 70 422, 85 HQ, 95 4444, then 4444 XQ; with transparency at least 4444.
VideoToolbox takes the number itself. FFV1 is lossless and takes none.
"""

from collections.abc import Callable
from fractions import Fraction
from functools import cache

import av.error
import numpy as np
from av.codec import Codec
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from stylegan_tool.film.facts import Facts

SOFTWARE = {
    "h264": "libx264",
    "hevc": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "prores": "prores_ks",
    "ffv1": "ffv1",
}
_KINDS_OF_HARDWARE = ("nvenc", "videotoolbox", "qsv", "amf")
_KEY_FRAME_S = 10  # seeking: a key frame at least this often

_SCALES = {  # encoder -> its scale at quality 1, 80, 100
    "libx264": (45, 16, 4),
    "libx265": (45, 16, 4),
    "libsvtav1": (63, 12, 4),
    "libvpx-vp9": (63, 21, 4),
    "hardware": (45, 19, 6),
}


def _scale(name: str, quality: int) -> str:
    """Return the encoder's own number for a quality of 1 to 100."""
    worst, same, best = _SCALES[name]
    return str(round(float(np.interp(quality, (1, 80, 100), (worst, same, best)))))


def prores_profile(quality: int) -> int:
    """422 Proxy 0, LT 1, 422 2, HQ 3, 4444 4, 4444 XQ 5."""
    return next(number for number, most in enumerate((20, 45, 70, 85, 95, 100)) if quality <= most)


def encoder_options(facts: Facts, encoder: str, pixel_format: str, quality: int) -> dict[str, str]:
    """Options of the encoder; see the module on threads."""
    key_frames = str(max(1, round(_KEY_FRAME_S * facts.frame_rate)))
    builders: dict[str, Callable[[], dict[str, str]]] = {
        "libx264": lambda: {
            "crf": _scale(encoder, quality),
            "preset": "veryfast",
            "threads": "4",
            "g": key_frames,
            # Without it libx264 reads memory that it never wrote, and one film in a few hundred comes out another.
            "x264-params": "cpu-independent=1",
        },
        "libx265": lambda: {
            "crf": _scale(encoder, quality),
            "preset": "ultrafast",
            "g": key_frames,
            "x265-params": _x265_params(facts),
        },
        "libsvtav1": lambda: {
            "crf": _scale(encoder, quality),
            "preset": "9",
            "g": key_frames,
            "svtav1-params": _svtav1_params(facts),
        },
        "libvpx-vp9": lambda: {
            "crf": _scale(encoder, quality),
            "b": "0",
            "deadline": "realtime",
            "cpu-used": "6",
            "row-mt": "1",
            "tile-columns": "1",
            "threads": "4",
            "g": key_frames,
        },
        "prores_ks": lambda: {
            "profile": str(max(4, prores_profile(quality)) if "444" in pixel_format else prores_profile(quality)),
            "alpha_bits": "16" if pixel_format.startswith("yuva") else "0",
            "vendor": "apl0",
            "threads": "2",
        },
        "ffv1": lambda: _ffv1_options(facts, pixel_format),
    }
    if encoder in builders:
        return builders[encoder]()
    strength = _scale("hardware", quality)
    return {
        "nvenc": {"rc": "vbr", "cq": strength, "b": "0", "preset": "p5", "g": key_frames, "forced-idr": "1"},
        "qsv": {"global_quality": strength, "g": key_frames},
        "amf": {"rc": "cqp", "qp_i": strength, "qp_p": strength, "g": key_frames},
        "videotoolbox": {"flags": "+qscale", "global_quality": str(118 * quality), "g": key_frames},
    }[encoder.split("_")[1]]


def _ffv1_options(facts: Facts, pixel_format: str) -> dict[str, str]:
    options = {"coder": "0" if pixel_format in {"bgr0", "bgra"} else "1", "context": "0", "threads": "2", "g": "1"}
    if min(facts.width, facts.height) == 1:  # cannot be cut into slices
        return options | {"level": "1"}
    return options | {"level": "3", "slices": "4", "slicecrc": "1"}


def _x265_params(facts: Facts) -> str:
    params = ["log-level=none", "info=0", "pools=4", "frame-threads=2", "lookahead-slices=1", "open-gop=0"]
    light = facts.light
    if light is not None and light.primaries is not None and light.luminance is not None:
        red, green, blue, white = ("({},{})".format(*(round(v * 50000) for v in point)) for point in light.primaries)
        least, most = (round(value * 10000) for value in light.luminance)
        params.append(f"master-display=G{green}B{blue}R{red}WP{white}L({most},{least})")
    if light is not None and light.content is not None:
        params.append("max-cll={},{}".format(*light.content))
    return ":".join(params)


def _svtav1_params(facts: Facts) -> str:
    params = ["lp=2"]
    light = facts.light
    if light is not None and light.primaries is not None and light.luminance is not None:
        red, green, blue, white = ("({:.5f},{:.5f})".format(*map(float, point)) for point in light.primaries)
        least, most = light.luminance
        params.append(f"mastering-display=G{green}B{blue}R{red}WP{white}L({float(most):.4f},{float(least):.4f})")
    if light is not None and light.content is not None:
        params.append("content-light={},{}".format(*light.content))
    return ":".join(params)


def has_encoder(name: str) -> bool:
    """Whether this FFmpeg was built with it; the hardware may still lack."""
    try:
        Codec(name, "w")
    except ValueError:  # PyAV's UnknownCodecError
        return False
    return True


def list_encoders() -> dict[str, bool]:
    """Which of the encoders that films can be written with work here; those of graphics chips are tried."""
    software = {name: has_encoder(name) for name in (*SOFTWARE.values(), "aac", "libopus")}
    kinds = [f"{codec}_{kind}" for kind in _KINDS_OF_HARDWARE for codec in ("h264", "hevc", "av1")]
    return software | {name: _opens(name, "nv12") for name in kinds if has_encoder(name)}


def find_hardware(codec: str, *, deep: bool) -> str | None:
    """Return the first hardware encoder of `codec` that encodes a frame here; there are some of H.264, HEVC and AV1."""
    if codec not in {"h264", "hevc", "av1"}:
        return None
    names = (f"{codec}_{kind}" for kind in _KINDS_OF_HARDWARE)
    return next((name for name in names if _opens(name, "p010le" if deep else "nv12")), None)


@cache
def _opens(encoder: str, pixel_format: str) -> bool:
    """Whether the encoder takes a small grey frame: only a try tells whether chip and driver are there."""
    if not has_encoder(encoder):
        return False
    try:
        context = CodecContext.create(encoder, "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height, context.pix_fmt = 320, 240, pixel_format
        context.time_base = Fraction(1, 25)
        frame = VideoFrame(320, 240, pixel_format)
        frame.pts = 0
        return bool([*context.encode(frame), *context.encode(None)])
    except (av.error.FFmpegError, ValueError, OSError):
        return False
