"""`sgt evaluate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from stylegan_tool.commands.model_options import (
    DeviceOption,
    DirectionOption,
    ModelRequest,
    OverwriteOption,
    ProviderOption,
    RequireGpuOption,
    ToOption,
    model_names,
)
from stylegan_tool.options import Half

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from stylegan_tool.evaluation import Draw, Sets, Square
    from stylegan_tool.session import Session

    Extract: TypeAlias = Callable[[Any], Any]  # stylegan_train.inception.Extract, which needs torch

INSTALL_METRICS = "Install it: pip install 'stylegan-tool[metrics]'   (in a checkout: pip install '.[metrics]')"


MEASURE = "How it is measured"

ModelArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="MODEL", autocompletion=model_names, help="A style, a run or an .onnx.")
]
SourceOption: TypeAlias = Annotated[
    Path,
    typer.Option("--source", metavar="DIR", help="Pictures to stylise, best such as training has not seen."),
]
TargetOption: TypeAlias = Annotated[
    Path,
    typer.Option("--target", metavar="DIR", help="What to compare with: the target's pictures, as in trainB."),
]
HeldBackOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--held-back", metavar="DIR", help="Pictures of the target not in --target: they give the floor."),
]
JsonOption: TypeAlias = Annotated[
    Path | None, typer.Option("--json", metavar="FILE.json", help="Write figures and protocol there, too.")
]
HalfOption: TypeAlias = Annotated[
    Half | None,
    typer.Option(
        "--half",
        metavar="first|second",
        rich_help_panel=MEASURE,
        help="Every other picture of --source and --held-back: to choose by, and to report.",
    ),
]
PicturesOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--pictures", metavar="N", min=1, rich_help_panel=MEASURE, help="Of each set in a draw. [the smallest set's]"
    ),
]
DrawsOption: TypeAlias = Annotated[
    int, typer.Option("--draws", metavar="N", min=1, rich_help_panel=MEASURE, help="Draws of pictures and patches.")
]
SeedOption: TypeAlias = Annotated[
    int, typer.Option("--seed", metavar="N", min=0, rich_help_panel=MEASURE, help="Of the draws.")
]
InceptionOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--inception",
        metavar="FILE",
        rich_help_panel=MEASURE,
        help="Weights for KID and FID, which are left out without. [torch's cache]",
    ),
]


@dataclass(frozen=True)
class Request:
    """What was typed."""

    model: ModelRequest
    source: Path
    target: Path
    held_back: Path | None
    half: Half | None
    pictures: int | None
    draws: int
    seed: int
    inception: Path | None


def evaluate(
    model: ModelArgument,
    source: SourceOption,
    target: TargetOption,
    held_back: HeldBackOption = None,
    to: ToOption = None,
    direction: DirectionOption = None,
    json_file: JsonOption = None,
    overwrite: OverwriteOption = False,
    half: HalfOption = None,
    pictures: PicturesOption = None,
    draws: DrawsOption = 5,
    seed: SeedOption = 0,
    inception: InceptionOption = None,
    provider: ProviderOption = "auto",
    device_id: DeviceOption = None,
    require_gpu: RequireGpuOption = False,
) -> None:
    """Print how far stylised pictures are from their target: sliced Wasserstein distance, lower is closer.

    sgt evaluate vangogh --source testA --target trainB
    sgt evaluate vangogh --source testA --target trainB --held-back testB
    sgt evaluate runs/mine-001 --to photo --source testB --target trainA

    Beside the result stand the source pictures as they are and, with --held-back, the floor: as close as the target's
    own pictures are. Distances are x1e3; they fall with the number of pictures, so compare equal numbers alone.
    """
    if json_file is not None:
        _check_json(json_file, overwrite=overwrite)
    chosen = ModelRequest(model, direction, to, None, provider, device_id, require_gpu)
    lines, fields = _measure(Request(chosen, source, target, held_back, half, pictures, draws, seed, inception))
    for line in [*lines, "", *(f"{name}: {value}" for name, value in fields["protocol"].items())]:
        typer.echo(line)
    if json_file is not None:
        _write_json(json_file, fields, overwrite=overwrite)


def _measure(request: Request) -> tuple[list[str], dict[str, Any]]:
    """Return the figures as lines for people, and as JSON takes them, with their protocol."""
    from stylegan_tool import evaluation
    from stylegan_tool.progress import Progress

    sets = evaluation.open_sets(request.source, request.target, request.held_back, request.half)
    n = evaluation.count_pictures(sets, request.pictures)
    session = request.model.open()
    protocol = _protocol(request, session, sets, n)
    features_of = _open_inception(request.inception, n)
    drawn = evaluation.draw_pictures(sets, n, request.draws, request.seed)
    squares = _gather(session, sets, drawn)
    with Progress("comparing", request.draws, "draws") as progress:
        comparisons = evaluation.compare(drawn, request.seed, squares, progress.advance)
    fields = {"swd": evaluation.figures(comparisons), "colour": evaluation.colour_figures(squares)}
    lines = [*evaluation.table(comparisons), "", *evaluation.colour_table(squares)]
    if features_of is not None:
        measured, protocol["KID, FID"] = _compare_by_inception(features_of, squares, drawn)
        fields.update(evaluation.inception_figures(measured))
        lines += ["", *evaluation.inception_table(measured)]
    return lines, {"schema": 1, **fields, "protocol": protocol}


def _gather(session: "Session", sets: "Sets", draws: "list[Draw]") -> "dict[str, dict[int, Square]]":
    """Read what the draws take and stylise the source's: result, source, target, held_back."""
    from stylegan_tool.evaluation import read_squares, stylize_squares
    from stylegan_tool.options import TileOption
    from stylegan_tool.progress import Progress, say
    from stylegan_tool.stylize import Stylizer

    wanted = {
        role: {index for draw in draws for index in getattr(draw, role)} for role in ("source", "target", "held_back")
    }
    with Progress("reading", sum(map(len, wanted.values())), "pictures") as progress:
        squares = {
            role: read_squares(getattr(sets, role), indices, progress.advance) for role, indices in wanted.items()
        }
    stylizer = Stylizer(session, TileOption("auto"), note=say)
    with Progress("stylising", len(wanted["source"]), "pictures") as progress:
        return {"result": stylize_squares(squares["source"], stylizer, progress.advance), **squares}


def _open_inception(named: Path | None, n: int) -> "Extract | None":
    """Open the network of KID and FID; where none was named and there is none, say so in a line and return None."""
    from importlib import import_module

    from stylegan_tool.errors import MissingError, SgtError, UsageError
    from stylegan_tool.inception_weights import find_weights
    from stylegan_tool.progress import say

    try:
        if n < 2:
            raise UsageError(
                "KID and FID need 2 pictures or more of each set",
                hint="Add pictures to the smaller set: one alone has no spread that could be measured.",
            )
        weights = find_weights(named)
        try:
            module = import_module("stylegan_train.inception")  # not a plain import: this room runs without torch
        except ModuleNotFoundError as error:
            raise MissingError(f"{error.name} is not installed", hint=INSTALL_METRICS) from error
        extract: Extract = module.load_inception(weights)
    except SgtError as error:
        if named is not None:
            raise
        say(f"KID and FID are left out: {error.what}. {error.hint}")
        return None
    return extract


def _compare_by_inception(
    extract: "Extract", squares: "dict[str, dict[int, Square]]", draws: "list[Draw]"
) -> "tuple[dict[str, NDArray[np.float64]], str]":
    """Return KID and FID of each comparison, and their protocol."""
    from importlib import import_module

    from stylegan_tool.evaluation import compare_features
    from stylegan_tool.progress import Progress

    module = import_module("stylegan_train.inception")
    with Progress("features", sum(map(len, squares.values())), "pictures") as progress:
        features = {role: module.extract_features(some, extract, progress.advance) for role, some in squares.items()}
    with Progress("KID and FID", len(draws), "draws") as progress:
        return compare_features(draws, features, module.kid_and_fid, progress.advance), module.PROTOCOL


def _protocol(request: Request, session: "Session", sets: "Sets", n: int) -> dict[str, Any]:
    """Return what must be known to repeat or compare the figures: name -> value."""
    from stylegan_tool import __version__, swd
    from stylegan_tool.evaluation import RESIZER, identity_weight

    info, weight = session.info, identity_weight(session.path)
    ways = f"{info.source} -> {info.target} ({info.direction})" if info.direction else "direction not stated"
    part = f", the {request.half} half (every other one)" if request.half else ""
    return {
        "model": f"{session.path}, {ways}",
        "identity weight": "not known" if weight is None else weight,
        "source": f"{request.source}: {len(sets.source)} pictures{part}",
        "reference": f"{request.target}: {len(sets.target)} pictures, all of them",
        "floor": f"{request.held_back}: {len(sets.held_back)} pictures{part}" if sets.held_back else "not measured",
        "N": n,
        "sampling": "each draw takes N pictures of each set: the distance falls with N, so compare equal N alone",
        "resizer": f"{RESIZER}; stylised at that size",
        "measure": f"sliced Wasserstein distance on Laplacian pyramids (Karras et al. 2018), {swd.PATCHES} patches of "
        f"{swd.NEIGHBOURHOOD}x{swd.NEIGHBOURHOOD} a picture and level, each set normalised by its own mean and "
        f"deviation, {swd.REPEATS} x {swd.DIRECTIONS} directions, x1e3",
        "draws": f"{request.draws}, seed {request.seed}; mean over draws, "
        "spread is the standard deviation of their means",
        "tool": f"stylegan-tool {__version__}",
    }


def _check_json(path: Path, *, overwrite: bool) -> None:
    """Refuse now what would otherwise be refused after the work."""
    from stylegan_tool.errors import OutputError, typed
    from stylegan_tool.whole_files import check_reach

    check_reach(path)
    if path.is_dir() or (path.exists() and not overwrite):
        raise OutputError(f"{path} exists", hint="Add --overwrite to replace it, or give --json another name.")
    if not path.absolute().parent.is_dir():
        raise OutputError(
            f"no such folder for --json: {path.absolute().parent}",
            hint=f"Make it: mkdir -p {typed(path.absolute().parent)}",
        )


def _write_json(path: Path, fields: dict[str, Any], *, overwrite: bool) -> None:
    import json

    from stylegan_tool.whole_files import write_whole

    text = json.dumps(fields, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, text.encode(errors="replace"), overwrite=overwrite)
