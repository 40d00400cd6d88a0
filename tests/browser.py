"""A headless Chromium, driven by Playwright, for the tests that open pages: $CHROMIUM, else the one on PATH."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

BROWSER = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


class Tab:
    """What pages show, what they complained about and what they asked for.

    Attributes:
        problems: errors and warnings on the console, uncaught exceptions, and requests that failed.
        requests: the address of everything the pages loaded.
    """

    def __init__(self, browser: Browser) -> None:
        self.browser, self.problems, self.requests = browser, [], []

    def open(self, path: Path, width: int = 1280, height: int = 900, scheme: str = "light") -> Page:
        """Show a file in a fresh window of this size, a narrow one as on a telephone, light or dark."""
        size = {"width": width, "height": height}
        page = self.browser.new_context(viewport=size, is_mobile=width < 600, color_scheme=scheme).new_page()
        page.on("console", lambda m: m.type in ("error", "warning", "assert") and self.problems.append(m.text))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("requestfailed", lambda request: self.problems.append(f"{request.failure}: {request.url}"))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(path.resolve().as_uri())
        return page


@pytest.fixture
def tab() -> Iterator[Tab]:
    """A fresh browser without cache or history; skips where there is none."""
    if BROWSER is None:
        pytest.skip("no Chromium on this machine to open the page in; $CHROMIUM may name one")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield Tab(running)
        running.close()
