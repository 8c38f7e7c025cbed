"""Which codec, encoder, pixel format and strength a film is written with.

Sane defaults by the target's suffix, and by what the source holds: 8-bit films become H.264 in yuv420p, which every
player plays; films of more bits, HDR above all, HEVC with 10 bits (AV1 in .webm: this FFmpeg's VP9 has 8 only);
transparency goes where a codec has room for it. What is lost is a note, what cannot be is refused.

For `quality` see encoders.py.
"""

from dataclasses import replace
from pathlib import Path

from stylegan_tool.errors import MissingError, OutputError, UsageError
from stylegan_tool.film.encoders import SOFTWARE, encoder_options, find_hardware, has_encoder, prores_profile
from stylegan_tool.film.facts import Facts
from stylegan_tool.film.naming import CONTAINERS, container_of
from stylegan_tool.film.plan import FULL, HDR, LIMITED, Colours, Encoding

CODECS = ("h264", "hevc", "av1", "vp9", "prores", "ffv1")
DEFAULT_QUALITY = 80

_DEEP_PICTURES = frozenset({".png", ".tif", ".tiff"})
_CLEAR_PICTURES = frozenset({".png", ".tif", ".tiff", ".webp"})  # with room for alpha

_TAKES = {  # container -> codecs that players expect in it, the default first
    "mp4": ("h264", "hevc", "av1", "vp9"),
    "mov": ("h264", "hevc", "prores"),
    "matroska": ("h264", "hevc", "av1", "vp9", "prores", "ffv1"),
    "webm": ("vp9", "av1"),
}
_NAMES = {"h264": "H.264", "hevc": "HEVC", "av1": "AV1", "vp9": "VP9", "prores": "ProRes", "ffv1": "FFV1"}
_DEEP = frozenset({"hevc", "av1", "prores", "ffv1"})  # codecs written with more than 8 bits
_EVEN = frozenset({"h264", "hevc", "prores"})  # codecs whose players need even sides


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
    encoder, notes = SOFTWARE[codec], []
    if hardware:
        found = find_hardware(codec, deep=facts.bits > 8 and codec in _DEEP)
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
        options=tuple(encoder_options(facts, encoder, pixel_format, quality).items()),
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
        return "yuv444p10le" if prores_profile(quality) >= 4 else "yuv422p10le", colours
    if encoder not in SOFTWARE.values():
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
        notes.append(
            f"{suffix} cannot say that pixels are not square ({facts.pixel_shape}), and looks stretched: .mp4 can"
        )
    held = replace(facts, bits=16 if deep else 8, has_alpha=alpha)  # what the model made of 10 bits fills 16
    return _encode_as(held, container, "ffv1", SOFTWARE["ffv1"], DEFAULT_QUALITY), tuple(notes)


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
