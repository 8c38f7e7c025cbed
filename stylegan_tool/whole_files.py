"""Write files whole or not at all: under a hidden name beside their place, then renamed."""

import contextlib
import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from stylegan_tool.errors import OutputError, what_to_do


def write_whole(
    path: Path,
    content: bytes | memoryview,
    *,
    overwrite: bool = False,
    make_folder: bool = True,
    when_safe: Callable[[os.stat_result], None] | None = None,
) -> None:
    """Write `content` beside `path` under a hidden name, then rename it; a failed write leaves nothing.

    Args:
        make_folder: and those above it, where they are missing.
        when_safe: called when the content is on the disk and has yet to take its name, with what stat will say of it.

    Raises:
        OutputError: the file exists (and not `overwrite`), or folder or file cannot be written.
    """
    temporary = path.with_name(f".sgt-{secrets.token_hex(8)}.tmp")
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the name with nothing behind it
        if when_safe is not None:
            when_safe(temporary.stat())
        if overwrite:
            temporary.replace(path)
        else:
            _rename_unless_there(temporary, path)
    except FileExistsError as error:
        if os.path.lexists(path):
            refuse_overwrite(path)
        raise OutputError(
            f"cannot write {path}: {error.filename} is in the way", hint="Name another place, or move that away."
        ) from error
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}", hint=what_to_do(error.errno, path.parent)
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def check_reach(path: Path) -> None:
    """Refuse a place to write to of which the system does not even say whether something is there.

    Raises:
        OutputError: its folder may not be entered, or no name can be like that.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}", hint=what_to_do(error.errno, _nearest(path))
        ) from error


def _nearest(path: Path) -> Path:
    """Return the lowest folder above `path` that the system shows."""
    for folder in path.parents:
        with contextlib.suppress(OSError):
            folder.stat()
            return folder
    return path.parent


def _rename_unless_there(temporary: Path, path: Path) -> None:
    """os.replace would silently replace what another program has put there meanwhile; a hard link refuses."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # FAT and some network folders have no hard links
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        temporary.replace(path)


def refuse_overwrite(path: Path) -> NoReturn:
    """Raise OutputError."""
    raise OutputError(f"{path} exists already", hint="Add --overwrite to replace it, or name another.")
