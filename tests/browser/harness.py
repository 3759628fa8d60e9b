"""What every browser test may use: servers over dist/, the watch over a context, waiting for a live answer."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Page

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "dist"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LIVE = int(os.environ.get("GAUGE_LIVE_LIMIT", "120000"))  # milliseconds that a cold start may take on a busy machine
PATIENCE = LIVE // 2  # milliseconds for anything else: a test waits for a state, and only a broken page makes it wait long

# Reported before any script of the page runs; read back at the end of the test.
WATCH = """
window.__violations = [];
document.addEventListener('securitypolicyviolation', (event) =>
  window.__violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


@dataclass
class Site:
    """A running server over a folder; `stop` kills it, as a truthful offline test must."""

    url: str
    process: subprocess.Popen[str]
    log: Path | None = None

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def requests(self) -> list[tuple[int, int, str]]:
        """Status, bytes sent and path of every request so far."""
        if not self.log or not self.log.exists():
            return []
        rows = (line.split(" ", 2) for line in self.log.read_text().splitlines())
        return [(int(status), int(sent), path) for status, sent, path in rows]


def serve(folder: Path = DIST, *words: str, log: Path | None = None) -> Site:
    """Start a server of our own on a free port."""
    command = [sys.executable, str(ROOT / "site/tools/serve.py"), str(folder), "--port", "0", *words]
    if log:
        command += ["--log", str(log)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url.startswith("http://"), "the server did not start"
    return Site(url, process, log)


@dataclass
class Watched:
    """What a context's pages did that they must not do."""

    foreign: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    origins: set[str] = field(default_factory=set)
    scripts: bool = True

    def add(self, page: Page) -> None:
        self.pages.append(page)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def see(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https", "ws", "wss"} and f"{parts.scheme}://{parts.netloc}" not in self.origins:
            self.foreign.append(url)

    def violations(self) -> list[str]:
        found: list[str] = []
        for page in self.pages:
            if page.is_closed() or not self.scripts:
                continue
            for frame in page.frames:
                found += frame.evaluate("() => window.__violations ?? []")
        return found


OpenContext = Callable[..., BrowserContext]


@lru_cache(maxsize=1)
def unpacked_wheel() -> Path:
    """The wheel that dist/ serves, unpacked for this Python: both sides then run the very same files."""
    target = Path(tempfile.mkdtemp(prefix="gauge-wheel-"))
    with zipfile.ZipFile(next(DIST.glob("python/*/*.whl"))) as archive:
        archive.extractall(target)
    return target


@lru_cache(maxsize=256)
def cpython(request: str) -> str:
    """What `gauge.api.answer` says to a request under CPython, from the wheel that the browser runs."""
    code = "import sys; from gauge import api; sys.stdout.write(api.answer(sys.stdin.read()))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(unpacked_wheel())!r}); {code}"],
        input=request,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return done.stdout


def allocated_by_cpython(request: str) -> int:
    """`allocated` of the first pool of that answer."""
    return int(json.loads(cpython(request))["pools"][0]["allocated"])


def allocated_on_the_page(**changes: str) -> int:
    """The same for the question that the calculator opens with, and what is typed into it."""
    found = re.search(r'data-preset="([^"]*)"', (DIST / "index.html").read_text(encoding="utf-8"))
    assert found, "the form names the question that it opens with"
    return allocated_by_cpython(json.dumps({**json.loads(html.unescape(found[1])), **changes}))


def wait_live(page: Page, timeout: float = LIVE) -> None:
    """Until the calculator's answer is computed by Python in the browser."""
    page.locator('#answer[data-state="live"]').wait_for(timeout=timeout)


def follow(page: Page, url: str) -> None:
    """Go to another fragment of the open page, and wait for its live answer; the page's own listeners ran before."""
    arrived = (
        "(url) => new Promise((done) => { addEventListener('hashchange', () => done(true), {once: true}); location.href = url; })"
    )
    page.evaluate(arrived, url)
    wait_live(page)


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Until something holds that no locator can wait for; fails when it does not."""
    end = time.monotonic() + PATIENCE / 1000
    while not holds():
        assert time.monotonic() < end, f"not so in {PATIENCE} ms: {what}"
        time.sleep(0.05)
