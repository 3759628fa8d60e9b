"""Where a build is published: told by its environment, carried by the wheel, and never a dead link on a page."""

from __future__ import annotations

import published
import pytest
import wheel

from gauge.view import page

GITHUB = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "Someone/Gauge"}


@pytest.fixture(autouse=True)
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*GITHUB, "GAUGE_REPOSITORY", "GAUGE_SITE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "repository", "site"),
    [
        ({}, "", ""),
        (GITHUB, "https://github.com/Someone/Gauge", "https://someone.github.io/gauge/"),
        (GITHUB | {"GITHUB_REPOSITORY": "Me/me.github.io"}, "https://github.com/Me/me.github.io", "https://me.github.io/"),
        (GITHUB | {"GITHUB_SERVER_URL": "https://git.example"}, "https://git.example/Someone/Gauge", ""),
        (GITHUB | {"GAUGE_SITE": "https://calc.example"}, "https://github.com/Someone/Gauge", "https://calc.example/"),
        ({"GAUGE_REPOSITORY": "https://code.example/x"}, "https://code.example/x", ""),
    ],
)
def test_addresses(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], repository: str, site: str) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (published.repository(), published.site()) == (repository, site)
    lines = [line for line in wheel.metadata().splitlines() if line.startswith("Project-URL: ")]
    known = {"Repository": repository, "Site": site}
    assert lines == [f"Project-URL: {name}, {address}" for name, address in known.items() if address]


def test_the_page_links_its_source_only_when_it_is_known() -> None:
    assert page.document("{{source}}", {}, {}) == ""
    link = page.document("{{source}}", {}, {"repository": "https://code.example/?a&b"})
    assert link == '<a href="https://code.example/?a&amp;b">Source code</a>'
