"""Links in README.md and docs/ lead somewhere, pictures are there, and no page or picture is forgotten."""

from pathlib import Path

import pytest

from tests.docs.pages import PAGES, name_of, read_anchors, read_links
from tests.models import REPOSITORY

DOCS = REPOSITORY / "docs"
SHEETS = {"before_after.jpg", "styles.jpg", "styles_back.jpg"}  # where strokes are to be seen
PICTURES = sorted(path for path in DOCS.rglob("*") if path.suffix in {".jpg", ".png"})


def _targets(page: Path) -> list[tuple[int, Path, str]]:
    """Return line, file and anchor of each link into the repository."""
    found = []
    for line, link in read_links(page):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            found.append((line, (page.parent / path).resolve() if path else page, anchor))
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for line, path, anchor in _targets(page):
        if not path.exists():
            wrong.append(f"{name_of(page)}:{line}: no {path}")
        elif anchor and anchor not in read_anchors(path):
            wrong.append(f"{name_of(page)}:{line}: no #{anchor} in {path}")
    assert not wrong, "\n".join(wrong)


def test_no_page_and_no_picture_is_without_a_link() -> None:
    linked = {path for page in PAGES for _, path, _ in _targets(page) if path != page}
    assert {*PAGES[1:], *PICTURES} - linked == set()


@pytest.mark.parametrize("path", PICTURES, ids=name_of)
def test_pictures_are_small(path: Path) -> None:
    assert path.stat().st_size < (700_000 if path.name in SHEETS else 200_000)
