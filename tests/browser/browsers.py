"""Where the browsers are: one place for build.py, which installs a missing one, and for the tests, which fail without it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

COMMANDS = {
    "chromium": ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge"),
    "firefox": ("firefox-esr",),
    "webkit": ("WebKitWebDriver",),
}
ELSEWHERE = {
    "chromium": (
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
        "C:/Program Files/Google/Chrome/Application/chrome.exe",
        "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
    ),
}


def find(name: str) -> str | None:
    """The path of an installed browser; for WebKit, of its driver. None when there is none."""
    for command in COMMANDS[name]:
        if found := shutil.which(command):
            return found
    for path in ELSEWHERE.get(name, ()):
        if Path(path).exists():
            return path
    return playwrights_own() if name == "chromium" else None


def playwrights_own() -> str | None:
    """Chromium as `playwright install chromium` leaves it."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if path and os.path.exists(path) else None


def wanted() -> list[str]:
    """The browsers this run tests: build.py says; by hand it is Chromium alone."""
    return [name for name in os.environ.get("GAUGE_BROWSERS", "chromium").split(",") if name]
