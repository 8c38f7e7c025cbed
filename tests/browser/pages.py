"""A page in the browser, with what it loads and says, and what is seen of it."""

import io
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page


class Tab:
    """An open page. `requests` are all but data: and blob:, which are in the page itself."""

    def __init__(self, browser: "Browser", path: Path, options: dict[str, Any]) -> None:
        self._context = browser.new_context(**{"viewport": {"width": 1000, "height": 800}, **options})
        self.page: Page = self._context.new_page()
        self.requests: list[str] = []
        self.said: list[str] = []
        self.url = path.as_uri()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.goto(self.url)

    def check_quiet(self) -> None:
        assert [url for url in self.requests if not url.startswith(("data:", "blob:"))] == [self.url]
        assert self.said == [], self.said

    def wait(self, function: str) -> None:
        """Wait until a JavaScript function returns true; Playwright's own way needs eval, which the page forbids."""
        until = time.monotonic() + 10
        while not self.page.evaluate(function):
            assert time.monotonic() < until, function
            self.page.wait_for_timeout(20)

    def close(self) -> None:
        self._context.close()

    def shot(self, what: "Locator") -> NDArray[np.uint8]:
        """Return what is seen of `what`, (H,W,3)."""
        return np.asarray(PilImage.open(io.BytesIO(what.screenshot())).convert("RGB"))


def share_of(image: NDArray[np.uint8], colour: tuple[int, int, int]) -> float:
    """Return the share of pixels of about this colour."""
    near = np.abs(image.astype(int) - colour).max(axis=2) < 40
    return float(near.mean())
