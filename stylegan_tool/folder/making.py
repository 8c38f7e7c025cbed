"""Stylise many pictures: read, stylise and write at the same time, a result a picture, in their order.

A picture that fails does not stop the others; a place for results that is full or gone does.
"""

import errno
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

from stylegan_tool.blend import blend, compare_alpha
from stylegan_tool.errors import ComputeError, InputError, OutputError, SgtError, UsageError, what_to_do
from stylegan_tool.folder.manifest import FileState, Manifest, Record, abbreviate
from stylegan_tool.folder.plan import Job
from stylegan_tool.hashes import hash_bytes, hash_file
from stylegan_tool.image_files.picture import Picture
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.image_files.writing import encode_picture
from stylegan_tool.options import Blend
from stylegan_tool.overlap import Room, ahead, mapped
from stylegan_tool.pixels import Image
from stylegan_tool.whole_files import write_whole

# On their way at once, so that large pictures do not fill the memory: of 8 bits and with their results, 0.4 GB.
MOST_PIXELS = 64_000_000
# Reading and writing, each, where pictures go through in batches: there the model is faster than one thread with JPEGs.
THREADS = min(4, os.cpu_count() or 1)

# What no later picture would fare better with.
_PLACE_LOST = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ENODEV, errno.ESTALE}

Status: TypeAlias = Literal["made", "done before", "failed"]


class PlaceLostError(OutputError):
    """No result can be written any more: the disk is full, or the folder gone."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a job.

    Attributes:
        seconds: that went into it alone.
        error: why it failed.
        size: width and height of the result, pixels.
        n_bytes, hash: of its file; see hashes.py.
        is_first_of_several: the source is an animation or has pages, and its first picture was taken.
        note: what `Making.verify` says.
    """

    job: Job
    status: Status
    seconds: float = 0.0
    error: SgtError | None = None
    size: tuple[int, int] = (0, 0)
    n_bytes: int = 0
    hash: str = ""
    is_first_of_several: bool = False
    note: str = ""


@dataclass(frozen=True)
class Making:
    """How pictures become results.

    Attributes:
        stylize: makes of each picture one of the same size and type; all that it gets at once are of one size and type.
            With their names, for messages.
        at_once: how many pictures of one size `stylize` gets at most.
        made_with: what decides how results look, for the manifest; as JSON takes it.
        about: what people call it; decides nothing.
        manifest: remembers results; None for a picture by itself.
        replaceable: outputs that may be replaced, if they still are ours and unmodified.
        overwrite: replace whatever is there.
        verify: says how good a result is, if it is to be asked.
    """

    stylize: Callable[[Sequence[Image], Sequence[str]], Sequence[Image]]
    at_once: int = 1
    blend: Blend = field(default_factory=Blend)
    made_with: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    manifest: Manifest | None = None
    replaceable: frozenset[str] = frozenset()
    overwrite: bool = False
    verify: Callable[[Image], str] | None = None

    @cached_property
    def abbreviation(self) -> str:
        """What stands for `made_with` in records."""
        return abbreviate(self.made_with)


@dataclass(frozen=True, slots=True)
class _Item:
    """A picture on its way; or, where `result` is set, what came of it."""

    job: Job
    result: Result | None = None
    picture: Picture | None = None
    stylized: Image | None = None
    state: FileState | None = None  # of the source
    room: int = 0
    seconds: float = 0.0
    note: str = ""

    def failed(self, error: BaseException) -> "_Item":
        """Return it as a failure; errors that are none of this picture alone are raised."""
        if isinstance(error, MemoryError):
            error = ComputeError(f"{self.job.source}: out of memory", hint="Close other programs, or scale it down.")
        if not isinstance(error, SgtError) or isinstance(error, (UsageError, PlaceLostError)):
            raise error  # an option that fits no picture fails them all alike
        return _Item(self.job, Result(self.job, "failed", self.seconds, error), room=self.room)


def run_jobs(jobs: Iterable[Job], making: Making, folder: Path) -> Generator[Result, None, None]:
    """Do the jobs and yield what came of each, in their order.

    Args:
        folder: where all results go; made if it is missing.

    Raises:
        PlaceLostError: `folder` cannot be written to, or no longer; what was made until then is whole.
        UsageError: an option does not fit the model.
    """
    room = Room(MOST_PIXELS)
    threads = THREADS if making.at_once > 1 else 1
    reader = _Reader(making)
    read = mapped(reader, jobs, workers=threads) if threads > 1 else (reader(job) for job in jobs)
    pictures = ahead(_in_room(read, room), depth=max(2, making.at_once))
    results = ahead(_stylized(pictures, making), depth=max(1, making.at_once))
    written = mapped(_Writer(making, room, folder), results, workers=threads + 1)
    try:
        yield from written
    finally:
        room.close()
        written.close()  # the last one first: its thread may be waiting in the one before
        results.close()
        pictures.close()


class _Reader:
    """Reads the picture of a job, unless its result is there already."""

    def __init__(self, making: Making) -> None:
        self._making = making

    def __call__(self, job: Job) -> _Item:
        started = time.monotonic()
        item = _Item(job)
        try:
            done = self._find_done(job)
            if done is not None:
                return replace(item, result=done)
            picture, state = _read(job.source)
        except (SgtError, MemoryError) as error:
            return replace(item, seconds=time.monotonic() - started).failed(error)
        return replace(item, picture=picture, state=state, seconds=time.monotonic() - started)

    def _find_done(self, job: Job) -> Result | None:
        """Another run may have made it meanwhile, and a picture that was touched may be the same."""
        if self._making.manifest is None:
            return None
        self._making.manifest.refresh()
        return already_done(job, self._making, by_content=True)


def find_done(jobs: Iterable[Job], making: Making) -> tuple[list[Result], list[Job]]:
    """Return the results that are there, and the jobs that are left; no picture is read for that.

    Raises:
        PlaceLostError: the manifest cannot be written.
    """
    done: list[Result] = []
    left: list[Job] = []
    for job in jobs:
        if result := already_done(job, making, by_content=False):
            done.append(result)
        else:
            left.append(job)
    return done, left


def already_done(job: Job, making: Making, *, by_content: bool) -> Result | None:
    """Return the result of `job` if it is there, made of the same picture with the same model and options.

    Args:
        by_content: read the picture where its size and time of change do not tell whether it is the same.

    Raises:
        PlaceLostError: the manifest cannot be written.
    """
    manifest = making.manifest
    record = None if manifest is None else manifest.find(job.output, job.target)
    if manifest is None or record is None or record.made_with != making.abbreviation:
        return None
    before, after = record.input_file.renewed(job.source, by_content=by_content), record.output_file.renewed(job.target)
    if before is None or after is None:
        return None
    current = replace(record, input=job.seen_from, input_file=before, output_file=after)
    if current != record:
        _remember(making, current)  # the next time nothing needs to be read
    return Result(job, "done before", size=record.size, n_bytes=after.n_bytes, hash=after.hash)


def _read(path: Path) -> tuple[Picture, FileState]:
    """Return the picture and the state of its file.

    Raises:
        InputError: it cannot be read, or is being changed.
    """
    try:
        before = path.stat()
        picture = read_picture(path)
        state = FileState(before.st_size, before.st_mtime_ns, hash_file(path))
        after = path.stat()
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror or error}",
            hint="Look at the disk that it lies on, then type the same command.",
        ) from error
    if not state.is_untouched(after):
        raise InputError(
            f"{path} was changed while it was read", hint="Wait until it is complete, then type the same command."
        )
    return picture, state


def _in_room(items: Generator[_Item, None, None], room: Room) -> Iterator[_Item]:
    """Yield the items, each when there is room for it; in their order, or one could keep out the one before it."""
    with closing(items):
        for item in items:
            if item.picture is None:
                yield item
            else:
                height, width = item.picture.image.shape[:2]
                yield replace(item, room=room.take(height * width))


def _stylized(items: Iterator[_Item], making: Making) -> Iterator[_Item]:
    """Yield the items with their stylised pictures, in their order."""
    for group in _grouped(items, making.at_once):
        if group[0].picture is None:
            yield from group
        else:
            yield from _stylized_group(group, making)


def _grouped(items: Iterator[_Item], most: int) -> Iterator[list[_Item]]:
    """Yield consecutive items together that may be stylised at once: of one size and type, at most `most`."""
    group: list[_Item] = []
    for item in items:
        if group and not _alike(group[0], item):
            yield group
            group = []
        group.append(item)
        if len(group) == most or sum(one.room for one in group) >= MOST_PIXELS // 4:
            yield group
            group = []
    if group:
        yield group


def _alike(one: _Item, other: _Item) -> bool:
    if one.picture is None or other.picture is None:
        return False
    first, second = one.picture.image, other.picture.image
    return first.shape == second.shape and first.dtype == second.dtype


def _stylized_group(group: Sequence[_Item], making: Making) -> list[_Item]:
    images = [item.picture.image for item in group if item.picture is not None]
    started = time.monotonic()
    try:
        results = making.stylize(images, [str(item.job.source) for item in group])
        notes = [making.verify(image) if making.verify else "" for image in images]
    except (SgtError, MemoryError) as error:
        if len(group) > 1:  # find out which one it is
            return [found for item in group for found in _stylized_group([item], making)]
        return [replace(group[0], seconds=group[0].seconds + time.monotonic() - started).failed(error)]
    seconds = (time.monotonic() - started) / len(group)
    return [
        replace(item, stylized=result, note=note, seconds=item.seconds + seconds)
        for item, result, note in zip(group, results, notes, strict=True)
    ]


class _Writer:
    """Writes the result of an item and says what came of it."""

    def __init__(self, making: Making, room: Room, folder: Path) -> None:
        self._making, self._room, self._folder = making, room, folder

    def __call__(self, item: _Item) -> Result:
        started = time.monotonic()
        try:
            if item.result is not None:
                return item.result
            made = self._write(item)
            return replace(made, seconds=item.seconds + time.monotonic() - started)
        except (SgtError, MemoryError) as error:
            result = replace(item, seconds=item.seconds + time.monotonic() - started).failed(error).result
            assert result is not None
            return result
        finally:
            self._room.give_back(item.room)

    def _write(self, item: _Item) -> Result:
        job, picture = item.job, item.picture
        assert picture is not None
        assert item.stylized is not None
        options = self._making.blend
        shown = replace(picture, image=blend(picture.image, item.stylized, options))
        if shown.alpha is not None:
            shown = replace(shown, alpha=compare_alpha(shown.alpha, options))
        content = encode_picture(job.target, shown)
        result = Result(
            job,
            "made",
            size=(shown.image.shape[1], shown.image.shape[0]),
            n_bytes=len(content),
            hash=hash_bytes(content),
            is_first_of_several=picture.is_first_of_several,
            note=item.note,
        )
        return self._place(item, result, content)

    def _place(self, item: _Item, result: Result, content: bytes | memoryview) -> Result:
        """Write `content` to its place."""
        try:
            self._make_folder(item.job.target.parent)
            write_whole(
                item.job.target,
                content,
                make_folder=False,
                overwrite=self._making.overwrite or self._is_replaceable(item.job),
                when_safe=lambda stat: self._record(item, result, stat),
            )
        except OutputError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _PLACE_LOST:
                raise _lost(error.what) from error
            self._check_folder()
            if FileState(result.n_bytes, -1, result.hash).renewed(item.job.target):
                return replace(result, status="done before")  # another run was at it at the same time
            raise
        return result

    def _is_replaceable(self, job: Job) -> bool:
        """Hours may have passed since it was found to be ours."""
        manifest = self._making.manifest
        ours = manifest is not None and job.output in self._making.replaceable
        return ours and manifest is not None and manifest.find(job.output, job.target) is not None

    def _record(self, item: _Item, result: Result, stat: os.stat_result) -> None:
        making, job = self._making, item.job
        if item.state is None:
            return
        state = FileState(stat.st_size, stat.st_mtime_ns, result.hash)
        _remember(making, Record(job.output, job.seen_from, making.abbreviation, item.state, state, result.size))

    @cached_property
    def _identity(self) -> tuple[int, int]:
        """Of the folder; it is made when there is something to write."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return _identity(self._folder)
        except OSError as error:
            raise PlaceLostError(
                f"cannot make the folder {self._folder}: {error.strerror or error}",
                hint=what_to_do(error.errno, self._folder.parent),
            ) from error

    def _make_folder(self, folder: Path) -> None:
        """Make the folder of a result, but never the one of all results again: see `_check_folder`."""
        self._check_folder()
        try:
            for each in (*reversed(folder.parents), folder):
                if self._folder in each.parents:
                    each.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot make the folder {folder}: {error.strerror or error}",
                hint=what_to_do(error.errno, folder.parent),
            ) from error

    def _check_folder(self) -> None:
        """A folder that is made again, where a disk was pulled out, is another one."""
        before = self._identity
        try:
            same = before == _identity(self._folder)
        except OSError:
            same = False
        if not same:
            raise _lost(f"{self._folder} has vanished")


def _remember(making: Making, record: Record) -> None:
    try:
        if making.manifest is not None:
            making.manifest.add(record, making.made_with, making.about)
    except OutputError as error:
        raise _lost(error.what) from error


def _lost(what: str) -> PlaceLostError:
    return PlaceLostError(what, hint="Look at the disk, then type the same command: it goes on where it was.")


def _identity(folder: Path) -> tuple[int, int]:
    stat = folder.stat()
    return stat.st_dev, stat.st_ino
