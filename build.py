#!/usr/bin/env python3
"""Builds, serves and tests Compute Gauge. Standard library only; every verb does all the set-up that it needs.

    python build.py             build dist/, the static site
    python build.py serve       build, then serve it on this machine and print the address
    python build.py test        build, then lint, types, unit and browser tests
    python build.py benchmark   build, then measure start-up against bare Pyodide in one run
    python build.py screenshots build, then take pictures of the pages into .build/screenshots/
    python build.py lighthouse  build, then Lighthouse's four scores (optional: installs it first)
    python build.py archive     build, then pack dist/ for another static host

The stages live in site/tools/, in the order in which they run: toolchain (what the machine needs), runtime (Pyodide,
the precompiled standard library, the wheel), pages (dist/ itself), sbom, serve. Intermediate files go to .build/.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

if sys.version_info < (3, 11):
    sys.exit(f"Compute Gauge needs Python 3.11 or newer; this is {sys.version.split()[0]}. Run build.py with a newer one.")

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "site" / "tools"))

import pages  # noqa: E402
import published  # noqa: E402
import runtime  # noqa: E402
import serve  # noqa: E402
import toolchain  # noqa: E402
import wheel  # noqa: E402
from steps import DIST, SITE, BuildError, digest, say, show, step  # noqa: E402


def build() -> None:
    """Make dist/; unchanged stages are skipped."""
    say("build")
    node = toolchain.ensure_node()
    toolchain.ensure_npm_packages(node)
    micropip = toolchain.ensure_micropip()
    runtime.precompile(node)
    inputs = digest(SITE, wheel.PACKAGE, ROOT / "LICENSE", ROOT / "pyproject.toml", json.dumps(published.urls()))
    step("site", inputs, [DIST / "index.html", DIST / "sw.js"], lambda: pages.assemble(micropip))
    files = [path for path in DIST.rglob("*") if path.is_file()]
    say(f"  dist/: {len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB")


def test(browsers: list[str], only: str) -> int:
    """Lint, types, unit tests, then browser tests on the built site. Returns 0 when everything passed."""
    toolchain.ensure_environment()
    toolchain.ensure_test_tools()
    python = toolchain.python()
    checks: dict[str, list[str | Path]] = {
        "lint": [python, "-m", "ruff", "check", "."],
        "types": [python, "-m", "mypy"],
        "unit": [python, "-m", "pytest", "tests", "--ignore=tests/browser"],
        "browser": [python, "-m", "pytest", "tests/browser"],
    }
    environment = os.environ | {"GAUGE_BROWSERS": ",".join(browsers), "PYTHONUTF8": "1"}
    failed = []
    for name, command in checks.items():
        if only and name != only:
            continue
        if name in {"unit", "browser"}:
            build()
        if name == "browser":
            toolchain.ensure_browsers(browsers)
        say(f"\n{name}")
        started = time.monotonic()
        code = show(command, env=environment)
        say(f"{name}: {'passed' if code == 0 else 'FAILED'} in {time.monotonic() - started:.0f} s")
        if code:
            failed.append(name)
    if failed:
        say(f"\nFailed: {', '.join(failed)}. Run one of them alone with `python build.py test --only {failed[0]}`.")
    return 1 if failed else 0


def benchmark(runs: int) -> int:
    """Start-up of this site against bare Pyodide in one run, then keystrokes in the page."""
    toolchain.ensure_environment()
    toolchain.ensure_test_tools()
    toolchain.ensure_browsers(["chromium"])
    return show([toolchain.python(), SITE / "tools" / "benchmark.py", "--runs", str(runs)]) or show(
        [toolchain.python(), SITE / "tools" / "keystrokes.py"]
    )


def screenshots(only: str) -> int:
    """Pictures of the built pages, for people to look at."""
    toolchain.ensure_environment()
    toolchain.ensure_test_tools()
    toolchain.ensure_browsers(["chromium"])
    return show([toolchain.python(), SITE / "tools" / "screenshots.py", "--only", only])


def lighthouse() -> int:
    """Lighthouse's scores of the built calculator."""
    toolchain.ensure_environment()
    toolchain.ensure_test_tools()
    toolchain.ensure_browsers(["chromium"])
    return show([toolchain.python(), SITE / "tools" / "lighthouse.py"])


def parser() -> argparse.ArgumentParser:
    described = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = described.add_subparsers(dest="verb")
    verbs.add_parser("build", help="build dist/ (the default)")
    serving = verbs.add_parser("serve", help="build and serve")
    serving.add_argument("--port", type=int, default=8000)
    testing = verbs.add_parser("test", help="build and run every check")
    testing.add_argument("--only", choices=["lint", "types", "unit", "browser"], default="")
    testing.add_argument("--browsers", default="", help="comma-separated: chromium, firefox, webkit")
    measuring = verbs.add_parser("benchmark", help="measure start-up against bare Pyodide")
    measuring.add_argument("--runs", type=int, default=5)
    pictures = verbs.add_parser("screenshots", help="take pictures of the built pages")
    pictures.add_argument("--only", default="", help="comma-separated names, such as wide,phone")
    verbs.add_parser("lighthouse", help="Lighthouse's scores of the built calculator")
    packing = verbs.add_parser("archive", help="pack dist/ as a zip for self-hosting")
    packing.add_argument("--tag", default="", help="refuse to pack anything but this release, such as v1.2.3")
    return described


def main(words: list[str]) -> int:
    options = parser().parse_args(words)
    if options.verb == "test":
        chosen = options.browsers.split(",") if options.browsers else []
        toolchain.ensure_environment()
        return test(chosen or toolchain.installed_browsers(), options.only)
    build()
    if options.verb == "benchmark":
        return benchmark(options.runs)
    if options.verb == "screenshots":
        return screenshots(options.only)
    if options.verb == "lighthouse":
        return lighthouse()
    if options.verb == "archive":
        pages.archive(options.tag)
    if options.verb == "serve":
        say("Serving dist/ at the address below; stop with Ctrl+C.")
        serve.serve(DIST, "127.0.0.1", options.port)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BuildError as problem:
        say(f"\nStopped: {problem.message}\nWhat to do: {problem.remedy}")
        sys.exit(1)
