"""WCAG on the built pages: axe in light, dark and forced colours, reflow, targets, motion, print."""

from __future__ import annotations

import re

import pytest
from harness import ROOT, OpenContext, Site, wait_live
from playwright.sync_api import Page, expect

AXE = ROOT / "site/node_modules/axe-core/axe.min.js"
MODES = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "forced": {"forced_colors": "active"},
}
STATES = ["index.html", "index.html#v=1&task=training&device=rtx-4090", "models/index.html", "models/openai-community--gpt2.html"]

OTHERS = ["playground.html", "benchmark.html", "embed.html", "embed.html?size=compact"]


def violations(page: Page) -> list[str]:
    """What axe finds, one line each."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [f"{v['id']}: {v['help']} at {[n['target'] for n in v['nodes']][:4]}" for v in found["violations"]]


def opened(open_context: OpenContext, site: Site, path: str, **options: object) -> Page:
    page = open_context(**options).new_page()
    page.goto(site.url + path)
    if path.startswith("index.html"):
        wait_live(page)
    return page


@pytest.mark.parametrize("path", [*STATES, *OTHERS])
@pytest.mark.parametrize("mode", MODES)
def test_axe_finds_nothing(open_context: OpenContext, site: Site, mode: str, path: str) -> None:
    page = opened(open_context, site, path, **MODES[mode])
    assert violations(page) == []


def test_axe_finds_nothing_with_everything_open(open_context: OpenContext, site: Site) -> None:
    page = opened(open_context, site, "index.html#v=1&device=h100-80gb&compare=task%3Dtraining&tensor_parallel=8")
    page.locator('[name="batch_size"]').fill("0")
    page.locator('#answer[data-state="error"]').wait_for()
    assert violations(page) == []
    page.locator('[name="batch_size"]').fill("2")
    wait_live(page)
    page.locator("#share-open").click()
    page.locator("#share textarea").first.wait_for()
    page.locator("#math-open").click()
    page.locator("details.math[open]").first.wait_for()
    page.evaluate("() => document.querySelectorAll('details').forEach((d) => (d.open = true))")
    page.locator("#comparison table").wait_for()
    assert violations(page) == []


@pytest.mark.parametrize("path", STATES)
def test_320_pixels_need_no_sideways_scrolling(open_context: OpenContext, site: Site, path: str) -> None:
    page = opened(open_context, site, path, viewport={"width": 320, "height": 640})
    assert page.evaluate("() => document.scrollingElement.scrollWidth") <= 320


def test_targets_are_at_least_24_pixels(open_context: OpenContext, site: Site) -> None:
    page = opened(open_context, site, "index.html#v=1&task=training&device=h100-80gb")
    small = page.evaluate(
        """() => [...document.querySelectorAll('button, summary, select, input:not([type=radio]):not([type=file])')]
          .filter((e) => e.checkVisibility() && e.getClientRects().length && !e.closest('[hidden]'))
          .filter((e) => !(e.closest('.field[data-kind=flag]')))
          .map((e) => [e.getBoundingClientRect(), e.outerHTML.slice(0, 90)])
          .filter(([r]) => r.height < 23.5 || r.width < 23.5).map(([r, h]) => `${r.width}x${r.height} ${h}`)"""
    )
    assert small == []


def test_nothing_moves_under_reduced_motion(open_context: OpenContext, site: Site) -> None:
    page = opened(open_context, site, "index.html", reduced_motion="reduce")
    moving = page.evaluate(
        "() => [...document.querySelectorAll('*')].filter((e) => getComputedStyle(e).transitionDuration !== '0s').length"
    )
    assert moving == 0


def test_the_focus_is_never_under_the_sticky_parts(open_context: OpenContext, site: Site) -> None:
    page = opened(open_context, site, "index.html", viewport={"width": 390, "height": 700})
    for _ in range(40):
        page.keyboard.press("Tab")
        covered = page.evaluate(
            """() => {
              const e = document.activeElement;
              if (!e || e === document.body) return null;
              const r = e.getBoundingClientRect();
              if (!r.width || r.bottom < 0 || r.top > innerHeight) return null;
              const top = document.elementFromPoint(r.left + r.width / 2, Math.min(r.bottom - 2, innerHeight - 1));
              return top && top.closest('.strip') && !e.closest('.strip') ? e.outerHTML.slice(0, 90) : null;
            }"""
        )
        assert covered is None


def test_print_has_the_question_and_the_table_and_no_controls(open_context: OpenContext, site: Site) -> None:
    page = opened(open_context, site, "index.html")
    pdf = page.pdf(format="A4")
    page.emulate_media(media="print")
    expect(page.locator("#question")).to_be_hidden()
    expect(page.locator("#asked")).to_be_visible()
    expect(page.locator("#asked")).to_contain_text("meta-llama/Llama-3.1-8B")
    expect(page.locator("#breakdown table").first).to_be_visible()
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1


def test_the_live_region_tells_only_the_verdict_and_only_when_it_changed(open_context: OpenContext, site: Site) -> None:
    page = opened(open_context, site, "index.html")
    page.evaluate("() => new Promise((later) => setTimeout(later, 900))")  # the page's own timer, set before, has run
    assert page.locator("#announce").inner_text() == ""
    page.locator('[name="batch_size"]').fill("16")
    expect(page.locator("#announce")).to_contain_text(re.compile(r"(Fits|Tight|Too large).*GiB"))
