"""Odd names, and odd things where a file is expected."""

import os
import tempfile
from pathlib import Path

from tests.faults.damage import Rng

ODD_NAMES = (
    b"two\nlines",
    "\N{PALM TREE}\N{ZERO WIDTH JOINER}\N{BLACK HEART SUIT}".encode(),
    b"not utf-8 \xff\xfe\xe9",
    b"-leading dash",
    b"--model",
    b"tab\tand bell\a",
    b"\x1b[31mred\x1b[0m",
    b"percent %05d",
    b"protocol:name",
    b"'quotes\" $HOME `id`",
    b"[bold]markup[red]",
    b"file: *?",
    "right to left \N{RIGHT-TO-LEFT OVERRIDE}gnp".encode(),
    b"x" * 240,
    b"trailing dots...",
)


def odd_path(rng: Rng, folder: Path, suffix: str) -> Path:
    """Return a path in `folder` with one of the names."""
    return folder / (os.fsdecode(ODD_NAMES[int(rng.integers(len(ODD_NAMES)))]) + suffix)


def _may_read_everything() -> bool:
    with tempfile.NamedTemporaryFile() as file:
        path = Path(file.name)
        path.chmod(0)
        return os.access(path, os.R_OK)


SKIP_AS_ROOT = "root may read everything" if _may_read_everything() else ""


def as_shown(name: str) -> str:
    """Return what of a name can be looked for in a message: what stands before the first odd character."""
    end = next((i for i, char in enumerate(name) if not char.isprintable()), len(name))
    return name[:end]


def write_odd(rng: Rng, path: Path) -> tuple[str, Path]:
    """Put something that is no readable file at `path`; return what it is."""
    kind = str(rng.choice(["folder", "pipe", "link to itself", "link to nothing", "nothing", "no rights"]))
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link to itself":
        path.symlink_to(path)
    elif kind == "link to nothing":
        path.symlink_to(path.with_name("not there"))
    elif kind == "no rights":
        path.write_bytes(b"something")
        path.chmod(0)
    return kind, path
