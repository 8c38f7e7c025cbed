"""What runs on the machines of a cluster: Ray makes one of these in each actor and hands it batches.

Knows nothing of Ray. A batch is a dict of one column; its items are pickled, whole, so that no table's type gets at
them. An SgtError travels as an item: raised here, it would come out as Ray's own.
"""

import pickle
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stylegan_tool.cluster.parcel import Parcel, Shared
from stylegan_tool.errors import SgtError
from stylegan_tool.film.making import Together
from stylegan_tool.film.reader import Place
from stylegan_tool.film.shots import FilmPlan, Stretch, find_stretches, make_stretch
from stylegan_tool.folder.making import Making, Result, run_jobs
from stylegan_tool.folder.manifest import Manifest
from stylegan_tool.folder.plan import Job
from stylegan_tool.made_with import describe_model
from stylegan_tool.options import Blend
from stylegan_tool.stylize import Stylizer

Batch: TypeAlias = Mapping[str, NDArray[np.object_]]


@dataclass(frozen=True)
class Failure:
    """What ends the work, and is to be raised where it was asked for."""

    error: SgtError


@dataclass(frozen=True)
class Said:
    """A line for the person who waits."""

    line: str


def pack(items: Iterable[Any]) -> dict[str, NDArray[np.object_]]:
    """Return items as a batch."""
    packed = [pickle.dumps(item) for item in items]
    column = np.empty(len(packed), object)
    column[:] = packed
    return {"item": column}


def unpack(batch: Batch) -> list[Any]:
    """Return the items of a batch."""
    return [pickle.loads(item) for item in batch["item"]]  # our own


class _Worker:
    """Opens the model once, and says what was to be said."""

    def __init__(self, parcel: Parcel, share: Shared) -> None:
        self._lines: list[str] = []
        self._failure: Failure | None = None
        self._stylizer: Stylizer | None = None
        try:
            parcel.check()
            share.check()
            self._stylizer = parcel.open(note=self._lines.append)
        except SgtError as error:
            self._failure = Failure(error)

    def __call__(self, batch: Batch) -> Iterator[dict[str, NDArray[np.object_]]]:
        """Yield what comes of each item, one after the other."""
        items = unpack(batch)
        if self._failure is not None or self._stylizer is None:
            yield pack([self._failure])
            return
        try:
            for made in self._work(items, self._stylizer):
                yield pack([made])
        except SgtError as error:
            yield pack([Failure(error)])
        if self._lines:
            yield pack([Said(line) for line in self._lines])
            self._lines.clear()

    def _work(self, items: list[Any], stylizer: Stylizer) -> Iterator[Any]:
        raise NotImplementedError


# Folders ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FolderWork:
    """What a worker is told about a folder; see folder.making.Making.

    Attributes:
        part: names the manifests of this run's machines.
    """

    parcel: Parcel
    share: Shared
    folder: Path
    part: str
    blend: Blend
    made_with: Mapping[str, Any]
    overwrite: bool


@dataclass(frozen=True)
class Task:
    """A job of a folder.

    Attributes:
        number: among all of the run.
        replaceable: its output is there, and may be replaced if it still is ours.
    """

    number: int
    job: Job
    replaceable: bool


class FolderWorker(_Worker):
    """Does jobs, and yields for each (its number, what came of it)."""

    def __init__(self, work: FolderWork) -> None:
        super().__init__(work.parcel, work.share)
        self._told = work

    def _work(self, items: list[Task], stylizer: Stylizer) -> Iterator[tuple[int, Result]]:
        work = self._told
        # One file for each machine: over a network, lines that two append to one file at a time may be lost.
        part = "-".join(part for part in (work.part, platform.node()) if part)
        with Manifest(work.folder, part) as manifest:
            making = Making(
                stylize=stylizer.batch,
                at_once=stylizer.most_at_once,
                blend=work.blend,
                made_with=work.made_with,
                about=describe_model(stylizer.session),
                manifest=manifest,
                replaceable=frozenset(item.job.output for item in items if item.replaceable),
                overwrite=work.overwrite,
            )
            results = run_jobs((item.job for item in items), making, work.folder)
            for item, result in zip(items, results, strict=True):
                yield item.number, result


# Films --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FilmWork:
    """What a worker is told about a film; `folder` is where its segments go."""

    parcel: Parcel
    share: Shared
    folder: Path
    plan: FilmPlan


@dataclass(frozen=True)
class Search:
    """A film to be looked through for stretches, from a segment and its place on."""

    plan: FilmPlan
    first: int
    place: Place | None


def search(batch: Batch) -> Iterator[dict[str, NDArray[np.object_]]]:
    """Yield the stretches of the film as they are found."""
    (one,) = unpack(batch)
    try:
        for stretch in find_stretches(one.plan, first=one.first, after=one.place):
            yield pack([stretch])
    except SgtError as error:
        yield pack([Failure(error)])


class FilmWorker(_Worker):
    """Makes stretches, and yields the number and the frames of each segment."""

    def __init__(self, work: FilmWork) -> None:
        super().__init__(work.parcel, work.share)
        self._told = work

    def _work(self, items: list[Stretch | Failure], stylizer: Stylizer) -> Iterator[tuple[int, int] | Failure]:
        together = Together(stylizer.batch, stylizer.most_at_once)
        for item in items:
            if isinstance(item, Failure):
                yield item
            else:
                yield from make_stretch(self._told.plan, item, self._told.folder, together)


def located(job: Job) -> Job:
    """Return the job with paths that mean the same in another working directory."""
    return replace(job, source=job.source.absolute(), target=job.target.absolute())
