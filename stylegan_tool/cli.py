"""The `sgt` command: a table of commands, each imported only when it is asked for.

`sgt --help` reads the table alone, so that it answers at once; an installation without torch shows
`train` and `export` too, and answers them with the line that installs them.
"""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import typer
from typer.core import TyperGroup
from typer.main import get_command

from stylegan_tool import __version__
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
        "stylegan_tool.commands.evaluate:evaluate", "Measure how close a style comes to its target, in figures."
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


class LazyGroup(TyperGroup):
    """A group that knows its commands' names and help lines without importing them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the command."""
        if cmd_name not in COMMANDS:
            return None
        target = load_target(cmd_name)
        if isinstance(target, typer.Typer):
            command = get_command(target)
        else:
            app = typer.Typer(add_completion=False, rich_markup_mode=None)
            app.command(name=cmd_name)(target)
            command = get_command(app)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in COMMANDS.items()])


app = typer.Typer(
    cls=LazyGroup,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="First look: sgt demo. Each command has its own help: sgt video --help",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stylegan-tool {__version__}")
        raise typer.Exit


@app.callback(no_args_is_help=True)
def sgt(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    """Turn folders of pictures and whole videos into another style with CycleGAN."""
