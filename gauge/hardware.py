"""Devices and clusters: what a driver reports, what of it can be used."""

from __future__ import annotations

from dataclasses import dataclass

from gauge.units import MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One accelerator, computer or phone: `reported` is the driver's total in bytes, `usable` what a process gets."""

    id: str
    title: str
    vendor: str
    kind: str
    marketing_gb: float
    reported: int
    usable: int
    usable_note: str = ""
    bandwidth: float | None = None
    source: str = ""

    @property
    def unified(self) -> bool:
        """Whether the memory is the computer's own."""
        return self.kind in ("apple", "cpu", "mobile")


@dataclass(frozen=True, slots=True)
class Cluster:
    """`count` devices of one kind; no device means that nothing is judged."""

    device: Device | None
    count: int
    memory: int | None = None

    @property
    def capacity(self) -> int | None:
        """Bytes that the driver reports for one device, or the user's own figure."""
        if self.memory is not None:
            return self.memory
        return self.device.reported if self.device else None

    @property
    def usable(self) -> int | None:
        """Bytes that a process can use on one device."""
        if self.memory is not None:
            return self.memory
        return self.device.usable if self.device else None

    @property
    def name(self) -> str:
        """How the device is called in a verdict."""
        if self.device is not None:
            return self.device.title
        return "this memory" if self.memory is not None else ""


def mebibytes(amount: float) -> int:
    """Bytes of an amount in MiB."""
    return round(amount * MIB)
