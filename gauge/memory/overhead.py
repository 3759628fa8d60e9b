"""What lies outside live tensors: the allocator's slack, the driver's context, workspaces of the vendor's libraries.

Each is a measured range. Which one it is follows from the device: CUDA, HIP, Metal, XLA.
"""

from __future__ import annotations

from dataclasses import replace

from gauge.breakdown import Item, Pool, constant
from gauge.hardware import Device
from gauge.overheads import Overhead, overhead
from gauge.versions import before_lazy

H100_COUNT, SHARE_ALONE = 132, 40  # multiprocessors where contexts were measured; percent that does not grow with them
VENDORS = {"AMD": "rocm", "Intel": "level_zero"}
KINDS = {"apple": "metal", "tpu": "xla", "npu": "accelerator"}


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


def before_start(device: Device | None, owner: str, component: str) -> Item:
    """What an engine finds in use when it starts: the driver's context, 0.2 GiB and more with each multiprocessor.

    Source: start-up logs: 0.51 GiB on an H100 of 132 multiprocessors, 0.4 on an A100, 0.27 on a card of 12 GB with 28.
    """
    found, count = context(device, owner, "before"), device.multiprocessors if device else None
    if count is None or platform(device) != "cuda":
        return constant(component, found)
    typical, low, high = found.per(SHARE_ALONE * H100_COUNT + (100 - SHARE_ALONE) * count, 100 * H100_COUNT)
    return constant(component, found, size=(typical, low, high))


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
