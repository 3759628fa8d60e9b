"""Start-up against bare Pyodide on the main thread, in one run, interleaved; ratios, since machines and hours differ.

Run by ``python build.py benchmark`` in the test environment. Per round and in turn: bare Pyodide with a fresh profile,
the calculator with a fresh profile, and the calculator again in that profile once it has stored what it stores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "browser"))

import browsers
from harness import DIST, FLAGS, serve
from playwright.sync_api import Browser, Page, sync_playwright

# Long tasks, and the moment at which the answer is first live, seen from inside the page.
WATCH = """
window.__long = [];
new PerformanceObserver((list) => list.getEntries().forEach((e) => window.__long.push(Math.round(e.duration))))
  .observe({type: 'longtask', buffered: true});
const look = () => {
  const found = document.querySelector('#answer[data-state="live"], #bare[data-state="live"]');
  if (found) window.__live ??= performance.now();
};
new MutationObserver(look).observe(document, {subtree: true, childList: true, attributes: true, attributeFilter: ['data-state']});
"""
READY = '#answer[data-state="live"], #bare[data-state="live"]'
STORED = """async () => {
  await navigator.serviceWorker.ready;
  for (let n = 0; n < 300; n += 1) {
    if (await caches.has('compute-gauge-start') && (await (await caches.open('compute-gauge-start')).keys()).length) return true;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return false;
}"""


def visit(page: Page, url: str) -> dict[str, object]:
    """One navigation: milliseconds to the first live answer, and the long tasks until then."""
    page.goto(url)
    page.locator(READY).wait_for(timeout=180_000)
    return {"milliseconds": page.evaluate("() => window.__live"), "long": page.evaluate("() => window.__long")}


def measure(browser: Browser, runs: int) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = {"bare": [], "cold": [], "second": []}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "requests.log"
        site = serve(DIST, "--max-age", "600", log=log)
        try:
            for _ in range(runs):
                context = browser.new_context()
                context.add_init_script(WATCH)
                found["bare"].append(visit(context.new_page(), site.url + "benchmark/bare.html"))
                context.close()

                context = browser.new_context()
                context.add_init_script(WATCH)
                page = context.new_page()
                before = len(site.requests())
                cold = visit(page, site.url)
                cold["bytes"] = sum(sent for _, sent, _ in site.requests()[before:])
                found["cold"].append(cold)
                stored = page.evaluate(STORED)
                page.wait_for_timeout(500)
                page.close()
                second = visit(context.new_page(), site.url)
                second["snapshot"] = stored
                found["second"].append(second)
                context.close()
        finally:
            site.stop()
    return found


def summary(found: dict[str, list[dict[str, object]]]) -> dict[str, object]:
    """Medians, ratios of medians, and the longest task that the calculator caused."""
    median = {name: statistics.median(float(str(row["milliseconds"])) for row in rows) for name, rows in found.items()}
    tasks = [duration for name in ("cold", "second") for row in found[name] for duration in row["long"]]
    return {
        "runs": len(found["bare"]),
        "milliseconds": {name: round(value) for name, value in median.items()},
        "ratio": {name: round(median[name] / median["bare"], 3) for name in ("cold", "second")},
        "longest_task": max(tasks, default=0),
        "snapshots": sum(bool(row["snapshot"]) for row in found["second"]),
        "bytes_cold": round(statistics.median(float(str(row["bytes"])) for row in found["cold"])),
    }


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(words)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browsers.find("chromium"), args=FLAGS)
        result = summary(measure(browser, options.runs))
        browser.close()
    if options.json:
        print(json.dumps(result))
        return
    times, ratio = result["milliseconds"], result["ratio"]
    print(f"{result['runs']} interleaved runs, medians; ratios to bare Pyodide on the main thread")
    print(f"  bare Pyodide, cold        {times['bare']:6} ms   1.00")
    print(f"  Compute Gauge, cold       {times['cold']:6} ms   {ratio['cold']:.2f}   goal 0.45")
    print(f"  Compute Gauge, 2nd visit  {times['second']:6} ms   {ratio['second']:.2f}   goal 0.20")
    print(f"  longest task on the page  {result['longest_task']:6} ms          goal 50")
    print(f"  bytes to the live answer  {result['bytes_cold']:,}")


if __name__ == "__main__":
    main(sys.argv[1:])
