"""What the user's pages hold: commands, links, headings and the options that prose names.

Pages are README.md and docs/*.md; a command is a line of a fenced block of the language `sh`.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.models import REPOSITORY

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]

_FENCE = re.compile(r"\s*```(\w*)")
_COMMENT = re.compile(r"(?:^|\s+)#(.*)")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Command:
    """One command as it is typed, its continuation lines joined, and what the comment behind it says."""

    page: str
    line: int  # 1-based, of its first line
    text: str
    comment: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


def name_of(page: Path) -> str:
    """Return the page's path in the repository, with slashes."""
    return page.relative_to(REPOSITORY).as_posix()


def _lines(page: Path) -> Iterator[tuple[int, str, str | None]]:
    """Yield number (1-based), text and the fence's language of each line; None outside of fences."""
    language: str | None = None
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if fence := _FENCE.match(line):
            language = fence[1] if language is None else None
        else:
            yield number, line, language


def read_commands(page: Path) -> list[Command]:
    """Return the page's commands from top to bottom."""
    commands, begun, first = [], "", 0
    for number, line, language in _lines(page):
        if language != "sh":
            assert not begun, f"{name_of(page)}:{first}: ends in a backslash"
            continue
        first = first if begun else number
        begun += line.strip()
        if begun.endswith("\\"):
            begun = begun[:-1]
            continue
        comment = _COMMENT.search(begun)
        text = begun[: comment.start()] if comment else begun
        if text:
            commands.append(Command(name_of(page), first, text.strip(), comment[1].strip() if comment else ""))
        begun = ""
    return commands


def read_prose(page: Path) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines outside of fences."""
    yield from ((number, line) for number, line, language in _lines(page) if language is None)


def _find(pattern: re.Pattern[str], page: Path) -> Iterator[tuple[int, str]]:
    """Yield line and first group of each match in the prose, which may go over a line's end."""
    numbered = list(read_prose(page))
    text, starts = "", []
    for _, line in numbered:
        starts.append(len(text))
        text += line + "\n"
    for match in pattern.finditer(text):
        yield numbered[bisect_right(starts, match.start()) - 1][0], match[1].replace("\n", " ")


def read_links(page: Path) -> Iterator[tuple[int, str]]:
    """Yield line and target of each link and picture."""
    yield from _find(_LINK, page)


def read_code(page: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of each `piece of code` in the prose."""
    yield from _find(_CODE, page)


def read_anchors(page: Path) -> set[str]:
    """Return what `#...` may name: the headings as GitHub makes anchors of them."""
    anchors: set[str] = set()
    for _, line in read_prose(page):
        if heading := re.match(r"#+\s+(.*)", line):
            plain = re.sub(r"[^\w\- ]", "", heading[1].strip().lower())
            anchors.add(plain.replace(" ", "-"))
    return anchors
