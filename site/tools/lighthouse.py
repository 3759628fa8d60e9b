"""Lighthouse's four scores of the built calculator, on a desktop and on a simulated phone. An optional job.

    python build.py lighthouse

It is no part of `python build.py test`, since its performance score moves with the load of the machine. Lighthouse is
taken from the PATH, or installed into .build/lighthouse/ by npm.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "browser"), str(ROOT / "site" / "tools")]

import browsers  # noqa: E402
import toolchain  # noqa: E402
from harness import serve  # noqa: E402

FOLDER = ROOT / ".build" / "lighthouse"
FLAGS = "--headless=new --no-sandbox --disable-gpu"
KINDS = {"desktop": ["--preset=desktop"], "phone": []}


def program() -> str:
    """The command, installed if need be."""
    found = shutil.which("lighthouse") or FOLDER / "node_modules" / ".bin" / "lighthouse"
    if not Path(found).exists():
        node = toolchain.ensure_node()
        FOLDER.mkdir(parents=True, exist_ok=True)
        words = ["install", "--no-audit", "--no-fund", "--prefix", FOLDER, "lighthouse@12"]
        environment = toolchain.path_with(node) | {"PUPPETEER_SKIP_DOWNLOAD": "1"}
        toolchain.run([*toolchain.npm_command(node), *words], env=environment, remedy=toolchain.NETWORK)
    return str(found)


def scores(command: str, url: str, words: list[str]) -> tuple[dict[str, int], list[str]]:
    """The four scores of 100, and the names of the weighted audits that are not full."""
    environment = os.environ | {"CHROME_PATH": str(browsers.find("chromium"))}
    arguments = [command, url, f"--chrome-flags={FLAGS}", "--output=json", "--quiet", *words]
    told = json.loads(subprocess.run(arguments, check=True, capture_output=True, text=True, env=environment).stdout)
    found = {name: round(100 * (category["score"] or 0)) for name, category in told["categories"].items()}
    weighed = [ref["id"] for category in told["categories"].values() for ref in category["auditRefs"] if ref["weight"]]
    return found, [
        name for name in weighed if (told["audits"][name]["score"] or 0) < 1 and told["audits"][name]["score"] is not None
    ]


def main() -> int:
    command, site = program(), serve()
    try:
        for kind, words in KINDS.items():
            found, short = scores(command, site.url + "index.html", words)
            print(kind, ", ".join(f"{name} {score}" for name, score in found.items()), *short, flush=True)
    finally:
        site.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
