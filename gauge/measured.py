"""Measured runs near a question: what a counter or a log said, beside what is computed for those very settings now.

A line of `gauge/data/measured.jsonl` is one published run: its request, one figure of it (`of`, as in `gpu.allocated` or
`capacity.kv_pool_tokens`), the value that was measured, and the source. Only runs of catalogue models are kept here, so
that each can be opened as it was.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pkgutil import get_data
from typing import Any

from gauge.catalog import heads

Json = Mapping[str, Any]

# How much it says against a run that it was made with another value of a field.
APART = {
    "model": 2,
    "method": 4,
    "quantization": 4,
    "gradient_checkpointing": 2,
    "optimizer": 2,
    "tensor_parallel": 1,
    "loss": 1,
    "device": 0.5,
}
USUAL = {"quantization": "none", "tensor_parallel": 1}  # what a run had that does not say otherwise
VLLM_PROFILE = ("activations", "logits", "workspace")  # what vLLM's log calls the activation peak


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One measured figure of one run; `value` in bytes, or in tokens where `of` names tokens."""

    id: str
    source: str
    request: Json
    of: str
    value: int

    @property
    def unit(self) -> str:
        return "tokens" if self.of.endswith("_tokens") else "bytes"


@cache
def runs() -> tuple[Run, ...]:
    """Every run that the package carries."""
    text = (get_data("gauge", "data/measured.jsonl") or b"").decode()
    return tuple(Run(**json.loads(line)) for line in text.splitlines())


def nearest(request: Json, count: int = 3) -> list[Run]:
    """The runs of the same task and runtime whose settings are nearest to a request as it was read."""
    same = [r for r in runs() if all(r.request.get(name) == request.get(name) for name in ("task", "runtime"))]
    return sorted(same, key=lambda run: (distance(run.request, request), run.id))[:count]


def distance(run: Json, request: Json) -> float:
    """How unlike two requests are: settings that differ, and doublings of parameters and of tokens at once."""
    told = {**USUAL, **run}
    settings = sum(far for name, far in APART.items() if name in told and str(told[name]) != str(request.get(name)))
    return settings + _doublings(_parameters(run), _parameters(request)) + _doublings(_tokens(run), _tokens(request)) / 4


def _doublings(one: int, other: int) -> float:
    return abs(math.log2(max(one, 1) / max(other, 1)))


def _tokens(request: Json) -> int:
    return int(request.get("batch_size") or 1) * int(request.get("sequence_length") or 1)


def _parameters(request: Json) -> int:
    wanted = request.get("model")
    found = (entry for entry in heads("models.jsonl") if wanted == entry["id"] or wanted in entry.get("aliases", ()))
    return int(next(found, {}).get("parameters") or request.get("parameters") or 1)


def figure(answer: Json, path: str, runtime: str) -> float | None:
    """The value of an answer that `path` names, None where it has none of its terms; `a+b` adds.

    `gpu.weights` is a component at the pool's peak, or where it is largest if none lives at the peak.
    """
    found = [v for v in (_term(answer, term.strip(), runtime) for term in path.split("+")) if v is not None]
    return sum(found) if found else None


def _term(answer: Json, term: str, runtime: str) -> float | None:
    place, _, name = term.partition(".")
    if place in ("capacity", "model"):
        value: float | None = answer.get(place, {}).get(name)
        return value
    pools = [p for p in answer.get("pools", ()) if place in ("all", p["name"])]
    if name in ("allocated", "reserved", "device"):
        values = [float(p[name]) for p in pools]
    else:
        names = VLLM_PROFILE if (name, runtime) == ("activations", "vllm") else (name,)
        values = [v for v in (_component(p, names) for p in pools) if v is not None]
    return (sum(values) if place == "all" else max(values)) if values else None


def _component(pool: Json, names: Iterable[str]) -> float | None:
    items = [i for i in pool["items"] if i["component"].partition(".")[0] in names]
    if not items:
        return None
    always = sum(int(i["bytes"]) for i in items if not i["moments"])
    moments: dict[str, int] = {}
    for one in items:
        for moment in one["moments"]:
            moments[moment] = moments.get(moment, 0) + int(one["bytes"])
    if pool["peak"] in moments or always:
        return always + moments.get(pool["peak"], 0)
    return max(moments.values())
