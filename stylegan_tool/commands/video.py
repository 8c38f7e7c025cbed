"""`sgt video`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

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
from stylegan_tool.help import ENCODING, LOOK, PART
from stylegan_tool.options import Blend, FilmOptions, SteadyOption, parse_rate, parse_time

if TYPE_CHECKING:
    from stylegan_tool.cluster.film import FilmOnCluster
    from stylegan_tool.film.convert import FilmReport
    from stylegan_tool.flicker import FlickerMeter
    from stylegan_tool.stylize import Stylizer

SourceArgument: TypeAlias = Annotated[
    Path,
    typer.Argument(metavar="IN", readable=False, help="A film that FFmpeg can read, or pictures: frames/%05d.png."),
]
TargetArgument: TypeAlias = Annotated[
    Path, typer.Argument(metavar="OUT", readable=False, help=".mp4, .mov, .mkv, .webm, .gif or frames/%05d.png.")
]
PreviewOption: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Only so much, such as 3s (seconds), from --start or else from the middle."),
]
SteadyTextOption: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="auto|off|0..1",
        rich_help_panel=LOOK,
        autocompletion=lambda: ["auto", "off"],
        help="How much of each frame is carried on from the ones before, so that the film does not flicker. "
        "off stylises every frame by itself.",
    ),
]
ReportOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.json",
        rich_help_panel=LOOK,
        help="Measure flicker and sharpness and write them there, and a plot beside it as FILE.png. Takes time.",
    ),
]
StartOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        rich_help_panel=PART,
        help="Begin there, counted from the film's beginning: 90 or 2.5s (seconds), 1:30.",
    ),
]
EndOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", rich_help_panel=PART, help="End before that time, counted alike; not beside --preview."
    ),
]
FrameRateOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="RATE", rich_help_panel=PART, help="Frames a second of numbered pictures: 24 or 30000/1001. [25]"
    ),
]
CodecOption: TypeAlias = Annotated[
    Literal["h264", "hevc", "av1", "vp9", "prores", "ffv1"] | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=ENCODING,
        help="h264, hevc, av1, vp9, prores or ffv1. [what OUT's suffix and the film ask for: .mp4 of 8 bits is h264]",
    ),
]
QualityOption: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="1..100", rich_help_panel=ENCODING, help="Of the encoding; at 80 it looks as before it. [80]"),
]
HardwareOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--hardware",
        rich_help_panel=ENCODING,
        help="Encode on the graphics chip, if that works; its films differ from machine to machine.",
    ),
]


@dataclass(frozen=True)
class Request:
    """What was typed; `steady` is a strength from 0 to 1."""

    source: Path
    target: Path
    film: FilmOptions
    tiles: TileRequest
    model: ModelRequest
    steady: float
    report: Path | None
    overwrite: bool
    typed: dict[str, str]


def video(
    ctx: typer.Context,
    source: SourceArgument,
    target: TargetArgument,
    to: ToOption = None,
    model: ModelOption = None,
    direction: DirectionOption = None,
    preview: PreviewOption = None,
    overwrite: OverwriteOption = False,
    steady: SteadyTextOption = "auto",
    strength: StrengthOption = 1.0,
    keep_colour: KeepColourOption = False,
    compare: CompareOption = None,
    report: ReportOption = None,
    start: StartOption = None,
    end: EndOption = None,
    frame_rate: FrameRateOption = None,
    codec: CodecOption = None,
    quality: QualityOption = None,
    hardware: HardwareOption = False,
    tile: TileTextOption = "auto",
    memory: MemoryOption = None,
    tile_stats: TileStatsOption = "exact",
    provider: ProviderOption = "auto",
    device_id: DeviceOption = None,
    require_gpu: RequireGpuOption = False,
    ray: RayOption = None,
    input_: InputOption = None,
) -> None:
    """Stylise a film; its sound is kept.

    sgt video in.mp4 out.mp4 --to vangogh                # the whole film
    sgt video in.mp4 look.mp4 --to vangogh --preview 3s  # what it will look like
    sgt video in.mp4 out.mp4 --model runs/mine-001       # a style of your own

    Frame for frame at the film's own times, size, rotation and colour; sound, subtitles and chapters are kept. OUT
    appears whole or not at all. Stopped or killed, the same command goes on where it was.
    """
    from stylegan_tool.steady import choose_strength

    window = {
        "start_s": parse_time(start, "--start") if start else None,
        "end_s": parse_time(end, "--end") if end else None,
        "preview_s": parse_time(preview, "--preview") if preview else None,
        "sequence_rate": parse_rate(frame_rate) if frame_rate else None,
    }
    request = Request(
        source,
        target,
        FilmOptions(codec, quality, hardware, **window, blend=Blend(strength, keep_colour, compare)),
        TileRequest(tile, tile_stats, memory),
        ModelRequest(model, direction, to, input_, provider, device_id, require_gpu, ray),
        steady=choose_strength(SteadyOption.parse(steady)),
        report=report,
        overwrite=overwrite,
        typed=what_was_typed(ctx),
    )
    _stylize(request)


def _stylize(request: Request) -> None:
    """Check, open the model, and make the film here or on a cluster."""
    from stylegan_tool.errors import PartialError
    from stylegan_tool.gallery.film_record import remember_film
    from stylegan_tool.made_with import describe_film
    from stylegan_tool.progress import say

    _check(request)
    stylizer = request.tiles.open(request.model.open())
    tiles, ray = request.tiles, request.model.ray
    made_with = describe_film(stylizer.session, request.model.inputs, tiles.statistics, tiles.tile, tiles.memory)
    if ray is None:
        made = _make(request, stylizer, made_with)
    else:
        from stylegan_tool.cluster.film import film_cluster

        parcel = request.model.pack(stylizer)
        with film_cluster(ray, parcel, source=request.source, target=request.target, say=say) as cluster:
            made_with["provider"] = cluster.label
            made = _make(request, cluster, made_with)
    remember_film(request.source, request.target, made, stylizer.session, request.film, request.steady)
    if made.repaired:  # said after all else, by an exit code of its own
        raise PartialError(
            f"{made.repaired} damaged places in {request.source} were repaired; {request.target} is finished",
            hint="Look at it; a better copy of the source would help.",
        )


def _check(request: Request) -> None:
    """Refuse what cannot be before a model is loaded."""
    from stylegan_tool.film.convert import check_target, plan_encoding, plan_window
    from stylegan_tool.film.look import look_at
    from stylegan_tool.flicker_report import check_report

    source, target, report = request.source, request.target, request.report
    check_target(source, target, overwrite=request.overwrite)
    if request.model.ray is not None:
        refuse_beside_ray(report=report, device_id=request.model.device_id is not None)
    if report is not None:
        check_report(report, overwrite=request.overwrite)
    look = look_at(source, request.film.sequence_rate)
    plan_window(look, request.film, source)
    plan_encoding(look, request.film, target)


def _make(request: Request, stylizer: "Stylizer | FilmOnCluster", made_with: dict[str, Any]) -> "FilmReport":
    """Make the film, show how it goes on, and say what came of it."""
    import time

    from stylegan_tool.flicker import FlickerMeter
    from stylegan_tool.progress import format_duration, say
    from stylegan_tool.stylize import Stylizer

    meter = FlickerMeter() if request.report is not None else None
    started = time.monotonic()
    made = _convert(request, stylizer, made_with, meter)
    seconds = time.monotonic() - started
    speed = f"in {format_duration(seconds)} ({(made.frames - made.kept) / seconds:.3g} frames/s)"
    before = f" ({made.kept} of them from before)" if made.kept else ""
    sound = "with sound" if made.has_sound else "no sound"
    for note in made.notes:
        say(note)
    say(f"{made.frames} frames{before} of {made.width}x{made.height}, {sound}, {speed}: {request.target}")
    if request.report is not None and meter is not None and isinstance(stylizer, Stylizer):
        _write_report(request.report, meter, request, stylizer, kept=made.kept)
    return made


def _convert(
    request: Request, stylizer: "Stylizer | FilmOnCluster", made_with: dict[str, Any], meter: "FlickerMeter | None"
) -> "FilmReport":
    """Make the film under a bar; however that ends, say that it can go on."""
    from stylegan_tool.film.convert import Start, convert_film
    from stylegan_tool.film.making import Together
    from stylegan_tool.film.store import kept_folder
    from stylegan_tool.progress import Progress, say
    from stylegan_tool.stylize import Stylizer

    unfinished: list[Path] = []
    with _what_is_kept(request.target, unfinished), Progress("stylising", None, "frames") as progress:

        def begin(start: Start) -> None:
            unfinished.append(kept_folder(request.target))
            progress.set_total(start.frames)
            if start.kept:
                say(f"going on after {start.kept} frames from before")
                progress.set_done(start.kept)

        return convert_film(
            request.source,
            request.target,
            stylizer,
            together=Together(stylizer.batch, stylizer.most_at_once) if isinstance(stylizer, Stylizer) else None,
            options=request.film,
            steady=request.steady,
            watch=meter.add if meter else None,
            made_with=made_with,
            find_out=lambda known: {"memory_bytes": stylizer.limit_memory(known.get("memory_bytes")), **request.typed},
            overwrite=request.overwrite,
            on_start=begin,
            on_frame=progress.advance,
        )


def _write_report(report: Path, meter: "FlickerMeter", request: Request, stylizer: "Stylizer", *, kept: int) -> None:
    """Write what was measured, and say it; the first `kept` frames are from before and were not."""
    from stylegan_tool.flicker_report import describe, write_report
    from stylegan_tool.progress import say

    session = stylizer.session
    labels = {"film": request.source.name, "model": f"{session.info.style} {session.path.name}".strip()}
    paths = write_report(report, meter.flicker, **labels, strength=request.steady, overwrite=request.overwrite)
    since = f" (of the frames after the first {kept})" if kept else ""
    say(f"{describe(meter.flicker)}{since}: {paths[0]}, {paths[1]}")


@contextmanager
def _what_is_kept(target: Path, folders: list[Path]) -> Iterator[None]:
    """However the work ends, say that it can go on, if there is a folder for that in `folders` by then."""
    from stylegan_tool.progress import say

    try:
        yield
    except BaseException:
        for folder in folders:
            if folder.exists():
                say(f"{target} is unfinished; what is done is kept in {folder}: type the same command to go on")
        raise
