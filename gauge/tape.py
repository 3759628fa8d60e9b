"""A tape of one forward pass: which tensors an operator makes, keeps for backward, and when each one dies.

Layers write their forward pass on a `Tape` as a model file would. Nothing is computed: values carry named dimensions
and a format. From the record follow the tensors saved for backward, the peak of a forward pass without gradients
(prefill), and the course of backward, each as the tensors alive at that moment.

Source: the autograd formulas of PyTorch 2.13 (tools/autograd/derivatives.yaml) and its autocast lists
(aten/src/ATen/autocast_mode.h).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from gauge.formats import BFLOAT16, BOOL, FLOAT32, Format
from gauge.tensor import Axis, Dim, Extent, Mesh, Rules, Tensor, shard

Dims = tuple[Extent, ...]


@dataclass(frozen=True, slots=True)
class How:
    """The circumstances of a forward pass.

    `compute` is the dtype of unquantized weights and activations; under `autocast` weights are float32 and matrix
    products run in `compute`. `kernels` picks between composed and fused operators (`gauge.kernels`), `attention` the
    attention kernel as asked for. `dropout` overrides the model's own rates where it is not None. `gathered`: weights
    come to the layers in `compute`, put together from shards; `wide_stream`: the embeddings' output is float32 even so.
    `keeps_inputs`: roles of matrices whose input is kept though they are frozen; `packed_copies`: quantized products keep
    a copy of their input. `fused_gelu`: GELU's tanh form is one operator; `fused_qkv`: queries, keys and values come from
    one matrix, and the values pin its whole output; `spread_heads`: keys and values are
    copied to all heads. `rules` split every tensor over `mesh`; weights follow `weight_rules` where those are given.
    `gathers`: under sequence parallelism a matrix product reads all tokens, which are put together and `kept` for backward
    or put together `again` there.
    """

    compute: Format = BFLOAT16
    autocast: bool = False
    grad: bool = True
    kernels: str = "eager"
    attention: str = "sdpa"
    dropout: float | None = None
    adapters: AdapterPlan | None = None
    frozen: bool = False
    quantized: bool = False
    rules: Rules = ()
    mesh: Mesh = field(default_factory=dict)
    version: str = ""
    loss: str = "standard"
    loss_chunk: int = 0

    upcast: bool = False
    gathered: bool = False
    wide_stream: bool = False
    keeps_inputs: frozenset[str] = frozenset()
    packed_copies: Format | None = None
    fused_gelu: bool = False
    fused_qkv: bool = False
    spread_heads: bool = False
    weight_rules: Callable[[Tensor], Rules] | None = None
    gathers: str = ""

    @property
    def stored(self) -> Format:
        """The format that layers find the model's weights in: float32 where autocast trains them."""
        return FLOAT32 if self.autocast and self.adapters is None and not self.gathered else self.compute

    def split(self, weight: Tensor) -> Tensor:
        """What one device has of a weight."""
        return shard(weight, self.weight_rules(weight) if self.weight_rules else self.rules, self.mesh)

    def holds(self, weight: Tensor) -> Format:
        """The format of one weight: `upcast` (PEFT's preparation for k-bit training) widens all but the matrices of
        the blocks."""
        if weight.format.id == "int64":
            return weight.format
        wide = self.upcast and (len(weight.dims) < 2 or weight.role in ("token_embedding", "position_embedding", "head"))
        return FLOAT32 if wide else self.stored


@dataclass(frozen=True, slots=True)
class AdapterPlan:
    """Low-rank adapters on the linear maps whose names are in `targets` (None: every linear map inside the blocks).

    `roles`: adapted too, whatever a checkpoint calls them.
    """

    targets: frozenset[str] | None
    rank: int
    format: Format
    dropout: float
    roles: frozenset[str] = frozenset()

    def adapts(self, name: str, role: str) -> bool:
        """Whether the linear map of that name and role gets an adapter."""
        return self.targets is None or name in self.targets or role in self.roles


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


@dataclass(frozen=True, slots=True)
class Moment:
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


class Tape:
    """The record of one segment's forward pass (a block, the embeddings, the head with its loss)."""

    def __init__(self, how: How, shared: dict[str, Value] | None = None) -> None:
        self.how = how
        self.ops: list[Op] = []
        self.shared_values: dict[str, Value] = {} if shared is None else shared
        self.uses: set[str] = set()
        self._whole: dict[int, tuple[Value, Value]] = {}

    # ---------------------------------------------------------------- making values
    def allocate(self, name: str, dims: Dims, format: Format) -> Storage:
        """A new block of memory, split as the rules of this pass say."""
        return Storage(shard(Tensor(name, dims, format), self.how.rules, self.how.mesh))

    def input(self, name: str, dims: Dims, format: Format, grad: bool = False) -> Value:
        """A value that comes from outside this segment."""
        return Value(self.allocate(name, dims, format), dims, format, grad and self.how.grad)

    def shared(self, name: str, dims: Dims, format: Format, grad: bool = False) -> Value:
        """A value that all segments share under this name (rotary tables, masks, encoder output): it exists once."""
        self.uses.add(name)
        value = self.shared_values.get(name)
        if value is None:
            value = self.input(name, dims, format, grad)
            value.storage.shared = True
            self.shared_values[name] = value
        return value

    def make(self, value: Value, name: str, saves: Iterable[Storage] = (), weights: Iterable[Tensor] = ()) -> None:
        """Append the operator that makes a shared value from weights in this segment."""
        trained = tuple(w for w in weights if w.trainable) if self.how.grad else ()
        self.ops.append(Op(name, (), (value,), tuple(saves) if trained else (), weights=trained))

    def hold(self, *values: Value) -> Hold:
        """Keep values alive, as a local variable of the model's code does, until the block is left."""
        return Hold(self, values)

    def op(
        self,
        name: str,
        inputs: Iterable[Value],
        dims: Dims,
        format: Format,
        *,
        label: str | None = None,
        saves: Iterable[Storage] = (),
        scratch: Iterable[Storage] = (),
        gradients: Iterable[Value] | None = None,
        weights: Iterable[Tensor] = (),
        backward_scratch: Iterable[Storage] = (),
        saves_output: bool = False,
    ) -> Value:
        """Append an operator that writes one new tensor called `label`, and give its output.

        What it saves is dropped where nothing needs its gradient; gradients go to the inputs that need one.
        """
        read = tuple(inputs)
        trained = tuple(w for w in weights if w.trainable) if self.how.grad else ()
        needs = self.how.grad and (bool(trained) or any(v.grad for v in read))
        storage = self.allocate(label or name, dims, format)
        out = Value(storage, dims, format, needs)
        kept = tuple(saves) + ((storage,) if saves_output else ()) if needs else ()
        to = tuple(v for v in (read if gradients is None else gradients) if v.grad) if needs else ()
        self.ops.append(Op(name, read, (out,), kept, tuple(scratch), to, (), trained, tuple(backward_scratch) if needs else ()))
        return out

    def alias(self, value: Value, dims: Dims, label: str = "view") -> Value:
        """Another view of the same memory: reshape, transpose, slice, expand."""
        out = Value(value.storage, dims, value.format, value.grad)
        self.ops.append(Op(label, (value,), (out,), passes=(value,) if value.grad else ()))
        return out

    # ---------------------------------------------------------------- sequence parallelism
    def gather(self, value: Value) -> Value:
        """All tokens of a value whose tokens are split over tensor ranks: put together once for all that read it."""
        if not self.how.gathers or not any(_spread(e) for e in value.storage.tensor.dims):
            return value
        if id(value) not in self._whole:
            shape = tuple(e._replace(dim=Dim.ALL_TOKENS) if e.dim in SEQUENCES else e for e in value.dims)
            whole = self.op("all_gather", (value,), shape, value.format, label=f"{value.name}, all tokens")
            self._whole[id(value)] = (value, whole)
        return self._whole[id(value)][1]

    def scatter(self, value: Value, shape: Dims) -> Value:
        """This rank's tokens of a sum over the tensor ranks; `shape` names the tokens as they were."""
        return self.op("reduce_scatter", (value,), shape, value.format, label=f"{value.name}, own tokens")

    # ---------------------------------------------------------------- operators
    def cast(self, value: Value, format: Format, label: str | None = None) -> Value:
        """The same numbers in another dtype; nothing happens where it is that dtype already."""
        if value.format == format:
            return value
        return self.op("to", (value,), value.dims, format, label=label or f"{value.name} in {format.id}")

    def low(self, value: Value) -> Value:
        """An operand of a matrix product: autocast casts it anew for every product that reads it."""
        return self.cast(value, self.how.compute) if self.how.autocast else value

    def full(self, value: Value) -> Value:
        """An operand of an operator on autocast's float32 list."""
        return self.cast(value, FLOAT32) if self.how.autocast else value

    def unary(self, name: str, value: Value, *, keeps: str = "input", label: str | None = None) -> Value:
        """An elementwise function that keeps its `input`, its `output` or `nothing` for backward."""
        saves = (value.storage,) if keeps == "input" else ()
        made = [self.allocate(f"{name} of {value.name}", value.dims, value.format) for _ in range(MADE_AGAIN.get(name, 0))]
        return self.op(
            name,
            (value,),
            value.dims,
            value.format,
            label=label,
            saves=saves,
            saves_output=keeps == "output",
            backward_scratch=made,
        )

    def pointwise32(self, name: str, value: Value, **options: str) -> Value:
        """An elementwise function on autocast's float32 list (pow, exp, rsqrt, softplus)."""
        return self.unary(name, self.full(value), **options)

    def mul(self, a: Value, b: Value, label: str = "product") -> Value:
        """Elementwise product: each factor is kept where the other needs a gradient."""
        saves = [v.storage for v, other in ((a, b), (b, a)) if other.grad]
        return self.op("mul", (a, b), _wider(a, b), promoted(a.format, b.format), label=label, saves=saves)

    def scale(self, value: Value, weight: Tensor, label: str = "scaled") -> Value:
        """Elementwise product with a weight vector: the input is kept where the weight is trained."""
        saves = (value.storage,) if weight.trainable else ()
        format = promoted(value.format, weight.format)
        return self.op("mul", (value,), value.dims, format, label=label, saves=saves, weights=(weight,))

    def add(self, a: Value, b: Value, label: str = "sum") -> Value:
        """Elementwise sum: keeps nothing and hands its gradient on as it is."""
        format = promoted(a.format, b.format)
        out = self.op("add", (a, b), _wider(a, b), format, label=label, gradients=())
        op = self.ops[-1]
        same = [v for v in (a, b) if v.grad and v.format == format and _elements(v.dims) == _elements(out.dims)]
        op.passes = tuple(same)
        op.gradients = tuple(v for v in (a, b) if v.grad and v not in same)
        return out

    def reduce(self, name: str, value: Value, dims: Dims, label: str, *, keeps: str = "nothing") -> Value:
        """A sum or mean down to `dims`; its gradient is expanded, not stored."""
        saves = (value.storage,) if keeps == "input" else ()
        return self.op(name, (value,), dims, value.format, label=label, saves=saves, saves_output=keeps == "output")

    def matmul(self, a: Value, b: Value, dims: Dims, label: str = "matmul") -> Value:
        """Product of two activations: each is kept where the other needs a gradient."""
        a, b = self.low(a), self.low(b)
        saves = [v.storage for v, other in ((a, b), (b, a)) if other.grad]
        return self.op("matmul", (a, b), dims, a.format, label=label, saves=saves)

    def softmax(self, value: Value, format: Format | None = None, label: str = "probabilities") -> Value:
        """Softmax keeps its result. `format` is the dtype it computes in; autocast computes in float32."""
        target = FLOAT32 if self.how.autocast else format or value.format
        if self.how.autocast:
            value = self.full(value)
        return self.op("softmax", (value,), value.dims, target, label=label, saves_output=True)

    def dropout(self, value: Value, rate: float, label: str = "dropped out", *, adapter: bool = False) -> Value:
        """Dropout keeps a one-byte mask; at rate 0 or without gradients it is not there.

        An override of the model's rates leaves an `adapter`'s own alone.
        """
        rate = rate if adapter or self.how.dropout is None else self.how.dropout
        if rate <= 0 or not self.how.grad:
            return value
        mask = self.allocate(f"dropout mask of {value.name}", value.dims, BOOL)
        out = self.op("dropout", (value,), value.dims, value.format, label=label, saves=(mask,))
        if not out.grad:
            self.ops[-1].scratch = (mask,)
        return out

    def contiguous(self, value: Value, label: str | None = None, dims: Dims | None = None) -> Value:
        """A copy in another memory order."""
        return self.op("copy", (value,), dims or value.dims, value.format, label=label or f"{value.name}, copied")

    def concat(self, values: Iterable[Value], dims: Dims, label: str) -> Value:
        """Several values one after the other in new memory; gradients are slices of the one gradient."""
        read = tuple(values)
        out = self.op("cat", read, dims, read[0].format, label=label, gradients=())
        self.ops[-1].passes = tuple(v for v in read if v.grad)
        return out

    def weight(self, tensor: Tensor) -> Tensor:
        """The weight as this pass holds it: in the stored format, trainable unless everything is frozen."""
        whole = replace(tensor, format=self.how.holds(tensor), trainable=tensor.trainable and not self.how.frozen)
        return self.how.split(whole)

    def weight_copy(self, weight: Tensor) -> Storage | None:
        """Autocast's 16-bit copy of a weight: cached until the forward pass ends, kept until backward used it."""
        if not self.how.autocast or weight.format == self.how.compute:
            return None
        copy = self.allocate(f"{self.how.compute.id} copy of {weight.name}", weight.dims, self.how.compute)
        copy.cached = weight.trainable
        return copy

    # ---------------------------------------------------------------- reading the record
    def trace(self, source: Value | None, result: Value | Iterable[Value]) -> Trace:
        """The finished record, from the value that came in to the value that goes out."""
        results = (result,) if isinstance(result, Value) else tuple(result)
        read = {id(v.storage) for op in self.ops for v in op.inputs} | {id(s) for op in self.ops for s in op.saved}
        uses = self.uses | {name for name, v in self.shared_values.items() if id(v.storage) in read}
        return Trace(tuple(self.ops), source, results, self.how, frozenset(uses))

    def core(self) -> Core:
        """The operators inside the block are an attention's core, which selective checkpointing recomputes."""
        return Core(self)


class Hold:
    """Context manager behind `Tape.hold`."""

    def __init__(self, tape: Tape, values: tuple[Value, ...]) -> None:
        self._tape = tape
        self._values = values

    def __enter__(self) -> None:
        """Nothing happens at entry: the values are alive already."""

    def __exit__(self, *_: object) -> None:
        tape = self._tape
        if tape.ops:
            tape.ops[-1].drops += tuple(v.storage for v in self._values)


class Core:
    """Context manager behind `Tape.core`."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._start = len(tape.ops)

    def __enter__(self) -> None:
        """Remembers where the core starts."""
        self._start = len(self._tape.ops)

    def __exit__(self, *_: object) -> None:
        for op in self._tape.ops[self._start :]:
            op.core = True


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
            yield Moment(op.name, sum(s.size for s in now), now)
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
            yield Moment(op.name, sum(s.size for s in now), now, tuple(self._made), op.weights)
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
            yield Moment(f"{op.name}, gradients added", sum(s.size for s in now), now, tuple(self._made))
        if op.weights:
            now = tuple(self._alive.values())
            yield Moment(f"{op.name}, after", sum(s.size for s in now), now, tuple(self._made), (), op.weights)

    def _forget(self, op: Op) -> None:
        for storage in op.saved:
            left = self._uses[id(storage)] - 1
            self._uses[id(storage)] = left
            if left == 0:
                self._alive.pop(id(storage), None)


MADE_AGAIN = {"pow": 2}
"""Tensors that an elementwise function's backward makes besides the gradient: a lower power, and that times the exponent."""

SEQUENCES = (Dim.TOKENS, Dim.SOURCE_TOKENS)


def _spread(e: Extent) -> bool:
    """Whether tokens are split over tensor ranks."""
    return e.dim in SEQUENCES and Axis.TENSOR.value in e.note


_WIDTH_ORDER = ("bool", "int8", "float16", "bfloat16", "float32", "float64")


def promoted(a: Format, b: Format) -> Format:
    """The dtype of an operator on two dtypes: the wider one."""
    if a == b:
        return a
    order = _WIDTH_ORDER
    return a if order.index(a.id) >= order.index(b.id) else b


def _elements(dims: Dims) -> int:
    total = 1
    for e in dims:
        total *= e.size
    return total


def _wider(a: Value, b: Value) -> Dims:
    return a.dims if _elements(a.dims) >= _elements(b.dims) else b.dims


def dims(*pairs: tuple[Dim, int]) -> Dims:
    """Dimensions from `(name, size)` pairs."""
    return tuple(Extent(d, n, n) for d, n in pairs)
