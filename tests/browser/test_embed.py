"""The calculator in other people's pages: a plain page, a Sphinx site and a MkDocs site, on another origin."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import DIST, LIVE, ROOT, Site, allocated_by_cpython, eventually, serve
from playwright.sync_api import Page, expect

REQUEST = {"model": "openai-community/gpt2", "batch_size": "2"}
FIELDS = "model=openai-community/gpt2\nbatch_size=2\nsize=compact"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[tuple[Path, Site]]:
    """An empty folder served as another site; localhost and 127.0.0.1 are different sites to a browser."""
    folder = tmp_path / "host"
    folder.mkdir()
    site = serve(folder, "--host", "localhost")
    yield folder, site
    site.stop()


def page_with(folder: Path, body: str, height: int = 0) -> None:
    spacer = f'<div style="height:{height}px"></div>'
    (folder / "index.html").write_text(f"<!doctype html><title>Docs</title><h1>Docs</h1>{spacer}{body}")


def script(site: Site) -> str:
    return f'<script async src="{site.url}compute-gauge.js"></script>'


def live_in_frame(page: Page) -> int:
    """Bytes in the frame's live answer."""
    answer = page.frame_locator("iframe").locator('#answer[data-state="live"]')
    answer.wait_for(timeout=LIVE)
    return int(answer.get_attribute("data-allocated") or 0)


def expected() -> int:
    return allocated_by_cpython(json.dumps(REQUEST))


def test_element_across_sites(open_context, host, site: Site) -> None:
    folder, outside = host
    fields = 'model="openai-community/gpt2" batch_size="2" size="compact"'
    page_with(folder, script(site) + f"<compute-gauge {fields}>table</compute-gauge>")
    page = open_context(outside.url, site.url).new_page()
    page.add_init_script("addEventListener('compute-gauge:answer', (event) => { window.__answer = event.detail; })")
    page.goto(outside.url)
    assert live_in_frame(page) == expected()
    expect(page.locator("compute-gauge")).to_have_attribute("data-loaded", "")
    frame = page.locator("iframe")
    body = page.frame_locator("iframe").locator("body")

    def as_high_as_its_page() -> bool:
        inner = body.evaluate("(body) => body.getBoundingClientRect().height")
        return abs(frame.bounding_box()["height"] - max(120, inner)) <= 2

    eventually(as_high_as_its_page, "the frame is as high as its page")
    eventually(lambda: page.evaluate("() => window.__answer?.allocated") == expected(), "the host page gets the answer")


def test_plain_iframe(open_context, host, site: Site) -> None:
    folder, outside = host
    source = f"{site.url}embed.html?theme=dark#v=1&model=openai-community/gpt2&batch_size=2"
    page_with(folder, f'<iframe src="{source}" title="memory" width="800" height="500"></iframe>')
    page = open_context(outside.url, site.url).new_page()
    before = page.evaluate("() => history.length")
    page.goto(outside.url)
    assert live_in_frame(page) == expected()
    page.frame_locator("iframe").locator('[name="batch_size"]').fill("4")
    assert page.evaluate("() => history.length") <= before + 1


def test_python_starts_only_when_seen(open_context, host, site: Site) -> None:
    folder, outside = host
    page_with(folder, f'<iframe src="{site.url}embed.html" title="memory" width="800" height="500"></iframe>', height=6000)
    page = open_context(outside.url, site.url, viewport={"width": 1000, "height": 700}).new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(outside.url)
    page.frame_locator("iframe").locator("#answer").wait_for(state="attached")
    page.wait_for_timeout(1000)
    assert not [url for url in asked if "worker.js" in url]
    page.locator("iframe").scroll_into_view_if_needed()
    live_in_frame(page)


def test_messages_from_others_are_ignored(open_context, host, site: Site) -> None:
    folder, outside = host
    page_with(folder, script(site) + "<compute-gauge>table</compute-gauge>", height=3000)
    page = open_context(outside.url, site.url).new_page()
    page.goto(outside.url)
    page.evaluate("() => postMessage({type: 'compute-gauge:height', height: 5000}, '*')")
    page.evaluate("() => postMessage({type: 'compute-gauge:height', height: 'javascript:1'}, '*')")
    page.wait_for_timeout(300)
    assert page.locator("iframe").bounding_box()["height"] < 4000


def test_hostile_attributes_stay_text(open_context, host, site: Site) -> None:
    folder, outside = host
    evil = "&quot;&gt;&lt;img src=x onerror=parent.__hit=1&gt;"
    fields = f'model="{evil}" size="{evil}" theme="{evil}" config="{{{evil}"'
    page_with(folder, script(site) + f"<compute-gauge {fields}>x</compute-gauge>")
    page = open_context(outside.url, site.url).new_page()
    page.goto(outside.url)
    page.frame_locator("iframe").locator('#answer[data-state="error"]').wait_for(timeout=LIVE)
    assert page.evaluate("() => window.__hit") is None
    assert page.frame_locator("iframe").locator("img[src=x]").count() == 0


def run(*words: str | Path, cwd: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)], cwd=cwd, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_real_sphinx_site(open_context, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    (docs / "guide").mkdir(parents=True)
    (docs / "conf.py").write_text("project = 'X'\nextensions = ['gauge.embed.sphinx']\ncompute_gauge_site = 'gauge'\n")
    body = "".join(f"   {line}\n" for line in FIELDS.splitlines())
    (docs / "index.rst").write_text("Docs\n====\n\n.. toctree::\n\n   guide/memory\n")
    (docs / "guide" / "memory.rst").write_text(f"Memory\n======\n\n.. compute-gauge::\n\n{body}")
    run("sphinx", "-q", "-W", "-b", "html", docs, tmp_path / "html", cwd=tmp_path)
    run("sphinx", "-q", "-W", "-b", "text", docs, tmp_path / "text", cwd=tmp_path)
    assert "Allocated at the peak" in (tmp_path / "text/guide/memory.txt").read_text()
    opened_in_browser(open_context, tmp_path / "html", "guide/memory.html")


def test_a_real_mkdocs_site(open_context, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    (docs / "guide").mkdir(parents=True)
    settings = "theme:\n  name: readthedocs\n  highlightjs: false\nplugins:\n  - compute-gauge:\n      site: gauge\n"
    (tmp_path / "mkdocs.yml").write_text("site_name: X\n" + settings)
    (docs / "index.md").write_text("# Docs\n")
    (docs / "guide" / "memory.md").write_text(f"# Memory\n\n```compute-gauge\n{FIELDS}\n```\n")
    info = tmp_path / "compute_gauge-0.dist-info"  # what an installed package tells MkDocs about its plugin
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: compute-gauge\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[mkdocs.plugins]\ncompute-gauge = gauge.embed.mkdocs:ComputeGaugePlugin\n")
    run("mkdocs", "build", "-q", "--strict", "-d", tmp_path / "html", cwd=tmp_path)
    opened_in_browser(open_context, tmp_path / "html", "guide/memory/")


def opened_in_browser(open_context, html: Path, path: str) -> None:
    """The page shows its static table without scripts, and the live answer with the site's own copy of the calculator."""
    shutil.copytree(DIST, html / "gauge", ignore=shutil.ignore_patterns("models"))
    site = serve(html)
    try:
        plain = open_context(site.url, java_script_enabled=False).new_page()
        plain.goto(site.url + path)
        expect(plain.locator("compute-gauge table")).to_contain_text("Allocated at the peak")
        page = open_context(site.url).new_page()
        page.goto(site.url + path)
        assert live_in_frame(page) == expected()
    finally:
        site.stop()
