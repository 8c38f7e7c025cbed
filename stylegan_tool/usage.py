"""Command lines that cannot be, said in our way: what is wrong, in which command, and what to type now.

Typer (by click, or by its own copy of it) finds them; here they become UsageErrors, which `__main__.main` prints.
"""

import difflib
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from stylegan_tool.errors import UsageError
from stylegan_tool.help import example, spell, usage

# click's class, or that of Typer's copy of click: which of the two depends on Typer's version.
_FOUND: type[Exception] = typer.BadParameter.__mro__[1]


@contextmanager
def in_our_words(command: Any, path: str, args: Sequence[str]) -> Iterator[None]:
    """Turn what Typer says of a command line into a UsageError.

    Args:
        path: the command as typed, such as 'sgt images'.
        args: what was typed after it.
    """
    try:
        yield
    except _FOUND as error:
        raise _explain(error, command, path, args) from None


def refuse_command(ctx: typer.Context, args: Sequence[str], known: Sequence[str]) -> None:
    """Refuse the command args[0] if it is none of `known`, and name the one that is nearest.

    Raises:
        UsageError: there is no such command.
    """
    name, *rest = args
    if name in known or name.startswith("-"):
        return
    near = difflib.get_close_matches(name, known, n=1)
    command_path = ctx.command_path
    meant = f"Type: {command_path} {shlex.join([*near, *rest])}   (all commands: {command_path} -h)"
    all_commands = f"See which there are: {command_path} -h"
    raise UsageError(f"{command_path} has no command {name}", hint=meant if near else all_commands)


def _explain(error: Any, command: Any, command_path: str, args: Sequence[str]) -> UsageError:
    param, option = getattr(error, "param", None), getattr(error, "option_name", "")
    wrong = error.message.strip().removeprefix("Value error, ").rstrip(".")
    wrong = wrong[:1].lower() + wrong[1:]
    if hasattr(error, "possibilities"):
        meant = f"Did you mean {' or '.join(error.possibilities)}? All options: {command_path} -h"
        all_options = f"See which there are: {command_path} -h"
        return UsageError(f"{command_path} has no option {option}", hint=meant if error.possibilities else all_options)
    if option:
        param = next(one for one in command.params if option in (*one.opts, *one.secondary_opts))
        what = f"{command_path}: {option} {'takes no value' if param.is_flag else 'lacks its value'}"
    elif param is None:  # a word too many
        return UsageError(
            f"{command_path}: {wrong}",
            hint=f"Put names that have spaces in quotes. {usage(command, command_path)}",
        )
    elif hasattr(error, "param_type"):
        lacking = ", ".join(spell(one) for one in _missing(command, param))
        return UsageError(
            f"{command_path} lacks {lacking}", hint=f"For example: {example(command)}   (help: {command_path} -h)"
        )
    else:
        what = f"{command_path} cannot take {_typed(param, args)} ({wrong})"
    return UsageError(what, hint=f"{spell(param)}: {param.help}")


def _typed(param: Any, args: Sequence[str]) -> str:
    """Return an option with the value that was typed for it, or an argument's name."""
    for word, following in zip(args, [*args[1:], ""], strict=True):
        if word in param.opts:
            return f"{word} {following}"
        if word.partition("=")[0] in param.opts:
            return word
    return spell(param)


def _missing(command: Any, first: Any) -> list[Any]:
    """Return what is missing: `first`, and the arguments after it, which cannot be there without it."""
    if first.param_type_name != "argument":
        return [first]
    later: list[Any] = command.params[command.params.index(first) + 1 :]
    return [first, *(param for param in later if param.param_type_name == "argument" and param.required)]
