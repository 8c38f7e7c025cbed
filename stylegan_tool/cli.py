"""The `sgt` command: a table of commands, each imported only when it is asked for.

`sgt --help` reads the table alone, so that it answers at once; an installation without torch shows
`train` and `export` too, and answers them with the line that installs them.
"""

import importlib
import importlib.util
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import typer
from typer.main import get_command

from stylegan_tool import __version__
from stylegan_tool.command import SETTINGS, TYPED, SgtCommand, SgtGroup
from stylegan_tool.errors import MissingError


@dataclass(frozen=True)
class LazyCommand:
    """Where a command's function (or Typer app) is, and the line that help shows for it."""

    target: str  # 'module:attribute'
    help: str
    needs: tuple[str, ...] = ()  # packages that the extra [train] installs


COMMANDS = {
    "images": LazyCommand("stylegan_tool.commands.images:images", "Stylise a picture or a folder tree."),
    "video": LazyCommand("stylegan_tool.commands.video:video", "Stylise a film; its sound is kept."),
    "demo": LazyCommand("stylegan_tool.commands.demo:demo", "Try the bundled style on the example pictures."),
    "train": LazyCommand("stylegan_train.cli:train", "Learn a style from two folders of pictures.", ("torch",)),
    "export": LazyCommand(
        "stylegan_export.cli:export", "Turn a trained run into checked .onnx models.", ("torch", "onnxscript")
    ),
    "import": LazyCommand(
        "stylegan_export.import_cli:import_",
        "Use another project's CycleGAN checkpoint.",
        ("torch", "onnxscript", "safetensors"),
    ),
    "evaluate": LazyCommand(
        "stylegan_tool.commands.evaluate:evaluate", "Measure how close a style comes to its target."
    ),
    "gallery": LazyCommand(
        "stylegan_tool.commands.gallery:gallery", "Make one page that shows results beside their sources."
    ),
    "models": LazyCommand("stylegan_tool.commands.models:app", "List, look at, add, fetch and remove models."),
    "doctor": LazyCommand("stylegan_tool.commands.doctor:doctor", "Check the installation and where models can run."),
}

Target: TypeAlias = Callable[..., Any] | typer.Typer


def load_target(name: str) -> Target:
    """Import and return the function (or Typer app) of the command `name`.

    Raises:
        MissingError: it needs packages that are not installed.
    """
    command = COMMANDS[name]
    missing = [package for package in command.needs if importlib.util.find_spec(package) is None]
    if missing:
        raise MissingError(
            f"sgt {name} lacks what the extra [train] installs: {', '.join(missing)}",
            hint="Install it: pip install 'stylegan-tool[train]'   (in a checkout: pip install '.[train]')",
        )
    module_name, _, attribute = command.target.partition(":")
    target: Target = getattr(importlib.import_module(module_name), attribute)
    return target


class LazyGroup(SgtGroup):
    """A group that knows its commands' names and help lines without importing them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the command."""
        if cmd_name not in COMMANDS:
            return None
        try:
            target = load_target(cmd_name)
        except MissingError:
            if ctx.resilient_parsing:  # Tab is no place for messages
                return None
            raise
        if isinstance(target, typer.Typer):
            command = get_command(target)
        else:
            app = typer.Typer(add_completion=False, rich_markup_mode=None)
            app.command(name=cmd_name, cls=SgtCommand)(target)
            command = get_command(app)
        command.name = cmd_name
        return command

    def table(self, ctx: Any) -> list[tuple[str, str]]:
        """Return each command's name and what it does, from the table."""
        return [(name, lazy.help) for name, lazy in COMMANDS.items()]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read it, and remember it as it was typed."""
        ctx.meta[TYPED] = shlex.join([ctx.info_name, *args])
        return super().parse_args(ctx, args)

    def say_what_next(self, ctx: Any) -> None:
        """Print what there is in this folder, and what to type next."""
        from pathlib import Path

        from stylegan_tool.next_steps import Place, describe
        from stylegan_tool.providers import gpu_driver_problem

        place = Place(
            Path(),
            has_gpu=lambda: gpu_driver_problem() is None,
            can_train=lambda: importlib.util.find_spec("torch") is not None,
        )
        typer.echo(describe(place))


app = typer.Typer(
    cls=LazyGroup,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=SETTINGS,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stylegan-tool {__version__}")
        raise typer.Exit


@app.callback()
def sgt(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    """Turn folders of pictures and whole films into another style with CycleGAN.

    sgt demo                                        # a first look
    sgt images photos/ painted/ --to vangogh        # a folder of pictures
    sgt video holiday.mp4 painted.mp4 --to vangogh  # a film; its sound is kept

    Each command has its own help: sgt video -h. Without a command, sgt says what to do next in this folder.
    """
