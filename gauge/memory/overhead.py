"""What lies outside live tensors: the allocator's slack and the driver's context, each a measured range."""

from __future__ import annotations

from dataclasses import replace

from gauge.breakdown import Pool, constant
from gauge.overheads import overhead
from gauge.versions import before_lazy


def finished(pool: Pool, slack: tuple[int, int, int] | None = None, version: str = "") -> Pool:
    """Adds what lies outside live tensors: the allocator's slack and the driver's context, each with its range.

    `slack` is (typical, lowest, highest) where it was derived from the sizes of the blocks; a dated `version` picks the
    context of its time.
    """
    found = overhead("pytorch", "slack")
    size = found.per(pool.allocated, 100) if slack is None else slack
    outside = (
        constant("framework.allocator", found, size=size, scope="reserved"),
        constant("framework.context", overhead("pytorch", "context_eager" if before_lazy(version) else "context")),
    )
    return replace(pool, items=(*pool.items, *outside))


def served(pool: Pool) -> Pool:
    """As `finished` for inference: weights fill their segments, so only what comes and goes leaves gaps."""
    still = sum(i.bytes for i in pool.alive(pool.moments[0][0]) if i.scope == "allocated")
    slack = overhead("pytorch", "slack_serving")
    outside = (
        constant("framework.allocator", slack, size=slack.per(pool.allocated - still, 100), scope="reserved"),
        constant("framework.context", overhead("pytorch", "context")),
    )
    return replace(pool, items=(*pool.items, *outside))
