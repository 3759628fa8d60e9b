"""A case through its runtime: pools by moment, peak, and what the leftover buys."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from gauge.breakdown import Pool
from gauge.case import Breakdown, Case
from gauge.remarks import remarks
from gauge.runtimes import runtime


@dataclass(frozen=True)
class Estimate:
    """The memory of one case."""

    case: Case
    breakdown: Breakdown

    @property
    def pools(self) -> tuple[Pool, ...]:
        """One pool for each kind of device, by its fullest member."""
        return self.breakdown.pools

    @property
    def main(self) -> Pool:
        """The accelerator's pool, or the host's where there is no accelerator."""
        return self.pools[0]

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Remarks of the reader, the runtime and the request."""
        return (*self.case.model.notes, *self.breakdown.warnings, *remarks(self.case))


def estimate(case: Case) -> Estimate:
    """The memory of a case. Raises RequestError."""
    profile = runtime(case.plan.runtime, case.plan.task)
    return Estimate(case, profile.breakdown(case))
