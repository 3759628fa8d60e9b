"""An interpreter on a phone: activations in one arena that is planned ahead, weights in 8 or 4 bits, convolutions too.

The converter folds norms of convolutions and activations into the operator before them, and padding into the one behind;
a tensor's place is used again after its last reader; what the app put in is never written over.
Source: LiteRT (TensorFlow Lite): quantization specification, operator fusion, arena planner.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gauge.formats import FLOAT32, FORMATS
from gauge.quantization import Store
from gauge.record import Trace
from gauge.tape import Storage
from gauge.tensor import Tensor

FOLDED = frozenset({"batch_norm", "relu", "relu6", "hardswish", "hardsigmoid", "sigmoid", "tanh", "silu", "swish"})
PADDING = "pad"
NARROWED = ("convolution", "head")
WEIGHT_ONLY = ("int8", "int4")
REMARK = (
    "On a phone an interpreter is meant (LiteRT, ExecuTorch): activations share one planned arena. "
    "Kernels that repack weights hold them a second time."
)


def phone_store(store: Store, quantization: str) -> Store:
    """How a phone's interpreter stores a weight: convolutions and the head are narrowed too, a scale an output channel."""

    def stored(weight: Tensor) -> Iterator[Tensor]:
        if weight.role not in NARROWED or quantization not in WEIGHT_ONLY:
            yield from store(weight)
            return
        yield weight.stored_as(FORMATS[quantization])
        role = f"{weight.role}_scale"
        yield replace(weight, name=f"scales of {weight.name}", dims=weight.dims[:1], format=FLOAT32, role=role)

    return stored


def planned(trace: Trace) -> Iterator[tuple[Storage, ...]]:
    """What lies in the arena at each operator of a forward pass."""
    stands = _merged(trace)
    last: dict[int, int] = {}
    for index, op in enumerate(trace.ops):
        for value in (*op.inputs, *op.outputs):
            last[id(stands.get(id(value.storage), value.storage))] = index
    for value in trace.results:
        last[id(stands.get(id(value.storage), value.storage))] = len(trace.ops)
    alive: dict[int, Storage] = {}
    for index, op in enumerate(trace.ops):
        for value in (*op.inputs, *op.outputs):
            storage = stands.get(id(value.storage), value.storage)
            if not storage.shared:
                alive[id(storage)] = storage
        yield (*alive.values(), *op.scratch)
        alive = {key: storage for key, storage in alive.items() if last[key] > index}


def _merged(trace: Trace) -> dict[int, Storage]:
    """Storages that do not exist, with the one that stands in for each: what is folded is written in place."""
    read = {id(v.storage): index for index, op in enumerate(trace.ops) for v in op.inputs}
    stands: dict[int, Storage] = {}
    for index, op in enumerate(trace.ops):
        if op.name not in FOLDED and op.name != PADDING:
            continue
        before, after = op.inputs[0].storage, op.outputs[0].storage
        root = stands.get(id(before), before)
        free = max(read[id(before)], read.get(id(root), -1)) <= index and before.size == after.size
        if op.name == PADDING or free:
            stands[id(after)] = root
    return stands
