"""`sgt import`: other projects' checkpoints -> an installed model, checked."""

from pathlib import Path
from typing import Annotated

import typer

from stylegan_tool.progress import say


def import_(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", readable=False, help="A generator's checkpoint, or both directions'."),
    ],
    name: Annotated[
        str | None, typer.Option(help="What to call the model. [from the file's or folder's name]", show_default=False)
    ] = None,
    source: Annotated[
        str | None, typer.Option("--from", metavar="DOMAIN", help="What it takes, such as photo. [from the names]")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--to", metavar="DOMAIN", help="What it makes, such as monet. [from the names]")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model of that name.")] = False,
) -> None:
    """Use a generator that another project trained: pytorch-CycleGAN-and-pix2pix, PyTorch-GAN, CUT, mmagic.

    sgt import checkpoints/horse2zebra/latest_net_G_A.pth

    sgt import latest_net_G_A.pth latest_net_G_B.pth --name mine --from photo --to comic

    sgt import style.pth --from photo --to vintage

    Then: sgt images PICTURES OUT --model NAME

    What it is, is read from its weights' names and shapes. No code in the file is run.
    """
    from stylegan_export.importing import import_checkpoints

    made = import_checkpoints(files, name=name, source=source, target=target, overwrite=overwrite, say=say)
    for path in made:
        typer.echo(path)
    say(f"Use it: sgt images PICTURES OUT --model {made[0].parent.name}")
