"""Run one command as a user would, and say all that is wrong with what it did.

What a command may do with any input, however bad: end in time with the right exit code, say what happened in our own
words and to which file, leave a whole result or none, touch nothing else. Whatever differs is a complaint.

The streams of C libraries are told from Python's: what is written to file descriptors 1 and 2 beside our own messages
is noise. The process is changed by that (its streams, its limit for written files), so this is for processes of
their own: see soak.py.
"""

import contextlib
import gc
import hashlib
import io
import os
import resource
import stat
import sys
import tempfile
import threading
import time
import traceback
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stylegan_tool import progress
from stylegan_tool.__main__ import main

_LINES_OF_AN_ERROR = 2  # what happened, and what to type now
_THREADS_END_S = 2.0


@dataclass(frozen=True)
class Case:
    """A command on bad input.

    Attributes:
        kind: what is wrong with it, such as 'truncated webp'.
        argv: what is typed after `sgt`.
        target: the file that there may be afterwards, and only after an exit code in `done`.
        codes: exit codes that are right.
        done: those of them after which the target is there.
        named: what an error must speak of: a file's name as people see it.
        check: looks at a target that is there, and returns complaints.
        others: files that may be there beside the target, where it is.
        file_bytes: no file may grow beyond that, as on a full disk; 0: any.
        skip: why this cannot be tried here; else empty.
    """

    kind: str
    argv: tuple[str, ...]
    target: Path
    codes: frozenset[int]
    named: str = ""
    done: frozenset[int] = frozenset({0})
    check: Callable[["Outcome"], list[str]] = lambda outcome: []
    others: tuple[Path, ...] = ()
    file_bytes: int = 0
    skip: str = ""


@dataclass
class Outcome:
    """What a command did.

    Attributes:
        code: exit code; -1 after an exception.
        said: lines of progress.say.
        stdout, stderr: Python's streams but for `said`.
        noise: what C libraries wrote.
        raised: the traceback of an exception that got out.
    """

    code: int
    said: str
    stdout: str
    stderr: str
    noise: str
    raised: str
    seconds: float
    complaints: list[str] = field(default_factory=list)

    @property
    def messages(self) -> str:
        """All that a person sees."""
        return self.said + self.stdout + self.stderr


def try_case(case: Case, folder: Path) -> Outcome:
    """Run `case`, all of whose files are below `folder`, and return what came of it, complaints included."""
    before = _snapshot(folder)
    scratch = folder / "scratch"
    scratch.mkdir()
    n_open = _count_open()
    with _temporary_files_in(scratch), _no_file_beyond(case.file_bytes):
        outcome = run_command(case.argv)
    after = _snapshot(folder)
    for wrong in (
        _judge_messages(case, outcome),
        _judge_files(case, outcome, before, after),
        _judge_leftovers(n_open),
    ):
        outcome.complaints += wrong
    if outcome.code in case.done and case.target.is_file():
        outcome.complaints += case.check(outcome)
    return outcome


def run_command(argv: tuple[str, ...]) -> Outcome:
    """Call `main` with all streams caught."""
    said = io.StringIO()
    streams = [
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=errors) for errors in ("strict", "backslashreplace")
    ]
    former = sys.stdout, sys.stderr
    progress._console.file = said
    code, raised = -1, ""
    started = time.monotonic()
    with _descriptors_caught() as caught:
        sys.stdout, sys.stderr = streams
        try:
            code = main(argv)
        except BaseException:  # noqa: BLE001 whatever got out is what is looked for
            raised = traceback.format_exc()
        finally:
            gc.collect()  # what is only complained about when it is thrown away
            for stream in streams:
                stream.flush()
            sys.stdout, sys.stderr = former
    stdout, stderr = (stream.buffer.getvalue().decode() for stream in streams)
    noise = caught.read().decode(errors="replace")
    caught.close()
    return Outcome(code, said.getvalue(), stdout, stderr, noise, raised, time.monotonic() - started)


@contextlib.contextmanager
def _descriptors_caught() -> Iterator[io.BufferedRandom]:
    """Give a file that receives what is written to descriptors 1 and 2, at its beginning when all is done."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 it is read after this ends
    kept = [os.dup(1), os.dup(2)]
    try:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        yield file
    finally:
        for number, copy in enumerate(kept, 1):
            os.dup2(copy, number)
            os.close(copy)
        file.seek(0)


@contextlib.contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    former, tempfile.tempdir = tempfile.tempdir, None
    os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = former


@contextlib.contextmanager
def _no_file_beyond(size: int) -> Iterator[None]:
    if not size:
        yield
        return
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


# What is wrong ------------------------------------------------------------------------------------------


def _judge_messages(case: Case, outcome: Outcome) -> list[str]:
    wrong = []
    if outcome.raised:
        return [f"an exception got out:\n{outcome.raised}"]
    if outcome.code not in case.codes:
        wrong.append(f"exit code {outcome.code}, not {' or '.join(str(code) for code in sorted(case.codes))}")
    if outcome.noise:
        wrong.append(f"a library wrote: {outcome.noise[:300]!r}")
    lines = outcome.stderr.splitlines()
    if outcome.code == 0:
        if lines:
            wrong.append(f"on stderr, and not ours: {lines[:5]}")
        return wrong
    is_ours = outcome.code == 2 or (lines and lines[0].startswith("sgt: "))
    if not is_ours or (outcome.code != 2 and len(lines) != _LINES_OF_AN_ERROR):
        wrong.append(f"no message of ours, with what to do: {lines[:8]}")
    if case.named and case.named not in outcome.messages:
        wrong.append(f"{case.named!r} is not named: {outcome.messages!r}")
    if any(unicodedata.category(char) in {"Cc", "Cs"} and char != "\n" for char in outcome.messages):
        wrong.append(f"control characters reach the terminal: {outcome.messages!r}")
    return wrong


def _judge_files(case: Case, outcome: Outcome, before: dict[str, object], after: dict[str, object]) -> list[str]:
    wrong = [f"{name} was touched" for name, state in before.items() if after.get(name) != state]
    others = case.others if outcome.code in case.done else ()
    allowed = {str(path) for path in (case.target, *others)}
    kept = Path(f"{case.target}.sgt")
    if f"kept in {kept}" in outcome.said:
        allowed |= {name for name in after if Path(name).is_relative_to(kept)}
    wrong += [
        f"left behind: {name}"
        for name, state in after.items()
        if name not in before and name not in allowed and not (state == "folder" and case.target.is_relative_to(name))
    ]
    is_there = str(case.target) not in before and case.target.exists()
    if is_there and outcome.code not in case.done:
        wrong.append(f"exit code {outcome.code}, and yet there is {case.target.name}")
    if not case.target.exists() and outcome.code in case.done:
        wrong.append(f"exit code {outcome.code}, and no {case.target.name}")
    return wrong


def _judge_leftovers(n_open: int) -> list[str]:
    wrong = []
    deadline = time.monotonic() + _THREADS_END_S
    while threading.active_count() > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    if threading.active_count() > 1:
        wrong.append(f"threads go on: {[one.name for one in threading.enumerate()]}")
    left = _count_open() - n_open
    if left > 0:
        wrong.append(f"{left} files were left open")
    return wrong


def _count_open() -> int:
    """Return how many descriptors lead to files; those of libraries' own pipes and devices stay as they like."""
    folder = Path("/proc/self/fd")
    if not folder.exists():
        return 0
    links = []
    for entry in folder.iterdir():
        with contextlib.suppress(OSError):
            links.append(str(entry.readlink()))
    return sum(link.startswith("/") and not link.startswith("/dev/") for link in links)


def _snapshot(folder: Path) -> dict[str, object]:
    """Return for all below `folder` what a change of it would show in, without reading from pipes."""
    state: dict[str, object] = {}
    for root, folders, files in os.walk(folder):
        if Path(root) == folder and "scratch" in folders and not any((folder / "scratch").iterdir()):
            folders.remove("scratch")
        for name in (*folders, *files):
            path = Path(root) / name
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                state[str(path)] = "folder"
            elif stat.S_ISREG(status.st_mode):
                digest = _digest(path)
                state[str(path)] = (digest, status.st_mtime_ns, status.st_mode, status.st_ino)
            else:
                target = path.readlink() if path.is_symlink() else ""
                state[str(path)] = (target, status.st_mtime_ns, status.st_mode)
    return state


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except PermissionError:
        return "unreadable"
