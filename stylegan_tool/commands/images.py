"""`sgt images`."""

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from stylegan_tool.commands.model_options import (
    CompareOption,
    DeviceOption,
    DirectionOption,
    InputOption,
    KeepColourOption,
    MemoryOption,
    ModelOption,
    OverwriteOption,
    ProviderOption,
    RayOption,
    RequireGpuOption,
    StrengthOption,
    TileStatsOption,
    TileTextOption,
    ToOption,
    refuse_beside_ray,
)

if TYPE_CHECKING:
    from stylegan_tool.folder.making import Making, Result
    from stylegan_tool.folder.plan import Job
    from stylegan_tool.folder.report import Report
    from stylegan_tool.pixels import Image
    from stylegan_tool.stylize import Stylizer

Run: TypeAlias = "Callable[[list[Job]], Generator[Result, None, None]]"  # does jobs, here or elsewhere


def images(
    source: Annotated[
        Path, typer.Argument(metavar="IN", readable=False, help="A picture, or a folder with all below it.")
    ],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", readable=False, help="A folder, or a file name for one picture.")
    ],
    direction: DirectionOption = None,
    to: ToOption = None,
    model: ModelOption = None,
    input_: InputOption = None,
    overwrite: OverwriteOption = False,
    strength: StrengthOption = 1.0,
    keep_colour: KeepColourOption = False,
    compare: CompareOption = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="N/COUNT", help="Do one part of a folder's pictures; each part may run on its own machine."
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Write there what became of each file.")
    ] = None,
    gallery: Annotated[
        bool, typer.Option("--gallery", help="Make a page of results beside their sources, too: OUT/gallery.html.")
    ] = False,
    tile: TileTextOption = "auto",
    tile_stats: TileStatsOption = "exact",
    memory: MemoryOption = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print tiles, memory and time expected; do nothing.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare the middle of each picture, tiled, with the untiled result.")
    ] = False,
    provider: ProviderOption = "auto",
    device_id: DeviceOption = None,
    require_gpu: RequireGpuOption = False,
    ray: RayOption = None,
) -> None:
    """Stylise a picture or a folder tree.

    sgt images photos/ out/ --to vangogh               a folder; the tree is mirrored

    sgt images photo.jpg painted.jpg --direction A2B   one picture

    sgt images photos/ out/ --model runs/photo2vangogh-001

    sgt images huge.tif out/ --to vangogh --plan       what it would take

    Size, orientation, alpha, depth and profile are kept; nothing is overwritten unless you say so. Typed again, the
    command for a folder does what is new or changed there, or was left undone.
    """
    from stylegan_tool.errors import UsageError
    from stylegan_tool.folder.making import Making, run_jobs
    from stylegan_tool.folder.manifest import Manifest
    from stylegan_tool.folder.plan import plan_jobs, refuse_existing
    from stylegan_tool.folder.report import Report, check_report
    from stylegan_tool.folder.shard import Shard
    from stylegan_tool.made_with import describe_model, describe_pictures
    from stylegan_tool.opening import open_model
    from stylegan_tool.options import Blend, TileOption, parse_size
    from stylegan_tool.progress import say
    from stylegan_tool.stylize import Stylizer

    blend, part = Blend(strength, keep_colour, compare), Shard.parse(shard) if shard else Shard()
    tile_option, memory_bytes = TileOption.parse(tile), parse_size(memory) if memory else None
    jobs = plan_jobs(source, target, part)
    if report is not None:
        check_report(report, overwrite=overwrite)
    is_folder = source.is_dir()
    if ray is not None:
        refuse_beside_ray(plan=plan, verify=verify, device_id=device_id is not None)
        if not is_folder:
            raise UsageError(f"{source} is one picture, and --ray is for folders", hint="Leave --ray out.")
    with Manifest(target, part.file_name) if is_folder else nullcontext() as manifest:
        replaceable = refuse_existing(jobs, manifest, overwrite=overwrite)
        session = open_model(
            model,
            direction=direction,
            to=to,
            provider=provider,
            device_id=device_id,
            require_gpu=require_gpu,
            say=say,
            inputs=input_ or (),
            ray=ray,
        )
        stylizer = Stylizer(session, tile_option, statistics=tile_stats, memory_bytes=memory_bytes, note=say)
        if plan:
            _print_plan(jobs, stylizer)
            return
        making = Making(
            stylize=stylizer.batch,
            at_once=stylizer.most_at_once,
            blend=blend,
            made_with=describe_pictures(session, blend, tile_stats, tile, memory),
            about=describe_model(session),
            manifest=manifest,
            replaceable=replaceable,
            overwrite=overwrite,
            verify=(lambda image: _verify(image, stylizer)) if verify else None,
        )
        run: Run = partial(run_jobs, making=making, folder=target if is_folder else jobs[0].target.parent)
        if ray is not None:
            from stylegan_tool.cluster.folder import run_jobs_on_cluster
            from stylegan_tool.cluster.parcel import Parcel

            parcel = Parcel.pack(stylizer, provider=provider, require_gpu=require_gpu, inputs=input_ or ())
            run = partial(
                run_jobs_on_cluster,
                address=ray,
                parcel=parcel,
                making=making,
                source=source,
                folder=target,
                part=part.file_name,
                say=say,
            )
        about = {"in": str(source), "out": str(target), "shard": str(part)}
        about["provider"] = session.label if ray is None else f"Ray at {ray}"
        with _page(target if is_folder else jobs[0], making, overwrite=overwrite) if gallery else nullcontext():
            _stylize_all(jobs, making, target, Report(report, {**about, **making.made_with}), run)


def _page(made: "Path | Job", making: "Making", *, overwrite: bool) -> AbstractContextManager[None]:
    """Return the context at whose end there is a page of what was made."""
    from stylegan_tool.gallery.writing import page_of_pictures
    from stylegan_tool.progress import say

    return page_of_pictures(made, making, overwrite=overwrite, say=say)


def _stylize_all(jobs: "list[Job]", making: "Making", target: Path, report: "Report", run: Run) -> None:
    """Do the jobs, say what comes of them, and raise if any failed."""
    from stylegan_tool.errors import PartialError
    from stylegan_tool.folder.making import already_done
    from stylegan_tool.progress import say

    if not jobs:
        say("no picture belongs to this shard: nothing to do")
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
        raise PartialError(
            f"{len(failed)} of {len(jobs)} pictures failed (named above); the others are in {target}",
            hint="Repair them and type the same command: what is done is not done again.",
        )


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
        say(f"animations and files with pages, of which the first picture was taken: {_some(several)}")
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
    from stylegan_tool.image_files import read_picture
    from stylegan_tool.progress import format_bytes, format_duration, say

    seconds, most, unreadable = 0.0, 0, 0
    for job in jobs:
        try:
            image = read_picture(job.source).image
        except InputError as error:
            if len(jobs) == 1:
                raise
            say(f"failed: {error.what}")
            unreadable += 1
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
        raise PartialError(f"{unreadable} of {len(jobs)} pictures cannot be read (named above)", hint="Repair them.")


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
