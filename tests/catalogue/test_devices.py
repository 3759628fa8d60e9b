"""Devices: what the driver reports, not what the label says, and what a process gets of a memory that it shares."""

from __future__ import annotations

import pytest

from gauge import catalog

MIB = 2**20


@pytest.mark.parametrize(
    ("id", "reported"),
    [("h100-80gb", 81_559), ("a100-80gb", 81_920), ("t4", 15_360)],  # nvidia-smi's memory.total
)
def test_reported_memory_is_the_drivers(id: str, reported: int) -> None:
    device = catalog.load_device(id)
    assert device.reported == device.usable == reported * MIB
    assert device.reads_driver


@pytest.mark.parametrize("entry", [e for e in catalog.heads(catalog.DEVICES) if e["kind"] == "apple"], ids=lambda e: e["id"])
def test_apple_gives_its_gpu_two_thirds_or_three_quarters(entry: dict[str, object]) -> None:
    """Metal's recommendedMaxWorkingSetSize: two thirds of small memories, three quarters of larger ones."""
    device = catalog.device_of(entry)
    assert device.unified
    assert 0.6 <= device.usable / device.reported <= 0.8, device.usable / device.reported


@pytest.mark.parametrize(
    ("id", "usable"), [("iphone-15", 3_072), ("android-8gb", 4_096), ("cpu-16gb", 12_288), ("cpu-64gb", 61_440)]
)
def test_what_a_process_gets_of_a_shared_memory(id: str, usable: int) -> None:
    """Half on a phone; all but a quarter, 4 GiB at most, on a computer."""
    device = catalog.load_device(id)
    assert device.usable == usable * MIB
    assert device.usable_why
