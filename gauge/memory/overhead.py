"""What lies outside live tensors: the allocator's slack and the driver's context, each a measured range."""

from __future__ import annotations

from dataclasses import replace

from gauge.breakdown import Pool, constant
from gauge.overheads import overhead


def finished(pool: Pool) -> Pool:
    """Adds what lies outside live tensors: the allocator's slack and the driver's context, each with its range."""
    slack = overhead("pytorch", "slack")
    outside = (
        constant("framework.allocator", slack, size=slack.per(pool.allocated, 100), scope="reserved"),
        constant("framework.context", overhead("pytorch", "context")),
    )
    return replace(pool, items=(*pool.items, *outside))
