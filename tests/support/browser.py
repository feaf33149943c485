"""A real headless browser for the tests of pages: the one on this machine, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright

ON_PATH = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, HEIGHT = 1000, 1400  # px


def installed() -> str | None:
    """The program of a Chromium on this machine's PATH."""
    return next((found for name in ON_PATH if (found := shutil.which(name))), None)


# Of a module and not of the session: Playwright keeps an event loop running, in which others cannot start theirs.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window.

    Where there is none the tests are skipped, except under CI, where they fail.
    """
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium has none for root
        try:
            # Without a program named, Playwright takes its own.
            chromium = playwright.chromium.launch(executable_path=installed(), args=sandbox)
        except Error as error:
            reason = f"no browser: scripts/browser.sh installs one ({str(error).splitlines()[0]})"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page of 1000 px with storage of its own."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    yield context.new_page()
    context.close()


def problems(page: Page) -> list[str]:
    """A list that fills with what goes wrong on the page from now on: errors and warnings of its console, exceptions,
    requests that fail."""
    found: list[str] = []
    page.on("console", lambda said: found.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("requestfailed", lambda request: found.append(f"{request.url}: {request.failure}"))
    return found
