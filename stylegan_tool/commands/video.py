"""`sgt video`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

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
    from stylegan_tool.cluster.film import FilmOnCluster
    from stylegan_tool.film.convert import FilmReport
    from stylegan_tool.options import FilmOptions
    from stylegan_tool.stylize import Stylizer

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
StartOption: TypeAlias = Annotated[
    str | None, typer.Option(metavar="TIME", help="Begin there: 90, 2.5s or 1:30 from the film's beginning.")
]
EndOption: TypeAlias = Annotated[
    str | None, typer.Option(metavar="TIME", help="End before that time, counted as --start.")
]
PreviewOption: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Only so much, from --start or else the middle: 3s. In place of --end."),
]
CodecOption: TypeAlias = Annotated[
    Literal["h264", "hevc", "av1", "vp9", "prores", "ffv1"] | None,
    typer.Option(help="By default what OUT's suffix and the film ask for: .mp4 of 8 bits is h264."),
]
QualityOption: TypeAlias = Annotated[
    int | None, typer.Option(metavar="1..100", help="Of the encoding; 80, the default, looks the same.")
]
HardwareOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--hardware", help="Encode on the graphics chip, if that works; its films differ from machine to machine."
    ),
]
FrameRateOption: TypeAlias = Annotated[
    str | None, typer.Option(metavar="RATE", help="Frames a second of numbered pictures; 25 by default.")
]


def video(
    source: Annotated[
        Path,
        typer.Argument(metavar="IN", readable=False, help="A film that FFmpeg can read, or pictures: frames/%05d.png."),
    ],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", readable=False, help=".mp4, .mov, .mkv, .webm, .gif or frames/%05d.png.")
    ],
    direction: DirectionOption = None,
    to: ToOption = None,
    model: ModelOption = None,
    input_: InputOption = None,
    overwrite: OverwriteOption = False,
    steady: SteadyTextOption = "auto",
    preview: PreviewOption = None,
    start: StartOption = None,
    end: EndOption = None,
    strength: StrengthOption = 1.0,
    keep_colour: KeepColourOption = False,
    compare: CompareOption = None,
    report: ReportOption = None,
    codec: CodecOption = None,
    quality: QualityOption = None,
    hardware: HardwareOption = False,
    frame_rate: FrameRateOption = None,
    tile: TileTextOption = "auto",
    tile_stats: TileStatsOption = "exact",
    memory: MemoryOption = None,
    provider: ProviderOption = "auto",
    device_id: DeviceOption = None,
    require_gpu: RequireGpuOption = False,
    ray: RayOption = None,
) -> None:
    """Stylise a film; its sound is kept.

    sgt video in.mp4 out.mp4 --to vangogh                photo -> vangogh, by name

    sgt video in.mp4 look.mp4 --to vangogh --preview 3s --compare split

    sgt video in.mp4 out.mp4 --model runs/photo2vangogh-001 --direction A2B

    Frame for frame at the film's own times, size, rotation and colour; sound, subtitles and chapters are kept. OUT
    appears whole or not at all. Stopped or killed, the same command goes on where it was.
    """
    from stylegan_tool.film.convert import check_target
    from stylegan_tool.film.record import remember_film
    from stylegan_tool.flicker_report import check_report
    from stylegan_tool.made_with import describe_film
    from stylegan_tool.opening import open_model
    from stylegan_tool.options import Blend, FilmOptions, SteadyOption, TileOption, parse_rate, parse_size, parse_time
    from stylegan_tool.progress import say
    from stylegan_tool.steady import choose_strength
    from stylegan_tool.stylize import Stylizer

    options = FilmOptions(
        codec=codec,
        quality=quality,
        hardware=hardware,
        start_s=parse_time(start, "--start") if start else None,
        end_s=parse_time(end, "--end") if end else None,
        preview_s=parse_time(preview, "--preview") if preview else None,
        sequence_rate=parse_rate(frame_rate) if frame_rate else None,
        blend=Blend(strength, keep_colour, compare),
    )
    tile_option, memory_bytes = TileOption.parse(tile), parse_size(memory) if memory else None
    steadiness = choose_strength(SteadyOption.parse(steady))
    check_target(source, target, overwrite=overwrite)
    if ray is not None:
        refuse_beside_ray(report=report, device_id=device_id is not None)
    if report is not None:
        check_report(report, overwrite=overwrite)
    _check_film(source, target, options)
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
    made_with = describe_film(session, input_, tile_stats, tile, memory)
    if ray is None:
        made = _make(source, target, stylizer, options, steadiness, made_with, report=report, overwrite=overwrite)
    else:
        from stylegan_tool.cluster.film import film_cluster
        from stylegan_tool.cluster.parcel import Parcel

        parcel = Parcel.pack(stylizer, provider=provider, require_gpu=require_gpu, inputs=input_ or ())
        with film_cluster(ray, parcel, source=source, target=target, say=say) as cluster:
            made_with["provider"] = cluster.label
            made = _make(source, target, cluster, options, steadiness, made_with, report=None, overwrite=overwrite)
    remember_film(source, target, made, session, options, steadiness)
    _check_whole(made, source, target)


def _check_film(source: Path, target: Path, options: "FilmOptions") -> None:
    """Refuse what cannot be before a model is loaded."""
    from stylegan_tool.film.convert import plan_encoding, plan_window
    from stylegan_tool.film.source import look_at

    look = look_at(source, options.sequence_rate)
    plan_window(look, options, source)
    plan_encoding(look, options, target)


def _make(
    source: Path,
    target: Path,
    stylizer: "Stylizer | FilmOnCluster",
    options: "FilmOptions",
    steady: float,
    made_with: dict[str, object],
    *,
    report: Path | None,
    overwrite: bool,
) -> "FilmReport":
    """Make the film, show how it goes on, and say what came of it."""
    import time

    from stylegan_tool.film.convert import Start, convert_film
    from stylegan_tool.film.making import Together
    from stylegan_tool.film.store import kept_folder
    from stylegan_tool.flicker import FlickerMeter
    from stylegan_tool.flicker_report import describe, write_report
    from stylegan_tool.progress import Progress, format_duration, say
    from stylegan_tool.stylize import Stylizer

    meter = FlickerMeter() if report is not None else None
    started = time.monotonic()
    unfinished: list[Path] = []
    with _what_is_kept(target, unfinished), Progress("stylising", None, "frames") as progress:

        def begin(start: Start) -> None:
            unfinished.append(kept_folder(target))
            progress.set_total(start.frames)
            if start.kept:
                say(f"going on after {start.kept} frames from before")
                progress.set_done(start.kept)

        made = convert_film(
            source,
            target,
            stylizer,
            together=Together(stylizer.batch, stylizer.most_at_once) if isinstance(stylizer, Stylizer) else None,
            options=options,
            steady=steady,
            watch=meter.add if meter else None,
            made_with=made_with,
            find_out=lambda known: {"memory_bytes": stylizer.limit_memory(known.get("memory_bytes"))},
            overwrite=overwrite,
            on_start=begin,
            on_frame=progress.advance,
        )
    seconds = time.monotonic() - started
    speed = f"in {format_duration(seconds)} ({(made.frames - made.kept) / seconds:.3g} frames/s)"
    before = f" ({made.kept} of them from before)" if made.kept else ""
    sound = "with sound" if made.has_sound else "no sound"
    for note in made.notes:
        say(note)
    say(f"{made.frames} frames{before} of {made.width}x{made.height}, {sound}, {speed}: {target}")
    if report is not None and meter is not None and isinstance(stylizer, Stylizer):
        info = stylizer.session.info
        labels = {"film": source.name, "model": f"{info.style} {stylizer.session.path.name}".strip()}
        paths = write_report(report, meter.flicker, **labels, strength=steady, overwrite=overwrite)
        since = f" (of the frames after the first {made.kept})" if made.kept else ""
        say(f"{describe(meter.flicker)}{since}: {paths[0]}, {paths[1]}")
    return made


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


def _check_whole(made: "FilmReport", source: Path, target: Path) -> None:
    """Let a film that had to be repaired end in its own exit code, after all else is said."""
    from stylegan_tool.errors import PartialError

    if made.repaired:
        raise PartialError(
            f"{made.repaired} damaged places in {source} were repaired; {target} is finished",
            hint="Look at it; a better copy of the source would help.",
        )
