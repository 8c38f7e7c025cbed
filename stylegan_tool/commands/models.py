"""`sgt models list|info`."""

from typing import Annotated

import typer

from stylegan_tool.commands.model_options import InputOption

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="List the models that are here, or show what one says of itself.",
)


@app.command("list")
def list_models() -> None:
    """List the bundled styles and the exported runs of this folder; * is used when no --model is named."""
    from stylegan_tool.errors import SgtError
    from stylegan_tool.models import DEFAULT_STYLE, bundled_styles, exported_runs, load_models

    runs = [str(run) for run in exported_runs()]
    default = runs[-1] if runs else f"{DEFAULT_STYLE} (bundled)"
    for name in [*bundled_styles(), *runs]:
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


@app.command("info")
def info(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[NAME|PATH]", help="A style, run or .onnx. [the one that would be used]"),
    ] = None,
) -> None:
    """Show what a model says of itself."""
    import dataclasses

    from stylegan_tool.models import load_models

    for one in load_models(model):
        typer.echo(f"{one.path}")
        typer.echo(f"  {one.describe()}, {one.path.stat().st_size / 1e6:.1f} MB")
        for field, value in dataclasses.asdict(one.info).items():
            if value not in ("", 0):
                typer.echo(f"  {field.replace('_', ' '):<18} {value}")


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
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model of that name.")] = False,
) -> None:
    """Keep somebody else's .onnx, or a run of yours, under a name, with what must be known of it.

    sgt models add mosaic.onnx --range 0..255

    sgt models add animegan.onnx --name hayao --order BGR

    sgt models add multistyle.onnx --name starry --input style_weights=one-hot:19

    sgt models add runs/photo2vangogh-001 --name mine

    Then: sgt images PICTURES OUT --model NAME
    """
    from pathlib import Path

    from stylegan_tool.adding import add_model
    from stylegan_tool.interface import Stated, parse_inputs

    name = name or Path(source).stem
    stated = Stated.parse(ranges, layout, order, size_multiple)
    for added in add_model(source, name, stated, parse_inputs(input_ or []), overwrite=overwrite):
        typer.echo(f"{added.path}{f': takes {added.reading}' if added.reading else ''}")
    typer.echo(f"Use it: sgt images PICTURES OUT --model {name}")
