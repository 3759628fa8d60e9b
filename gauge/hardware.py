"""Devices and clusters: what a driver reports, what of it can be used."""

from __future__ import annotations

from dataclasses import dataclass

from gauge.units import GIB, MIB

PHONE_SHARE = (1, 2)  # "roughly half to two thirds of RAM": the part that is certain
WINDOWS_SHARE = (3, 4)  # unified memory given to an integrated GPU at most
SYSTEM_SHARE = (1, 4)  # an operating system takes 1 to 4 GB; a quarter of a small machine
SYSTEM_LEAST, SYSTEM_MOST = 256 * MIB, 4 * GIB
DRIVER_SHARE = (13, 1000)  # what NVIDIA's driver keeps: the median of the cards whose total under CUDA is known
DRIVER_SHARE_LARGE = (6, 1000)  # and of those with more than 64 GiB
DRIVER_LEAST = 215 * MIB  # what it keeps of cards of 6 and 8 GB
LARGE = 64 * GIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One accelerator, computer or phone: `reported` is the driver's total in bytes, `usable` what a process gets,
    `counted` what the programming platform calls the total, which engines take their share of.

    Where no driver's figure is known (`reads_driver` false) `reported` is the size on the box. `usable_note` is what the
    source says, `usable_why` how `usable` follows from it. `capability` is CUDA's number of the generation.
    """

    id: str
    title: str
    vendor: str
    kind: str
    marketing_gb: float
    reported: int
    usable: int
    counted: int
    usable_note: str = ""
    usable_why: str = ""
    reads_driver: bool = True
    capability: tuple[int, int] | None = None
    multiprocessors: int | None = None
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
        """Bytes of one device that engines take their share of, or the user's own figure."""
        if self.memory is not None:
            return self.memory
        return self.device.counted if self.device else None

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


def usable_of(kind: str, reported: int, limit_mib: int | None, note: str) -> tuple[int, str]:
    """Bytes that a process gets of what a device reports, and a sentence where that is less.

    A unified memory is shared with the system: Apple's GPU has a limit of its own, other integrated GPUs at most three
    quarters, phones about half, computers all but what the operating system takes.
    """
    if limit_mib is not None:
        return limit_mib * MIB, "the GPU's default share of the unified memory"
    if kind == "mobile":
        return _part(reported, PHONE_SHARE), "half of the memory: what an app in the foreground can count on"
    if "75 %" in note:
        return _part(reported, WINDOWS_SHARE), "three quarters: the most that Windows gives the GPU"
    if kind == "cpu" or "unified memory" in note:
        system = min(max(_part(reported, SYSTEM_SHARE), SYSTEM_LEAST), SYSTEM_MOST)
        return max(reported - system, 0), "less what the operating system takes, 4 GB on larger machines"
    return reported, ""


def counted_of(reported: int, cuda_mib: int | None) -> tuple[int, str]:
    """Bytes that CUDA counts as the total of a GPU, and a sentence: the driver keeps the rest for itself.

    The total is that of `cudaMemGetInfo`, as PyTorch's messages print it; where it was not read, it is what the driver
    usually leaves.
    """
    if cuda_mib is not None:
        return cuda_mib * MIB, "what CUDA counts as the total; the driver keeps the rest"
    share = DRIVER_SHARE_LARGE if reported > LARGE else DRIVER_SHARE
    return reported - max(_part(reported, share), DRIVER_LEAST), "less what NVIDIA's driver usually keeps for itself"


def capability_of(number: float | None) -> tuple[int, int] | None:
    """8.9 as (8, 9)."""
    if number is None:
        return None
    major, _, minor = f"{number:.1f}".partition(".")
    return int(major), int(minor)


def _part(whole: int, share: tuple[int, int]) -> int:
    return whole * share[0] // share[1]


def mebibytes(amount: float) -> int:
    """Bytes of an amount in MiB."""
    return round(amount * MIB)
