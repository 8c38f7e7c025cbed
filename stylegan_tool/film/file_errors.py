"""Turn what FFmpeg and the system say of a film's files into this tool's errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av.error

from stylegan_tool.errors import InputError, OutputError, typed, what_to_do


def url_of(path: Path) -> str:
    """Without the protocol, FFmpeg reads `a:b.mp4` as protocol a, and `-` as standard input."""
    return f"file:{path}"


@contextmanager
def input_errors(path: Path) -> Iterator[None]:
    """Turn what FFmpeg and the system say while reading `path` into InputError."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(
            f"no such file: {path}",
            hint="Check the name, and quote it if it has spaces; the film comes first, then the target.",
        ) from error
    except IsADirectoryError as error:
        raise InputError(
            f"{path} is a folder, not a film", hint=f"Name one film, or numbered pictures: {typed(path / '%05d.png')}"
        ) from error
    except PermissionError as error:
        raise InputError(
            f"you may not read {path}", hint=f"Copy it, or change who may read it: ls -l {typed(path)}"
        ) from error
    except (av.error.FFmpegError, OSError) as error:
        reason = error.strerror or type(error).__name__
        raise InputError(
            f"cannot read {path} as a film: {reason}",
            hint="Play it to see whether it is damaged; copy or download it again.",
        ) from error


@contextmanager
def source_errors(source: Path) -> Iterator[None]:
    """Raise InputError for what goes wrong while `source` is read again for its sound and the like."""
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(
            f"cannot read {source} again for its sound: {error.strerror or type(error).__name__}",
            hint="Put the film back where it was, and run the same command again.",
        ) from error


@contextmanager
def target_errors(target: Path) -> Iterator[None]:
    """Raise OutputError for what goes wrong while `target` is written."""
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        raise OutputError(
            f"cannot write {target}: {error.strerror or type(error).__name__}",
            hint=what_to_do(error.errno, target.parent),
        ) from error
