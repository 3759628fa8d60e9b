"""The calculator in other people's pages: a plain page, a Sphinx site and a MkDocs site, on another origin."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import browsers
import pytest
from harness import DIST, FLAGS, LIVE, ROOT, Site, allocated_by_cpython, allocated_on_the_page, eventually, serve
from playwright.sync_api import Page, Playwright, Route, expect

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


LOOKED = (
    """(inside) => new Promise((told) => new IntersectionObserver(([entry]) => told(entry.isIntersecting)).observe(inside))"""
)


def waiting_below(open_context, host, site: Site) -> tuple[Page, list[str]]:
    """A page with an embed far below what is seen, whose own watch has looked and found itself unseen; the requests so far."""
    folder, outside = host
    page_with(folder, f'<iframe src="{site.url}embed.html" title="memory" width="800" height="500"></iframe>', height=6000)
    page = open_context(outside.url, site.url, viewport={"width": 1000, "height": 700}).new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(outside.url)
    frame = page.frame_locator("iframe")
    frame.locator("#status button").wait_for(state="attached")  # embed.js has run to its end
    assert frame.locator("main").evaluate(LOOKED) is False
    return page, asked


def started(asked: list[str]) -> bool:
    return any("app.js" in url or "worker.js" in url for url in asked)


def test_python_starts_only_when_seen(open_context, host, site: Site) -> None:
    page, asked = waiting_below(open_context, host, site)
    assert not started(asked)
    answer = page.frame_locator("iframe").locator("#answer")
    expect(answer).to_have_attribute("data-state", "prerendered")
    expect(answer).to_have_attribute("data-allocated", str(allocated_on_the_page()))
    page.locator("iframe").scroll_into_view_if_needed()
    assert live_in_frame(page) == allocated_on_the_page()


@pytest.mark.parametrize("touch", ["pointerdown", "keydown", "focusin"])
def test_python_starts_when_touched(open_context, host, site: Site, touch: str) -> None:
    page, asked = waiting_below(open_context, host, site)
    assert not started(asked)
    page.frame_locator("iframe").locator("body").evaluate(
        f"(body) => body.dispatchEvent(new Event({touch!r}, {{bubbles: true}}))"
    )
    live_in_frame(page)


def test_the_static_table_stays_until_the_frame_has_an_answer(open_context, host, site: Site) -> None:
    folder, outside = host
    page_with(folder, script(site) + '<compute-gauge model="openai-community/gpt2" batch_size="2"><b>table</b></compute-gauge>')
    context = open_context(outside.url, site.url)
    held: list[Route] = []
    context.route("**/app.js*", lambda route: held.append(route))
    page = context.new_page()
    page.goto(outside.url)
    page.frame_locator("iframe").locator("#question").wait_for(state="attached")
    eventually(lambda: bool(page.title() and held), "the frame, being seen, asks for the application")
    expect(page.locator("compute-gauge b")).to_be_visible()
    expect(page.frame_locator("iframe").locator("#verdict")).to_be_hidden()  # the prepared answer is to another question
    for route in held:
        route.continue_()
    assert live_in_frame(page) == expected()
    expect(page.locator("compute-gauge b")).to_be_hidden()
    page.emulate_media(media="print")
    expect(page.locator("compute-gauge b")).to_be_visible()
    expect(page.locator("iframe")).to_be_hidden()


def test_attributes_are_fields_and_may_change(open_context, host, site: Site) -> None:
    folder, outside = host
    fields = 'id="it" class="wide" data-x="1" aria-label="memory" model="openai-community/gpt2" batch_size="2"'
    page_with(folder, script(site) + f'<compute-gauge {fields} label="Memory of GPT-2"></compute-gauge>')
    page = open_context(outside.url, site.url).new_page()
    page.goto(outside.url)
    assert live_in_frame(page) == expected()
    frame = page.locator("iframe")
    expect(frame).to_have_attribute("title", "Memory of GPT-2")
    expect(frame).to_have_attribute("src", f"{site.url}embed.html#v=1&model=openai-community%2Fgpt2&batch_size=2")
    page.locator("compute-gauge").evaluate("(it) => it.setAttribute('batch_size', '4')")
    wanted = allocated_by_cpython(json.dumps(REQUEST | {"batch_size": "4"}))
    expect(page.frame_locator("iframe").locator("#answer")).to_have_attribute("data-allocated", str(wanted))


def test_compact_and_full(open_context, site: Site) -> None:
    page = open_context().new_page()
    for size, form in (("compact", False), ("full", True), ("nonsense", True)):
        page.goto(f"{site.url}embed.html?size={size}")
        expect(page.locator("#verdict")).to_be_visible()
        expect(page.locator("#gauge")).to_be_visible()
        for part in ("#question", "#breakdown"):
            expect(page.locator(part)).to_be_visible(visible=form)
        expect(page.locator("header.top")).to_be_hidden()


@pytest.mark.parametrize("reader", ["light", "dark"])
def test_light_dark_auto(open_context, site: Site, reader: str) -> None:
    """The author's choice counts; without one, the reader's."""
    page = open_context(color_scheme=reader).new_page()
    ink = {}
    for theme in ("light", "dark", "auto"):
        page.goto(f"{site.url}embed.html?theme={theme}")
        ink[theme] = page.locator("#verdict").evaluate("(it) => getComputedStyle(it).color")
    assert ink["light"] != ink["dark"]
    assert ink["auto"] == ink[reader]


PROFILE = {"profile": {"cookie_controls_mode": 1, "block_third_party_cookies": True}}
BLOCKED = """async () => {
  const refused = async (act) => { try { await act(); return false; } catch { return true; } };
  return [await refused(() => localStorage.length), await refused(() => caches.open('x')),
          (await navigator.serviceWorker?.getRegistrations?.().catch(() => []))?.length ?? 0];
}"""


def test_works_with_third_party_storage_blocked(playwright: Playwright, host, site: Site, tmp_path: Path) -> None:
    folder, outside = host
    page_with(folder, script(site) + '<compute-gauge model="openai-community/gpt2" batch_size="2"></compute-gauge>')
    (tmp_path / "profile" / "Default").mkdir(parents=True)
    (tmp_path / "profile" / "Default" / "Preferences").write_text(json.dumps(PROFILE))
    context = playwright.chromium.launch_persistent_context(
        tmp_path / "profile", executable_path=browsers.find("chromium"), args=FLAGS, headless=True
    )
    try:
        page = context.new_page()
        page.set_default_timeout(LIVE)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(outside.url)
        assert live_in_frame(page) == expected()
        assert page.frame_locator("iframe").locator("body").evaluate(BLOCKED) == [True, True, 0]
        assert not errors
    finally:
        context.close()


SAY = """async ({origin, own}) => {
  const frame = document.querySelector('compute-gauge').shadowRoot.querySelector('iframe');
  const say = (height, origin, source) =>
    dispatchEvent(new MessageEvent('message', {data: {type: 'compute-gauge:height', height, shown: true}, origin, source}));
  say(5001, origin, window);                        // the right origin, another window
  say(5002, 'https://elsewhere.example', frame.contentWindow); // our frame, led elsewhere
  for (const height of ['5003', NaN, Infinity, null, {}]) say(height, origin, frame.contentWindow);
  const delivered = new Promise((done) => addEventListener('message', ({data}) => data === 'last' && done()));
  postMessage({type: 'compute-gauge:height', height: 5004, shown: true}, '*'); // a real one, of the host itself
  postMessage('last', '*');
  await delivered;
  const before = parseFloat(frame.style.blockSize || '0');
  say(1e9, origin, frame.contentWindow);
  const tallest = frame.style.blockSize;
  say(-1, origin, frame.contentWindow);
  return [before, tallest, frame.style.blockSize];
}"""


def test_only_our_own_frame_is_believed_and_within_bounds(open_context, host, site: Site) -> None:
    folder, outside = host
    page_with(folder, script(site) + "<compute-gauge>table</compute-gauge>", height=3000)
    page = open_context(outside.url, site.url).new_page()
    page.goto(outside.url)
    page.locator("iframe").wait_for(state="attached")
    before, tallest, smallest = page.evaluate(SAY, {"origin": site.url.rstrip("/")})
    assert before < 5000
    assert (tallest, smallest) == ("6000px", "120px")


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
