"""`sgt evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylegan_tool.commands.model_options import (
    DirectionOption,
    OverwriteOption,
    ProviderOption,
    RequireGpuOption,
    ToOption,
)
from stylegan_tool.options import Half

if TYPE_CHECKING:
    from stylegan_tool.evaluation import Comparison, Draw, Sets
    from stylegan_tool.session import Session


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
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write figures and protocol there, too.")
    ] = None,
    overwrite: OverwriteOption = False,
    provider: ProviderOption = "auto",
    require_gpu: RequireGpuOption = False,
) -> None:
    """Print how far stylised pictures are from their target: sliced Wasserstein distance, lower is closer.

    sgt evaluate vangogh --source data/testA --target data/trainB --held-back data/testB

    sgt evaluate runs/photo2vangogh-001 --to photo --source data/testB --target data/trainA --held-back data/testA

    Beside the result stand the source pictures as they are and, with --held-back, the floor.
    """
    from stylegan_tool.evaluation import count_pictures, draw_pictures, figures, open_sets, table
    from stylegan_tool.opening import open_model
    from stylegan_tool.progress import say

    if json_file is not None:
        _check_json(json_file, overwrite=overwrite)
    sets = open_sets(source, target, held_back, half)
    n = count_pictures(sets, pictures)
    session = open_model(model, direction=direction, to=to, provider=provider, require_gpu=require_gpu, say=say)
    names = {"source": source, "target": target, "held_back": held_back}
    protocol = _protocol(session, sets, names, n, draws=draws, seed=seed, half=half)
    comparisons = _measure(session, sets, draw_pictures(sets, n, draws, seed), seed)
    for line in [*table(comparisons), "", *(f"{name}: {value}" for name, value in protocol.items())]:
        typer.echo(line)
    if json_file is not None:
        _write_json(json_file, {"schema": 1, "swd": figures(comparisons), "protocol": protocol}, overwrite=overwrite)


def _measure(session: "Session", sets: "Sets", draws: "list[Draw]", seed: int) -> "dict[str, Comparison]":
    """Read, stylise and compare what the draws take."""
    from stylegan_tool.evaluation import compare, read_squares, stylize_squares
    from stylegan_tool.options import TileOption
    from stylegan_tool.progress import Progress, say
    from stylegan_tool.stylize import Stylizer

    wanted = {
        role: sorted({index for draw in draws for index in getattr(draw, role)})
        for role in ("source", "target", "held_back")
    }
    with Progress("reading", sum(map(len, wanted.values())), "pictures") as progress:
        squares = {
            role: read_squares(getattr(sets, role), indices, progress.advance) for role, indices in wanted.items()
        }
    stylizer = Stylizer(session, TileOption("auto"), note=say)
    with Progress("stylising", len(wanted["source"]), "pictures") as progress:
        result = stylize_squares(squares["source"], stylizer, progress.advance)
    with Progress("comparing", len(draws), "draws") as progress:
        return compare(draws, seed, result=result, done=progress.advance, **squares)


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

    from stylegan_tool.image_files import write_whole

    text = json.dumps(fields, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, text.encode(errors="replace"), overwrite=overwrite)
