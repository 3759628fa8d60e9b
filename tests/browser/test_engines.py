"""Smoke in the other engines, as Debian packages them: boot, an estimate, an embed, offline with the server killed.

build.py names the browsers of a run; one that is named and missing fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import browsers
import pytest
from harness import LIVE, Site, allocated_by_cpython, serve
from playwright.sync_api import Playwright

Run = Callable[[str], Any]  # a JavaScript function's text -> its awaited value

STATE = "() => document.querySelector('#answer')?.dataset.state ?? ''"
ALLOCATED = "() => Number(document.querySelector('#answer').dataset.allocated)"
TYPE = """() => { const field = document.querySelector('[name="batch_size"]');
  field.value = '7'; field.dispatchEvent(new Event('input', {bubbles: true})); }"""
STORED = """async () => {
  const address = document.querySelector('script[type=module]').src;
  const {Offline} = await import(address.replace(/[^/]*$/, 'offline.js'));
  return new Offline().start();
}"""


class Browser:
    """What the smoke test needs of an engine: go to an address, run a function in the page."""

    def __init__(self, go: Callable[[str], object], run: Run) -> None:
        self.go = go
        self.run = run

    def wait(self, function: str, wanted: object, seconds: float = LIVE / 1000) -> None:
        """Until the function gives the wanted value."""
        end = time.monotonic() + seconds
        while (found := self.run(function)) != wanted:
            assert time.monotonic() < end, f"{function} still gives {found!r}"
            time.sleep(0.2)


@pytest.fixture
def firefox(playwright: Playwright, tmp_path: Path) -> Iterator[Browser]:
    path = browsers.find("firefox")
    if not path:
        pytest.fail("Firefox ESR is missing: run `python build.py test --browsers chromium,firefox`")
    home = os.environ | {"HOME": str(tmp_path)}  # it refuses a home of another user, which containers have
    running = playwright.firefox.launch(channel="moz-firefox", executable_path=path, headless=True, env=home)
    page = running.new_page()
    yield Browser(page.goto, page.evaluate)
    running.close()


@pytest.fixture
def webkit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    from selenium import webdriver
    from selenium.webdriver.webkitgtk.options import Options
    from selenium.webdriver.webkitgtk.service import Service

    driver, view, screen = browsers.find("webkit"), mini_browser(), shutil.which("Xvfb")
    if not (driver and view and screen):
        pytest.fail("WebKitGTK is missing: run `python build.py test --browsers chromium,webkit`")
    display = f":{90 + os.getpid() % 900}"
    server = subprocess.Popen([screen, display, "-screen", "0", "1280x900x24"], stderr=subprocess.DEVNULL)
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.setenv("WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS", "1")
    options = Options()
    options.binary_location = view
    options.add_argument("--automation")
    running = webdriver.WebKitGTK(options=options, service=Service(driver))
    running.set_script_timeout(120)

    def run(function: str) -> Any:
        settle = "(value) => done(value ?? null), (problem) => done(String(problem))"
        code = f"const done = arguments[0]; Promise.resolve(({function})()).then({settle});"
        return running.execute_async_script(code)

    yield Browser(running.get, run)
    running.quit()
    server.terminate()
    server.wait()


def mini_browser() -> str | None:
    """WebKitGTK's own small browser, which the driver automates."""
    found = sorted(Path("/usr/lib").glob("*/webkit2gtk-4.1/MiniBrowser"))
    return str(found[0]) if found else None


@pytest.fixture
def lent_site(dist: Path, tmp_path: Path) -> Iterator[Site]:
    site = serve(dist, log=tmp_path / "requests.log")
    yield site
    site.stop()


@pytest.fixture
def host(lent_site: Site, tmp_path: Path) -> Iterator[Site]:
    """Documentation on another site, with the element in it; it notes what the frame tells it."""
    folder = tmp_path / "host"
    folder.mkdir()
    (folder / "note.js").write_text(
        "addEventListener('compute-gauge:answer', ({detail}) => { window.answered = detail.allocated; });"
    )
    scripts = f'<script src="note.js"></script><script async src="{lent_site.url}compute-gauge.js"></script>'
    (folder / "index.html").write_text(
        f'<!doctype html><title>Docs</title>{scripts}<compute-gauge batch_size="3"></compute-gauge>'
    )
    site = serve(folder, "--host", "localhost")
    yield site
    site.stop()


@pytest.mark.parametrize("name", [name for name in browsers.wanted() if name != "chromium"])
def test_boot_estimate_embed_offline(name: str, request: pytest.FixtureRequest, lent_site: Site, host: Site) -> None:
    browser: Browser = request.getfixturevalue(name)
    browser.go(lent_site.url)
    browser.wait(STATE, "live")
    before = browser.run(ALLOCATED)
    browser.run(TYPE)
    browser.wait(f"() => ({ALLOCATED})() > {before}", True)

    browser.go(host.url)
    browser.wait("() => window.answered ?? 0", allocated_by_cpython('{"batch_size":"3"}'))

    browser.go(lent_site.url + "?once-more")
    browser.wait(STATE, "live")
    assert browser.run(STORED) is True
    lent_site.stop()
    browser.go(lent_site.url + "?without-network")
    browser.wait(STATE, "live")
