"""What a folder of results remembers of how each was made, so that the next run skips what is done.

The folder holds `.sgt-manifest.jsonl`, and one such file for each shard, so that runs on several machines never append
to one file over a network. A line is a JSON object:

    {"output": "a/x.jpg", "input": "../photos/a/x.jpg", "made_with": "5f0c…",
     "input_file": [bytes, mtime_ns, hash], "output_file": [bytes, mtime_ns, hash], "size": [width, height]}
    {"made_with": "5f0c…", "means": {…}, "about": {…}, …}

The second kind says what stands behind that abbreviation, what people call it, and the command that was typed; the
latter two decide nothing.

A record is appended, by one write, when its picture is whole on the disk and before it takes its name: whenever the
program ends, a file that has its name has its record. A record may lack its file, or describe one that has been
replaced; so each file is held against all that is recorded under its name. A last line that was torn off is ignored.

Hashes are those of hashes.py. Size and time of change stand in for the hash where they are as
recorded: nothing is read again that has not been touched.
"""

import errno
import json
import os
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, BinaryIO, Self

from stylegan_tool.errors import OutputError, what_to_do
from stylegan_tool.hashes import hash_bytes, hash_file

STEM, SUFFIX = ".sgt-manifest", ".jsonl"
# What lines raise that are not ours: no JSON, other kinds of values, an infinite size, brackets without end.
_NONSENSE = (ValueError, TypeError, LookupError, OverflowError, RecursionError)


def abbreviate(means: Mapping[str, Any]) -> str:
    """Return what stands for `means` in records."""
    return hash_bytes(json.dumps(means, sort_keys=True).encode())[:16]


@dataclass(frozen=True, slots=True)
class FileState:
    """A file as it was; `n_bytes` and `mtime_ns` as stat tells them."""

    n_bytes: int
    mtime_ns: int
    hash: str

    @classmethod
    def of(cls, path: Path) -> "FileState":
        """Return the state of the file at `path`; OSError where it cannot be read."""
        stat = path.stat()
        return cls(stat.st_size, stat.st_mtime_ns, hash_file(path))

    def is_untouched(self, stat: os.stat_result) -> bool:
        """Whether size and time are still the same."""
        return stat.st_size == self.n_bytes and stat.st_mtime_ns == self.mtime_ns

    def renewed(self, path: Path, *, by_content: bool = True) -> "FileState | None":
        """Return the state of the file at `path` if it holds the same; None if not, or if that cannot be told.

        Args:
            by_content: read it where size and time do not tell.
        """
        with suppress(OSError):
            stat = path.stat()
            if self.is_untouched(stat):
                return self
            if by_content and stat.st_size == self.n_bytes and hash_file(path) == self.hash:
                return replace(self, mtime_ns=stat.st_mtime_ns)
        return None


@dataclass(frozen=True, slots=True)
class Record:
    """How one result was made.

    Attributes:
        output: its place in the folder, with '/'.
        input: the picture it was made of, as seen from the folder.
        made_with: abbreviates model and options; see `abbreviate`.
        size: width and height of the result, pixels.
    """

    output: str
    input: str
    made_with: str
    input_file: FileState
    output_file: FileState
    size: tuple[int, int]

    def to_line(self) -> bytes:
        """Return it as a line of the manifest."""
        before, after = self.input_file, self.output_file
        values = {
            "output": self.output,
            "input": self.input,
            "made_with": self.made_with,
            "input_file": [before.n_bytes, before.mtime_ns, before.hash],
            "output_file": [after.n_bytes, after.mtime_ns, after.hash],
            "size": self.size,
        }
        return json.dumps(values).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "Record | None":
        """Return what `to_line` wrote; None for any other line."""
        try:
            values = json.loads(line)
            if not _is_below(values["output"]):
                return None
            before, after, (width, height) = values["input_file"], values["output_file"], values["size"]
            return cls(
                str(values["output"]),
                str(values["input"]),
                str(values["made_with"]),
                FileState(int(before[0]), int(before[1]), str(before[2])),
                FileState(int(after[0]), int(after[1]), str(after[2])),
                (int(width), int(height)),
            )
        except _NONSENSE:
            return None


def _is_below(output: str) -> bool:
    """Whether `output` names a file in the folder or below; UnicodeEncodeError where no file can be called so."""
    path = PurePosixPath(output)
    return b"\0" not in os.fsencode(output) and not path.is_absolute() and ".." not in path.parts


class Manifest:
    """The manifests of one folder of results: all are read, one is appended to. Threads may share it.

    Args:
        folder: where results go; need not be there before the first `add`.
        part: names the file that is appended to, where several machines share the folder.
        typed: the command, as names and values to write beside the meaning of an abbreviation.
    """

    def __init__(self, folder: Path, part: str = "", *, typed: Mapping[str, str] | None = None) -> None:
        """Read what is there.

        Raises:
            OutputError: it cannot be read.
        """
        self.folder = folder
        self._typed = dict(typed or {})
        self.path = folder / f"{STEM}{'-' if part else ''}{part}{SUFFIX}"
        self._records: defaultdict[str, list[Record]] = defaultdict(list)
        self._read_bytes: dict[Path, int] = {}  # how far each has been taken in
        self._described: set[str] = set()
        self._meanings: dict[str, dict[str, Any]] = {}
        self._descriptor = -1
        self._changing = threading.Lock()
        with self._errors_told("read"):
            self._read_bytes = dict.fromkeys([*self._list(), self.path], 0)
        self.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def refresh(self) -> None:
        """Take in what other processes have appended since."""
        with self._changing, self._errors_told("read"):
            for path in self._read_bytes:
                self._read_on(path)

    def _list(self) -> list[Path]:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.folder) as entries:
            names = sorted(entry.name for entry in entries)
            return [self.folder / name for name in names if name.startswith(STEM) and name.endswith(SUFFIX)]
        return []

    def _read_on(self, path: Path) -> None:
        start = self._read_bytes[path]
        try:
            if path.stat().st_size <= start:
                return
        except FileNotFoundError:
            return
        with path.open("rb") as file:
            file.seek(start)
            for line in _whole_lines(file):
                self._read_bytes[path] += len(line)
                record = Record.from_line(line)
                if record is not None:
                    self._records[record.output].append(record)
                    self._described.add(record.made_with)
                elif meaning := _read_meaning(line):
                    self._meanings.setdefault(*meaning)

    def outputs(self) -> list[str]:
        """Return the names of all results that are recorded, each once, sorted; whether they are there is not asked."""
        return sorted(self._records)

    def explain(self, made_with: str) -> dict[str, Any]:
        """Return what the abbreviation `made_with` means, and what people call it under "about"; {} if none says so."""
        return self._meanings.get(made_with, {})

    def newest(self, output: str) -> Record | None:
        """Return the record that was written last under the name `output`, whatever is there now."""
        records = self._records.get(output)
        return records[-1] if records else None

    def find(self, output: str, path: Path) -> Record | None:
        """Return the record that proves the file at `path` to be our result `output`, unmodified; else None."""
        records = self._records.get(output, ())
        with suppress(OSError):
            stat = path.lstat()
            # Newest first: the same content may have been made twice.
            for record in reversed(records):
                if record.output_file.is_untouched(stat):
                    return record
            if any(record.output_file.n_bytes == stat.st_size for record in records):
                digest = hash_file(path)
                return next((one for one in reversed(records) if one.output_file.hash == digest), None)
        return None

    def add(
        self, record: Record, means: Mapping[str, Any] | None = None, about: Mapping[str, Any] | None = None
    ) -> None:
        """Append `record`, and what its `made_with` means where no line says so yet, with `about` for people.

        Raises:
            OutputError: it cannot be written.
        """
        if means is not None and record.made_with not in self._described:
            self._described.add(record.made_with)
            meaning = {
                "made_with": record.made_with,
                "means": means,
                **({"about": about} if about else {}),
                **self._typed,
            }
            self._append(json.dumps(meaning).encode() + b"\n")
        self._append(record.to_line())

    def _append(self, line: bytes) -> None:
        with self._changing, self._errors_told("write"):
            if self._descriptor < 0:
                self.folder.mkdir(parents=True, exist_ok=True)
                flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
                self._descriptor = os.open(self.path, flags, 0o666)
            if self._ends_torn():  # or this line would become a part of that one
                line = b"\n" + line
            if os.write(self._descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._read_on(self.path)

    def _ends_torn(self) -> bool:
        end = os.lseek(self._descriptor, 0, os.SEEK_END)
        if end == 0:
            return False
        os.lseek(self._descriptor, end - 1, os.SEEK_SET)
        return os.read(self._descriptor, 1) != b"\n"

    @contextmanager
    def _errors_told(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"cannot {doing} {self.path}: {error.strerror or error}",
                hint=what_to_do(error.errno, self.folder),
            ) from error


def _read_meaning(line: bytes) -> tuple[str, dict[str, Any]] | None:
    """Return an abbreviation and what it means, as `Manifest.explain` does; None for any other line."""
    try:
        values = json.loads(line)
        return str(values["made_with"]), {**values["means"], "about": dict(values.get("about", {}))}
    except _NONSENSE:
        return None


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of `file`, but the last one if its end is missing."""
    for line in file:
        if line.endswith(b"\n"):
            yield line
