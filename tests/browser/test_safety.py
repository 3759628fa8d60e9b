"""Hostile input in the browser: markup in every field, in the fragment and in a config never becomes part of the page."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from harness import LIVE, Site
from playwright.sync_api import Page

EVIL = '"\'><img src=x onerror="window.__hit=1"><script>window.__hit=1</script><svg onload=window.__hit=1>'
SETTLED = '#answer[data-state="live"], #answer[data-state="error"]'


def harmless(page: Page) -> None:
    """Nothing ran, and no element of the attack stands in the page."""
    assert page.evaluate("() => window.__hit") is None
    assert page.locator("img[src='x'], script:not([src]), svg[onload]").count() == 0


def test_markup_in_every_field(live: Page) -> None:
    names = live.evaluate(
        "() => [...document.querySelectorAll('#question input[type=text], #question input:not([type])')].map((e) => e.name)"
    )
    assert len([name for name in names if name]) >= 3
    for name in filter(None, names):
        if not live.locator(f'[name="{name}"]').count():
            continue  # an earlier field made it irrelevant
        live.evaluate(
            """([name, value]) => { const field = document.querySelector(`[name="${name}"]`); const before = field.value;
              field.value = value; field.dispatchEvent(new Event('input', {bubbles: true})); window.__before = before; }""",
            [name, EVIL],
        )
        live.wait_for_timeout(120)
        harmless(live)
        live.evaluate(
            """([name]) => { const field = document.querySelector(`[name="${name}"]`); if (field) field.value = window.__before;
              field?.dispatchEvent(new Event('input', {bubbles: true})); }""",
            [name],
        )


@pytest.mark.parametrize(
    "fragment",
    [
        f"v=1&model={quote(EVIL)}",
        f"v=1&{quote(EVIL)}={quote(EVIL)}",
        f"v={quote(EVIL)}",
        "v=1&__proto__=1&constructor=2&hasOwnProperty=3",
        f"v=1&config={quote(json.dumps({'model_type': EVIL, 'architectures': [EVIL]}))}",
        "v=1&config=" + "[" * 5000,
        "%E0%A4%A&%%%",
        "v=1&batch_size=" + "9" * 3000,
    ],
)
def test_hostile_fragments(page: Page, site: Site, fragment: str) -> None:
    page.goto(site.url + "#" + fragment)
    page.locator(SETTLED).wait_for(timeout=LIVE)
    page.wait_for_timeout(200)
    harmless(page)
