"""A new release: stored whole beside the old one, unchanged files not downloaded again, switched to only by a click."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from harness import serve, wait_live
from playwright.sync_api import Page


def release(folder: Path, dist: Path) -> None:
    """The next version of the site: another build name and one changed script."""
    worker = folder / "sw.js"
    text = (dist / "sw.js").read_text()
    build = re.search(r"const BUILD = '([^']+)'", text)[1]
    text = text.replace(build, "next")
    (folder / "state.js").write_text((dist / "state.js").read_text() + "\n// changed\n")
    text = re.sub(r'\["state\.js","[^"]+"\]', '["state.js","changed"]', text)
    worker.write_text(text)


def test_whole_version_update(open_context, dist: Path, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    shutil.copytree(dist, folder, ignore=shutil.ignore_patterns("models", "benchmark"))
    site = serve(folder, log=tmp_path / "requests.log")
    try:
        page = open_context(site.url).new_page()
        page.goto(site.url)
        wait_live(page)
        page.evaluate("() => navigator.serviceWorker.ready.then(() => true)")
        release(folder, dist)
        before = len(site.requests())
        page.reload()
        wait_live(page)
        waiting(page)
        fetched = [path.split("?")[0] for status, _, path in site.requests()[before:] if status == 200]
        assert sorted(set(fetched) - {"/sw.js"}) == ["/state.js"]
        assert "// changed" not in served(page)
        with page.expect_navigation():
            page.locator("button", has_text="Reload").click()
        wait_live(page)
        assert "// changed" in served(page)
    finally:
        site.stop()


def waiting(page: Page) -> None:
    """Until the new version is stored and waits for a click."""
    page.evaluate(
        """async () => {
          const registration = await navigator.serviceWorker.ready;
          await registration.update();
          while (!registration.waiting) await new Promise((resolve) => setTimeout(resolve, 100));
        }"""
    )
    page.locator("button", has_text="Reload").wait_for()


def served(page: Page) -> str:
    return str(page.evaluate("() => fetch('./state.js').then((response) => response.text())"))
