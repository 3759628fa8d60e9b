"""Pictures of the built pages for people to look at: wide, middle, phone, dark, forced colours, print, embed, model page.

python build.py screenshots          writes them to .build/screenshots/
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "browser"))

import browsers  # noqa: E402
from harness import FLAGS, serve, wait_live  # noqa: E402

TRAINING = "index.html#v=1&task=training&device=h100-80gb"
COMPARED = (
    "index.html#v=1&device=h100-80gb&compare=task%3Dtraining%26device%3Dh100-80gb&compare=runtime%3Dvllm%26device%3Dh100-80gb"
)


@dataclass(frozen=True)
class Shot:
    """One picture: which page, how large, in which mode; `full` shows the page to its end."""

    name: str
    path: str = "index.html"
    size: tuple[int, int] = (1440, 900)
    full: bool = False
    charts: bool = False
    mode: dict[str, Any] = field(default_factory=dict)


SHOTS = (
    Shot("wide"),
    Shot("wide-training", TRAINING, full=True),
    Shot("wide-charts", TRAINING, full=True, charts=True),
    Shot("wide-compare", COMPARED, full=True),
    Shot("middle", size=(1024, 800)),
    Shot("phone", size=(390, 844), full=True, mode={"device_scale_factor": 2}),
    Shot("narrow", size=(320, 640), full=True),
    Shot("dark", TRAINING, mode={"color_scheme": "dark"}, full=True),
    Shot("forced", TRAINING, mode={"forced_colors": "active"}),
    Shot("print", size=(690, 980), full=True),
    Shot("embed", "embed.html", size=(640, 420)),
    Shot("model-page", "models/meta-llama--llama-3.1-8b.html", full=True),
    Shot("playground", "playground.html"),
)


def take(browser: Browser, url: str, shot: Shot, folder: Path) -> None:
    """One picture."""
    width, height = shot.size
    context = browser.new_context(viewport={"width": width, "height": height}, **shot.mode)
    page = context.new_page()
    page.goto(url + shot.path)
    if shot.path.startswith("index.html"):
        wait_live(page)
        page.wait_for_timeout(1500)
    if shot.charts:
        _charts(page)
    if shot.name == "print":
        page.emulate_media(media="print")
    if shot.full:  # what is off the screen is not drawn: make the window as tall as the page
        page.set_viewport_size({"width": width, "height": page.evaluate("() => document.documentElement.scrollHeight")})
    page.wait_for_timeout(300)
    page.screenshot(path=folder / f"{shot.name}.png", full_page=shot.full)
    context.close()


def _charts(page: Page) -> None:
    page.locator("#charts").scroll_into_view_if_needed()
    page.locator(".chart").nth(3).wait_for(timeout=120_000)
    page.evaluate("() => scrollTo(0, 0)")


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--out", type=Path, default=ROOT / ".build" / "screenshots")
    words.add_argument("--only", default="")
    options = words.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    site = serve()
    try:
        with sync_playwright() as playwright:
            running = playwright.chromium.launch(executable_path=browsers.find("chromium"), args=FLAGS)
            for shot in SHOTS:
                if options.only and shot.name not in options.only.split(","):
                    continue
                take(running, site.url, shot, options.out)
                print(options.out / f"{shot.name}.png", flush=True)
            running.close()
    finally:
        site.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
