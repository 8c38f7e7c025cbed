"""Which files in a folder are pictures, and how their results are called."""

import os
from pathlib import Path, PurePath

from stylegan_tool.errors import InputError, typed
from stylegan_tool.image_files import jpeg_xl

JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif")
WRITTEN_SUFFIXES = frozenset(
    {*JPEG_SUFFIXES, ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif", ".jp2", ".j2k", jpeg_xl.SUFFIX}
)
SUFFIXES: frozenset[str] = WRITTEN_SUFFIXES | {".gif", ".mpo", ".pbm", ".pgm", ".pnm", ".ppm"}


def find_pictures(folder: Path) -> list[Path]:
    """Return the picture files in `folder` and below, by suffix, sorted; nothing hidden is among them.

    Each real folder is searched once, whatever links lead to it, so links in a circle do no harm. A folder below that
    cannot be listed is among them, too: `read_picture` refuses it, and a run over the tree goes on without it.

    Raises:
        InputError: `folder` is no folder, or cannot be listed.
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    folders: list[Path] = [folder]
    linked: list[Path] = []
    while folders or linked:
        # Links last: a folder that lies here itself is better known by its own name.
        current = folders.pop() if folders else linked.pop(0)
        try:
            status = current.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except OSError as error:
            if current != folder:  # the others can be listed: who reads it will say why this one cannot
                found.append(current)
                continue
            raise InputError(
                f"cannot list {folder}: {error.strerror or error}",
                hint=f"See who may list it: ls -ld {typed(folder)}",
            ) from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                (linked if entry.is_symlink() else folders).append(Path(entry.path))
            elif PurePath(entry.name).suffix.lower() in SUFFIXES:
                found.append(Path(entry.path))
    return sorted(found)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle; under a picture's name it is found, and told when it cannot be read
        return False


def output_name(relative: Path) -> Path:
    """Return where the result of `relative` goes, relative to the output folder: the same place and name.

    Where the suffix cannot be written, `.png` is added: `x.gif` -> `x.gif.png`. So that this name stays free,
    `x.gif.png` itself becomes `x.gif.png.png`. No two inputs with a suffix in SUFFIXES share an output.
    """
    suffix = relative.suffix.lower()
    bare = PurePath(relative.name)
    while bare.suffix.lower() == ".png":
        bare = bare.with_suffix("")
    if suffix in WRITTEN_SUFFIXES and bare.suffix.lower() not in SUFFIXES - WRITTEN_SUFFIXES:
        return relative
    return relative.with_name(relative.name + ".png")
