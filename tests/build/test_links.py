"""Every link of the built pages that stays on the site leads to a file of it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

DIST = Path(__file__).resolve().parents[2] / "dist"
PAGES = [*sorted(DIST.glob("*.html")), DIST / "models" / "index.html", *sorted((DIST / "models").glob("*.html"))[::50]]
LINK = re.compile(r"<a\b[^>]*\bhref=\"([^\"]*)\"")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        target = unquote(link.partition("#")[0].partition("?")[0])
        if target and not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), link
