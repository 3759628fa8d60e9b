"""From a keystroke to the updated answer, measured in the page, and the page's long tasks after its start.

    python build.py benchmark            reports it after start-up

Every figure is milliseconds on this machine at this moment: compare ratios within one run, not runs with each other.
On a machine that does other work beside it, `chrt -r 5 python build.py benchmark` keeps that work out of the figures.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "browser"))

import browsers  # noqa: E402
from harness import FLAGS, serve, wait_live  # noqa: E402

CASES = {
    "inference, transformers": "index.html#v=1&device=h100-80gb",
    "inference, vllm": "index.html#v=1&device=h100-80gb&runtime=vllm",
    "training, transformers": "index.html#v=1&task=training&device=h100-80gb",
}
WATCH = """
window.__long = [];
new PerformanceObserver((list) => list.getEntries().forEach((e) => window.__long.push([e.startTime, e.duration])))
  .observe({type: 'longtask', buffered: true});
"""
TYPE = """
async (text) => {
  const input = document.querySelector('[name="batch_size"]');
  const answer = document.getElementById('answer');
  const began = performance.now();
  const live = new Promise((done) => {
    const watch = new MutationObserver(() => answer.dataset.state === 'live' && (watch.disconnect(), done()));
    watch.observe(answer, {attributes: true, attributeFilter: ['data-state']});
  });
  input.value = text;
  input.dispatchEvent(new Event('input', {bubbles: true}));
  await live;
  const updated = performance.now() - began;
  await new Promise(requestAnimationFrame);
  return [updated, performance.now() - began];
}
"""


def measure(page: Page, url: str, keys: int) -> dict[str, float]:
    """Median and 95th percentile of keystroke to answer in the document, and to the next frame; the longest task."""
    page.goto(url)
    wait_live(page)
    page.wait_for_timeout(2000)
    began = page.evaluate("() => performance.now()")
    rows = []
    for key in range(keys):
        rows.append(page.evaluate(TYPE, str(key + 2)))
        page.wait_for_timeout(60)
    tasks = [duration for start, duration in page.evaluate("() => window.__long") if start >= began]
    updated, framed = (sorted(column) for column in zip(*rows, strict=True))
    at = int(0.95 * (keys - 1))
    return {
        "median": round(statistics.median(updated), 1),
        "p95": round(updated[at], 1),
        "median_to_frame": round(statistics.median(framed), 1),
        "p95_to_frame": round(framed[at], 1),
        "longest_task": round(max(tasks, default=0), 1),
    }


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--keys", type=int, default=60)
    options = words.parse_args()
    site = serve()
    try:
        with sync_playwright() as playwright:
            running = playwright.chromium.launch(executable_path=browsers.find("chromium"), args=FLAGS)
            for name, path in CASES.items():
                context = running.new_context(viewport={"width": 1440, "height": 900})
                context.add_init_script(WATCH)
                print(name, json.dumps(measure(context.new_page(), site.url + path, options.keys)), flush=True)
                context.close()
            running.close()
    finally:
        site.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
