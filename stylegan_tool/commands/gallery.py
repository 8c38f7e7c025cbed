"""`sgt gallery`."""

from pathlib import Path
from typing import Annotated

import typer


def gallery(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A folder of results, or of a training run.", readable=False)
    ],
    output: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Where the page goes. [FOLDER/gallery.html]")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is no such page; such a page is replaced anyway.")
    ] = False,
) -> None:
    """Write one HTML page that shows results beside their sources, or how a training run went.

    sgt gallery painted/                     # before and after, under a slider
    sgt gallery runs/photo2vangogh-001       # samples and curves of a training
    sgt gallery painted/ --output page.html  # to send

    The page holds everything, loads nothing, and opens in any browser: send it, keep it, put it on a stick.
    """
    from stylegan_tool.gallery.writing import write_gallery
    from stylegan_tool.progress import say

    write_gallery(folder, output, overwrite=overwrite, say=say)
