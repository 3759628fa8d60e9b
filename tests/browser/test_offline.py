"""After one visit the site needs no network: its server process is killed, not merely switched off in the browser."""

from __future__ import annotations

from harness import Site, wait_live
from playwright.sync_api import BrowserContext, Page, expect

STORED = "async () => { await navigator.serviceWorker.ready; return (await caches.keys()).length; }"


def visit(context: BrowserContext, site: Site, path: str = "") -> Page:
    """Open a page and wait until the service worker has stored everything."""
    page = context.new_page()
    page.goto(site.url + path)
    wait_live(page)
    page.evaluate(STORED)
    return page


def test_works_with_the_server_killed(open_context, own_site: Site) -> None:
    page = visit(open_context(own_site.url), own_site)
    own_site.stop()
    page.goto(own_site.url + "#batch_size=2")
    page.reload()
    wait_live(page)
    expect(page.locator('[name="batch_size"]')).to_have_value("2")
    page.locator('[name="batch_size"]').fill("5")
    wait_live(page)


def test_nothing_is_downloaded_twice(open_context, own_site: Site) -> None:
    visit(open_context(own_site.url), own_site)
    sent: dict[str, int] = {}
    for status, _, path in own_site.requests():
        if status == 200:
            sent[path.split("?")[0]] = sent.get(path.split("?")[0], 0) + 1
    twice = [path for path, times in sent.items() if times > 1 and path.endswith((".wasm", ".zip", ".whl", ".mjs"))]
    assert not twice
