"""No figure of any suite of measured cases may get worse than it has been: `reached.json` only tightens."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.truth.scoring import GATES, Reached, cases, gates, reached

HAIR = 2e-6  # rounding of the stored gates


@cache
def now() -> dict[str, Reached]:
    return reached()


@pytest.mark.parametrize("key", sorted(gates()))
def test_no_figure_gets_worse(key: str) -> None:
    gate, found = gates()[key], now()[key]
    assert found.failures <= gate["failures"], "figures are missing that were there"
    assert found.median <= gate["median"] + HAIR
    assert found.p90 <= gate["p90"] + HAIR


def test_every_figure_has_a_gate() -> None:
    assert set(now()) == set(gates())
    assert Path(GATES).exists()


def test_every_case_names_its_source() -> None:
    wanted: tuple[tuple[str, type[Any]], ...] = (("id", str), ("source", str), ("request", dict), ("expect", list))
    ids = [case["id"] for case in cases()]
    assert len(ids) == len(set(ids))
    for case in cases():
        assert all(isinstance(case[key], kind) and case[key] for key, kind in wanted), case["id"]
