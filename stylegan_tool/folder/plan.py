"""What is read and what is written, decided before anything is done."""

import errno
import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stylegan_tool.errors import InputError, OutputError, UsageError, typed, what_to_do
from stylegan_tool.folder.manifest import Manifest
from stylegan_tool.folder.shard import WHOLE, Shard
from stylegan_tool.image_files import jpeg_xl
from stylegan_tool.image_files.naming import SUFFIXES, find_pictures, output_name
from stylegan_tool.whole_files import check_reach

SHOWN = 10  # file names in a message before 'and N more'


@dataclass(frozen=True, slots=True)
class Job:
    """One picture to read and where its result goes.

    Attributes:
        name: of the source, in the tree, with '/'.
        output: of the target, in the folder of results, with '/'.
        seen_from: the source as seen from the folder of results.
    """

    source: Path
    target: Path
    name: str
    output: str
    seen_from: str


def plan_jobs(source: Path, target: Path, shard: Shard = WHOLE) -> list[Job]:
    """Return what is to be done; of a folder, those in `shard` alone.

    A file goes to `target` if that names a picture, else into the folder `target`; a folder's tree is
    mirrored under `target`.

    Raises:
        InputError: there is no such file or folder, or no picture in it.
        OutputError: `target` cannot be written to.
        UsageError: two pictures would go to one file, or a folder to a file.
        MissingError: `target` is a kind of picture for which an extra is missing.
    """
    check_reach(target)
    if source.is_dir():
        if target.is_file():
            raise UsageError(f"{source} is a folder and {target} a file", hint="Name a folder for the results.")
        jobs = _plan_folder(source, target)
        _check_names(jobs)
        _check_place(target)
        return jobs if shard.count == 1 else [job for job in jobs if job.name in shard]
    if not source.is_file():
        raise InputError(f"no such file or folder: {source}", hint="Check the name; quote it if it has spaces.")
    if shard.count > 1:
        raise UsageError(
            f"{source} is one picture, of which there is no --shard {shard}",
            hint="Name a folder, or leave --shard out.",
        )
    job = _plan_file(source, target)
    _check_place(job.target.parent)
    return [job]


def _plan_file(source: Path, target: Path) -> Job:
    if target.suffix and not target.is_dir():
        if output_name(Path("x" + target.suffix)).suffix != target.suffix:
            raise UsageError(
                f"pictures cannot be written as {target.suffix}: {target}",
                hint="Use .jpg, .png, .webp or .tif, or name a folder.",
            )
        if target.suffix.lower() == jpeg_xl.SUFFIX:
            jpeg_xl.require_plugin(f"cannot write {target}")
    else:
        target = target / output_name(Path(source.name))
    return Job(source, target, source.name, target.name, seen_from(target.parent, source))


def _plan_folder(source: Path, target: Path) -> list[Job]:
    # realpath, unlike resolve, takes a link in a circle for a path like any other.
    outside, inside = Path(os.path.realpath(source)), Path(os.path.realpath(target))
    if outside == inside:
        raise UsageError(f"{source} would be written into itself", hint="Name another folder for the results.")
    pictures = find_pictures(source)
    if inside.is_relative_to(outside):  # earlier results are not read again
        pictures = [path for path in pictures if not Path(os.path.realpath(path)).is_relative_to(inside)]
    if not pictures:
        raise InputError(
            f"no pictures in {source}",
            hint=f"Name a folder that has some; looked for {', '.join(sorted(SUFFIXES))} there and below.",
        )
    way_to_source, jobs = seen_from(target, source), []
    for path in pictures:
        relative = path.relative_to(source)
        result, name = output_name(relative), relative.as_posix()
        jobs.append(Job(path, target / result, name, result.as_posix(), f"{way_to_source}/{name}"))
    return jobs


def seen_from(folder: Path, path: Path) -> str:
    """Return the way from `folder` to `path`: it stays true where both are moved, or mounted elsewhere."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive
        return path.absolute().as_posix()


def _check_names(jobs: Sequence[Job]) -> None:
    # Some file systems do not tell A.jpg from a.jpg.
    by_output: defaultdict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_output[job.output.casefold()].append(job)
    for same in by_output.values():
        if len(same) > 1:
            names = " and ".join(str(job.source) for job in same)
            raise UsageError(
                f"{names} would both become {same[0].target}",
                hint=f"Rename one of them: mv {typed(same[-1].source)} NAME",
            )


def _check_place(folder: Path) -> None:
    """Refuse now what would otherwise be refused after each picture has been computed."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise OutputError(f"{folder} is not a folder", hint="Name another place for the results.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"you may not write in {folder}", hint=what_to_do(errno.EACCES, folder))


def _is_one_file(one: Path, other: Path) -> bool:
    """Whether both are the same place, by whatever links; a second name in another place (a hard link) is not."""
    with suppress(OSError):
        return one.samefile(other) and os.path.realpath(one) == os.path.realpath(other)
    return False


def refuse_existing(jobs: Sequence[Job], manifest: Manifest | None, *, overwrite: bool) -> frozenset[str]:
    """Return which outputs are there already and may be replaced; refuse what must not be.

    May be replaced: what the manifest proves to be ours and unmodified, if it was made of the same picture or of an
    earlier state of it. The result of another folder's picture of that name is somebody's work.

    Raises:
        OutputError: others are in the way, and not `overwrite`. All are counted.
        UsageError: a picture would be written over itself.
    """
    ours, in_the_way = [], []
    for job in jobs:
        if not os.path.lexists(job.target):
            continue
        if _is_one_file(job.source, job.target):
            raise UsageError(f"{job.source} would be written over itself", hint="Name another file or folder.")
        record = manifest.find(job.output, job.target) if manifest is not None else None
        if record is not None and (record.input == job.seen_from or record.input_file.renewed(job.source)):
            ours.append(job.output)
        else:
            in_the_way.append(str(job.target))
    if in_the_way and not overwrite:
        more = f" and {len(in_the_way) - SHOWN} more" if len(in_the_way) > SHOWN else ""
        unproven = "" if manifest is None else ", and not known to be unmodified results of these pictures"
        raise OutputError(
            f"already there{unproven}: {', '.join(in_the_way[:SHOWN])}{more}",
            hint="Nothing was done. Use --overwrite to replace what is there, or name another place.",
        )
    return frozenset(ours)
