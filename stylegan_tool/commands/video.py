"""`sgt video`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from stylegan_tool.commands.model_options import (
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
    from stylegan_tool.video import FilmReport

SteadyTextOption: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="auto|off|0..1",
        help="How much of each frame is carried on from the ones before, so that the film does not flicker. "
        "off stylises every frame by itself.",
    ),
]
ReportOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="NAME", help="Measure flicker and sharpness and write NAME.json and NAME.png, a plot. Takes time."
    ),
]


def video(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A film that FFmpeg can read.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help=".mp4, .mov, .mkv or .webm.")],
    direction: DirectionOption = None,
    to: ToOption = None,
    model: ModelOption = None,
    input_: InputOption = None,
    overwrite: OverwriteOption = False,
    steady: SteadyTextOption = "auto",
    report: ReportOption = None,
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

    sgt video in.mp4 out.mp4 --steady 0.7 --report flicker    and flicker.json, flicker.png

    Frame for frame at the film's own times, size, rotation and colour; the output appears whole or not at all.
    """
    import time

    from stylegan_tool.flicker import FlickerMeter
    from stylegan_tool.flicker_report import check_report, describe, write_report
    from stylegan_tool.opening import open_model
    from stylegan_tool.options import SteadyOption, TileOption, parse_size
    from stylegan_tool.progress import Progress, format_duration, say
    from stylegan_tool.steady import choose_strength, steadied
    from stylegan_tool.stylize import Stylizer
    from stylegan_tool.video import check_target, convert_film, read_film_info

    tile_option, memory_bytes = TileOption.parse(tile), parse_size(memory) if memory else None
    strength = choose_strength(SteadyOption.parse(steady))
    check_target(source, target, overwrite=overwrite)
    if report is not None:
        check_report(report, overwrite=overwrite)
    film = read_film_info(source)
    session = open_model(
        model, direction=direction, to=to, provider=provider, require_gpu=require_gpu, say=say, inputs=input_ or ()
    )
    stylizer = Stylizer(session, tile_option, statistics=tile_stats, memory_bytes=memory_bytes, note=say)
    meter = FlickerMeter() if report is not None else None
    stylize = steadied(stylizer, strength, watch=meter.add if meter else None) if strength or meter else stylizer
    started = time.monotonic()
    with Progress("stylising", film.frames, "frames") as progress:
        made = convert_film(source, target, stylize, overwrite=overwrite, on_frame=progress.advance)
    seconds, sound = time.monotonic() - started, "with sound" if film.audio_tracks else "no sound"
    speed = f"in {format_duration(seconds)} ({made.frames / seconds:.3g} frames/s)"
    for line in (*made.notes, f"{made.frames} frames of {made.width}x{made.height}, {sound}, {speed}: {target}"):
        say(line)
    if report is not None and meter is not None:
        labels = {"film": source.name, "model": f"{session.info.style} {session.path.name}".strip()}
        paths = write_report(report, meter.flicker, **labels, strength=strength, overwrite=overwrite)
        say(f"{describe(meter.flicker)}: {paths[0]}, {paths[1]}")
    _check_whole(made, source, target)


def _check_whole(made: "FilmReport", source: Path, target: Path) -> None:
    """Let a film that had to be repaired end in its own exit code, after all else is said."""
    from stylegan_tool.errors import PartialError

    if made.repaired:
        raise PartialError(
            f"{made.repaired} damaged places in {source} were repaired; {target} is finished",
            hint="Look at it; a better copy of the source would help.",
        )
