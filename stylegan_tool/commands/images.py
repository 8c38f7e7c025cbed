"""`sgt images`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stylegan_tool.commands.model_options import (
    DeviceOption,
    DirectionOption,
    InputOption,
    MemoryOption,
    ModelOption,
    OverwriteOption,
    ProviderOption,
    RequireGpuOption,
    TileStatsOption,
    TileTextOption,
    ToOption,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from stylegan_tool.batch import Job
    from stylegan_tool.stylize import Stylizer


def images(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A picture, or a folder with all below it.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A folder, or a file name for one picture.")],
    direction: DirectionOption = None,
    to: ToOption = None,
    model: ModelOption = None,
    input_: InputOption = None,
    overwrite: OverwriteOption = False,
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
) -> None:
    """Stylise a picture or a folder tree.

    sgt images photos/ out/ --to vangogh               a folder; the tree is mirrored

    sgt images photo.jpg painted.jpg --direction A2B   one picture

    sgt images photos/ out/ --model runs/photo2vangogh-001

    sgt images huge.tif out/ --to vangogh --plan       what it would take

    Size, orientation, alpha, depth and profile are kept; nothing is overwritten unless you say so.
    """
    from stylegan_tool.batch import plan_jobs
    from stylegan_tool.opening import open_model
    from stylegan_tool.options import TileOption, parse_size
    from stylegan_tool.progress import say
    from stylegan_tool.stylize import Stylizer

    tile_option, memory_bytes = TileOption.parse(tile), parse_size(memory) if memory else None
    jobs = plan_jobs(source, target, overwrite=overwrite)
    session = open_model(
        model,
        direction=direction,
        to=to,
        provider=provider,
        device_id=device_id,
        require_gpu=require_gpu,
        say=say,
        inputs=input_ or (),
    )
    stylizer = Stylizer(session, tile_option, statistics=tile_stats, memory_bytes=memory_bytes, note=say)
    if plan:
        _print_plan(jobs, stylizer)
        return
    _stylize_all(jobs, stylizer, target, overwrite=overwrite, verify=verify)


def _stylize_all(jobs: "list[Job]", stylizer: "Stylizer", target: Path, *, overwrite: bool, verify: bool) -> None:
    """Do the jobs, say what came of them, and raise if any failed."""
    from stylegan_tool.batch import run_jobs
    from stylegan_tool.errors import PartialError
    from stylegan_tool.progress import Progress, format_duration, say

    failed, seconds = [], 0.0
    with Progress("stylising", len(jobs), "pictures") as progress:
        for result in run_jobs(jobs, stylizer, overwrite=overwrite):
            progress.advance(note=result.job.source.name)
            seconds += result.seconds
            if result.error is not None:
                failed.append(result)
                if len(jobs) > 1:
                    say(f"failed: {result.error.what}")
            elif verify:
                _verify(result.job, stylizer, say)
    if failed and len(jobs) == 1 and failed[0].error is not None:
        raise failed[0].error
    done = len(jobs) - len(failed)
    what = "1 picture" if done == 1 else f"{done} pictures"
    say(f"{what} in {format_duration(seconds)}: {jobs[0].target if len(jobs) == 1 else target}")
    if failed:
        raise PartialError(
            f"{len(failed)} of {len(jobs)} pictures failed (named above); the others are in {target}",
            hint="Repair them, then type the command for each of them, or for all into another folder.",
        )


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


def _verify(job: "Job", stylizer: "Stylizer", say: "Callable[[str], None]") -> None:
    """Say how far tiles are from the untiled picture."""
    from stylegan_tool.errors import ModelError
    from stylegan_tool.image_files import read_picture

    try:
        difference = stylizer.verify(read_picture(job.source).image)
    except ModelError as error:  # it cannot be cut; the picture is done all the same
        say(f"{job.source.name}: nothing to verify: {error.what}")
        return
    region = f"{job.source.name}: {difference.width}x{difference.height} in the middle"
    if not difference.tiled:
        say(f"{region}: too small to be tiled")
        return
    say(
        f"{region}, tiled against untiled: at most {difference.largest}/255, mean {difference.mean:.2g}/255, "
        f"{100 * difference.identical:.3f} % identical"
    )
