"""What commands say of themselves: examples that can be typed, options under headings, lines that fit."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from stylegan_tool.__main__ import main
from stylegan_tool.cli import COMMANDS, app
from stylegan_tool.command import WIDEST_HELP
from stylegan_tool.help import COMMON, HELP, Explanation, headings

SUBCOMMANDS = ("list", "info", "add", "fetch", "remove")
PATHS = [(), *((name,) for name in COMMANDS), *(("models", name) for name in SUBCOMMANDS)]
GROUPS = [(), ("models",)]


def _find(path: tuple[str, ...]) -> tuple[Any, Any]:
    """Return a command and a context of it."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("sgt", ["-"], resilient_parsing=True)
    for name in path:
        command = command.get_command(context, name)
        context = command.make_context(name, ["-"], parent=context, resilient_parsing=True)
    return command, context


def parse(words: list[str]) -> Any:
    """Read a command line as `sgt` does, but do nothing; return the context."""
    command: Any = typer.main.get_command(app)
    context = None
    info_name = "sgt"
    while True:
        context = command.make_context(info_name, words, parent=context)
        if not command.allow_extra_args:
            return context
        info_name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])


def _help(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main([*path, "-h"]) == 0
    return capsys.readouterr().out.splitlines()


def _section(lines: list[str], heading: str) -> list[str]:
    start = lines.index(f"{heading}:") + 1
    return lines[start : lines.index("", start)]


def _names(path: tuple[str, ...]) -> str:
    return " ".join(("sgt", *path))


@pytest.mark.parametrize("path", PATHS, ids=_names)
def test_three_examples_that_can_be_typed(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    examples = _section(_help(path, capsys), "Examples")
    assert len(examples) == 3
    commands = [shlex.split(line, comments=True) for line in examples]
    for name, *words in commands:
        assert name == "sgt"
        parse(words)
    assert any(words[1 : 1 + len(path)] == list(path) for words in commands)
    comments = {line.index("  #") for line in examples if "  #" in line}
    assert len(comments) <= 1, "comments stand in one column"


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("path", PATHS, ids=_names)
def test_no_line_is_longer_than_the_terminal(
    path: tuple[str, ...], columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = _help(path, capsys)
    assert max(map(len, lines)) <= min(columns, WIDEST_HELP)
    if columns > 80 and path == ("train",):
        assert max(map(len, lines)) > 80  # room is used


@pytest.mark.parametrize("path", [path for path in PATHS if path not in GROUPS], ids=_names)
def test_every_option_has_a_heading_common_ones_first_and_help_last(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    command, context = _find(path)
    lines = _help(path, capsys)
    found = headings(command, context)
    assert list(found)[-1] == HELP
    if len(found) > 2 and COMMON in found:
        assert next(iter(found)) == COMMON
    places = [lines.index(f"{heading}:") for heading in found]
    assert places == sorted(places)
    for heading, params in found.items():
        rows = [line.split()[0].rstrip(",") for line in _section([*lines, ""], heading) if line.startswith("  -")]
        assert rows == [min(param.opts, key=len) for param in params], heading
    assert sum(map(len, found.values())) == sum(
        param.param_type_name == "option" for param in command.get_params(context)
    )


@pytest.mark.parametrize("path", [path for path in PATHS if path not in GROUPS], ids=_names)
def test_what_takes_a_value_says_which(path: tuple[str, ...]) -> None:
    command, _ = _find(path)
    for param in command.params:
        assert param.help, param.name
        assert not param.help.startswith(tuple("abcdefghijklmnopqrstuvwxyz")) or param.help.split()[0].strip(":,") in (
            *("auto", "h264", "best", "fp32", "reference", "torch.compile"),
        ), f"{param.help}: a sentence, unless it begins with a value"
        if param.param_type_name == "argument" or not param.is_flag:
            assert param.metavar, param.name


def test_the_same_option_reads_the_same_everywhere() -> None:
    """But for those that are about the one thing that their command makes."""
    own = {"--overwrite", "--report", "--to", "--name", "--from", "--source", "--precision", "--seed", "--help"}
    seen: dict[str, tuple[str, str]] = {}
    for path in PATHS:
        if path in GROUPS:
            continue
        for param in _find(path)[0].params:
            for name in param.opts:
                if param.param_type_name == "option" and name not in own:
                    told = (str(param.metavar), str(param.help))
                    assert seen.setdefault(name, told) == told, (path, name)
                if name == "--report":
                    assert param.metavar == "FILE.json"


def test_a_docstring_is_read_in_its_parts() -> None:
    told = Explanation.parse("One thing,\nin two lines.\n\nsgt a  # b\nsgt c d\n\nA note\nof two lines.\n\nAnother.")
    assert told.sentence == "One thing, in two lines."
    assert told.examples == ("sgt a  # b", "sgt c d")
    assert told.notes == ("A note of two lines.", "Another.")


def test_a_group_alone_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert "Usage: sgt models COMMAND" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "what", "now"),
    [
        pytest.param("vidoe in.mp4 'a b.mp4'", "no command vidoe", "Type: sgt video in.mp4 'a b.mp4'", id="command"),
        pytest.param("frobnicate", "no command frobnicate", "sgt -h", id="unlike any"),
        pytest.param("models lst", "sgt models has no command lst", "Type: sgt models list", id="subcommand"),
        pytest.param("images a b --stregth 1", "sgt images has no option --stregth", "--strength", id="option"),
        pytest.param("images", "sgt images lacks IN, OUT", "sgt images photos/ painted/ --to vangogh", id="both"),
        pytest.param("images a", "sgt images lacks OUT", "sgt images photos/ painted/ --to vangogh", id="one"),
        pytest.param("evaluate m", "sgt evaluate lacks --source DIR", "--target trainB", id="needed option"),
        pytest.param("images a b --to", "sgt images: --to lacks its value", "--to DOMAIN: What", id="no value"),
        pytest.param("images a b --plan=1", "sgt images: --plan takes no value", "--plan: Print", id="flag"),
        pytest.param("images a b c", "sgt images: ", "Usage: sgt images IN OUT [OPTIONS]", id="a word too many"),
        pytest.param("video a b --codec mpeg2", "--codec mpeg2", "h264, hevc, av1", id="no such value"),
        pytest.param("video a b --quality=x", "--quality=x", "--quality 1..100: ", id="no number"),
        pytest.param("models add x --size-multiple 0", "--size-multiple 0", "--size-multiple PX: ", id="range"),
    ],
)
def test_a_wrong_line_is_2_and_says_what_to_type(
    words: str, what: str, now: str, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(shlex.split(words)) == 2
    said = capsys.readouterr()
    first, second = said.err.splitlines()
    assert first.startswith("sgt: ")
    assert what in first
    assert now in second
    assert not said.out
