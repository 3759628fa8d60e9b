"""An answer made ready to be shown: which pool, which moment, which rows, on which scale.

Every fragment starts from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from gauge.units import System
from gauge.view import palette
from gauge.view.figures import Scale
from gauge.view.html import capital

Json = Mapping[str, Any]
FINEST = 4  # decimals, shown only where fewer would hide that something just fits


@dataclass(frozen=True, slots=True)
class Row:
    """One thing in memory at the moment shown: the answer's item, its size and its shown size in steps of the scale."""

    item: Json
    size: int
    steps: int

    @property
    def component(self) -> str:
        return str(self.item["component"])

    @property
    def label(self) -> str:
        label = str(self.item.get("label") or palette.COMPONENTS.get(palette.head(self.component), self.component))
        return capital(label)

    @property
    def group(self) -> palette.Group:
        return palette.group_of(self.component)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The device that the fit is judged against; sizes in bytes, `None` where nobody said; `marketing` is
    gigabytes as sold. `count` is that of all pools of its kind: every pipeline stage's.
    """

    id: str
    title: str
    count: int
    usable: int | None
    reported: int | None
    marketing: str


@dataclass(frozen=True)
class Reading:
    """`answer` is a contract answer without errors; `moment` an id of its pool or empty for the peak; `system`
    GiB or GB; `repository` the address of this program's code, or empty.
    """

    answer: Json
    system: System = "GiB"
    moment: str = ""
    cards: Mapping[str, Json] | None = None
    repository: str = ""

    @cached_property
    def request(self) -> Json:
        found: Json = self.answer.get("request") or {}
        return found

    @cached_property
    def pool(self) -> Json:
        """The fullest accelerator's pool, or the host's where there is no accelerator."""
        pools = self.answer["pools"]
        found: Json = next((p for p in pools if p["name"] == "gpu"), pools[0])
        return found

    @cached_property
    def others(self) -> list[Json]:
        """Pools beside the judged one that hold something."""
        return [p for p in self.answer["pools"] if p is not self.pool and p["items"]]

    @cached_property
    def shown_moment(self) -> str:
        """The moment whose rows are shown: the one asked for if the pool has it, else the peak."""
        known = [str(m["id"]) for m in self.pool["moments"]]
        return self.moment if self.moment in known else str(self.pool["peak"])

    @property
    def at_peak(self) -> bool:
        return self.shown_moment == str(self.pool["peak"])

    @cached_property
    def scale(self) -> Scale:
        """The unit and the decimals of every figure: as many as it takes for what just fits to be seen to fit."""
        sizes = [pool["device"] for pool in self.answer["pools"]]
        usable, need = self.card.usable, int(self.pool["device"])
        scale = Scale.of(max([*sizes, min(usable or 0, 10 * max(sizes))]), self.system)
        if usable is not None and need <= usable and scale.unit > 1:
            while scale.up(need) > scale.down(usable) and scale.places < FINEST:
                scale = replace(scale, places=scale.places + 1)
        return scale

    @cached_property
    def rows(self) -> list[Row]:
        return self.rows_of(self.pool, self.shown_moment)

    def rows_of(self, pool: Json, moment: str) -> list[Row]:
        """What is alive in a pool at a moment, in the fixed order.

        Rounded from the whole to the parts: groups add up to the total, rows to their group.
        """
        alive = [i for i in pool["items"] if (not i["moments"] or moment in i["moments"]) and i["bytes"]]
        outside = pool["device"] - sum(i["bytes"] for i in alive) if moment == pool["peak"] else 0
        if outside > 0:
            alive = [*alive, _outside(outside)]
        alive.sort(key=lambda item: palette.place(item["component"]))
        paths = [(palette.group_of(c).id, palette.kind(c)) for c in (str(item["component"]) for item in alive)]
        shown = self.scale.nested([item["bytes"] for item in alive], paths)
        return [Row(item, item["bytes"], steps) for item, steps in zip(alive, shown, strict=True)]

    @cached_property
    def total(self) -> int:
        """Bytes alive at the shown moment."""
        return sum(row.size for row in self.rows)

    @cached_property
    def low(self) -> int:
        return min(self.total, int(self.pool.get("low") or self.total)) if self.at_peak else self.total

    @cached_property
    def high(self) -> int:
        return max(self.total, int(self.pool.get("high") or self.total)) if self.at_peak else self.total

    @cached_property
    def groups(self) -> list[tuple[palette.Group, list[Row]]]:
        """The rows by colour, in the fixed order."""
        return grouped(self.rows)

    @cached_property
    def card(self) -> Card:
        """The device judged against, with what the catalogue knows beyond the answer."""
        fit = self.answer.get("fit") or {}
        named = str(fit.get("device") or self.request.get("device") or "")
        known = (self.cards or {}).get(str(self.request.get("device") or named), {})
        own = self.request.get("device_memory")
        reported = fit.get("reported_bytes") or (None if own else known.get("reported_bytes"))
        return Card(
            id=named,
            title=str(known.get("title") or named or "the device"),
            count=sum(int(p.get("count") or 1) for p in self.answer["pools"] if p["name"] == self.pool["name"]),
            usable=fit.get("usable_bytes"),
            reported=reported or fit.get("usable_bytes"),
            marketing="" if own or not known.get("marketing_gb") else f"{known['marketing_gb']:g}",
        )

    @cached_property
    def need(self) -> int:
        """Bytes the question needs at its peak; less than the pool holds where an engine reserves more."""
        reserve = sum(int(i["bytes"]) for i in self.pool["items"] if i["component"] == palette.RESERVE)
        return int(self.pool["device"]) - reserve

    @property
    def reserves(self) -> bool:
        """Whether the engine takes more than the question needs."""
        return self.need < int(self.pool["device"])

    @cached_property
    def spare(self) -> int | None:
        """Shown steps left on the device at the peak; negative when it does not fit. Rounded against the user.

        An engine that takes a share of the device has only what that share leaves.
        """
        usable, room = self.card.usable, (self.answer.get("fit") or {}).get("headroom_bytes")
        if usable is None:
            return None
        if room is not None and room != usable - self.pool["device"]:
            return self.scale.down(int(room))
        left = self.scale.down(usable) - self.scale.up(int(self.pool["device"]))
        return left if room is None or int(room) < 0 else max(left, 0)

    @cached_property
    def verdict(self) -> str:
        """`fits`, `tight` (the range reaches beyond the device), `short`, or `unknown` where there is no device."""
        if self.card.usable is None or self.spare is None:
            return "unknown"
        if self.spare < 0:
            return "short"
        said = str((self.answer.get("fit") or {}).get("verdict") or "")
        return said if said in {"fits", "tight"} else "tight"


def grouped(rows: Iterable[Row]) -> list[tuple[palette.Group, list[Row]]]:
    """Rows by colour, in the fixed order of colours; colours without rows are left out."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.group.id, []).append(row)
    return [(group, found[group.id]) for group in palette.GROUPS if group.id in found]


def _outside(size: int) -> Json:
    return {
        "component": "slack",
        "label": "Outside the tensors",
        "bytes": size,
        "low": size,
        "high": size,
        "certainty": "policy",
        "symbols": "device total − items",
        "substituted": "",
        "why": "What the allocator keeps beyond its live tensors, and what lives on the device beside it.",
        "source": "",
        "moments": [],
    }
