"""`sgt evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylegan_tool.commands.model_options import (
    DeviceOption,
    DirectionOption,
    OverwriteOption,
    ProviderOption,
    RequireGpuOption,
    ToOption,
)
from stylegan_tool.options import Half

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    from stylegan_tool.evaluation import Draw, Sets, Square
    from stylegan_tool.session import Session

    Extract: TypeAlias = Callable[[Any], Any]  # stylegan_train.inception.Extract, which needs torch

INSTALL_METRICS = "Install it: pip install 'stylegan-tool[metrics]'   (in a checkout: pip install '.[metrics]')"


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A style, run or .onnx.")],
    source: Annotated[
        Path, typer.Option("--source", metavar="DIR", help="Pictures to stylise, best such as training has not seen.")
    ],
    target: Annotated[
        Path, typer.Option("--target", metavar="DIR", help="The reference: the target's pictures, trainB for example.")
    ],
    held_back: Annotated[
        Path | None,
        typer.Option("--held-back", metavar="DIR", help="The target's pictures not in --target: they give the floor."),
    ] = None,
    direction: DirectionOption = None,
    to: ToOption = None,
    half: Annotated[
        Half | None,
        typer.Option("--half", help="Every other picture of --source and --held-back: to choose by, and to report."),
    ] = None,
    pictures: Annotated[
        int | None,
        typer.Option("--pictures", metavar="N", min=1, help="Pictures of each set in a draw. [the smallest set's]"),
    ] = None,
    draws: Annotated[int, typer.Option("--draws", min=1, help="Draws of pictures and patches.")] = 5,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the draws.")] = 0,
    inception: Annotated[
        Path | None,
        typer.Option(
            "--inception", metavar="FILE", help="Weights for KID and FID, which are left out without. [torch's cache]"
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write figures and protocol there, too.")
    ] = None,
    overwrite: OverwriteOption = False,
    provider: ProviderOption = "auto",
    device_id: DeviceOption = None,
    require_gpu: RequireGpuOption = False,
) -> None:
    """Print how far stylised pictures are from their target: sliced Wasserstein distance, lower is closer.

    sgt evaluate vangogh --source data/testA --target data/trainB --held-back data/testB

    sgt evaluate runs/photo2vangogh-001 --to photo --source data/testB --target data/trainA --held-back data/testA

    Beside the result stand the source pictures as they are and, with --held-back, the floor.
    """
    from stylegan_tool import evaluation
    from stylegan_tool.opening import open_model
    from stylegan_tool.progress import Progress, say

    if json_file is not None:
        _check_json(json_file, overwrite=overwrite)
    sets = evaluation.open_sets(source, target, held_back, half)
    n = evaluation.count_pictures(sets, pictures)
    session = open_model(
        model, direction=direction, to=to, provider=provider, device_id=device_id, require_gpu=require_gpu, say=say
    )
    names = {"source": source, "target": target, "held_back": held_back}
    protocol = _protocol(session, sets, names, n, draws=draws, seed=seed, half=half)
    features_of = _open_inception(inception, n)
    drawn = evaluation.draw_pictures(sets, n, draws, seed)
    squares = _gather(session, sets, drawn)
    with Progress("comparing", draws, "draws") as progress:
        comparisons = evaluation.compare(drawn, seed, squares, progress.advance)
    fields = {"swd": evaluation.figures(comparisons), "colour": evaluation.colour_figures(squares)}
    lines = [*evaluation.table(comparisons), "", *evaluation.colour_table(squares)]
    if features_of is not None:
        measured, protocol["KID, FID"] = _compare_by_inception(features_of, squares, drawn)
        fields.update(evaluation.inception_figures(measured))
        lines += ["", *evaluation.inception_table(measured)]
    for line in [*lines, "", *(f"{name}: {value}" for name, value in protocol.items())]:
        typer.echo(line)
    if json_file is not None:
        _write_json(json_file, {"schema": 1, **fields, "protocol": protocol}, overwrite=overwrite)


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
            raise UsageError("KID and FID need 2 pictures or more of each set", hint="Add some, or leave them out.")
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


def _protocol(
    session: "Session",
    sets: "Sets",
    names: "dict[str, Path | None]",
    n: int,
    *,
    draws: int,
    seed: int,
    half: str | None,
) -> dict[str, Any]:
    """Return what must be known to repeat or compare the figures: name -> value."""
    from stylegan_tool import __version__, swd
    from stylegan_tool.evaluation import RESIZER, identity_weight

    info, weight = session.info, identity_weight(session.path)
    ways = f"{info.source} -> {info.target} ({info.direction})" if info.direction else "direction not stated"
    part = f", the {half} half (every other one)" if half else ""
    return {
        "model": f"{session.path}, {ways}",
        "identity weight": "not known" if weight is None else weight,
        "source": f"{names['source']}: {len(sets.source)} pictures{part}",
        "reference": f"{names['target']}: {len(sets.target)} pictures, all of them",
        "floor": f"{names['held_back']}: {len(sets.held_back)} pictures{part}" if sets.held_back else "not measured",
        "N": n,
        "sampling": "each draw takes N pictures of each set: the distance falls with N, so compare equal N alone",
        "resizer": f"{RESIZER}; stylised at that size",
        "measure": f"sliced Wasserstein distance on Laplacian pyramids (Karras et al. 2018), {swd.PATCHES} patches of "
        f"{swd.NEIGHBOURHOOD}x{swd.NEIGHBOURHOOD} a picture and level, each set normalised by its own mean and "
        f"deviation, {swd.REPEATS} x {swd.DIRECTIONS} directions, x1e3",
        "draws": f"{draws}, seed {seed}; mean over draws, spread is the standard deviation of their means",
        "tool": f"stylegan-tool {__version__}",
    }


def _check_json(path: Path, *, overwrite: bool) -> None:
    """Refuse now what would otherwise be refused after the work."""
    from stylegan_tool.errors import OutputError

    if path.is_dir() or (path.exists() and not overwrite):
        raise OutputError(f"{path} exists", hint="Add --overwrite to replace it, or give --json another name.")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"no such folder: {path.absolute().parent}", hint=f"mkdir -p '{path.absolute().parent}'")


def _write_json(path: Path, fields: dict[str, Any], *, overwrite: bool) -> None:
    import json

    from stylegan_tool.whole_files import write_whole

    text = json.dumps(fields, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, text.encode(errors="replace"), overwrite=overwrite)
