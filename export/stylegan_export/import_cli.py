"""`sgt import`: other projects' checkpoints -> an installed model, checked."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from stylegan_tool.progress import say

FilesArgument: TypeAlias = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", readable=False, help="A generator's checkpoint, or both directions'."),
]
NameOption: TypeAlias = Annotated[
    str | None, typer.Option(metavar="NAME", help="What to call it. [the file's or folder's name]")
]
SourceOption: TypeAlias = Annotated[
    str | None, typer.Option("--from", metavar="DOMAIN", help="What it takes, such as photo. [from the names]")
]
TargetOption: TypeAlias = Annotated[
    str | None, typer.Option("--to", metavar="DOMAIN", help="What it makes, such as monet. [from the names]")
]
OverwriteOption: TypeAlias = Annotated[bool, typer.Option("--overwrite", help="Replace a model of that name.")]


def import_(
    files: FilesArgument,
    name: NameOption = None,
    source: SourceOption = None,
    target: TargetOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Use a generator that another project trained: pytorch-CycleGAN-and-pix2pix, PyTorch-GAN, CUT, mmagic.

    sgt import checkpoints/horse2zebra/latest_net_G_A.pth
    sgt import style.pth --from photo --to vintage
    sgt import net_G_A.pth net_G_B.pth --name mine --from photo --to comic

    Then: sgt images PICTURES OUT --model NAME

    What it is, is read from its weights' names and shapes. No code in the file is run.
    """
    from stylegan_export.importing import import_checkpoints

    made = import_checkpoints(files, name=name, source=source, target=target, overwrite=overwrite, say=say)
    for path in made:
        typer.echo(path)
    say(f"Use it: sgt images PICTURES OUT --model {made[0].parent.name}")
