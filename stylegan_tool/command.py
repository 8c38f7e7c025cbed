"""The classes of our commands: Typer's, with help, completion and messages of our own."""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from stylegan_tool.help import Explanation, explain
from stylegan_tool.usage import in_our_words, refuse_command

# In characters: lines of help (wider ones are harder to read), and what Tab shows beside an option.
WIDEST_HELP = 100
WIDEST_BRIEF = 48
SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": WIDEST_HELP}

TYPED = "stylegan_tool.typed"  # in a context's `meta`: the whole command, as a shell takes it


def what_was_typed(ctx: typer.Context) -> dict[str, str]:
    """Return the command and the folder that it was typed in, to be kept beside unfinished work."""
    return {"command": str(ctx.meta.get(TYPED, "")), "folder": str(Path.cwd())}


@dataclass
class Completion:
    """What Tab may put in, as a shell's completion asks for it."""

    value: str
    help: str
    type: str = "plain"


def _briefly(items: Any) -> Any:
    """Cut what zsh and fish show beside each of them: in fish, a second line would be one more to choose."""
    for item in items:
        text = (item.help or "").partition(" [")[0].rstrip(".")
        clause = text if len(text) <= WIDEST_BRIEF else re.split("[.:;] ", text)[0]
        item.help = textwrap.shorten(clause, WIDEST_BRIEF, placeholder="…")
    return items


class SgtCommand(TyperCommand):
    """A command."""

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Read the command line.

        Raises:
            UsageError: it cannot be.
        """
        with in_our_words(self, f"{parent.command_path} {info_name}" if parent else info_name, list(args)):
            return super().make_context(info_name, args, parent, **extra)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help; see help.py."""
        formatter.write(explain(self, ctx, formatter.width))

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Return the options that may follow."""
        return _briefly(super().shell_complete(ctx, incomplete))


class SgtGroup(TyperGroup):
    """Several commands under one name, which alone shows its help."""

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Read the command line up to the command's name.

        Raises:
            UsageError: it cannot be.
        """
        with in_our_words(self, f"{parent.command_path} {info_name}" if parent else info_name, list(args)):
            return super().make_context(info_name, args, parent, **extra)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read it; without a command in it, say what there is."""
        if not args and not ctx.resilient_parsing:
            self.say_what_next(ctx)
            raise typer.Exit
        return super().parse_args(ctx, args)

    def say_what_next(self, ctx: Any) -> None:
        """Print the help."""
        typer.echo(ctx.get_help())

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command.

        Raises:
            UsageError: there is none of that name.
        """
        if not ctx.resilient_parsing:
            refuse_command(ctx, args, self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help; see help.py."""
        formatter.write(explain(self, ctx, formatter.width, self.table(ctx)))

    def table(self, ctx: Any) -> list[tuple[str, str]]:
        """Return each command's name and what it does."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        return [(name, Explanation.parse(command.help or "").sentence) for name, command in commands if command]

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Return what may follow: options, or commands, of which none is imported."""
        if incomplete.startswith("-"):
            return _briefly(super().shell_complete(ctx, incomplete))
        return _briefly([Completion(name, text) for name, text in self.table(ctx) if name.startswith(incomplete)])
