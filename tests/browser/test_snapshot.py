"""The saved start: used when whole, and never needed. A broken or foreign one gives way to a normal start."""

from __future__ import annotations

import pytest
from harness import Site, allocated_on_the_page, wait_live
from playwright.sync_api import Page

KEPT = """async () => {
  for (;;) {
    const keys = (await caches.has('compute-gauge-start')) ? await (await caches.open('compute-gauge-start')).keys() : [];
    if (keys.length) return keys.length;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}"""
REPLACE = """async (kind) => {
  const store = await caches.open('compute-gauge-start');
  const [key] = await store.keys();
  const bytes = new Uint8Array(await (await store.match(key)).arrayBuffer());
  const pages = new Uint32Array(bytes.buffer, 0, 2)[1];
  const start = 8 + 4 * pages; // where the first saved page begins, with Pyodide's own header
  const broken = {
    empty: () => new Uint8Array(0),
    text: () => new TextEncoder().encode('not a saved start, nor a multiple of four'),
    short: () => bytes.slice(0, bytes.length - 4096),
    foreign: () => { const other = bytes.slice(); other.fill(7, start + 16, start + 48); return other; }, // another build's mark
    whole: () => bytes,
  };
  await store.put(key, new Response(broken[kind]()));
}"""
STARTED = """async () => {
  const {Engine} = await import(document.querySelector('script[type=module]').src.replace(/[^/]*$/, 'engine.js'));
  const engine = new Engine();
  const told = new Promise((resolve) => engine.addEventListener('ready', ({detail}) => resolve(detail.snapshot)));
  await engine.boot();
  return told;
}"""


@pytest.mark.parametrize("kind", ["whole", "empty", "text", "short", "foreign"])
def test_a_saved_start_is_used_or_given_up(live: Page, site: Site, kind: str) -> None:
    assert live.evaluate(KEPT) == 1
    live.evaluate(REPLACE, kind)
    other = live.context.new_page()
    other.goto(site.url)
    wait_live(other)
    assert int(other.locator("#answer").get_attribute("data-allocated") or 0) == allocated_on_the_page()
    if kind == "whole":
        assert other.evaluate(STARTED) is True
