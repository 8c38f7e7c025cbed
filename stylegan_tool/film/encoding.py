"""Which codec, encoder, pixel format and strength a film is written with.

Sane defaults by the target's suffix, and by what the source holds: 8-bit films become H.264 in yuv420p, which every
player plays; films of more bits, HDR above all, HEVC with 10 bits (AV1 in .webm: this FFmpeg's VP9 has 8 only);
transparency goes where a codec has room for it. What is lost is a note, what cannot be is refused.

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

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import av.error
import numpy as np
from av.codec import Codec
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from stylegan_tool.errors import MissingError, OutputError, UsageError
from stylegan_tool.film.colours import side_data_of
from stylegan_tool.film.plan import FULL, HDR, LIMITED, Colours, Encoding

CODECS = ("h264", "hevc", "av1", "vp9", "prores", "ffv1")
DEFAULT_QUALITY = 80

# Container names are given to FFmpeg, never guessed by it: it takes `.m4v` for a bare MPEG-4 stream.
CONTAINERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".gif": "gif",
}
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")  # suffixes of image sequences
NUMBER = re.compile(r"%0?\d*d")
_DEEP_PICTURES = frozenset({".png", ".tif", ".tiff"})
_CLEAR_PICTURES = frozenset({".png", ".tif", ".tiff", ".webp"})  # with room for alpha

_TAKES = {  # container -> codecs that players expect in it, the default first
    "mp4": ("h264", "hevc", "av1", "vp9"),
    "mov": ("h264", "hevc", "prores"),
    "matroska": ("h264", "hevc", "av1", "vp9", "prores", "ffv1"),
    "webm": ("vp9", "av1"),
}
_NAMES = {"h264": "H.264", "hevc": "HEVC", "av1": "AV1", "vp9": "VP9", "prores": "ProRes", "ffv1": "FFV1"}
_SOFTWARE = {
    "h264": "libx264",
    "hevc": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "prores": "prores_ks",
    "ffv1": "ffv1",
}
_DEEP = frozenset({"hevc", "av1", "prores", "ffv1"})  # codecs written with more than 8 bits
_EVEN = frozenset({"h264", "hevc", "prores"})  # codecs whose players need even sides
_KINDS_OF_HARDWARE = ("nvenc", "videotoolbox", "qsv", "amf")
_KEY_FRAME_S = 10  # seeking: a key frame at least this often

_SCALES = {  # encoder -> its scale at quality 1, 80, 100
    "libx264": (45, 16, 4),
    "libx265": (45, 16, 4),
    "libsvtav1": (63, 12, 4),
    "libvpx-vp9": (63, 21, 4),
    "hardware": (45, 19, 6),
}


@dataclass(frozen=True)
class Facts:
    """What a source is, as far as its encoding goes by it.

    Attributes:
        width, height: of the pictures as displayed.
        frame_rate: nominal, frames a second.
        time_base: of the pts, in s.
        colours: see `colours_of`.
        pixel_shape: width : height of one pixel as displayed; None is square.
        bits: a channel.
        has_alpha: its pixels have transparency.
        light: what an HDR film says of the display it was made on, if anything.
    """

    width: int
    height: int
    frame_rate: Fraction
    time_base: Fraction
    colours: Colours
    pixel_shape: Fraction | None = None
    bits: int = 8
    has_alpha: bool = False
    light: "Light | None" = None


@dataclass(frozen=True)
class Light:
    """Mastering display (SMPTE ST 2086) and content light level (CTA-861.3) of an HDR film; None: not said.

    Attributes:
        primaries: x and y in CIE 1931 of red, green, blue and white.
        luminance: least and most of the display, in cd/m2.
        content: brightest pixel and brightest frame average (MaxCLL, MaxFALL), in cd/m2.
    """

    primaries: tuple[tuple[Fraction, Fraction], ...] | None = None
    luminance: tuple[Fraction, Fraction] | None = None
    content: tuple[int, int] | None = None


def light_of(frame: VideoFrame) -> Light | None:
    """Read what the frame carries about HDR mastering, or None."""
    primaries = luminance = content = None
    display = side_data_of(frame, "MASTERING_DISPLAY_METADATA")
    if display is not None:
        # FFmpeg's struct: ten rationals (red x, red y, green, blue, white, least, most light), two flags.
        numbers = np.frombuffer(display, np.int32, 22)
        values = [Fraction(int(numbers[2 * n]), int(numbers[2 * n + 1]) or 1) for n in range(10)]
        if numbers[20]:
            primaries = tuple((values[2 * n], values[2 * n + 1]) for n in range(4))
        if numbers[21]:
            luminance = (values[8], values[9])
    level = side_data_of(frame, "CONTENT_LIGHT_LEVEL")
    if level is not None:
        brightest, average = np.frombuffer(level, np.uint32, 2)
        content = (int(brightest), int(average))
    if primaries is None and luminance is None and content is None:
        return None
    return Light(primaries, luminance, content)


def names_sequence(path: Path) -> bool:
    """Whether the name is a pattern of numbered pictures, frames/%05d.png; %d.mp4 is the name of a film."""
    return NUMBER.search(path.name) is not None and path.suffix.lower() not in CONTAINERS


def container_of(target: Path) -> str:
    """Return FFmpeg's name of the container that `target`'s name means.

    Raises:
        OutputError: no film can be written under this name.
    """
    suffix = target.suffix.lower()
    if names_sequence(target):
        if len(NUMBER.findall(target.name)) > 1:
            raise OutputError(
                f"{target} has more than one place for the picture's number", hint="Keep one: frames/%05d.png"
            )
        if suffix in PICTURES:
            return "image2"
        raise OutputError(
            f"{target}: no pictures can be written as '{target.suffix}'",
            hint=f"End the name in one of {' '.join(PICTURES)}: frames/%05d.png",
        )
    container = CONTAINERS.get(suffix)
    if container is None:
        hint = f"End the name in one of {' '.join(CONTAINERS)}, or write a picture a frame: frames/%05d.png"
        raise OutputError(f"{target}: no film can be written as '{target.suffix}'", hint=hint)
    return container


def choose_encoding(
    facts: Facts,
    target: Path,
    *,
    codec: str | None = None,
    quality: int | None = None,
    hardware: bool = False,
) -> tuple[Encoding, tuple[str, ...]]:
    """Decide how the film is encoded; return it with notes on what the viewer may want to know.

    Args:
        codec: one of CODECS; None chooses.
        quality: 1 to 100, None is 80.
        hardware: use the graphics chip's encoder where one works.

    Raises:
        OutputError: `target` cannot hold a film, or not this codec, or not this film.
        UsageError: codec or quality make no sense here.
        MissingError: this FFmpeg was built without the encoder.
    """
    container = container_of(target)
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(
            f"--quality {quality} is out of range",
            hint="Type a number from 1 to 100; this one looks the same as the original: --quality 80",
        )
    if codec is not None and codec not in CODECS:
        raise UsageError(f"--codec {codec} is unknown", hint=f"Use one of {', '.join(CODECS)}.")
    if container in {"gif", "image2"}:
        return _for_pictures(facts, target, container, codec, quality)
    codec = _choose_codec(facts, target, container, codec)
    if codec == "ffv1" and quality is not None:
        raise UsageError(
            "--quality has no meaning for ffv1, which loses nothing",
            hint="Leave --quality out, or choose another codec: --codec hevc",
        )
    encoder, notes = _SOFTWARE[codec], []
    if hardware:
        found = _hardware_for(codec, deep=facts.bits > 8 and codec in _DEEP)
        if found is None:
            notes.append(f"no hardware encoder for {_NAMES[codec]} works here: encoded by {encoder}")
        else:
            encoder = found
            notes.append(f"encoded by {encoder}, whose films differ from machine to machine")
    if not has_encoder(encoder):
        raise MissingError(
            f"the FFmpeg that is installed has no encoder {encoder}",
            hint="Install the one that PyAV brings along: pip install --force-reinstall av",
        )
    _check_pixel_shape(facts, target, container, codec)
    encoding = _encode_as(facts, container, codec, encoder, DEFAULT_QUALITY if quality is None else quality)
    _check_size(encoding, target)
    return encoding, (*notes, *_losses(facts, encoding, codec, target))


def _choose_codec(facts: Facts, target: Path, container: str, asked: str | None) -> str:
    """Return the codec: the asked one if it can be, else the best for what the film is."""
    good = _TAKES[container]
    if asked is not None and asked not in good:
        suffixes = [suffix for suffix, name in CONTAINERS.items() if asked in _TAKES.get(name, ())]
        raise OutputError(
            f"{target}: {_NAMES[asked]} in {target.suffix} does not play",
            hint=f"{target.suffix} takes --codec {' or '.join(good)}; {asked} goes into {' '.join(suffixes)}.",
        )
    if asked is not None:
        if facts.colours.transfer in HDR and asked not in _DEEP:
            others = " or ".join(name for name in good if name in _DEEP)
            raise OutputError(
                f"{target}: the film is HDR ({HDR[facts.colours.transfer]}), and {_NAMES[asked]} has 8 bits here",
                hint=f"Leave --codec out, or take one that has more bits in {target.suffix}: --codec {others}",
            )
        return asked
    if facts.has_alpha and container != "mp4" and not (container == "webm" and facts.colours.transfer in HDR):
        return {"mov": "prores", "matroska": "ffv1", "webm": "vp9"}[container]
    if facts.bits > 8:
        return "av1" if container == "webm" else "hevc"
    return good[0]


def _encode_as(facts: Facts, container: str, codec: str, encoder: str, quality: int) -> Encoding:
    pixel_format, colours = _pixel_format(facts, container, codec, encoder, quality)
    even = codec in _EVEN
    return Encoding(
        container=container,
        encoder=encoder,
        pixel_format=pixel_format,
        width=facts.width,
        height=facts.height,
        padded_width=facts.width + (facts.width % 2 if even else 0),
        padded_height=facts.height + (facts.height % 2 if even else 0),
        frame_rate=facts.frame_rate,
        time_base=facts.time_base,
        colours=colours,
        pixel_shape=facts.pixel_shape,
        options=tuple(_options(facts, encoder, pixel_format, quality).items()),
        has_alpha=facts.has_alpha and (pixel_format == "bgra" or pixel_format.startswith(("yuva", "gbra"))),
        is_deep=facts.bits > 8 and codec in _DEEP,
    )


def _pixel_format(facts: Facts, container: str, codec: str, encoder: str, quality: int) -> tuple[str, Colours]:
    deep, colours = facts.bits > 8, facts.colours
    if codec == "ffv1":
        return _lossless_format(facts.bits, facts.has_alpha), replace(colours, range=FULL)
    if codec == "prores":
        # Nothing in ProRes says 'full range', and no player asks.
        colours = replace(colours, range=LIMITED)
        if facts.has_alpha:
            return "yuva444p10le", colours
        return "yuv444p10le" if _prores_profile(quality) >= 4 else "yuv422p10le", colours
    if encoder not in _SOFTWARE.values():
        return "p010le" if deep and codec in _DEEP else "nv12", colours
    if codec == "vp9" and facts.has_alpha and container != "mp4":
        return "yuva420p", colours
    return "yuv420p10le" if deep and codec in _DEEP else "yuv420p", colours


def _lossless_format(bits: int, alpha: bool) -> str:
    """FFV1's RGB of at least `bits`."""
    if bits <= 8:
        return "bgra" if alpha else "bgr0"
    depth = next(depth for depth in (10, 12, 14, 16) if depth >= bits)
    return f"gbr{'a' if alpha else ''}p{depth}le"


def _for_pictures(
    facts: Facts, target: Path, container: str, codec: str | None, quality: int | None
) -> tuple[Encoding, tuple[str, ...]]:
    """Encode losslessly what becomes pictures, or a GIF, when it is whole."""
    if codec not in {None, "ffv1"}:
        raise UsageError(f"--codec {codec} has no meaning for {target.suffix}", hint="Leave --codec out.")
    if quality is not None:
        raise UsageError(f"--quality has no meaning for {target.suffix}", hint="Leave --quality out.")
    suffix, notes = target.suffix.lower(), []
    if facts.colours.transfer in HDR:
        raise OutputError(
            f"{target}: the film is HDR ({HDR[facts.colours.transfer]}), which {suffix} cannot say",
            hint="End the name in .mp4, .mov or .mkv.",
        )
    deep = facts.bits > 8 and suffix in _DEEP_PICTURES
    alpha = facts.has_alpha and (container == "gif" or suffix in _CLEAR_PICTURES)
    if facts.bits > 8 and not deep:
        notes.append(f"{facts.bits} bits a channel become 8, which is all that {suffix} has")
    if facts.has_alpha and not alpha:
        notes.append(f"transparency is left out, {suffix} has none: end the name in .png")
    if facts.pixel_shape is not None:
        notes.append(f"{suffix} cannot say that pixels are not square ({facts.pixel_shape}): it looks stretched")
    held = replace(facts, bits=16 if deep else 8, has_alpha=alpha)  # what the model made of 10 bits fills 16
    return _encode_as(held, container, "ffv1", _SOFTWARE["ffv1"], DEFAULT_QUALITY), tuple(notes)


def _check_pixel_shape(facts: Facts, target: Path, container: str, codec: str) -> None:
    """Refuse what would be shown stretched: PyAV cannot write the shape of pixels into a Matroska header."""
    if facts.pixel_shape is not None and container in {"matroska", "webm"} and codec not in {"h264", "hevc"}:
        raise OutputError(
            f"{target}: {_NAMES[codec]} in {target.suffix} cannot say that pixels are not square ({facts.pixel_shape})",
            hint="End the name in .mp4 or .mov, or in .mkv with --codec h264 or hevc.",
        )


def _check_size(encoding: Encoding, target: Path) -> None:
    """Refuse sizes at which an encoder does not open, waits for ever (SVT-AV1 on 17x300), or writes where it may not.

    That is x265, on widths up to 48: it may seem to go well, and end the program later.
    """
    width, height = {"libsvtav1": (64, 64), "libx265": (64, 16)}.get(encoding.encoder, (1, 1))
    if encoding.padded_width < width or encoding.padded_height < height:
        raise OutputError(
            f"{target}: {encoding.width}x{encoding.height} is too small for {encoding.encoder}, "
            f"which takes at least {width}x{height}",
            hint="End the name in .mkv, which takes any size with --codec ffv1",
        )


def _losses(facts: Facts, encoding: Encoding, codec: str, target: Path) -> tuple[str, ...]:
    """Say what of the film the encoding has no room for."""
    notes = []
    size, padded = f"{encoding.width}x{encoding.height}", f"{encoding.padded_width}x{encoding.padded_height}"
    if size != padded:
        right, down = encoding.padded_width > encoding.width, encoding.padded_height > encoding.height
        which = "the last column and row" if right and down else "the last column" if right else "the last row"
        notes.append(f"{size}: written as {padded}, {which} repeated: {_NAMES[codec]} players need even sides")
    kept = 8 if codec not in _DEEP else facts.bits if codec == "ffv1" else 10
    if facts.bits > kept:
        notes.append(f"the film has {facts.bits} bits a channel and is written with {kept}, as {_NAMES[codec]} is here")
    if facts.has_alpha and not encoding.has_alpha:
        places = [".mov (ProRes 4444)", ".webm (VP9)", ".mkv (FFV1)"]
        where = f"--codec {codec} has none here" if target.suffix != ".mp4" else ".mp4 has none"
        notes.append(f"transparency is left out, {where}: it is kept in {', '.join(places)}")
    if facts.colours.transfer in HDR:
        name = HDR[facts.colours.transfer]
        notes.append(f"HDR ({name}) is kept; the model takes its brightness for that of an ordinary picture")
    if facts.light is not None and encoding.encoder not in {"libx265", "libsvtav1"}:
        notes.append(f"mastering display and content light level are left out: {encoding.encoder} does not write them")
    return tuple(notes)


# Encoders ------------------------------------------------------------------------------------------------


def _scale(name: str, quality: int) -> str:
    """Return the encoder's own number for a quality of 1 to 100."""
    worst, same, best = _SCALES[name]
    return str(round(float(np.interp(quality, (1, 80, 100), (worst, same, best)))))


def _prores_profile(quality: int) -> int:
    """422 Proxy 0, LT 1, 422 2, HQ 3, 4444 4, 4444 XQ 5."""
    return next(number for number, most in enumerate((20, 45, 70, 85, 95, 100)) if quality <= most)


def _options(facts: Facts, encoder: str, pixel_format: str, quality: int) -> dict[str, str]:
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
            "profile": str(max(4, _prores_profile(quality)) if "444" in pixel_format else _prores_profile(quality)),
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
    software = {name: has_encoder(name) for name in (*_SOFTWARE.values(), "aac", "libopus")}
    kinds = [f"{codec}_{kind}" for kind in _KINDS_OF_HARDWARE for codec in ("h264", "hevc", "av1")]
    return software | {name: _opens(name, "nv12") for name in kinds if has_encoder(name)}


def _hardware_for(codec: str, *, deep: bool) -> str | None:
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
