"""A tape: layers write their forward pass on it as a model file would, operator by operator.

Nothing is computed: values carry named dimensions and a format. The tape notes which tensors an operator makes, which
ones autograd keeps for backward, and which are scratch; `gauge.record` reads what follows.

Source: the autograd formulas of PyTorch 2.13 (tools/autograd/derivatives.yaml) and its autocast lists
(aten/src/ATen/autocast_mode.h).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gauge.formats import BOOL, FLOAT32, Format
from gauge.how import How
from gauge.record import Dims, Op, Storage, Trace, Value
from gauge.tensor import Axis, Dim, Extent, Tensor, shard

__all__ = ["SEQUENCES", "Dims", "Storage", "Tape", "Value", "dims", "promoted"]


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
