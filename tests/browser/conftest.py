"""Fixtures of the browser tests: the built dist/ behind a real server, one Chromium, pages that fail on broken promises.

A page from `page` or `open_context` watches for requests to another origin, content-security violations and uncaught
errors; the test fails at its end when one occurred. `site.url` is the address of the built site's folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import browsers
import pytest
from harness import DIST, FLAGS, PATIENCE, WATCH, OpenContext, Site, Watched, serve, wait_live
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def dist() -> Path:
    """The built site."""
    if not (DIST / "index.html").exists():
        pytest.fail("dist/ is missing: run `python build.py` first (`python build.py test` does)")
    return DIST


@pytest.fixture(scope="session")
def site(dist: Path) -> Iterator[Site]:
    """One server for the tests that leave it running."""
    running = serve(dist)
    yield running
    running.stop()


@pytest.fixture
def own_site(dist: Path, tmp_path: Path) -> Iterator[Site]:
    """A server that belongs to one test, with a request log and the caching that a Pages host asks for."""
    running = serve(dist, "--max-age", "600", log=tmp_path / "requests.log")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """One driver for all browsers of a run: a process may hold only one."""
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Chromium, headless. A machine without one fails here."""
    path = browsers.find("chromium")
    if not path:
        pytest.fail("no Chromium or Chrome found: run `python build.py test`, which installs one")
    running = playwright.chromium.launch(executable_path=path, args=FLAGS)
    yield running
    running.close()


@pytest.fixture
def open_context(browser: Browser, site: Site) -> Iterator[OpenContext]:
    """Make a watched browser context: `open_context(site.url, viewport=...)`; the first words are allowed addresses."""
    made: list[tuple[BrowserContext, Watched]] = []

    def make(*allowed: str, **options: object) -> BrowserContext:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        watched = Watched(scripts=bool(options.get("java_script_enabled", True)))
        for url in allowed or (site.url,):
            parts = urlsplit(url)
            watched.origins.add(f"{parts.scheme}://{parts.netloc}")
        context.set_default_timeout(PATIENCE)
        context.add_init_script(WATCH)
        context.on("page", watched.add)
        context.on("request", lambda request: watched.see(request.url))
        made.append((context, watched))
        return context

    yield make
    problems: list[str] = []
    for context, watched in made:
        problems += [f"request to another origin: {url}" for url in watched.foreign]
        problems += [f"uncaught error: {text}" for text in watched.errors]
        problems += [f"content-security violation: {text}" for text in watched.violations()]
        context.close()
    assert not problems, "\n".join(problems)


@pytest.fixture
def page(open_context: OpenContext) -> Page:
    """A watched page in a fresh context."""
    return open_context().new_page()


@pytest.fixture
def live(page: Page, site: Site) -> Page:
    """The calculator, opened and live."""
    page.goto(site.url)
    wait_live(page)
    return page
