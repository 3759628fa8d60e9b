"""Where this build is published: told by the environment, never guessed, so that no page shows a dead link.

`GAUGE_REPOSITORY` and `GAUGE_SITE` are addresses; GitHub Actions says both without them. Elsewhere both are empty: the
page then has no link to its source, and the documentation extensions ask where the calculator lives.
"""

from __future__ import annotations

import os


def repository() -> str:
    """The address of the source code, or ''."""
    server, name = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    return os.environ.get("GAUGE_REPOSITORY") or (f"{server}/{name}" if server and name else "")


def site() -> str:
    """The address of the calculator, with its last slash, or ''; on GitHub that of the repository's Pages."""
    if own := os.environ.get("GAUGE_SITE"):
        return own.rstrip("/") + "/"
    if os.environ.get("GITHUB_SERVER_URL") != "https://github.com":
        return ""
    owner, _, name = os.environ.get("GITHUB_REPOSITORY", "").lower().partition("/")
    host = f"{owner}.github.io"
    return f"https://{host}/" if name == host else f"https://{host}/{name}/"


def urls() -> dict[str, str]:
    """What is known, by the names under which the wheel carries it."""
    return {name: address for name, address in (("Repository", repository()), ("Site", site())) if address}
