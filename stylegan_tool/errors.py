"""The one error tree: every failure that a user can meet has a class, and each class an exit code.

A message has three parts: what happened, to which file, and what to type now. The first two are
`what`; the third is `hint`, printed on a line of its own. Library functions raise and never print or
exit; `__main__.main` is the only place that turns these into exit codes.
"""

import errno
import os
import shlex
import unicodedata
from pathlib import Path, PurePath

_UNSHOWN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # control, format, lone surrogates, separators
_JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"  # parts of emoji and of Persian words


def visible(text: str) -> str:
    """Return `text` with all that a terminal would obey, and all that is not Unicode, as escapes.

    File names may hold anything: a line's end, colours, bytes of another encoding.
    """
    return "".join(_escaped(char) if unicodedata.category(char) in _UNSHOWN else char for char in text)


def _escaped(char: str) -> str:
    if char in _JOINERS:
        return char
    if "\udc80" <= char <= "\udcff":  # how Python hands over a byte that is not UTF-8
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode()


def first_line(error: BaseException) -> str:
    """Return the first line of what `error` says, or its name where it says nothing: a library's words in a message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def typed(path: PurePath | str) -> str:
    """Return `path` as it is typed in a shell: in quotes where it needs them."""
    return shlex.quote(str(path))


def what_to_do(failed: int | None, folder: PurePath) -> str:
    """Return the hint for a write in `folder` that failed with the system's error number `failed`."""
    where = typed(folder)
    if failed in (errno.ENOSPC, errno.EDQUOT):
        return f"Make room on that disk, or name another place. What is free: df -h {where}"
    if failed in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"Name another place, or change who may write there: ls -ld {where}"
    if failed in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
        return "A file is where a folder should be, or the other way round: name another place."
    if failed == errno.ENAMETOOLONG:
        return "Choose a shorter name."
    return f"Name another place, or look at that disk: df -h {where}"


class SgtError(Exception):
    """A failure that is not a bug: `what` happened (to which file), and a `hint` what to do about it."""

    exit_code = 1

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        what, hint = visible(self.what), visible(self.hint)
        return f"{what}\n  {hint}" if hint else what


class UsageError(SgtError):
    """The command line asks for something that makes no sense or is ambiguous."""

    exit_code = 2


class InputError(SgtError):
    """The one named input cannot be read, or a folder holds none."""

    exit_code = 3


class ModelError(SgtError):
    """A model is missing, damaged or unfit for what is asked, or an export failed its parity check."""

    exit_code = 4


class OutputError(SgtError):
    """The output cannot be written, or would overwrite something."""

    exit_code = 5


class PartialError(SgtError):
    """Some files of a folder failed, or a film was finished with repaired frames or damaged sound."""

    exit_code = 6


class MissingError(SgtError):
    """A provider, an extra or the network is missing."""

    exit_code = 7


class ComputeError(SgtError):
    """The computation failed: NaN, or out of memory at the smallest tile."""

    exit_code = 8


class MemoryShortError(ComputeError):
    """The provider had not enough memory for what it was given; smaller tiles may do."""


def of_system(error: OSError | MemoryError) -> SgtError | None:
    """Return what the system refused as an error of ours, wherever it was met; None for what a bug may have caused."""
    if isinstance(error, MemoryError):
        return ComputeError("out of memory", hint="Close other programs, or use less at a time: --memory 2G")
    reason = error.strerror or str(error)
    what = f"cannot use {os.fsdecode(error.filename)}: {reason}" if error.filename else f"the system refused: {reason}"
    path = Path(os.fsdecode(error.filename)) if error.filename else Path()
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return OutputError(what, hint=what_to_do(error.errno, path.parent))
    if error.errno in (errno.EACCES, errno.EPERM):
        return InputError(what, hint=f"See who may use it and its folder: ls -ld {typed(path.parent)} {typed(path)}")
    if error.errno in (errno.ENAMETOOLONG, errno.ELOOP, errno.EIO, errno.ESTALE):
        return InputError(what, hint="Check the name, and the disk that it lies on.")
    return None
