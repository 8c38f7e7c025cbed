"""A real browser, without a window: Debian's Chromium, driven by Playwright. `make browser` installs both."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.pages import Tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here; make browser installs it")
    api = pytest.importorskip("playwright.sync_api", reason="there is no Playwright here; make browser installs it")
    # In a container there is no user namespace for its sandbox; what it opens was made here.
    flags = ["--disable-gpu", *(["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else [])]
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: "Browser") -> Iterator[Any]:
    """Opens pages, and fails where one loaded anything beside itself, or said anything on its console."""
    tabs: list[Tab] = []

    def open_one(path: Path, **options: Any) -> Tab:
        tabs.append(Tab(browser, path, options))
        return tabs[-1]

    yield open_one
    for tab in tabs:
        tab.check_quiet()
        tab.close()
