"""The playground: PyScript and micropip run the site's own wheel; a shared snippet waits for a click."""

from __future__ import annotations

import json
import re

import pytest
from harness import LIVE, Site, cpython
from playwright.sync_api import Page, expect

EXAMPLES = ("first", "sweep", "compare", "plot")


def ready(page: Page, url: str) -> Page:
    page.goto(url)
    expect(page.locator("#run")).to_be_enabled(timeout=LIVE)
    return page


def run(page: Page, code: str | None = None) -> str:
    if code is not None:
        page.locator("#code").fill(code)
    page.locator("#run").click()
    page.locator('#result[data-state="done"], #result[data-state="error"]').wait_for(timeout=LIVE)
    return page.locator("#result").inner_text()


@pytest.fixture(scope="module")
def requests() -> list[str]:
    return ["{}", '{"task":"training"}', '{"batch_size":"x"}', '{"sequence_length":"32k","batch_size":7}']


def test_same_answers_as_cpython(page: Page, site: Site, requests: list[str]) -> None:
    ready(page, site.url + "playground.html")
    code = f"import gauge.api, json\nprint(json.dumps([gauge.api.answer(text) for text in {requests!r}]))"
    assert json.loads(run(page, code)) == [cpython(text) for text in requests]
    assert "compute-gauge" in run(page, "import importlib.metadata\nimportlib.metadata.distribution('compute-gauge').name")
    assert run(page, "import statistics, sqlite3") is not None


def test_examples_run(page: Page, site: Site) -> None:
    ready(page, site.url + "playground.html")
    for name in EXAMPLES:
        page.locator(f'[data-example="{name}"]').click()
        expected = (site_file := page.request.get(f"{site.url}playground/{name}.py")).text()
        assert site_file.ok
        expect(page.locator("#code")).to_have_value(expected)
        run(page)
        expect(page.locator("#result")).to_have_attribute("data-state", "done")
        assert page.locator("#result table, #result img").count() == 1


def test_errors_name_the_snippets_line(page: Page, site: Site) -> None:
    ready(page, site.url + "playground.html")
    text = run(page, "x = 1\nx / 0")
    assert "line 2" in text
    assert "ZeroDivisionError" in text


def test_output_is_text_never_markup(page: Page, site: Site) -> None:
    ready(page, site.url + "playground.html")
    page.evaluate("() => { window.__hit = 0; }")
    evil = "<img src=x onerror='window.__hit=1'><script>window.__hit=1</script>"
    assert evil in run(page, f"print({evil!r})")
    run(page, f"[{{{evil!r}: {evil!r}}}]")
    run(page, "\"<svg xmlns='http://www.w3.org/2000/svg' onload='parent.__hit=1'><script>parent.__hit=1</script></svg>\"")
    assert page.evaluate("() => window.__hit") == 0
    assert page.locator("#result script, #result img[onerror]").count() == 0


def test_a_shared_snippet_waits_for_a_click(page: Page, site: Site) -> None:
    ready(page, site.url + "playground.html")
    snippet = "import sys\nsys.runs = getattr(sys, 'runs', 0) + 1\nprint('run', sys.runs)"
    page.locator("#code").fill(snippet)
    page.locator("#share").click()
    expect(page).to_have_url(re.compile("#code="))
    link = page.url
    other = page.context.new_page()
    ready(other, link)
    expect(other.locator("#code")).to_have_value(snippet)
    expect(other.locator("#origin")).to_be_visible()
    expect(other.locator("#result")).to_have_attribute("data-state", "empty")
    assert run(other).strip() == "run 1"  # this Python has run it once: by the click, not before
    other.goto("about:blank")
    ready(other, site.url + "playground.html#code=%%%")
    expect(other.locator("#result")).to_have_attribute("data-state", "empty")


def test_works_with_the_server_killed(open_context, own_site: Site) -> None:
    page = ready(open_context(own_site.url).new_page(), own_site.url + "playground.html")
    stored = """async () => {
      const {Offline} = await import('./offline.js');
      return new Offline().start(['playground']);
    }"""
    assert page.evaluate(stored)
    own_site.stop()
    ready(page, own_site.url + "playground.html?again")
    assert run(page, "1 + 1").strip() == "2"
    for name in EXAMPLES:
        page.locator("#code").fill("")
        page.locator(f'[data-example="{name}"]').click()
        expect(page.locator("#code")).to_have_value(re.compile("gauge"))
        run(page)
        expect(page.locator("#result")).to_have_attribute("data-state", "done")
