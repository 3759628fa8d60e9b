"""Pipeline schedules: how many micro-batches' activations a stage holds when it holds most.

One forward, one backward (1F1B): stage i of p has p − i micro-batches in flight. Interleaved with v chunks a stage
(arXiv 2104.04473, section 2.2) it has 2 (p − i − 1) + (v − 1) p + 1 chunks of 1/v of its layers.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Schedule:
    """`stages` with `chunks` each run `microbatches` in one step."""

    stages: int
    chunks: int
    microbatches: int

    def in_flight(self, index: int) -> tuple[int, int]:
        """Activations that stage `index` holds at most, as a fraction of one micro-batch through all its layers."""
        if self.chunks == 1:
            return min(self.stages - index, self.microbatches), 1
        held = 2 * (self.stages - index - 1) + (self.chunks - 1) * self.stages + 1
        return min(held, self.microbatches * self.chunks), self.chunks
