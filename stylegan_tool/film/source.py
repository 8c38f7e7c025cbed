"""Open a film: a file that FFmpeg reads, or numbered pictures, named by a pattern such as frames/%05d.png."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from stylegan_tool.errors import InputError, typed
from stylegan_tool.film.file_errors import input_errors, url_of
from stylegan_tool.film.naming import is_sequence, list_sequence

_SEQUENCE_RATE = Fraction(25)


def open_film(path: Path, sequence_rate: Fraction | None = None) -> tuple[InputContainer, VideoStream]:
    """Open `path` and choose its picture track: the default one, else the first; never a cover picture.

    Args:
        sequence_rate: frames a second of numbered pictures; by default 25.

    Raises:
        InputError: missing, empty, unreadable, or no film.
    """
    with input_errors(path):
        if is_sequence(path):
            first = _first_number(path)
            options = {"framerate": str(sequence_rate or _SEQUENCE_RATE), "start_number": str(first)}
            pattern = f"{str(path.parent).replace('%', '%%')}/{path.name}"
            container = av.open(pattern, "r", format="image2", options=options)
        else:
            if path.exists() and not (path.is_file() or path.is_dir()):
                raise InputError(  # a pipe would block for ever
                    f"{path} is no ordinary file", hint="Save it as a film first, and name that."
                )
            # Titles that are not UTF-8 come through byte for byte.
            container = av.open(url_of(path), "r", metadata_errors="surrogateescape")
    try:
        return container, _picture_track(path, container)
    except BaseException:
        container.close()
        raise


def _first_number(pattern: Path) -> int:
    """Return the number of a sequence's first picture.

    Raises:
        InputError: there is none, one is no file or empty, or a number is left out: FFmpeg would wait for a pipe, and
            take the others for the end.
    """
    numbered = list_sequence(pattern)
    if not numbered:
        raise InputError(
            f"no picture is named like {pattern}",
            hint=f"See how many digits its numbers have: ls {typed(pattern.parent)}",
        )
    for path in numbered.values():
        if not path.is_file():
            raise InputError(f"{path} is no ordinary file", hint=f"Take it away from there: mv {typed(path)} ..")
        if not path.stat().st_size:
            raise InputError(f"{path} is empty", hint="Make that picture again: a film has no gaps.")
    for before, after in pairwise(numbered):
        if after != before + 1:
            raise InputError(
                f"after {numbered[before]} comes {numbered[after].name}: what is between them is missing",
                hint="Number the pictures without a gap.",
            )
    return next(iter(numbered))


def _picture_track(path: Path, container: InputContainer) -> VideoStream:
    names = container.format.name.split(",")
    a_picture = any(name in {"image2", "tty"} or name.endswith("_pipe") for name in names)
    if (a_picture and not is_sequence(path)) or container.metadata.get("major_brand") in {"avif", "heic", "mif1"}:
        raise InputError(f"{path} is not a film", hint=f"For pictures: sgt images {typed(path)} OUT")
    still = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails
    tracks = [stream for stream in container.streams.video if not stream.disposition & still]
    if not tracks:
        raise InputError(f"{path} has no pictures, only {_list_streams(container)}", hint="Name a film that has some.")
    video = next((track for track in tracks if track.disposition & Disposition.default), tracks[0])
    if video.codec_context is None:
        raise InputError(
            f"{path}: the FFmpeg that is installed has no decoder for its pictures",
            hint="Convert it to H.264 with another tool first.",
        )
    # Slices only: with frame threads FFmpeg reports damage at a later packet than the damaged one, PyAV
    # swallows it when a frame came along, and a damaged VP9 film lost 99 of 120 frames instead of one.
    video.thread_type = "SLICE"
    return video


def _list_streams(container: InputContainer) -> str:
    return ", ".join(name_stream(stream) for stream in container.streams) or "nothing"


def name_stream(stream: Stream) -> str:
    """Return 'audio track 1 (aac)'."""
    context = stream.codec_context
    # PyAV's streams without a codec may lack even the attribute.
    codec = context.codec.canonical_name if context is not None else getattr(stream, "name", None)
    return f"{stream.type} track {stream.index} ({codec or 'unknown codec'})"
