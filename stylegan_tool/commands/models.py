"""`sgt models list|info|add|fetch|remove`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from stylegan_tool.command import SETTINGS, SgtCommand, SgtGroup
from stylegan_tool.commands.fetch import fetch_model
from stylegan_tool.commands.model_options import InputOption, model_names
from stylegan_tool.installed import installed_models

if TYPE_CHECKING:
    from collections.abc import Mapping

FOUND = "What the graph does not tell, or tells wrongly"

NameArgument: TypeAlias = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME|PATH]",
        autocompletion=model_names,
        help="A model's name, a run or an .onnx. [the one that would be used]",
    ),
]
InstalledArgument: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="NAME", autocompletion=lambda: list(installed_models()), help="An installed model."),
]
SourceArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="FILE|RUN", help="An .onnx file, or an exported run.")
]
NameOption: TypeAlias = Annotated[str | None, typer.Option(metavar="NAME", help="What to call it. [the file's name]")]
TakesOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--from", metavar="DOMAIN", help="What it takes, such as photo, for --to and lists. [not stated]"),
]
MakesOption: TypeAlias = Annotated[
    str | None, typer.Option("--to", metavar="DOMAIN", help="What it makes, such as anime. [not stated]")
]
OverwriteOption: TypeAlias = Annotated[bool, typer.Option("--overwrite", help="Replace a model of that name.")]
RangeOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--range",
        metavar="IN[,OUT]",
        rich_help_panel=FOUND,
        help="The values of pictures: -1..1, 0..1 or 0..255. [found in the graph]",
    ),
]
LayoutOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NCHW|NHWC",
        rich_help_panel=FOUND,
        autocompletion=lambda: ["NCHW", "NHWC"],
        help="Where the channels are. [found in the graph]",
    ),
]
OrderOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="RGB|BGR",
        rich_help_panel=FOUND,
        autocompletion=lambda: ["RGB", "BGR"],
        help="Of the channels; no graph tells. [RGB]",
    ),
]
SizeMultipleOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="PX",
        min=1,
        rich_help_panel=FOUND,
        help="Height and width must be multiples of so many pixels. [found in the graph]",
    ),
]

app = typer.Typer(
    cls=SgtGroup,
    add_completion=False,
    rich_markup_mode=None,
    context_settings=SETTINGS,
    help="""List, look at, add, fetch and remove models.

sgt models list             # what is here
sgt models info vangogh     # what it costs, how far it looks
sgt models add mosaic.onnx  # keep somebody else's, to be used by its name""",
)


@app.command("list", cls=SgtCommand)
def list_models() -> None:
    """List what ships, what is installed and the exported runs of this folder.

    sgt models list                            # *: without --model, it is used
    sgt models info vangogh                    # what one costs, how far it looks
    sgt images photos/ painted/ --model monet  # use one
    """
    from stylegan_tool.errors import SgtError
    from stylegan_tool.installed import models_folder
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


@app.command("info", cls=SgtCommand)
def info(
    model: NameArgument = None,
    input_: InputOption = None,
) -> None:
    """Show what a model says of itself, and what its graph tells of cost, reach and tiles.

    sgt models info vangogh        # by its name
    sgt models info runs/mine-001  # an exported run
    sgt models info animegan.onnx  # whether it can be used, and how it is taken
    """
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


@app.command("remove", cls=SgtCommand)
def remove(name: InstalledArgument) -> None:
    """Delete an installed model.

    sgt models list             # their names
    sgt models remove mosaic
    sgt models add mosaic.onnx  # and back, if you have its file
    """
    from stylegan_tool.errors import ModelError
    from stylegan_tool.installed import remove_model
    from stylegan_tool.models import bundled_styles

    if name not in installed_models() and name in bundled_styles():
        raise ModelError(f"{name} ships with the tool and cannot be removed", hint="sgt models list")
    typer.echo(f"Removed {remove_model(name)}")


@app.command("add", cls=SgtCommand)
def add(
    source: SourceArgument,
    name: NameOption = None,
    takes: TakesOption = None,
    makes: MakesOption = None,
    overwrite: OverwriteOption = False,
    ranges: RangeOption = None,
    layout: LayoutOption = None,
    order: OrderOption = None,
    size_multiple: SizeMultipleOption = None,
    input_: InputOption = None,
) -> None:
    """Keep somebody else's .onnx, or a run of yours, under a name.

    sgt models add mosaic.onnx --range 0..255
    sgt models add animegan.onnx --name hayao --from photo --to anime
    sgt models add runs/photo2vangogh-001 --name mine

    Then: sgt images PICTURES OUT --model NAME
    """
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


app.command("fetch", cls=SgtCommand)(fetch_model)
