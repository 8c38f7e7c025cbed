"""A picture or a folder tree: what goes where, collisions found before work, one result a file."""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stylegan_tool.errors import ComputeError, InputError, OutputError, SgtError, UsageError
from stylegan_tool.image_files import SUFFIXES, find_pictures, output_name, read_picture, write_picture
from stylegan_tool.pixels import Image

SHOWN = 5  # file names in a message before 'and N more'


@dataclass(frozen=True)
class Job:
    """One picture to read and where its result goes."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Result:
    """What came of a job: `error` is None where the target was written."""

    job: Job
    seconds: float
    error: SgtError | None = None


def plan_jobs(source: Path, target: Path, *, overwrite: bool) -> list[Job]:
    """Decide what is read and written, before anything is done.

    A file goes to `target` if that names a picture, else into the folder `target`; a folder's tree is
    mirrored under `target`.

    Raises:
        InputError: there is no such file or folder, or no picture in it.
        OutputError: a result exists already (all are counted) and `overwrite` is not set.
        UsageError: two pictures would go to one file, or a folder to a file.
    """
    if source.is_dir():
        if target.is_file():
            raise UsageError(f"{source} is a folder and {target} a file", hint="Name a folder for the results.")
        jobs = _plan_folder(source, target)
    elif source.is_file():
        jobs = [Job(source, _file_target(source, target))]
    else:
        raise InputError(f"no such file or folder: {source}", hint="Check the name; quote it if it has spaces.")
    _check_targets(jobs, overwrite=overwrite)
    return jobs


def _file_target(source: Path, target: Path) -> Path:
    if target.suffix and not target.is_dir():
        if output_name(Path("x" + target.suffix)).suffix != target.suffix:
            raise UsageError(
                f"pictures cannot be written as {target.suffix}: {target}",
                hint="Use .jpg, .png, .webp or .tif, or name a folder.",
            )
        return target
    return target / output_name(Path(source.name))


def _plan_folder(source: Path, target: Path) -> list[Job]:
    inside = target.resolve()
    # realpath, unlike resolve, takes a link in a circle for a path like any other.
    pictures = find_pictures(source)
    if inside.is_relative_to(source.resolve()):  # earlier results are not read again
        pictures = [path for path in pictures if not Path(os.path.realpath(path)).is_relative_to(inside)]
    if not pictures and source.resolve() != inside:
        raise InputError(f"no pictures in {source}", hint=f"Looked for {', '.join(sorted(SUFFIXES))} there and below.")
    if source.resolve() == inside:
        raise UsageError(f"{source} would be written into itself", hint="Name another folder for the results.")
    return [Job(path, target / output_name(path.relative_to(source))) for path in pictures]


def _check_targets(jobs: Sequence[Job], *, overwrite: bool) -> None:
    # Some file systems do not tell A.jpg from a.jpg.
    by_target: defaultdict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_target[str(job.target).casefold()].append(job)
    for same in by_target.values():
        if len(same) > 1:
            names = " and ".join(str(job.source) for job in same)
            raise UsageError(f"{names} would both become {same[0].target}", hint="Rename one of them.")
    into_itself = [job for job in jobs if os.path.realpath(job.target) == os.path.realpath(job.source)]
    if into_itself:
        raise UsageError(f"{into_itself[0].source} would be written over itself", hint="Name another file or folder.")
    _check_place(jobs[0].target.parent)
    existing = [str(job.target) for job in jobs if job.target.exists()]
    if existing and not overwrite:
        more = f" and {len(existing) - SHOWN} more" if len(existing) > SHOWN else ""
        raise OutputError(
            f"already there: {', '.join(existing[:SHOWN])}{more}",
            hint="Nothing was done. Use --overwrite to replace them, or name another place.",
        )


def _check_place(folder: Path) -> None:
    """Refuse now what would otherwise be refused after each picture has been computed."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise OutputError(f"{folder} is not a folder", hint="Name another place for the results.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{folder} is not writable", hint="Name another place for the results, or change its rights.")


def run_jobs(jobs: Sequence[Job], stylize: Callable[[Image], Image], *, overwrite: bool) -> Iterator[Result]:
    """Do the jobs one after the other and yield what came of each; a failed file does not stop the rest."""
    for job in jobs:
        started = time.monotonic()
        error: SgtError | None = None
        try:
            picture = read_picture(job.source)
            picture = replace(picture, image=stylize(picture.image))
            write_picture(job.target, picture, overwrite=overwrite)
        except UsageError:
            raise  # an option that fits no picture fails them all alike
        except SgtError as failure:
            error = failure
        except MemoryError:
            error = ComputeError(f"out of memory: {job.source}", hint="Close other programs, or scale it down.")
        yield Result(job, time.monotonic() - started, error)
