"""How commands explain themselves: one sentence, three commands to copy, options under headings, notes.

A command's docstring is its help, and reads in the source as it reads in a terminal:

    Stylise a film; its sound is kept.

    sgt video in.mp4 out.mp4 --to vangogh               # the three that people want most,
    sgt video in.mp4 look.mp4 --to vangogh --preview 3s # never wrapped

    What else must be known, as paragraphs.

Options stand under the heading that is their `rich_help_panel`, those without one first. Each shows its default once,
in brackets at the end of its line. Typer's own formatter knows headings only with rich, which is slow to import.

Units: widths in characters.
"""

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import typer

COMMON = "Common options"
LOOK = "Look"
PART = "Part of the film"
ENCODING = "Encoding"
FOLDERS = "Folders"
TILES = "Tiles and memory"
WHERE = "Where it runs"
FOREIGN = "Somebody else's model"
HELP = "Help"

_FIRST_COLUMN = 26  # at most; what is longer has a line of its own


@dataclass(frozen=True)
class Explanation:
    """A docstring in its parts."""

    sentence: str
    examples: tuple[str, ...] = ()  # lines, as they stand
    notes: tuple[str, ...] = ()  # paragraphs

    @classmethod
    def parse(cls, text: str) -> "Explanation":
        """Read a docstring whose indentation is taken off."""
        sentence, *others = [part.strip("\n") for part in text.strip().split("\n\n")]
        examples = [line for part in others if part.startswith("sgt ") for line in part.splitlines()]
        notes = [_joined(part) for part in others if not part.startswith("sgt ")]
        return cls(_joined(sentence), tuple(examples), tuple(notes))


def _joined(paragraph: str) -> str:
    return " ".join(paragraph.split())


def _wrapped(text: str, width: int) -> list[str]:
    """Return its lines; options and file names are never cut at their hyphens."""
    return textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False)


def _sections(sections: dict[str, list[tuple[str, str]]], width: int) -> Iterator[str]:
    """Yield the lines of each heading and its table; the second column begins at the same place in all of them."""
    firsts = [len(first) for rows in sections.values() for first, _ in rows]
    column = max((length for length in firsts if length <= _FIRST_COLUMN), default=0)
    for heading, rows in sections.items():
        yield from ("", f"{heading}:")
        for first, text in rows:
            lines = _wrapped(text, width - column - 4)
            if len(first) > column:
                yield f"  {first}"
                first = ""
            for line in lines:
                yield f"  {first:<{column}}  {line}"
                first = ""


def spell(param: Any) -> str:
    """Return '--tile auto|off|PX', or an argument's name."""
    if param.param_type_name == "argument":
        return str(param.metavar).strip("[]")
    names = " / ".join(", ".join(sorted(names, key=len)) for names in (param.opts, param.secondary_opts) if names)
    return names if param.is_flag else f"{names} {param.metavar}"


def _told(param: Any) -> str:
    """Return its help with its default, where that is no mere absence."""
    default = param.default
    if param.required or default is None or isinstance(default, bool) or not param.show_default:
        return str(param.help or "")
    return f"{param.help} [{f'{default:g}' if isinstance(default, float) else default}]"


def headings(command: Any, ctx: typer.Context) -> dict[str, list[Any]]:
    """Return the command's options by heading, in the order in which help shows them."""
    found: dict[str, list[Any]] = {COMMON: []}
    for param in command.get_params(ctx):
        if param.param_type_name == "option" and not param.hidden:
            heading = HELP if "--help" in param.opts else param.rich_help_panel or COMMON
            found.setdefault(heading, []).append(param)
    found[HELP] = found.pop(HELP, [])
    return {heading: params for heading, params in found.items() if params}


def explain(command: Any, ctx: typer.Context, width: int, table: Sequence[tuple[str, str]] = ()) -> str:
    """Return the command's help.

    Args:
        width: of a line; examples are never wrapped.
        table: a group's commands, each with what it does.
    """
    told = Explanation.parse(command.help or "")
    lines = [usage(command, ctx.command_path), "", *(f"  {line}" for line in _wrapped(told.sentence, width - 2))]
    if told.examples:
        lines += ["", "Examples:", *(f"  {line}" for line in told.examples)]
    arguments = [param for param in command.get_params(ctx) if param.param_type_name == "argument"]
    tables = {"Arguments": arguments} if arguments else {}
    sections = {
        heading: [(spell(param), _told(param)) for param in params]
        for heading, params in {**tables, **headings(command, ctx)}.items()
    }
    if table:
        sections = {"Commands": list(table), **sections}
    lines += _sections(sections, width)
    for note in told.notes:
        lines += ["", *(f"  {line}" for line in _wrapped(note, width - 2))]
    return "\n".join(lines) + "\n"


def usage(command: Any, path: str) -> str:
    """Return 'Usage: sgt images IN OUT [OPTIONS]'; `path` is 'sgt images'."""
    if command.allow_extra_args:  # a group takes its commands as such
        return f"Usage: {path} COMMAND ..."
    arguments = [str(param.metavar) for param in command.params if param.param_type_name == "argument"]
    needed = [spell(param) for param in command.params if param.param_type_name == "option" and param.required]
    return " ".join(["Usage:", path, *arguments, *needed, "[OPTIONS]"])


def example(command: Any) -> str:
    """Return the first of the command's examples, without its comment."""
    return re.sub(r"\s+#.*", "", Explanation.parse(command.help or "").examples[0])
