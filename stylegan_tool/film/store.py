"""What is kept of a film while it is being made: a folder beside it with finished segments, to go on from.

For film.mp4 that is film.mp4.sgt/:

    job.json         what the frames depend on: source, model, options; and what was found out when work began
    00000.mkv        a segment (see plan.Segment); whole if 00000.json is there
    00000.json       its frames' pts and what is to be said of it
    00000.npz        what the next segment's first frame depends on, where that does not begin a scene
    00001.….part     a segment being written
    whole.mp4        the film while it is joined; pictures/ where it becomes pictures
    placing          the joined film is being put in its place: what is there is ours
    lock             held, as the system does it, by the process that is at work

A segment counts once its .json is there, which is written last and renamed into place: whatever ends the program, and
be it the power, nothing half-written is ever taken for whole. The same command finds the folder, sees by job.json that
it would make the same frames, and goes on after the last segment. The finished film takes the folder's place.
"""

import json
import os
import re
import shutil
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from stylegan_tool.errors import OutputError
from stylegan_tool.film.file_errors import target_errors
from stylegan_tool.film.plan import Segment
from stylegan_tool.film.reader import Place
from stylegan_tool.whole_files import write_whole

_VERSION = 1
_PLACING = "placing"
# All that is ever written into the folder; hidden files are those of `write_whole`, before they get their names.
_OURS = re.compile(rf"lock|job\.json|{_PLACING}|whole\.\w+|\d{{5,}}\.(mkv|json|npz|\w+\.part)|\..*\.tmp")

_HASH = re.compile(r"[0-9a-f]{16,}")


@dataclass(frozen=True)
class Kept:
    """A segment, and what is to be remembered of it.

    Attributes:
        damage: damaged places in its part of the source.
        even: all times are the source's own.
        notes: for the viewer, found out on the way.
        last_duration: how long its last frame is shown, in ticks; 0 is not known.
        has_state: the next segment's first frame depends on this one: see `SegmentStore.read_state`.
    """

    segment: Segment
    damage: int
    even: bool
    notes: tuple[str, ...]
    last_duration: int
    has_state: bool


def kept_folder(target: Path) -> Path:
    """Return where segments of `target` are kept while it is being made."""
    return target.with_name(target.name + ".sgt")


def is_placing(target: Path) -> bool:
    """Whether what is at `target` was put there by a command that was killed before it could remove its folder."""
    try:
        size = int((kept_folder(target) / _PLACING).read_text(encoding="ascii"))
        return not target.exists() or target.stat().st_size == size
    except (OSError, ValueError):
        return False


class SegmentRun:
    """Segments of one film that follow each other in its folder: all of them, or those that one worker makes.

    Args:
        first, count: numbers of the segments, first <= number < first + count; None: to the end.
        before: where in the film the first one begins; None is at its beginning.

    Attributes:
        folder: where they are.
        kept: finished segments, in order, from `first` on.
    """

    def __init__(self, folder: Path, *, first: int = 0, count: int | None = None, before: Place | None = None) -> None:
        self.folder = folder
        self.first, self._before = first, before
        self._end = None if count is None else first + count
        self.kept: list[Kept] = []
        self._token = uuid.uuid4().hex[:8]

    @property
    def place(self) -> Place | None:
        """Where to go on; None at the film's beginning."""
        if not self.kept:
            return self._before
        before, is_even = (self._before.frames, self._before.even) if self._before is not None else (0, True)
        frames = before + sum(len(one.segment.pts) for one in self.kept)
        return Place(frames, self.kept[-1].segment.pts[-1], is_even and all(one.even for one in self.kept))

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing left to make; unknown, hence False, where the end is open."""
        return self._next == self._end

    @property
    def _next(self) -> int:
        return self.first + len(self.kept)

    @property
    def part_path(self) -> Path:
        """Where the next segment is to be written. A worker that was given up may still be writing another one."""
        return self.folder / f"{self._next:05d}.{self._token}.part"

    def path(self, number: int) -> Path:
        """Return where segment `number` is, once it is finished."""
        return self.folder / f"{number:05d}.mkv"

    def add(self, one: Kept, state: Mapping[str, NDArray[Any]]) -> None:
        """Keep the next segment, whose file is whole, with what the one after it depends on.

        Raises:
            OutputError: it cannot be written.
        """
        number = self._next
        with target_errors(self.folder):
            if one.has_state:
                with self._state_path(number).open("wb") as file:
                    np.savez(file, allow_pickle=False, **state)
                    file.flush()
                    os.fsync(file.fileno())
            one = replace(one, segment=replace(one.segment, path=one.segment.path.replace(self.path(number))))
            n_bytes = one.segment.path.stat().st_size
        record = {
            "pts": one.segment.pts,
            "delay": one.segment.delay,
            "bytes": n_bytes,
            "damage": one.damage,
            "even": one.even,
            "notes": one.notes,
            "last_duration": one.last_duration,
            "has_state": one.has_state,
        }
        write_whole(self._record_path(number), json.dumps(record).encode(), overwrite=True)
        self.kept.append(one)
        with suppress(OSError):
            self._state_path(number - 1).unlink()

    def load(self) -> None:
        """Take over the finished segments that follow the last one here."""
        while not self.is_complete and (one := self._read(self._next)) is not None:
            self.kept.append(one)
        # The last one's state may be missing if a later segment is damaged; then one before it has to do.
        while self.kept and self.kept[-1].has_state and not self._state_path(self._next - 1).exists():
            self.kept.pop()

    def adopt(self, first_pts: int) -> Sequence[Kept]:
        """Take over, and return, what others have made from here on, if it begins at `first_pts`.

        Only right where a scene begins: elsewhere the next segment depends on this one's state.
        """
        one = None if self.is_complete else self._read(self._next)
        if one is None or one.segment.pts[0] != first_pts:
            return ()
        known = len(self.kept)
        self.load()
        return self.kept[known:]

    def read_state(self) -> dict[str, NDArray[Any]]:
        """Return what the segment after the last one depends on; empty if it begins a scene."""
        path = self._state_path(self._next - 1)
        if (self.kept and not self.kept[-1].has_state) or not path.exists():
            return {}
        with np.load(path) as state:
            return dict(state)

    def _read(self, number: int) -> Kept | None:
        """Return segment `number` if it is whole."""
        try:
            record = json.loads(self._record_path(number).read_text(encoding="utf-8"))
            if self.path(number).stat().st_size != record["bytes"]:
                return None
            segment = Segment(self.path(number), tuple(record["pts"]), record["delay"])
            notes = tuple(record["notes"])
            last_duration, has_state = record["last_duration"], record["has_state"]
            return Kept(segment, record["damage"], record["even"], notes, last_duration, has_state)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _record_path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.json"

    def _state_path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.npz"


class SegmentStore(SegmentRun):
    """The folder of one film at work; holds its lock while open.

    Args:
        target: the film that is being made.
        job: what its frames depend on, as JSON takes it.
        afresh: throw away what another job has left there.

    Attributes:
        found: what was found out when work began, and is to be the same when it goes on.
    """

    def __init__(self, target: Path, job: Mapping[str, Any], *, afresh: bool = False) -> None:
        """Find what is kept for the same job.

        Raises:
            OutputError: another process is at work on it; the folder holds another job, and not `afresh`; or it
                cannot be written.
        """
        super().__init__(kept_folder(target))
        self.found: dict[str, Any] = {}
        self._target = target
        self._job = json.loads(json.dumps({"version": _VERSION, **job}))
        with target_errors(self.folder):
            is_new = not self.folder.exists()
            self.folder.mkdir(exist_ok=True)
            if not is_new and not (self.folder / "lock").exists() and any(self.folder.iterdir()):
                raise OutputError(
                    f"{self.folder} is there and holds something else",
                    hint="Move it away, or give the film another name: it is where unfinished films are kept.",
                )
            self._lock: IO[bytes] = (self.folder / "lock").open("ab")
        try:
            self._take_lock()
            if not is_new:
                self._load(afresh=afresh)
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the folder for later if there is a segment in it."""
        self._lock.close()
        if not self.numbers():
            self.remove()

    def remove(self) -> None:
        """Throw the folder away, but nothing that somebody else has put there."""
        self._lock.close()
        shutil.rmtree(self.pictures, ignore_errors=True)
        with suppress(OSError):
            for path in self.folder.iterdir():
                if _OURS.fullmatch(path.name):
                    path.unlink(missing_ok=True)
            self.folder.rmdir()

    @property
    def pictures(self) -> Path:
        """Where pictures lie that the film becomes, until all of them are there."""
        return self.folder / "pictures"

    def mark_placing(self, size: int) -> None:
        """Write down that the finished film, of `size` bytes, is about to be put in its place; see `is_placing`.

        Raises:
            OutputError: it cannot be written.
        """
        write_whole(self.folder / _PLACING, str(size).encode(), overwrite=True)

    def begin(self, found: Mapping[str, Any]) -> None:
        """Write down the job, and what was found out, unless it is there already."""
        if self.found:
            return
        self.found = dict(found)
        text = json.dumps({"job": self._job, "found": self.found}, indent=1, ensure_ascii=False)
        write_whole(self.folder / "job.json", text.encode(), overwrite=True)

    def _take_lock(self) -> None:
        if not _lock(self._lock):
            raise OutputError(
                f"{self._target} is being made by another process (its lock: {self.folder / 'lock'})",
                hint="Wait until it is finished, or give this film another name.",
            )

    def _load(self, *, afresh: bool) -> None:
        """Take over what is there for this job.

        Raises:
            OutputError: it is another job's, and not `afresh`.
        """
        try:
            known = json.loads((self.folder / "job.json").read_text(encoding="utf-8"))
            old: dict[str, Any] = known["job"]
            found: dict[str, Any] = known["found"]
        except (OSError, ValueError, KeyError, TypeError):
            old, found = {}, {}  # stopped before there was anything to keep
        if old == self._job:
            self.found = found
            self.load()
        elif old and self._record_path(0).exists() and not afresh:
            differs = "; ".join(_differences(old, self._job))
            raise OutputError(
                f"{self.folder} keeps a part of this film, made differently: {differs}",
                hint="Type the former command to go on with it, or this one with --overwrite to begin afresh.",
            )
        for path in self.folder.iterdir():
            needed = path.name == "lock" or (old == self._job and self._is_needed(path))
            if _OURS.fullmatch(path.name) and not needed:
                with target_errors(self.folder):
                    path.unlink()

    def _is_needed(self, path: Path) -> bool:
        if path.name in {"job.json", _PLACING}:
            return True
        # What follows a segment that is missing was made by other workers, and is adopted when its turn comes.
        one = self._read(int(path.stem)) if path.stem.isdigit() else None
        return one is not None and (path.suffix in {".mkv", ".json"} or (path.suffix == ".npz" and one.has_state))

    def numbers(self) -> dict[int, int]:
        """Return how many frames each finished segment holds, by its number; those after a missing one, too."""
        found = {int(path.stem): None for path in self.folder.glob("*.json") if path.stem.isdigit()}
        segments = {number: self._read(number) for number in sorted(found)}
        return {number: len(one.segment.pts) for number, one in segments.items() if one is not None}


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what differs between two jobs, in words: each with its old and its new value."""
    texts = []
    for key in sorted({*old, *new}):
        was, now = old.get(key), new.get(key)
        if was == now:
            continue
        if isinstance(was, dict) and isinstance(now, dict):
            texts += _differences(was, now)
        elif any(_HASH.fullmatch(str(value)) for value in (was, now)):  # says nothing to people
            texts.append(f"{key} is another one")
        else:
            name = key.replace("_", " ")
            texts.append(f"{name} was {_in_words(was)}, now {_in_words(now)}")
    return texts


def _in_words(value: object) -> str:
    if value is None or value == "None":
        return "not given"
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _lock(file: IO[bytes]) -> bool:
    """Lock `file` until it is closed or the process ends; False if another process has it."""
    try:
        import fcntl
    except ImportError:
        return _lock_on_windows(file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a network folder without locks: two processes at once are not noticed there
        return True
    return True


def _lock_on_windows(file: IO[bytes]) -> bool:
    import msvcrt

    windows: Any = msvcrt  # has no such names elsewhere
    try:
        windows.locking(file.fileno(), windows.LK_NBLCK, 1)
    except OSError:
        return False
    return True
