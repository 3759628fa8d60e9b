"""Answers as HTML: pure functions from an answer dict to fragments, the same at build time, in worker and notebook.

One file for each thing on the page. Everything is escaped by construction: text becomes markup only through `html.tag`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def notebook(answer: Mapping[str, Any]) -> str:
    """An answer for a notebook cell: verdict, gauge and table, without scripts."""
    from gauge.view.cell import cell

    return cell(answer)
