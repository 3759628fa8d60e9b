"""Numbers as they are shown: one unit and one precision for a whole answer, so that what is shown adds up.

What is needed is rounded up, what is available is rounded down, and the rows of a sum are rounded so that the
shown rows
add up to the shown sum (largest remainder).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gauge.units import System, ceil_div, scaled

NBSP = "\u00a0"
MINUS = "\u2212"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A unit and a number of decimals for every figure of one answer.

    `unit` is bytes; one shown step is unit / 10**places.
    """

    unit: int
    name: str
    places: int

    @classmethod
    def of(cls, largest: int, system: System = "GiB") -> Scale:
        """The scale on which the largest figure keeps at least three significant digits."""
        unit, name = scaled(max(abs(largest), 1), system)
        if name in {"TiB", "TB"}:
            unit, name = scaled(unit // (1024 if system == "GiB" else 1000), system)
        if unit == 1:
            return cls(unit=1, name="B", places=0)
        places = 2 if largest < 100 * unit else 1
        return cls(unit=unit, name=name, places=places)

    @property
    def steps(self) -> int:
        """Shown steps in one unit."""
        return int(10**self.places)

    def up(self, size: int) -> int:
        """Steps that are not less than `size`: what is needed."""
        return ceil_div(size * self.steps, self.unit)

    def down(self, size: int) -> int:
        """Steps that are not more than `size`: what is available."""
        return size * self.steps // self.unit

    def rows(self, sizes: Sequence[int], wished: Sequence[int | None] = (), whole: int | None = None) -> list[int]:
        """Steps for each row such that they add up to `whole`, by default the rounded-up sum; each is its size rounded
        down or up.

        `whole` may be the sum rounded down or up. Where the choice is free, rows come out as `wished`.
        """
        floors = [self.down(size) for size in sizes]
        remainders = [size * self.steps - floor * self.unit for size, floor in zip(sizes, floors, strict=True)]
        missing = (self.up(sum(sizes)) if whole is None else whole) - sum(floors)
        wishes = [0 if wish is None or not r else 1 if wish > f else -1
                  for wish, r, f in zip(wished or [None] * len(sizes), remainders, floors, strict=True)]  # fmt: skip
        open_rows = [i for i in range(len(sizes)) if remainders[i]]
        largest = sorted(open_rows, key=lambda i: (-wishes[i], -remainders[i]))[:missing]
        return [floor + (i in largest) for i, floor in enumerate(floors)]

    def nested(self, sizes: Sequence[int], paths: Sequence[Sequence[str]]) -> list[int]:
        """As `rows`, for rows that stand in groups within groups: `paths` names each row's groups, the widest first.

        Rounding goes from the whole to the parts, so every group is its own size rounded down or up and is what its
        rows add up to. A whole that is rounded lies between its parts rounded down and its parts rounded up, which is
        why this always works out.
        """
        found = [0] * len(sizes)
        levels: list[tuple[list[int], int, int]] = [(list(range(len(sizes))), 0, self.up(sum(sizes)))]
        while levels:
            inside, depth, whole = levels.pop()
            split: dict[str, list[int]] = {}
            for i in inside:
                split.setdefault(paths[i][depth] if depth < len(paths[i]) else f"row {i}", []).append(i)
            sums = [sum(sizes[i] for i in part) for part in split.values()]
            for part, steps in zip(split.values(), self.rows(sums, whole=whole), strict=True):
                if len(part) == 1:
                    found[part[0]] = steps
                else:
                    levels.append((part, depth + 1, steps))
        return found

    def number(self, steps: int) -> str:
        """Steps as a number without its unit: `1,234.50`."""
        whole, part = divmod(abs(steps), self.steps)
        sign = MINUS if steps < 0 else ""
        return f"{sign}{whole:,}" + (f".{part:0{self.places}d}" if self.places else "")

    def text(self, steps: int) -> str:
        """Steps as a figure with its unit, which never breaks over a line."""
        return f"{self.number(steps)}{NBSP}{self.name}"

    def need(self, size: int) -> str:
        """A required amount: rounded up, with its unit."""
        return self.text(self.up(size))

    def near(self, size: int, finer: int = 2) -> str:
        """One amount by itself, to the nearest, with `finer` places more than rows: where nothing has to add up."""
        fine = Scale(unit=self.unit, name=self.name, places=self.places + finer)
        return fine.text((2 * size * fine.steps + self.unit) // (2 * self.unit)) if self.places else self.text(size)

    def room(self, size: int) -> str:
        """An available amount: rounded down, with its unit."""
        return self.text(self.down(size))


def exact(size: int) -> str:
    """Every byte: `8,589,934,592 bytes`."""
    return f"{size:,}{NBSP}bytes"


def percent(part: int, whole: int) -> str:
    """A share, e.g. `12 %`."""
    if whole <= 0:
        return ""
    tenths = (part * 1000 + whole // 2) // whole
    return f"{tenths // 10}{NBSP}%" if tenths >= 100 else f"{tenths / 10:.1f}{NBSP}%"


def times(count: int, noun: str) -> str:
    """A count with its noun in the right number."""
    return f"{count:,}{NBSP}{noun}" if count == 1 else f"{count:,}{NBSP}{noun}s"
