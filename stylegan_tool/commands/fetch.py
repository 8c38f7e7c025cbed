"""`sgt models fetch`: the generators that the authors of CycleGAN publish."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from stylegan_tool.official import OFFICIAL

ADDRESS = "http://efrosgans.eecs.berkeley.edu/cyclegan/pretrained_models/{name}.pth"

NameArgument: TypeAlias = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", autocompletion=lambda: list(OFFICIAL), help="Which one. [their names are listed]"),
]
SourceOption: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="URL|FILE", help="A mirror, or a file that you have. [the authors' server]"),
]
OverwriteOption: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Fetch again, and accept another file than the first time.")
]


def fetch_model(
    name: NameArgument = None,
    source: SourceOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Fetch a generator that the authors of CycleGAN publish, and install it.

    sgt models fetch                                           # their names
    sgt models fetch style_cezanne                             # 45 MB
    sgt models fetch style_cezanne --source style_cezanne.pth  # a file you have

    Then: sgt images PICTURES OUT --model style_cezanne

    A broken download goes on where it stopped. Size and SHA-256 are written down the first time, and anything else is
    refused from then on. Turning it into an .onnx needs [train].
    """
    from stylegan_tool.errors import MissingError, UsageError
    from stylegan_tool.installed import installed_models, models_folder

    if name is None:
        for one, (takes, makes) in OFFICIAL.items():
            typer.echo(f"{one:<24} {takes} -> {makes}")
        return
    if name not in OFFICIAL:
        raise UsageError(f"{name} is none of the published generators", hint=f"There are: {', '.join(OFFICIAL)}.")
    if name in installed_models() and not overwrite:
        typer.echo(f"{name} is installed: {installed_models()[name]}")
        return
    target = models_folder() / ".fetched" / f"{name}.pth"
    _fetch(source or ADDRESS.format(name=name), target, renew=overwrite)
    from stylegan_tool.cli import load_target

    try:
        import_ = load_target("import")
    except MissingError as error:
        raise MissingError(
            f"{target} is fetched and checked, but {error.what.replace('sgt import', 'turning it into an .onnx')}",
            hint=f"{error.hint}   then: sgt models fetch {name}",
        ) from error
    _import(import_, target, name, overwrite=overwrite)


def _fetch(source: str, target: Path, *, renew: bool) -> None:
    from stylegan_tool.download import fetch
    from stylegan_tool.progress import Progress, format_bytes, say

    shown = 0

    def advance(here: int, total: int | None) -> None:
        nonlocal shown
        bar.set_total(total // 1000 if total is not None else None)
        bar.advance(here // 1000 - shown)
        shown = here // 1000

    with Progress(f"fetching {target.name}", None, "kB") as bar:
        record = fetch(source, target, renew=renew, advance=advance)
    say(f"{target.name}: {format_bytes(record.size)} from {record.source}, SHA-256 {record.sha256}")


def _import(import_: object, target: Path, name: str, *, overwrite: bool) -> None:
    from stylegan_tool.download import discard
    from stylegan_tool.errors import InputError, ModelError

    assert callable(import_)
    try:
        import_([target], name=name, overwrite=overwrite)
    except (InputError, ModelError):
        discard(target)  # what cannot be used must not become what all later ones are compared with
        raise
