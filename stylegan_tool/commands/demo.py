"""`sgt demo`."""

from pathlib import Path
from typing import Annotated

import typer

from stylegan_tool.commands.model_options import ProviderOption


def demo(
    out: Annotated[Path, typer.Argument(metavar="[OUT]", help="The folder for the results.")] = Path("out"),
    provider: ProviderOption = "auto",
) -> None:
    """Try the bundled Van Gogh style on the example pictures and the example film.

    sgt demo                                  # look into out/
    sgt demo look                             # look into look/
    sgt images photos/ painted/ --to vangogh  # then: your own pictures

    May be repeated: it replaces what it made itself, and nothing else.
    """
    from stylegan_tool.demo import run_demo
    from stylegan_tool.progress import say

    run_demo(out, provider=provider, say=say)
