"""`sgt models list|info|add|fetch|remove`."""

from typing import TYPE_CHECKING, Annotated

import typer

from stylegan_tool.commands.fetch import fetch_model
from stylegan_tool.commands.model_options import InputOption

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="List, look at, add, fetch and remove models.",
)


app.command("fetch")(fetch_model)


@app.command("list")
def list_models() -> None:
    """List what ships, what is installed and the exported runs of this folder; * is used when no --model is named."""
    from stylegan_tool.errors import SgtError
    from stylegan_tool.installed import installed_models, models_folder
    from stylegan_tool.models import DEFAULT_STYLE, bundled_styles, exported_runs, load_models

    runs = [str(run) for run in exported_runs()]
    default = runs[-1] if runs else f"{DEFAULT_STYLE} (bundled)"
    for name in dict.fromkeys([*bundled_styles(), *installed_models(), *runs]):
        try:
            models = load_models(name)
        except SgtError as error:
            typer.echo(f"  {name:<24} damaged: {error.what}")
            continue
        for model in models:
            size_mb = model.path.stat().st_size / 1e6
            info = model.info
            ways = f"{info.source} -> {info.target} ({info.direction})" if info.direction else "direction not stated"
            mark = "*" if model.label == default else " "
            typer.echo(f"{mark} {model.label:<24} {ways:<28} {size_mb:5.1f} MB")
    typer.echo(f"Installed ones are in {models_folder()}; others: sgt models fetch, sgt models add, sgt import")


@app.command("info")
def info(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[NAME|PATH]", help="A model's name, a run or an .onnx. [the one that would be used]"),
    ] = None,
    input_: InputOption = None,
) -> None:
    """Show what a model says of itself, and what its graph tells of cost, reach and tiles."""
    import dataclasses

    from stylegan_tool.interface import parse_inputs
    from stylegan_tool.models import load_models

    for one in load_models(model):
        typer.echo(f"{one.path}")
        typer.echo(f"  {one.describe()}, {one.path.stat().st_size / 1e6:.1f} MB")
        for line in _anatomy_lines(one.path, parse_inputs(input_ or [])):
            typer.echo(f"  {line}")
        for field, value in dataclasses.asdict(one.info).items():
            if value not in ("", 0) and one.info.schema:
                typer.echo(f"  {field.replace('_', ' '):<18} {value}")


def _anatomy_lines(path: "Path", inputs: "Mapping[str, str]") -> list[str]:
    from stylegan_tool.anatomy import examine
    from stylegan_tool.errors import ModelError
    from stylegan_tool.session import Session

    try:
        session = Session(path, provider="cpu", inputs=inputs)
    except ModelError as error:
        return ["cannot be used as it is:", *str(error).splitlines()]
    told = examine(session.source)
    reach = f"{told.receptive_field} pixels to each side" if told.receptive_field is not None else "not known"
    macs = f"{told.macs_per_megapixel / 1e9:.0f} GMAC for a megapixel" if told.macs_per_megapixel else "not known"
    lines = [
        f"{'parameters':<18} {told.parameters / 1e6:.2f} million",
        f"{'operations':<18} {macs}",
        f"{'reach':<18} {reach}",
        f"{'pictures':<18} {session.reading or 'of any size'}",
    ]
    tiles = "equal the untiled picture" if not told.obstacle else f"cannot equal the untiled picture: {told.obstacle}"
    return [*lines, f"{'tiles':<18} {tiles}"]


@app.command("remove")
def remove(name: Annotated[str, typer.Argument(help="An installed model.")]) -> None:
    """Delete an installed model."""
    from stylegan_tool.errors import ModelError
    from stylegan_tool.installed import installed_models, remove_model
    from stylegan_tool.models import bundled_styles

    if name not in installed_models() and name in bundled_styles():
        raise ModelError(f"{name} ships with the tool and cannot be removed", hint="sgt models list")
    typer.echo(f"Removed {remove_model(name)}")


@app.command("add")
def add(
    source: Annotated[str, typer.Argument(metavar="FILE|RUN", help="An .onnx file, or an exported run.")],
    name: Annotated[str | None, typer.Option(help="What to call it. [the file's name]", show_default=False)] = None,
    ranges: Annotated[
        str | None,
        typer.Option(
            "--range", metavar="IN[,OUT]", help="The values of pictures: -1..1, 0..1 or 0..255. [found in the graph]"
        ),
    ] = None,
    layout: Annotated[
        str | None, typer.Option(metavar="NCHW|NHWC", help="Where the channels are. [found in the graph]")
    ] = None,
    order: Annotated[str | None, typer.Option(metavar="RGB|BGR", help="Of the channels; no graph tells. [RGB]")] = None,
    size_multiple: Annotated[
        int | None,
        typer.Option(metavar="PX", min=1, help="Height and width must be multiples of it. [found in the graph]"),
    ] = None,
    input_: InputOption = None,
    takes: Annotated[
        str | None, typer.Option("--from", metavar="DOMAIN", help="What it takes, for --to and lists. [not stated]")
    ] = None,
    makes: Annotated[str | None, typer.Option("--to", metavar="DOMAIN", help="What it makes. [not stated]")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model of that name.")] = False,
) -> None:
    """Keep somebody else's .onnx, or a run of yours, under a name, with what must be known of it.

    sgt models add mosaic.onnx --range 0..255

    sgt models add animegan.onnx --name hayao --from photo --to anime

    sgt models add multistyle.onnx --name starry --input style_weights=one-hot:19

    sgt models add runs/photo2vangogh-001 --name mine

    Then: sgt images PICTURES OUT --model NAME
    """
    from pathlib import Path

    from stylegan_tool.adding import add_model
    from stylegan_tool.errors import UsageError
    from stylegan_tool.interface import Stated, parse_inputs

    name = name or Path(source).stem
    stated = Stated.parse(ranges, layout, order, size_multiple)
    if (takes is None) != (makes is None):
        raise UsageError("--from and --to go together", hint="Such as: --from photo --to anime")
    domains = (takes, makes) if takes is not None and makes is not None else None
    for added in add_model(source, name, stated, parse_inputs(input_ or []), domains=domains, overwrite=overwrite):
        typer.echo(f"{added.path}{f': takes {added.reading}' if added.reading else ''}")
    typer.echo(f"Use it: sgt images PICTURES OUT --model {name}")
