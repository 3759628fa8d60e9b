"""The self-host archive: unpacked elsewhere, below a path, behind Python's own plain server; works there, and then without it."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pages
import pytest
import steps
from harness import OpenContext, Site, allocated_on_the_page, wait_live
from playwright.sync_api import expect


@pytest.fixture
def unpacked(dist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of somebody's own site with the archive in it."""
    monkeypatch.setattr(pages, "WORK", tmp_path)
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    pages.archive()
    made = sorted(path.name for path in (tmp_path / "release").iterdir())
    assert [re.sub(r"\d+\.\d+\.\d+", "VERSION", name) for name in made] == [
        "compute-gauge-site-VERSION.zip",
        "compute_gauge-VERSION-py3-none-any.whl",
    ]
    target = tmp_path / "www" / "docs"
    with zipfile.ZipFile(tmp_path / "release" / made[0]) as archive:
        archive.extractall(target)
    names = {path.relative_to(target / "compute-gauge") for path in (target / "compute-gauge").rglob("*") if path.is_file()}
    assert names == {path.relative_to(dist) for path in steps.files_below(dist)}
    return tmp_path / "www"


@pytest.fixture
def plain(unpacked: Path) -> Iterator[Site]:
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(unpacked)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    port = re.search(r"port (\d+)", process.stdout.readline())
    assert port, "the server did not start"
    site = Site(f"http://127.0.0.1:{port[1]}/docs/compute-gauge/", process)
    yield site
    site.stop()


def test_the_archive_works_anywhere(open_context: OpenContext, plain: Site) -> None:
    page = open_context(plain.url).new_page()
    page.goto(plain.url)
    wait_live(page)
    page.evaluate("() => navigator.serviceWorker.ready.then(() => true)")
    plain.stop()
    page.goto(plain.url + "index.html?without-network")
    wait_live(page)
    page.locator('[name="batch_size"]').fill("5")
    wanted = allocated_on_the_page(batch_size="5")
    expect(page.locator("#answer")).to_have_attribute("data-allocated", str(wanted))


def test_it_can_be_installed(open_context: OpenContext, plain: Site) -> None:
    """What Chromium itself holds against installing the page as an application: nothing."""
    page = open_context(plain.url).new_page()
    page.goto(plain.url)
    wait_live(page)
    inspector = page.context.new_cdp_session(page)
    manifest = inspector.send("Page.getAppManifest")
    assert manifest["url"] == plain.url + "manifest.webmanifest"
    assert manifest["errors"] == []
    found = [one["errorId"] for one in inspector.send("Page.getInstallabilityErrors")["installabilityErrors"]]
    assert [name for name in found if name != "in-incognito"] == []  # a test's context counts as a private window
