"""The record of a pass, operator by operator, and what follows from it: what is kept for backward, how forward and
backward run their course, each moment as the tensors alive at it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from gauge.formats import Format
from gauge.how import How
from gauge.tensor import Extent, Tensor, shard

Dims = tuple[Extent, ...]


class Storage:
    """One block of memory: a tensor as one device holds it. Identity is what counts."""

    __slots__ = ("cached", "shared", "size", "tensor")

    def __init__(self, tensor: Tensor, shared: bool = False) -> None:
        self.tensor = tensor
        self.size = tensor.bytes
        self.shared = shared
        self.cached = False


class Value:
    """What an operator reads and writes: a view of a storage, with its own dimensions."""

    __slots__ = ("dims", "format", "grad", "storage")

    def __init__(self, storage: Storage, dims: Dims, format: Format, grad: bool) -> None:
        self.storage = storage
        self.dims = dims
        self.format = format
        self.grad = grad

    @property
    def name(self) -> str:
        """The name of the tensor that it views."""
        return self.storage.tensor.name


@dataclass(slots=True, eq=False)
class Op:
    """One operator of the record.

    `saved` storages live until its backward ran. Backward makes a gradient for each of `gradients`, hands its own on to
    each of `passes`, writes the gradients of `weights`, and needs `backward_scratch` while it runs. `sums`: those gradients
    are sums of several already, to which autograd adds further ones in place.
    """

    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    saved: tuple[Storage, ...] = ()
    scratch: tuple[Storage, ...] = ()
    gradients: tuple[Value, ...] = ()
    passes: tuple[Value, ...] = ()
    weights: tuple[Tensor, ...] = ()
    backward_scratch: tuple[Storage, ...] = ()
    drops: tuple[Storage, ...] = ()
    core: bool = False
    sums: bool = False


class Moment(NamedTuple):
    """The storages alive at one operator, with their bytes in all.

    `fresh` weights get their gradient here; `settled` ones have it added to an earlier one, when all that the operator
    itself needed is gone.
    """

    event: str
    bytes: int
    alive: tuple[Storage, ...]
    weight_gradients: tuple[Tensor, ...] = ()
    fresh: tuple[Tensor, ...] = ()
    settled: tuple[Tensor, ...] = ()


@dataclass(frozen=True, eq=False)
class Trace:
    """One segment's forward pass, ready to be read: what it saves, how it peaks going forward and backward.

    `uses` names the shared values that it reads. `recomputed` storages are not kept: backward makes them again when it
    comes to the core that owns them.
    """

    ops: tuple[Op, ...]
    source: Value | None
    results: tuple[Value, ...]
    how: How
    uses: frozenset[str] = frozenset()
    recomputed: frozenset[int] = frozenset()

    @cached_property
    def without_cores(self) -> Trace:
        """The same pass, but what the attention core makes for its own backward is recomputed there."""
        outside = {id(s) for op in self.ops if not op.core for s in op.saved}
        read = {id(v.storage) for op in self.ops if not op.core for v in op.inputs}
        made = {id(o.storage) for op in self.ops if op.core for o in op.outputs}
        extra = {id(s) for op in self.ops if op.core for s in op.saved if id(s) not in made}
        given = {id(v.storage) for op in self.ops if op.core for v in op.inputs} - made
        inner = (made | (extra - given)) - outside - read
        return replace(self, recomputed=frozenset(inner)) if inner else self

    @cached_property
    def saved(self) -> tuple[Storage, ...]:
        """Storages kept for backward that this segment owns: each once, shared ones and weights left out."""
        seen: dict[int, Storage] = {}
        for op in self.ops:
            for storage in op.saved:
                if not storage.shared and id(storage) not in self.recomputed:
                    seen.setdefault(id(storage), storage)
        return tuple(seen.values())

    @cached_property
    def cached(self) -> tuple[Storage, ...]:
        """Autocast's copies of trained weights, which its cache holds until the forward pass ends."""
        return tuple({id(s): s for op in self.ops for s in op.saved if s.cached}.values())

    @cached_property
    def peak(self) -> Moment | None:
        """The largest operator going forward."""
        return max(self.forward, key=lambda m: m.bytes, default=None)

    @cached_property
    def shared(self) -> tuple[Storage, ...]:
        """Storages kept for backward that belong to all segments."""
        return tuple({id(s): s for op in self.ops for s in op.saved if s.shared}.values())

    @cached_property
    def saved_bytes(self) -> int:
        """Bytes kept for backward."""
        return sum(s.size for s in self.saved)

    @property
    def saves_source(self) -> bool:
        """Whether what came in is kept."""
        return self.source is not None and any(s is self.source.storage for s in self.saved)

    @property
    def saves_result(self) -> bool:
        """Whether what goes out is kept by this segment itself."""
        return any(s is r.storage for s in self.saved for r in self.results)

    @cached_property
    def arriving(self) -> tuple[Tensor, ...]:
        """The gradients that are there when backward comes to the first operator that reads something from forward.

        Where the segment is recomputed, it runs again at that moment.
        """
        return tuple(s.tensor for s in Backward(self).arriving())

    @cached_property
    def weight_gradients(self) -> tuple[Tensor, ...]:
        """The weights that get a gradient here."""
        return tuple(w for op in self.ops for w in op.weights)

    @cached_property
    def forward(self) -> tuple[Moment, ...]:
        """The tensors alive at each operator going forward; what came in counts, shared ones do not."""
        return tuple(self._forward())

    def _forward(self) -> Iterator[Moment]:
        last = self._last_use()
        kept = {id(s) for s in self.saved} | {id(r.storage) for r in self.results}
        alive: dict[int, Storage] = {}
        if self.source is not None and not self.source.storage.shared:
            alive[id(self.source.storage)] = self.source.storage
        for index, op in enumerate(self.ops):
            for storage in (*(o.storage for o in op.outputs), *op.saved):
                if not storage.shared:
                    alive[id(storage)] = storage
            now = (*alive.values(), *op.scratch)
            yield Moment(op.name, sum([s.size for s in now]), now)
            for key in [k for k in alive if last.get(k, -1) <= index and k not in kept]:
                del alive[key]

    def _last_use(self) -> dict[int, int]:
        last: dict[int, int] = {}
        for index, op in enumerate(self.ops):
            for value in (*op.inputs, *op.outputs):
                last[id(value.storage)] = index
            for storage in op.drops:
                last[id(storage)] = index
        if self.source is not None:
            last[id(self.source.storage)] = len(self.ops)
        return last

    @cached_property
    def backward(self) -> tuple[Moment, ...]:
        """The tensors alive at each operator going backward: what is still saved, gradients in flight, scratch.

        `weight_gradients` of a moment are those made up to it.
        """
        return tuple(Backward(self).run())


def gradient_of(value: Value, how: How) -> Storage:
    """The gradient of a value, in its dtype."""
    return Storage(shard(Tensor(f"gradient of {value.name}", value.dims, value.format), how.rules, how.mesh))


PRODUCTS = frozenset({"linear", "grouped_mm", "matmul"})


class Backward:
    """Walks a trace from its end to its start, as autograd does.

    A value that several operators read gets several gradients: each further one is added to the first when the operator
    that made it is done, into a third tensor (a matrix in place: products over batch and tokens give views, whose memory
    autograd does not overwrite).
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._alive: dict[int, Storage] = {id(s): s for s in trace.saved}
        self._uses: dict[int, int] = {}
        for op in trace.ops:
            for storage in op.saved:
                self._uses[id(storage)] = self._uses.get(id(storage), 0) + 1
        self._grads: dict[int, Storage] = {}
        self._holders: dict[int, int] = {}
        self._made: list[Tensor] = []

    def _start(self) -> None:
        for result in self._trace.results:
            if result.grad:
                self._give(result, self._gradient(result))

    def arriving(self) -> tuple[Storage, ...]:
        """Gradients alive before the first operator that reads a weight or a tensor of the forward pass."""
        kept = {id(s) for s in self._trace.saved}
        self._start()
        for op in reversed(self._trace.ops):
            if op.saved or op.name in PRODUCTS:
                break
            for _ in self._step(op):
                pass
        return tuple(s for key, s in self._alive.items() if key not in kept)

    def run(self) -> Iterator[Moment]:
        """One moment an operator."""
        self._start()
        inside = False
        for op in reversed(self._trace.ops):
            if op.core and not inside and self._trace.recomputed:
                self._again_all(op)
            inside = op.core
            yield from self._step(op)

    def _gradient(self, value: Value) -> Storage:
        return gradient_of(value, self._trace.how)

    def _give(self, value: Value, storage: Storage) -> None:
        key = id(value)
        if key in self._grads:
            return
        self._grads[key] = storage
        self._alive[id(storage)] = storage
        self._holders[id(storage)] = self._holders.get(id(storage), 0) + 1

    def _take(self, value: Value) -> Storage | None:
        return self._grads.pop(id(value), None)

    def _release(self, storage: Storage) -> None:
        left = self._holders.get(id(storage), 0) - 1
        self._holders[id(storage)] = left
        if left <= 0:
            self._alive.pop(id(storage), None)

    def _again_all(self, last: Op) -> None:
        """At the end of a core, what its operators had saved is there again."""
        ops = self._trace.ops
        index = ops.index(last)
        while index >= 0 and ops[index].core:
            for storage in ops[index].saved:
                if id(storage) in self._trace.recomputed:
                    self._alive[id(storage)] = storage
            index -= 1

    def _step(self, op: Op) -> Iterator[Moment]:
        taken = [g for g in (self._take(o) for o in op.outputs) if g is not None]
        second: list[Storage] = []
        if taken or not op.outputs or (op.weights and not any(o.grad for o in op.outputs)):
            made = [(v, self._gradient(v)) for v in op.gradients]
            self._made.extend(op.weights)
            now = (*self._alive.values(), *(s for _, s in made), *op.backward_scratch)
            yield Moment(op.name, sum([s.size for s in now]), now, tuple(self._made), op.weights)
            second = [s for v, s in made if id(v) in self._grads and len(v.dims) > 2]
            for value, storage in made:
                self._give(value, storage)
            for value in op.passes:
                self._give(value, taken[0] if taken else self._gradient(value))
        for gradient in taken:
            self._release(gradient)
        self._forget(op)
        for storage in second:
            now = (*self._alive.values(), storage, Storage(storage.tensor))
            yield Moment(f"{op.name}, gradients added", sum([s.size for s in now]), now, tuple(self._made))
        if op.weights:
            now = tuple(self._alive.values())
            yield Moment(f"{op.name}, after", sum([s.size for s in now]), now, tuple(self._made), (), op.weights)

    def _forget(self, op: Op) -> None:
        for storage in op.saved:
            left = self._uses[id(storage)] - 1
            self._uses[id(storage)] = left
            if left == 0:
                self._alive.pop(id(storage), None)
