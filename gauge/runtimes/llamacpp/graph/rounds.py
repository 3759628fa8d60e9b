"""Equal blocks need not be laid out again once the allocator stands where it stood before.

A stretch of blocks is cut by whole rounds of its pattern. That changes nothing if somewhere in what is left, one
boundary between blocks finds the allocator (its gaps, and everything alive with its place) exactly as an earlier one
did: the engine's graph continues as it did from there, round after round, to the same offsets and no new height, and
whatever follows the stretch meets the same memory. What is alive at both boundaries covers shared inputs too: one last
read in between would be missing. The layout is often periodic itself, over up to three blocks or the pattern's length.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

LONGEST = 12  # blocks in a pattern
LEFT = 8  # blocks left beside a round, in which the layout settles
CYCLE = 6  # layouts repeat after 1, 2, 3 or 6 blocks


@dataclass(frozen=True, slots=True)
class Cut:
    """Blocks `first` to `end` follow a pattern of `period`; `dropped` of them, whole rounds, are left out behind `end`."""

    first: int
    end: int
    period: int
    dropped: int

    def of(self, count: int) -> list[int]:
        """Which of `count` blocks are left."""
        return [i for i in range(count) if not self.end <= i < self.end + self.dropped]

    def harmless(self, states: Sequence[Hashable]) -> bool:
        """Whether the allocator comes back to an earlier state. `states`: before each block that is left."""
        for one in range(self.first + self.period, self.end + 1):
            for other in range(one + self.period, self.end + 1, self.period):
                if self.dropped % (other - one) == 0 and states[one] == states[other]:
                    return True
        return False


def cut(kinds: Sequence[Hashable]) -> Cut | None:
    """The longest cut of a sequence of blocks, the last of which stays; None where there is nothing to gain."""
    found: Cut | None = None
    for period in range(1, min(LONGEST, len(kinds) - 1) + 1):
        first = 0
        for index in range(period, len(kinds)):
            if index < len(kinds) - 1 and kinds[index] == kinds[index - period]:
                continue
            unit = period * -(-CYCLE // period)
            dropped = max(index - first - LEFT - period, 0) // unit * unit
            if dropped and (found is None or dropped > found.dropped):
                found = Cut(first, index - dropped, period, dropped)
            first = index - period + 1
    return found
