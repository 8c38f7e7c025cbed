"""`sgt images`."""

from pathlib import Path
from typing import Annotated

import typer

from stylegan_tool.commands.model_options import (
    DirectionOption,
    ModelOption,
    OverwriteOption,
    ProviderOption,
    RequireGpuOption,
    TileTextOption,
    ToOption,
)


def images(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A picture, or a folder with all below it.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A folder, or a file name for one picture.")],
    direction: DirectionOption = None,
    to: ToOption = None,
    model: ModelOption = None,
    overwrite: OverwriteOption = False,
    tile: TileTextOption = "auto",
    provider: ProviderOption = "auto",
    require_gpu: RequireGpuOption = False,
) -> None:
    """Stylise a picture or a folder tree.

    sgt images photos/ out/ --to vangogh               a folder; the tree is mirrored

    sgt images photo.jpg painted.jpg --direction A2B   one picture

    sgt images photos/ out/ --model runs/photo2vangogh-001

    Size, orientation, alpha, depth and profile are kept; nothing is overwritten unless you say so.
    """
    from stylegan_tool.batch import plan_jobs, run_jobs
    from stylegan_tool.errors import PartialError
    from stylegan_tool.opening import open_model
    from stylegan_tool.options import TileOption
    from stylegan_tool.progress import Progress, format_duration, say
    from stylegan_tool.stylize import Stylizer

    tile_option = TileOption.parse(tile)
    jobs = plan_jobs(source, target, overwrite=overwrite)
    session = open_model(model, direction=direction, to=to, provider=provider, require_gpu=require_gpu, say=say)
    stylizer = Stylizer(session, tile_option, note=say)
    failed, seconds = [], 0.0
    with Progress("stylising", len(jobs), "pictures") as progress:
        for result in run_jobs(jobs, stylizer, overwrite=overwrite):
            progress.advance(note=result.job.source.name)
            seconds += result.seconds
            if result.error is not None:
                failed.append(result)
                if len(jobs) > 1:
                    say(f"failed: {result.error.what}")
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
