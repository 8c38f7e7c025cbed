"""`sgt images`."""

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from stylegan_tool.command import what_was_typed
from stylegan_tool.commands.model_options import (
    CompareOption,
    DeviceOption,
    DirectionOption,
    InputOption,
    KeepColourOption,
    MemoryOption,
    ModelOption,
    ModelRequest,
    OverwriteOption,
    ProviderOption,
    RayOption,
    RequireGpuOption,
    StrengthOption,
    TileRequest,
    TileStatsOption,
    TileTextOption,
    ToOption,
    refuse_beside_ray,
)
from stylegan_tool.folder.shard import WHOLE, Shard
from stylegan_tool.help import FOLDERS, TILES
from stylegan_tool.options import Blend

MOST_REMEDIES = 5  # that are said at the end of a folder

if TYPE_CHECKING:
    from stylegan_tool.errors import SgtError
    from stylegan_tool.folder.making import Making, Result
    from stylegan_tool.folder.manifest import Manifest
    from stylegan_tool.folder.plan import Job
    from stylegan_tool.folder.report import Report
    from stylegan_tool.pixels import Image
    from stylegan_tool.stylize import Stylizer

Run: TypeAlias = "Callable[[list[Job]], Generator[Result, None, None]]"  # does jobs, here or elsewhere

SourceArgument: TypeAlias = Annotated[
    Path, typer.Argument(metavar="IN", readable=False, help="A picture, or a folder with all below it.")
]
TargetArgument: TypeAlias = Annotated[
    Path, typer.Argument(metavar="OUT", readable=False, help="A folder, or a file name for one picture.")
]
ShardOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="N/COUNT",
        rich_help_panel=FOLDERS,
        help="Do one part of the pictures, such as 3/16; each part may run on its own machine.",
    ),
]
ReportOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="FILE.json", rich_help_panel=FOLDERS, help="Write there what became of each picture."),
]
GalleryOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--gallery",
        rich_help_panel=FOLDERS,
        help="Make a page of results beside their sources, too: gallery.html in OUT, or beside one picture.",
    ),
]
PlanOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--plan", rich_help_panel=TILES, help="Print tiles, bytes of memory and seconds expected; do nothing."
    ),
]
VerifyOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--verify",
        rich_help_panel=TILES,
        help="Compare the middle of each picture, tiled, with the untiled result.",
    ),
]


@dataclass(frozen=True)
class Request:
    """What was typed."""

    source: Path
    target: Path
    blend: Blend
    shard: Shard
    tiles: TileRequest
    model: ModelRequest
    report: Path | None
    gallery: bool
    plan: bool
    verify: bool
    overwrite: bool
    typed: dict[str, str]

    @property
    def is_folder(self) -> bool:
        """Whether it is about a folder, and not about one picture."""
        return self.source.is_dir()


def images(
    ctx: typer.Context,
    source: SourceArgument,
    target: TargetArgument,
    to: ToOption = None,
    model: ModelOption = None,
    direction: DirectionOption = None,
    overwrite: OverwriteOption = False,
    strength: StrengthOption = 1.0,
    keep_colour: KeepColourOption = False,
    compare: CompareOption = None,
    shard: ShardOption = None,
    report: ReportOption = None,
    gallery: GalleryOption = False,
    tile: TileTextOption = "auto",
    memory: MemoryOption = None,
    plan: PlanOption = False,
    verify: VerifyOption = False,
    tile_stats: TileStatsOption = "exact",
    provider: ProviderOption = "auto",
    device_id: DeviceOption = None,
    require_gpu: RequireGpuOption = False,
    ray: RayOption = None,
    input_: InputOption = None,
) -> None:
    """Stylise a picture or a folder tree.

    sgt images photos/ painted/ --to vangogh        # a folder and all below
    sgt images photo.jpg painted.jpg --to monet     # one picture
    sgt images photos/ mine/ --model runs/mine-001  # a style of your own

    Size, orientation, alpha, depth and profile are kept; nothing is overwritten unless you say so. Typed again, the
    command for a folder does what is new or changed there, or was left undone.
    """
    request = Request(
        source,
        target,
        Blend(strength, keep_colour, compare),
        Shard.parse(shard) if shard else WHOLE,
        TileRequest(tile, tile_stats, memory),
        ModelRequest(model, direction, to, input_, provider, device_id, require_gpu, ray),
        report=report,
        gallery=gallery,
        plan=plan,
        verify=verify,
        overwrite=overwrite,
        typed=what_was_typed(ctx),
    )
    _stylize(request)


def _stylize(request: Request) -> None:
    """Plan the work, open the model, and do it or print the plan."""
    from stylegan_tool.folder.manifest import Manifest
    from stylegan_tool.folder.plan import plan_jobs, refuse_existing

    jobs = plan_jobs(request.source, request.target, request.shard)
    _check(request)
    if request.gallery:
        _check_page(request, jobs)
    folder = request.target if request.is_folder else jobs[0].target.parent
    remembering = Manifest(folder, request.shard.file_name, typed=request.typed) if request.is_folder else nullcontext()
    with remembering as manifest:
        replaceable = refuse_existing(jobs, manifest, overwrite=request.overwrite)
        stylizer = request.tiles.open(request.model.open())
        if request.plan:
            _print_plan(jobs, stylizer)
        else:
            making = _plan_making(request, stylizer, manifest, replaceable)
            report = _open_report(request, making, stylizer)
            run = _choose_run(request, making, stylizer, folder)
            with _page(request, jobs, making) if request.gallery else nullcontext():
                _stylize_all(jobs, making, request.target, report, run)


def _check_page(request: Request, jobs: "list[Job]") -> None:
    """Refuse a page that could not be written, and one that was asked for where nothing is made."""
    from stylegan_tool.errors import UsageError
    from stylegan_tool.gallery.writing import check_page, page_beside

    if request.plan:
        raise UsageError("--plan makes nothing that --gallery could show", hint="Leave one of the two out.")
    if request.is_folder or jobs:
        check_page(page_beside(request.target if request.is_folder else jobs[0]), overwrite=request.overwrite)


def _page(request: Request, jobs: "list[Job]", making: "Making") -> AbstractContextManager[None]:
    """Return the context at whose end there is a page of what was made."""
    from stylegan_tool.gallery.writing import page_of_pictures
    from stylegan_tool.progress import say

    made = request.target if request.is_folder else jobs[0]
    return page_of_pictures(made, making, overwrite=request.overwrite, say=say)


def _check(request: Request) -> None:
    """Refuse what cannot be before a model is loaded."""
    from stylegan_tool.errors import UsageError
    from stylegan_tool.folder.report import check_report

    if request.report is not None:
        check_report(request.report, overwrite=request.overwrite)
    if request.model.ray is not None:
        from stylegan_tool.cluster.connection import check_address

        refuse_beside_ray(plan=request.plan, verify=request.verify, device_id=request.model.device_id is not None)
        if not request.is_folder:
            raise UsageError(
                f"{request.source} is one picture, and --ray is for folders", hint="Leave --ray out, or name a folder."
            )
        check_address(request.model.ray)


def _plan_making(
    request: Request, stylizer: "Stylizer", manifest: "Manifest | None", replaceable: frozenset[str]
) -> "Making":
    from stylegan_tool.folder.making import Making
    from stylegan_tool.made_with import describe_model, describe_pictures

    tiles = request.tiles
    return Making(
        stylize=stylizer.batch,
        at_once=stylizer.most_at_once,
        blend=request.blend,
        about=describe_model(stylizer.session),
        made_with=describe_pictures(stylizer.session, request.blend, tiles.statistics, tiles.tile, tiles.memory),
        manifest=manifest,
        replaceable=replaceable,
        overwrite=request.overwrite,
        verify=(lambda image: _verify(image, stylizer)) if request.verify else None,
    )


def _choose_run(request: Request, making: "Making", stylizer: "Stylizer", folder: Path) -> Run:
    """Return what does jobs: this machine, or the cluster that was asked for."""
    from stylegan_tool.folder.making import run_jobs
    from stylegan_tool.progress import say

    if request.model.ray is None:
        return partial(run_jobs, making=making, folder=folder)
    from stylegan_tool.cluster.folder import run_jobs_on_cluster

    return partial(
        run_jobs_on_cluster,
        address=request.model.ray,
        parcel=request.model.pack(stylizer),
        making=making,
        source=request.source,
        folder=folder,
        part=request.shard.file_name,
        say=say,
    )


def _open_report(request: Request, making: "Making", stylizer: "Stylizer") -> "Report":
    from stylegan_tool.folder.report import Report

    ray = request.model.ray
    about = {
        "in": str(request.source),
        "out": str(request.target),
        "shard": str(request.shard),
        "provider": stylizer.session.label if ray is None else f"Ray at {ray}",
    }
    return Report(request.report, {**about, **making.made_with})


def _stylize_all(jobs: "list[Job]", making: "Making", target: Path, report: "Report", run: Run) -> None:
    """Do the jobs, say what comes of them, and raise if any failed."""
    from stylegan_tool.errors import PartialError
    from stylegan_tool.folder.making import already_done
    from stylegan_tool.progress import say

    if not jobs:
        say("no picture belongs to this --shard: nothing to do")
    with report.written(jobs):
        for job in jobs:
            if done := already_done(job, making, by_content=False):
                report.add(done)
        before = len(report.results)
        if before == len(jobs) and jobs:
            say(f"all {len(jobs)} pictures are done already: {target}")
        elif before:
            say(f"{before} of {len(jobs)} are done already")
        if before < len(jobs):
            _do(jobs, making, target, report, run)
    failed = [result for result in report.results.values() if result.error is not None]
    if failed and len(jobs) == 1 and failed[0].error is not None:
        raise failed[0].error
    if failed:
        _say_remedies([(result.job.source, result.error) for result in failed if result.error is not None])
        raise PartialError(
            f"{len(failed)} of {len(jobs)} pictures failed (named above); the others are in {target}",
            hint="Do what is said above, then type the same command: what is done is not done again.",
        )


def _say_remedies(failed: "list[tuple[Path, SgtError]]") -> None:
    """Say what to do about pictures that failed: each remedy once, the most needed first."""
    from stylegan_tool.errors import typed
    from stylegan_tool.progress import say

    alike: dict[str, list[tuple[Path, SgtError]]] = {}
    for path, error in failed:
        if error.hint:  # many name their file: they are told by the first that has one
            alike.setdefault(error.hint.replace(typed(path), "FILE"), []).append((path, error))
    told = sorted(alike.values(), key=len, reverse=True)
    for same in told[:MOST_REMEDIES]:
        path, error = same[0]
        say(f"{path}{f' and {len(same) - 1} more' if len(same) > 1 else ''}: {error.hint}")
    if len(told) > MOST_REMEDIES:
        others = sum(map(len, told[MOST_REMEDIES:]))
        say(f"{_pictures(others)} failed for other reasons: what to do about each is written by --report FILE.json")


def _do(jobs: "list[Job]", making: "Making", target: Path, report: "Report", run: Run) -> None:
    """Do the jobs that `report` has no results of, and add theirs."""
    import time

    from stylegan_tool.progress import Progress, format_duration, say

    left, started = [job for job in jobs if job.output not in report.results], time.monotonic()
    counts: Counter[str] = Counter()
    several: list[str] = []
    with Progress("stylising", len(jobs), "pictures", done=len(jobs) - len(left)) as progress:
        try:
            with closing(run(left)) as results:
                for result in results:
                    report.add(result)
                    counts[result.status] += 1
                    progress.advance(note=result.job.source.name)
                    if result.error is not None and len(jobs) > 1:
                        say(f"failed: {result.error.what}")
                    if result.note:
                        say(f"{result.job.source.name}: {result.note}")
                    if result.is_first_of_several:
                        several.append(result.job.name)
        except BaseException:
            if making.manifest is not None:
                done = len(jobs) - len(left) + counts["made"] + counts["done before"]
                say(f"{done} of {len(jobs)} pictures are done; the same command does the others")
            raise
    if several:
        say(
            f"animations and files with pages, of which the first picture was taken: {_some(several)} "
            "(a GIF as a whole: sgt video IN.gif OUT.gif)"
        )
    if counts["done before"]:
        say(f"{_pictures(counts['done before'])} found done on the way")
    if counts["made"]:
        where = target if making.manifest is not None else jobs[0].target
        say(f"{_pictures(counts['made'])} in {format_duration(time.monotonic() - started)}: {where}")


def _pictures(n: int) -> str:
    return "1 picture" if n == 1 else f"{n} pictures"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _print_plan(jobs: "list[Job]", stylizer: "Stylizer") -> None:
    """Print what each picture will take, and all of them."""
    from stylegan_tool.errors import InputError, PartialError
    from stylegan_tool.image_files.reading import read_picture
    from stylegan_tool.progress import format_bytes, format_duration, say

    unreadable: list[tuple[Path, SgtError]] = []
    seconds, most = 0.0, 0
    for job in jobs:
        try:
            image = read_picture(job.source).image
        except InputError as error:
            if len(jobs) == 1:
                raise
            say(f"failed: {error.what}")
            unreadable.append((job.source, error))
            continue
        expected = stylizer.expect(image)
        tiles = f"{expected.tiles} tiles of {expected.side} pixels" if expected.tiles > 1 else "untiled"
        passes = f" in {expected.passes} passes" if expected.passes > 1 else ""
        scratch = f" and {format_bytes(expected.scratch_bytes)} of scratch files" if expected.scratch_bytes else ""
        typer.echo(
            f"{job.source}  {image.shape[1]}x{image.shape[0]}: {tiles}{passes}, "
            f"{format_bytes(expected.memory_bytes)} of memory{scratch}, about {format_duration(expected.seconds)}"
        )
        seconds, most = seconds + expected.seconds, max(most, expected.memory_bytes)
    if len(jobs) > 1:
        typer.echo(
            f"{len(jobs)} pictures: at most {format_bytes(most)} of memory, about {format_duration(seconds)} in all"
        )
    if unreadable:
        _say_remedies(unreadable)
        raise PartialError(
            f"{len(unreadable)} of {len(jobs)} pictures cannot be read (named above)",
            hint="Repair them as said above, then plan again; or leave --plan out: all others are stylised.",
        )


def _verify(image: "Image", stylizer: "Stylizer") -> str:
    """Return how far tiles are from the untiled picture."""
    from stylegan_tool.errors import ModelError

    try:
        difference = stylizer.verify(image)
    except ModelError as error:  # it cannot be cut; the picture is done all the same
        return f"nothing to verify: {error.what}"
    region = f"{difference.width}x{difference.height} in the middle"
    if not difference.tiled:
        return f"{region}: too small to be tiled"
    return (
        f"{region}, tiled against untiled: at most {difference.largest}/255, mean {difference.mean:.2g}/255, "
        f"{100 * difference.identical:.3f} % identical"
    )
