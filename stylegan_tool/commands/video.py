"""`sgt video`."""

from pathlib import Path
from typing import Annotated

import typer

from stylegan_tool.commands.model_options import (
    DirectionOption,
    MemoryOption,
    ModelOption,
    OverwriteOption,
    ProviderOption,
    RequireGpuOption,
    TileStatsOption,
    TileTextOption,
    ToOption,
)


def video(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A film that FFmpeg can read.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help=".mp4, .mov, .mkv or .webm.")],
    direction: DirectionOption = None,
    to: ToOption = None,
    model: ModelOption = None,
    overwrite: OverwriteOption = False,
    tile: TileTextOption = "auto",
    tile_stats: TileStatsOption = "exact",
    memory: MemoryOption = None,
    provider: ProviderOption = "auto",
    require_gpu: RequireGpuOption = False,
) -> None:
    """Stylise a film; its sound is kept.

    sgt video in.mp4 out.mp4 --to vangogh        photo -> vangogh, by name

    sgt video in.mp4 out.mp4 --direction B2A     by letters: A is photo, B is vangogh

    sgt video in.mp4 out.mp4 --model runs/photo2vangogh-001

    Frame for frame at the film's own times, size, rotation and colour; the output appears whole or not at all.
    """
    import time

    from stylegan_tool.errors import PartialError
    from stylegan_tool.opening import open_model
    from stylegan_tool.options import TileOption, parse_size
    from stylegan_tool.progress import Progress, format_duration, say
    from stylegan_tool.stylize import Stylizer
    from stylegan_tool.video import check_target, convert_film, read_film_info

    tile_option, memory_bytes = TileOption.parse(tile), parse_size(memory) if memory else None
    check_target(source, target, overwrite=overwrite)
    film = read_film_info(source)
    session = open_model(model, direction=direction, to=to, provider=provider, require_gpu=require_gpu, say=say)
    stylizer = Stylizer(session, tile_option, statistics=tile_stats, memory_bytes=memory_bytes, note=say)
    started = time.monotonic()
    with Progress("stylising", film.frames, "frames") as progress:
        report = convert_film(source, target, stylizer, overwrite=overwrite, on_frame=progress.advance)
    seconds = time.monotonic() - started
    for note in report.notes:
        say(note)
    sound = "with sound" if film.audio_tracks else "no sound"
    say(
        f"{report.frames} frames of {report.width}x{report.height}, {sound}, in {format_duration(seconds)} "
        f"({report.frames / seconds:.3g} frames/s): {target}"
    )
    if report.repaired:
        raise PartialError(
            f"{report.repaired} damaged places in {source} were repaired; {target} is finished",
            hint="Look at it; a better copy of the source would help.",
        )
