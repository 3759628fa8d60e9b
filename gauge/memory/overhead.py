"""What lies outside live tensors: the allocator's slack, the driver's context, workspaces of the vendor's libraries.

Each is a measured range. Which one it is follows from the device: CUDA, HIP, Metal, XLA.
"""

from __future__ import annotations

from dataclasses import replace

from gauge.breakdown import Pool, constant
from gauge.hardware import Device
from gauge.overheads import Overhead, overhead
from gauge.versions import before_lazy

VENDORS = {"AMD": "rocm", "Intel": "level_zero"}
KINDS = {"apple": "metal", "tpu": "xla", "npu": "accelerator"}
MULTIPROCESSORS = (  # the first name that a device's title contains; vendors' datasheets
    ("H100 PCIe", 114),
    ("H20 ", 78),
    ("H100", 132),
    ("H200", 132),
    ("H800", 132),
    ("B200", 148),
    ("B300", 148),
    ("A100", 108),
    ("A800", 108),
    ("A10G", 80),
    ("A10 ", 72),
    ("A30", 56),
    ("A40 ", 84),
    ("L40", 142),
    ("L20", 92),
    ("L4", 58),
    ("T4", 40),
    ("V100", 80),
    ("RTX 3090 Ti", 84),
    ("RTX 3090", 82),
    ("RTX 4090 Laptop", 76),
    ("RTX 4090", 128),
    ("RTX 5090 Laptop", 82),
    ("RTX 5090", 170),
    ("RTX A6000", 84),
    ("RTX 6000 Ada", 142),
    ("RTX PRO 6000", 188),
    ("MI300X", 304),
)


# ------------------------------------------------------------------------------------------------ by device
def platform(device: Device | None) -> str:
    """The programming platform of a device: `cuda` where none is named, `host` for processors."""
    if device is None or device.vendor == "NVIDIA":
        return "cuda"
    if device.kind in ("cpu", "mobile"):
        return "host"
    return KINDS.get(device.kind) or VENDORS.get(device.vendor, "accelerator")


def context(device: Device | None, owner: str = "pytorch", id: str = "context") -> Overhead:
    """The driver's context: the runtime's own figure under CUDA, else the platform's range."""
    found = platform(device)
    return overhead(owner, id) if found in ("cuda", "host") else overhead("platforms", found)


def hopper(device: Device | None) -> bool:
    """Whether the device is of the Hopper generation, on which cuBLAS takes a larger workspace."""
    return device is not None and device.capability is not None and device.capability[0] == 9


def fuses_all_reduce(device: Device | None) -> bool:
    """Whether engines fuse all-reduce with the norm behind it, which brings workspaces: data-centre Hopper and Blackwell."""
    return device is not None and device.capability is not None and device.capability[0] in (9, 10)


def matrix_workspace(device: Device | None) -> Overhead | None:
    """What PyTorch reserves for cuBLAS once a matrix product ran; other platforms have none of this kind."""
    if platform(device) not in ("cuda", "rocm"):
        return None
    return overhead("pytorch", "cublas_hopper" if hopper(device) else "cublas")


def multiprocessors(device: Device | None) -> int | None:
    """Multiprocessors of a device, None where they are not known."""
    title = f"{device.title} " if device else ""
    return next((count for name, count in MULTIPROCESSORS if name in title), None)


# ------------------------------------------------------------------------------------------------ whole pools
def finished(pool: Pool, slack: tuple[int, int, int] | None = None, version: str = "", device: Device | None = None) -> Pool:
    """Adds what lies outside live tensors: the allocator's slack and the driver's context, each with its range.

    `slack` is (typical, lowest, highest) where it was derived from the sizes of the blocks; a dated `version` picks the
    context of its time.
    """
    found = overhead("pytorch", "slack")
    size = found.per(pool.allocated, 100) if slack is None else slack
    outside = (
        constant("framework.allocator", found, size=size, scope="reserved"),
        constant("framework.context", context(device, id="context_eager" if before_lazy(version) else "context")),
    )
    return replace(pool, items=(*pool.items, *outside))


def served(pool: Pool, device: Device | None = None) -> Pool:
    """As `finished` for inference: weights fill their segments, so only what comes and goes leaves gaps."""
    still = sum(i.bytes for i in pool.alive(pool.moments[0][0]) if i.scope == "allocated")
    slack = overhead("pytorch", "slack_serving")
    outside = (
        constant("framework.allocator", slack, size=slack.per(pool.allocated - still, 100), scope="reserved"),
        constant("framework.context", context(device)),
    )
    return replace(pool, items=(*pool.items, *outside))
