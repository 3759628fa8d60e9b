"""What lies outside live tensors: the allocator's slack and the driver's context, each a measured range."""

from __future__ import annotations

from dataclasses import replace

from gauge.breakdown import Pool, measured
from gauge.units import MIB

CONTEXT = (450 * MIB, 300 * MIB, 620 * MIB)
CONTEXT_SOURCE = "CUDA context and loaded kernels: 0.3 to 0.6 GiB on drivers that load lazily"
WHY_CONTEXT = "The driver's context and the kernels that were loaded; it lives outside PyTorch's allocator."
SLACK_LOW, SLACK_TYPICAL, SLACK_HIGH = 0, 4, 15  # percent of allocated
WHY_SLACK = (
    "The caching allocator keeps whole segments; what it holds beyond live tensors depends on their sizes and order."
)


def finished(pool: Pool) -> Pool:
    """Adds what lies outside live tensors: the allocator's slack and the driver's context, each with its range."""
    live = pool.allocated
    slack = (
        measured(
            "framework.allocator",
            "allocator slack",
            live * SLACK_TYPICAL // 100,
            live * SLACK_LOW // 100,
            live * SLACK_HIGH // 100,
            why=WHY_SLACK,
            source="PyTorch caching allocator: 2 MiB segments, 20 MiB for blocks up to 10 MiB",
            scope="reserved",
        ),
        measured("framework.context", "CUDA context", *CONTEXT, why=WHY_CONTEXT, source=CONTEXT_SOURCE),
    )
    return replace(pool, items=(*pool.items, *slack))
