"""What a film's name means: a container, or a sequence of numbered pictures by a pattern such as frames/%05d.png."""

import re
from pathlib import Path

from stylegan_tool.errors import OutputError
from stylegan_tool.film.file_errors import input_errors

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


def names_sequence(path: Path) -> bool:
    """Whether the name is a pattern of numbered pictures, frames/%05d.png; %d.mp4 is the name of a film."""
    return NUMBER.search(path.name) is not None and path.suffix.lower() not in CONTAINERS


def is_sequence(path: Path) -> bool:
    """Whether `path` is a pattern of numbered pictures: frames/%05d.png."""
    return names_sequence(path) and not path.exists()


def list_sequence(pattern: Path) -> dict[int, Path]:
    """Return the pictures that `pattern` names, by their numbers, in order."""
    before, after = (re.escape(part) for part in NUMBER.split(pattern.name, maxsplit=1))
    found_number = NUMBER.search(pattern.name)
    width = int(found_number[0][1:-1] or 1) if found_number else 1
    # As FFmpeg's and C's: %05d has at least five digits, %d none before the first that counts.
    digits = rf"\d{{{width}}}|[1-9]\d{{{width},}}"
    name = re.compile(rf"{before}({digits}){after}")
    with input_errors(pattern.parent):
        found = {int(match[1]): path for path in pattern.parent.iterdir() if (match := name.fullmatch(path.name))}
    return dict(sorted(found.items()))


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
