"""The breakdown of an estimate as a notebook shows it: a table, without scripts."""

from __future__ import annotations

from html import escape
from typing import Any

from gauge.report import by_component, heading
from gauge.units import format_bytes


def notebook(answer: dict[str, Any]) -> str:
    """An answer as a self-contained HTML fragment."""
    rows = "".join(
        f"<tr><td>{escape(name.replace('_', ' '))}</td><td>{format_bytes(size, rounding='up')}</td></tr>"
        for pool in answer["pools"]
        for name, size in by_component(pool)
    )
    return f"<table><caption>{escape(heading(answer))}</caption>{rows}</table>"
