"""Hostile input in the browser: markup in every field, in the fragment, a config and a file's name never becomes part of
the page; and the one foreign address that the page may ask is asked only by a click."""

from __future__ import annotations

import base64
import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from harness import LIVE, OpenContext, Site, wait_live
from playwright.sync_api import Page, expect

EVIL = '"\'><img src=x onerror="window.__hit=1"><script>window.__hit=1</script><svg onload=window.__hit=1>'
SETTLED = '#answer[data-state="live"], #answer[data-state="error"]'
# Notes every question to Python and which of them are answered, before the page's own code hears the answer.
OVERHEAR = """
window.__asked = new Map();
window.Worker = class extends Worker {
  constructor(...words) {
    super(...words);
    this.addEventListener('message', ({data}) => window.__asked.has(data.id) && (window.__asked.get(data.id).answered = true));
  }
  postMessage(message, ...words) {
    window.__asked.set(message.id, {text: message.text, answered: false});
    super.postMessage(message, ...words);
  }
};
"""
ANSWERED = """async (text) => {
  const inside = JSON.stringify(text).slice(1, -1);
  const found = () => [...window.__asked.values()].some((one) => one.answered && one.text.includes(inside));
  while (!found()) await new Promise((wait) => setTimeout(wait, 20));
  await new Promise((painted) => requestAnimationFrame(() => setTimeout(painted)));
}"""
NAMES = """() => [...document.querySelectorAll('#question input, #question textarea')]
  .filter((field) => field.name && !['checkbox', 'radio', 'file'].includes(field.type)).map((field) => field.name)"""
WRITE = """([name, value]) => {
  const field = document.querySelector(`[name="${name}"]`);
  if (!field) return null; // an earlier field made it irrelevant
  const before = field.value;
  field.value = value;
  field.dispatchEvent(new Event('input', {bubbles: true}));
  return before;
}"""


def harmless(page: Page) -> None:
    """Nothing ran, and no element of the attack stands in the page."""
    assert page.evaluate("() => window.__hit") is None
    assert page.locator("img[src='x'], script:not([src]), svg[onload]").count() == 0


def test_markup_in_every_field(page: Page, site: Site) -> None:
    page.add_init_script(OVERHEAR)
    page.goto(site.url)
    wait_live(page)
    names = page.evaluate(NAMES)
    assert len(names) >= 10
    tried = 0
    for number, name in enumerate(names):
        evil = f"{EVIL}{number}"  # each field's own, so that its answer is known from the others'
        before = page.evaluate(WRITE, [name, evil])
        if before is None:
            continue
        page.evaluate(ANSWERED, evil)
        harmless(page)
        page.evaluate(WRITE, [name, before])
        tried += 1
    assert tried >= 10
    wait_live(page)


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
    harmless(page)


@pytest.mark.parametrize("ending", [".json", ".gguf", ".safetensors", ""])
def test_hostile_files(live: Page, ending: str) -> None:
    """Names and contents: a config of markup, and headers that are none."""
    config = json.dumps({"model_type": EVIL, "architectures": [EVIL], "hidden_size": EVIL, EVIL: EVIL})
    content = config if ending in {".json", ""} else EVIL * 40
    name = f"{EVIL.replace('/', '')}{ending}"
    live.locator("#file").set_input_files(files=[{"name": name, "mimeType": "text/html", "buffer": content.encode()}])
    expect(live.locator("#files-status")).not_to_have_text(re.compile("^(Reading .*)?$", re.DOTALL), timeout=LIVE)
    live.locator(SETTLED).wait_for(timeout=LIVE)
    harmless(live)


# The hub -------------------------------------------------------------------------------------------------------------

HUB = "https://huggingface.co"
ID = "someone/unknown-model"
CONFIG = {"model_type": "gpt2", "n_layer": 2, "n_embd": 64, "n_head": 4, "vocab_size": 100, "n_positions": 128}
OPEN = {"access-control-allow-origin": "*"}


def asking(open_context: OpenContext, site: Site, *more: str) -> tuple[Page, list[str]]:
    """The calculator with an id that the catalogue lacks, and the requests that leave the site."""
    page = open_context(site.url, HUB, *more).new_page()
    asked: list[str] = []
    page.on("request", lambda request: request.url.startswith(site.url) or asked.append(request.url))
    page.goto(site.url)
    wait_live(page)
    page.locator('[name="model"]').fill(ID)
    page.locator("#hub").wait_for()
    page.keyboard.press("Escape")
    asked[:] = [url for url in asked if url.startswith("http")]
    assert asked == [], "nothing is asked without a click"
    return page, asked


def led(page: Page, moved: str) -> None:
    """The hub answers with a redirect to `moved`, where the config is. Below what a route sees: those do not follow redirects."""
    inspector = page.context.new_cdp_session(page)
    cross = {"name": "access-control-allow-origin", "value": "*"}
    body = base64.b64encode(json.dumps(CONFIG).encode()).decode()

    def paused(event: dict[str, Any]) -> None:
        there = event["request"]["url"] == moved
        reply = {"responseCode": 200, "body": body} if there else {"responseCode": 307}
        headers = [cross] if there else [cross, {"name": "location", "value": moved}]
        inspector.send("Fetch.fulfillRequest", {"requestId": event["requestId"], "responseHeaders": headers, **reply})

    inspector.on("Fetch.requestPaused", paused)
    inspector.send("Fetch.enable", {"patterns": [{"urlPattern": f"{HUB}/*"}, {"urlPattern": moved}]})


def test_a_lookup_follows_the_hubs_own_redirects(open_context: OpenContext, site: Site) -> None:
    """A renamed repository, and the hub's cache of small files: both are on the hub itself."""
    page, asked = asking(open_context, site)
    led(page, f"{HUB}/api/resolve-cache/models/{ID}/0123/config.json")
    page.locator("#hub").click()
    expect(page.locator("#files-status")).to_contain_text("gpt2")
    wait_live(page)
    assert asked[0] == f"{HUB}/{ID}/resolve/main/config.json"
    assert {url.split("/")[2] for url in asked} == {"huggingface.co"}


def test_a_lookup_led_elsewhere_is_refused_by_the_pages_own_policy(open_context: OpenContext, site: Site) -> None:
    page, _ = asking(open_context, site, "https://elsewhere.example")
    led(page, "https://elsewhere.example/config.json")
    page.locator("#hub").click()
    expect(page.locator("#files-status")).to_contain_text("Paste it instead")
    (refused,) = page.evaluate("() => window.__violations.splice(0)")
    assert refused.startswith("connect-src")


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ({"status": 404, "body": "Entry not found"}, "404"),
        ({"status": 401, "body": "Access is restricted"}, "private or gated"),
        ({"status": 403, "body": ""}, "private or gated"),
        ({"status": 500, "body": EVIL}, "500"),
        ({"status": 200, "body": EVIL}, ""),
        ({"status": 200, "body": json.dumps({"model_type": EVIL})}, ""),
        (None, "Paste it instead"),
    ],
)
def test_a_lookup_that_fails_says_so(open_context: OpenContext, site: Site, reply: dict[str, object] | None, told: str) -> None:
    page, _ = asking(open_context, site)
    page.context.route(f"{HUB}/**", lambda route: route.fulfill(**reply, headers=OPEN) if reply else route.abort())
    page.locator("#hub").click()
    status = page.locator("#files-status")
    expect(status).not_to_have_text(re.compile("^(Asking .*)?$"))
    expect(status).to_contain_text(told)
    harmless(page)


def test_a_lookup_offline_asks_nobody(open_context: OpenContext, site: Site) -> None:
    page, asked = asking(open_context, site)
    page.context.set_offline(True)
    page.locator("#hub").click()
    expect(page.locator("#files-status")).to_contain_text("offline")
    assert asked == []
