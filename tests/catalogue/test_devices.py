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
    assert device.reported == reported * MIB
    assert device.reads_driver


@pytest.mark.parametrize(
    ("id", "gib"),
    [("h100-80gb", 79.19), ("a100-80gb", 79.14), ("t4", 14.56), ("rtx-4090", 23.64), ("rtx-5090", 31.37), ("l40s", 44.42)],
)
def test_cuda_counts_less_than_the_driver_reports(id: str, gib: float) -> None:
    """The total that PyTorch prints when memory runs out, which engines take their shares of."""
    device = catalog.load_device(id)
    assert device.usable == device.counted == pytest.approx(gib * 2**30, abs=MIB)
    assert device.usable_why


@pytest.mark.parametrize(("id", "least", "most"), [("h200", 139.5, 139.9), ("rtx-4060", 7.7, 7.85), ("rtx-a6000", 47.2, 47.6)])
def test_drivers_keep_some_of_cards_that_were_not_read(id: str, least: float, most: float) -> None:
    assert least < catalog.load_device(id).usable / 2**30 < most


def test_other_drivers_count_what_they_report() -> None:
    device = catalog.load_device("mi300x")
    assert device.counted == device.usable == device.reported


@pytest.mark.parametrize("entry", [e for e in catalog.heads(catalog.DEVICES) if e["kind"] == "apple"], ids=lambda e: e["id"])
def test_apple_gives_its_gpu_two_thirds_or_three_quarters(entry: dict[str, object]) -> None:
    """Metal's recommendedMaxWorkingSetSize: two thirds of small memories, three quarters of larger ones."""
    device = catalog.device_of(entry)
    assert device.unified
    assert 0.6 <= device.usable / device.reported <= 0.8, device.usable / device.reported
    if entry["memory_marketing_gb"] == 36:  # 28991.03 MB on an M4 Max, in llama.cpp's start-up log
        assert device.usable == 27_648 * 2**20


@pytest.mark.parametrize(
    ("id", "usable"), [("iphone-15", 3_072), ("android-8gb", 4_096), ("cpu-16gb", 12_288), ("cpu-64gb", 61_440)]
)
def test_what_a_process_gets_of_a_shared_memory(id: str, usable: int) -> None:
    """Half on a phone; all but a quarter, 4 GiB at most, on a computer."""
    device = catalog.load_device(id)
    assert device.usable == usable * MIB
    assert device.usable_why


def test_every_gpu_of_nvidia_has_a_compute_capability() -> None:
    """CUDA's table of GPUs: generations from Kepler to Blackwell."""
    found = {e["id"]: catalog.device_of(e).capability for e in catalog.heads(catalog.DEVICES)}
    assert all((found[e["id"]] is not None) is (e["vendor"] == "NVIDIA") for e in catalog.heads(catalog.DEVICES))
    wanted = {"t4": (7, 5), "a100-80gb-sxm": (8, 0), "rtx-3090": (8, 6), "l4": (8, 9), "h200-141gb-sxm": (9, 0)}
    assert wanted.items() <= found.items()
    assert found["b200-180gb"] == (10, 0) and found["rtx-5090"] == (12, 0)


@pytest.mark.parametrize(
    ("id", "count"), [("h100-80gb", 132), ("a100", 108), ("t4", 40), ("rtx-3060-12gb", 28), ("rtx-4090", 128), ("rtx-5090", 170)]
)
def test_multiprocessors_are_those_of_the_datasheets(id: str, count: int) -> None:
    assert catalog.load_device(id).multiprocessors == count
