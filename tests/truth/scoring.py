"""Measured cases against our answers: the error of every figure, gathered by suite.

A case is `{"id", "group", "suite", "source", "request", "expect": [{"of", "bytes" | "tokens" | "count"}]}`. `of` names a
figure of the answer: `gpu.weights` (a component at the pool's peak, or where it is largest if none lives at the peak),
`gpu.allocated`, `capacity.kv_pool_tokens`, `model.parameters`; `a+b` adds. Cases of one group (one model measured by one
source) are averaged first.

    python -m tests.truth.scoring             prints the figures of every suite
    python -m tests.truth.scoring --tighten   lowers the gates in reached.json to what is reached now
    python -m tests.truth.scoring --carry     writes the runs that the page shows beside an answer
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gauge
from gauge.api import answer_to
from gauge.catalog import heads
from gauge.measured import figure

HERE = Path(__file__).parent
FILES = ("pytorch", "training", "inference", "llamacpp")
GATES = HERE / "reached.json"
VALUES = ("bytes", "tokens", "count", "or_bytes")
LOOKED_FOR = ("gpu.allocated", "gpu.reserved", "gpu.device", "capacity.kv_pool_tokens", "gpu.kv_cache", "gpu.weights")
CARRIED = Path(gauge.__file__).parent / "data" / "measured.jsonl"

Json = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """One figure of one case; `error` is relative, None where the answer lacks the figure."""

    suite: str
    group: str
    figure: str
    error: float | None


@dataclass(frozen=True)
class Reached:
    """How good one figure of a suite is, over its groups."""

    median: float
    p90: float
    failures: int
    groups: int


def cases(files: Iterable[str] = FILES) -> Iterator[Json]:
    """Every measured case."""
    for name in files:
        for line in (HERE / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def carried() -> list[Json]:
    """The runs that the package carries: those of models that the catalogue describes as the run had them, each with its
    first figure of those that people look for: a peak, else room for the cache, else weights.
    """
    known = {name for entry in heads("models.jsonl") for name in (entry["id"], *entry.get("aliases", ()))}
    found = []
    for case in cases(("training", "inference")):
        shown = next((e for of in LOOKED_FOR for e in case["expect"] if e["of"] == of), None)
        request = {name: value for name, value in case["request"].items() if name != "config"}
        if shown and request.get("model") in known and _said(request, shown["of"]) == _said(case["request"], shown["of"]):
            value = next(shown[key] for key in VALUES if key in shown)
            found.append({"id": case["id"], "source": case["source"], "request": request, "of": shown["of"], "value": value})
    return found


def _said(request: Json, of: str) -> float | None:
    return figure(answer_to(request, deep=False), of, request.get("runtime", ""))


def carry() -> str:
    """The lines of the file that the package carries."""
    return "".join(json.dumps(run, ensure_ascii=False, separators=(", ", ": ")) + "\n" for run in carried())


def results() -> Iterator[Result]:
    """Every figure of every case."""
    for case in cases():
        request = case["request"]
        answer = answer_to(request, deep=False)
        for expected in case["expect"]:
            value = figure(answer, expected["of"], request.get("runtime", ""))
            rights = [expected[k] for k in VALUES if k in expected]
            error = None if value is None else min(((value - r) / r for r in rights), key=abs)
            yield Result(case["suite"], case["group"], expected["of"], error)


def reached() -> dict[str, Reached]:
    """`suite figure` → how good it is."""
    errors: dict[str, dict[str, list[float]]] = {}
    failures: dict[str, int] = {}
    for one in results():
        key = f"{one.suite} {one.figure}"
        failures[key] = failures.get(key, 0) + (one.error is None)
        groups = errors.setdefault(key, {})
        if one.error is not None:
            groups.setdefault(one.group, []).append(abs(one.error))
    return {key: _summary(groups, failures[key]) for key, groups in sorted(errors.items())}


def _summary(groups: dict[str, list[float]], failures: int) -> Reached:
    means = sorted(statistics.fmean(values) for values in groups.values())
    if not means:
        return Reached(1.0, 1.0, failures, 0)
    return Reached(statistics.median(means), means[min(len(means) - 1, int(0.9 * len(means)))], failures, len(means))


def gates() -> dict[str, Json]:
    """What was reached before, by `suite figure`."""
    found: dict[str, Json] = json.loads(GATES.read_text(encoding="utf-8")) if GATES.exists() else {}
    return found


def tighten() -> None:
    """Lower every gate to what is reached now; none is ever raised, except where figures came that were missing."""
    new = {key: _tighter(now, gates().get(key)) for key, now in reached().items()}
    GATES.write_text(json.dumps(new, indent=1) + "\n", encoding="utf-8")


def _tighter(now: Reached, before: Json | None) -> Json:
    fresh = {"median": round(now.median, 6), "p90": round(now.p90, 6), "failures": now.failures}
    if before is None or now.failures < before["failures"]:
        return fresh
    return {name: min(value, before[name]) for name, value in fresh.items()}


def coverage(figures: tuple[str, ...] = ("gpu.device", "gpu.reserved")) -> tuple[list[str], list[str]]:
    """Ids of the cases whose measured reservation or device memory lies inside the stated range, and of the others."""
    inside: list[str] = []
    outside: list[str] = []
    for case in cases():
        for expected in (e for e in case["expect"] if e["of"] in figures and case["request"]["task"] == "training"):
            answer = answer_to(case["request"], deep=False)
            if "errors" in answer:
                continue
            low, high = stated(answer["pools"][0], expected["of"].partition(".")[2])
            (inside if low <= expected["bytes"] <= high else outside).append(case["id"])
    return inside, outside


def stated(pool: Json, total: str) -> tuple[int, int]:
    """The range of a pool's total at its peak."""
    scopes = ("allocated", "reserved") if total == "reserved" else ("allocated", "reserved", "device")
    alive = [i for i in pool["items"] if (not i["moments"] or pool["peak"] in i["moments"]) and i["scope"] in scopes]
    return sum(i["low"] for i in alive), sum(i["high"] for i in alive)


if __name__ == "__main__":
    if "--tighten" in sys.argv:
        tighten()
    if "--carry" in sys.argv:
        CARRIED.write_text(carry(), encoding="utf-8")
    for key, found in reached().items():
        shown = f"median {found.median:8.3%}  90th percentile {found.p90:8.3%}"
        print(f"{key:66} {found.groups:3} groups  {shown}  {found.failures} failures")
    inside, outside = coverage()
    print(f"reserved and device memory of training inside the stated range: {len(inside)} of {len(inside) + len(outside)}")
    print("outside:", ", ".join(outside))
