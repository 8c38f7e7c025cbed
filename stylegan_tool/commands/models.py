"""`sgt models list|info`."""

from typing import Annotated

import typer

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
