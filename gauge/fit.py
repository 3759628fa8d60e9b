"""Does it fit, what is the most that would, and what to change: inverse questions by search over `estimate`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gauge.case import Case, Remedy
from gauge.errors import RequestError
from gauge.estimation import Estimate, estimate
from gauge.runtimes import runtime
from gauge.units import format_bytes

MOST_BATCH = 65_536
MOST_TOKENS = 2**24
MOST_DEVICES = 1024
MOST_REMEDIES = 3


def verdict(found: Estimate) -> dict[str, Any] | None:
    """Whether the fullest device holds it: `fits`, `tight` (only the upper end of the range does not), `short`."""
    usable = found.case.cluster.usable
    if usable is None:
        return None
    pool = found.main
    word = "fits" if pool.high <= usable else "tight" if pool.device <= usable else "short"
    device = found.case.plan.device
    return {
        "device": device,
        "usable_bytes": usable,
        "headroom_bytes": usable - pool.device,
        "verdict": word,
        "remedies": [],
    }


def _fits(case: Case, **changes: Any) -> bool:
    usable = case.cluster.usable
    try:
        changed = replace(case, plan=case.plan.edited(**changes))
        return usable is not None and estimate(changed).main.device <= usable
    except RequestError:
        return False


def largest(fits: Callable[[int], bool], most: int, start: int = 1) -> int:
    """The largest number for which `fits` holds, 0 where not even 1 does; `fits` must not come back once it is lost."""
    if not fits(1):
        return 0
    low, high = 1, max(start, 2)
    while high < most and fits(high):
        low, high = high, high * 2
    high = min(high, most)
    if fits(high):
        return high
    while high - low > max(1, low // 256):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def capacity(found: Estimate) -> dict[str, int]:
    """The largest batch and sequence that the device holds, everything else as asked."""
    case = found.case
    out: dict[str, int] = dict(found.breakdown.capacity)
    if case.cluster.usable is None:
        return out
    out["max_batch_size"] = largest(lambda n: _fits(case, batch_size=n), MOST_BATCH, case.plan.batch_size)
    longest = min(MOST_TOKENS, case.model.max_length)
    out["max_sequence_length"] = largest(lambda n: _fits(case, **_tokens(n)), longest, min(case.plan.tokens, longest))
    return out


def _tokens(count: int) -> dict[str, Any]:
    return {"sequence_length": count, "prompt_length": count}


def _candidates(case: Case) -> list[Remedy]:
    plan = case.plan
    out: list[Remedy] = []
    if plan.training:
        if plan.gradient_checkpointing == "none":
            out.append(("full checkpointing", {"gradient_checkpointing": "full"}, "about a third more compute"))
        if plan.optimizer in ("adamw", "adamw-fused", "adamw-loop"):
            out.append(("8-bit AdamW", {"optimizer": "adamw-8bit"}, "states in 8 bits; quality is usually unchanged"))
        if plan.method == "full":
            out.append(
                ("LoRA", {"method": "lora", "precision": "pure-16bit"}, "only adapters learn; less capacity to change")
            )
        if plan.method == "lora":
            out.append(("QLoRA", {"method": "qlora"}, "4-bit base weights; slower steps"))
        if plan.batch_size > 1:
            out.append(("half the micro-batch", {"batch_size": plan.batch_size // 2}, "twice the accumulation steps"))
    elif (own := runtime(plan.runtime, plan.task).remedies) is not None:
        out += own(case)
    else:
        if plan.quantization == "none":
            out.append(("INT4 weights", {"quantization": "awq-int4-g128"}, "some loss of quality"))
            out.append(("FP8 weights", {"quantization": "fp8"}, "small risk to quality"))
        if plan.kv_cache_dtype is None:
            out.append(("FP8 cache", {"kv_cache_dtype": "fp8"}, "small risk to quality on long contexts"))
    if plan.tokens > 1024:
        out.append(("half the sequence", _tokens(plan.tokens // 2), "half the context"))
    return out


def remedies(found: Estimate) -> list[dict[str, Any]]:
    """At most three changes, ordered by the memory they save, each with its cost in words."""
    case, before = found.case, found.main.device
    out: list[dict[str, Any]] = []
    for label, changes, cost in _candidates(case):
        try:
            after = estimate(replace(case, plan=case.plan.edited(**changes))).main.device
        except RequestError:
            continue
        if after < before:
            saved = before - after
            out.append(
                {
                    "label": label,
                    "changes": changes,
                    "saves_bytes": saved,
                    "cost": cost,
                    "text": f"{label}: −{format_bytes(saved)}; {cost}",
                }
            )
    return sorted(out, key=lambda r: r["saves_bytes"], reverse=True)[:MOST_REMEDIES]
