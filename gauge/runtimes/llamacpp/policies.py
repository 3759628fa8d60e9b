"""What llama.cpp did at which time: one table of changes, each with the first build and month that had it.

A version is a build (`b9538`), a release (`v0.5.0`), a month (`2025-05`), a year or a fork's name with one of
them; without any of these the newest policies hold. Where a change lies between two known builds, the later one is
taken.
Source: start-up logs of builds b5353, b8672, b9294, b9538, b9873, b11063 and b11549, and published logs by date.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

UNLIMITED = 10**9
LIBRARY_0_5 = 11063  # the library's release 0.5.0 allocates as this build does
Month = tuple[int, int]
Copies = Literal["never", "twice", "by width"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How one version allocates. The defaults are those of early 2025.

    `latent`: latent attention caches one vector a token (else full heads); `latent_values`: a copy of its value part is
    kept beside it. `windowed`: windowed layers have a smaller cache. `own_streams`: with `-np N` each slot has a cache
    of its own. `slots`: the server's default. `flash`: whether flash attention is on unless said otherwise.
    `output_first`: the output head counts as the first offloaded layer, not the last.
    `few_outputs`: the server reserves logits for the outputs it needs, not for the whole micro-batch.
    `feed_extra`, `attention_extra`, `logits_extra`: residual-wide buffers beside the large ones of that phase.
    `indices`: 64-bit indices by which values are written to an unfused cache.
    `query_copies`: how often queries are copied before unfused attention: never, twice, or by how wide they are.
    `rotates`: keys and values are rotated on their way into a quantized cache.
    `masked_logits`: the mask still lives when logits are computed. `rewritten`: the quantizer's rule of 2026.
    `indexer`: sparse attention's indexer caches its own keys, `picks`: it is one kernel.
    `predicting`: the quantizer counts multi-token-prediction layers as blocks.
    `replayed`: the graph on a processor is the one written down in `graph`, `on_devices` that on a device; `casts`: the
    mask of fused attention comes in 32 bits and is cast; `given`: a batch may hold vectors instead of tokens, for which
    an input is reserved; `mixed`: it may hold both, for which two further inputs are. `narrow_first`: per-layer embeddings
    are looked up before the tokens, and scaled in place.
    """

    latent: bool = False
    latent_values: bool = True
    windowed: bool = False
    own_streams: bool = False
    slots: int = 1
    flash: bool = False
    output_first: bool = False
    few_outputs: bool = False
    feed_extra: int = 4
    attention_extra: int = 4
    logits_extra: int = 2
    indices: bool = False
    query_copies: Copies = "never"
    rotates: bool = False
    masked_logits: bool = False
    rewritten: bool = False
    indexer: bool = False
    picks: bool = False
    predicting: bool = False
    replayed: bool = False
    on_devices: bool = False
    casts: bool = True
    given: bool = False
    mixed: bool = False
    narrow_first: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """From `build`, or from `month`, on."""

    build: int
    month: Month
    what: str
    sets: dict[str, Any]


CHANGES = (
    Change(5092, (2025, 4), "latent attention caches latents", {"latent": True}),
    Change(5428, (2025, 6), "windowed layers get a cache of their own", {"windowed": True}),
    Change(5800, (2025, 7), "the graph is the one written down", {"on_devices": True, "replayed": True}),
    Change(
        5900,
        (2025, 8),
        "caches are written by row index; each slot may have its own",
        {"own_streams": True, "indices": True, "attention_extra": 3, "query_copies": "twice", "logits_extra": 3},
    ),
    Change(6325, (2025, 9), "flash attention wherever it is supported", {"flash": True}),
    Change(6920, (2025, 11), "the server takes four slots over one cache", {"slots": 4}),
    Change(7445, (2025, 12), "a batch may hold vectors", {"given": True}),
    Change(7470, (2026, 1), "the output head is offloaded first", {"output_first": True}),
    Change(7830, (2026, 2), "no values beside cached latents", {"latent_values": False}),
    Change(8300, (2026, 3), "the quantizer is rewritten", {"rewritten": True}),
    Change(8672, (2026, 4), "quantized caches are rotated", {"rotates": True}),
    Change(
        9538,
        (2026, 6),
        "the server reserves few outputs",
        {"few_outputs": True, "logits_extra": 2, "indexer": True, "casts": False},
    ),
    Change(11067, (2026, 8), "the indexer of sparse attention is one kernel", {"picks": True}),
    Change(LIBRARY_0_5, (2026, 9), "prediction layers count as blocks of a file", {"predicting": True}),
    Change(
        11413,
        (2026, 10),
        "a batch may mix tokens and vectors",
        {
            "feed_extra": 5,
            "attention_extra": 5,
            "logits_extra": 5,
            "query_copies": "by width",
            "masked_logits": True,
            "mixed": True,
        },
    ),
    Change(11548, (2026, 11), "per-layer embeddings are looked up first", {"narrow_first": True}),
)
# The ik_llama.cpp fork of 2025: latents without values, windowed layers at full length, flash attention on request.
FORK: dict[str, Any] = {
    "latent": True,
    "latent_values": False,
    "windowed": False,
    "own_streams": False,
    "slots": 1,
    "flash": False,
}


@lru_cache(maxsize=64)
def policy_of(version: str) -> Policy:
    """The policies of a version; the newest where it names none."""
    build, month = _when(version)
    policy = Policy()
    for change in CHANGES:
        reached = change.build <= build if build is not None else change.month <= month
        if reached:
            policy = replace(policy, **change.sets)
    return replace(policy, **FORK) if re.search(r"\bik\b|ik_llama", version) else policy


def _when(version: str) -> tuple[int | None, Month]:
    """Build number and month that a version names."""
    found = re.search(r"\bb(\d{3,6})\b", version)
    if found:
        return int(found[1]), (0, 0)
    if re.search(r"\bv0\.[1-5]\b", version):
        return LIBRARY_0_5, (0, 0)
    found = re.search(r"\b(20\d\d)(?:-(\d\d))?", version)
    if found is None:
        return UNLIMITED, (0, 0)
    year, month = int(found[1]), int(found[2] or 1)
    return None, (year, month) if 1 <= month <= 12 else (year + 1, 1)
