"""An affine map between named dimensions, with room for a low-rank adapter: y = W x + b (+ B A x)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gauge.formats import BFLOAT16
from gauge.how import AdapterPlan
from gauge.tape import SEQUENCES, Dims, Tape, Value, dims
from gauge.tensor import Axis, Dim, Tensor

Shape = tuple[tuple[Dim, int], ...]


@dataclass(frozen=True, slots=True)
class Linear:
    """`out` × `inp` weights under the name that checkpoints use (`q_proj`).

    `role` names what the map is for, whatever a family calls it: `query`, `key`, `value`, `qkv`, `attention_output`,
    `mlp_gate`, `mlp_up`, `mlp_down`, `head`, …; policies (file types, splits) go by it.
    """

    name: str
    role: str
    out: Shape
    inp: Shape
    bias: bool = False
    adaptable: bool = True

    @property
    def weight(self) -> Tensor:
        """(out, inp) weights."""
        return Tensor(f"{self.name}.weight", dims(*self.out, *self.inp), BFLOAT16, role=self.role)

    @property
    def bias_weight(self) -> Tensor:
        """(out) bias."""
        return Tensor(f"{self.name}.bias", dims(*self.out), BFLOAT16, role=f"{self.role}_bias")

    def weights(self) -> Iterator[Tensor]:
        """The matrix and, where there is one, the bias."""
        yield self.weight
        if self.bias:
            yield self.bias_weight

    def adapters(self, rank: int) -> tuple[Tensor, Tensor]:
        """The adapter's two factors: A (rank, inp) and B (out, rank). Source: arXiv 2106.09685, section 4.1."""
        down = Tensor(f"{self.name}.lora_A", dims((Dim.RANK, rank), *self.inp), BFLOAT16, role="adapter")
        up = Tensor(f"{self.name}.lora_B", dims(*self.out, (Dim.RANK, rank)), BFLOAT16, role="adapter")
        return down, up

    def __call__(self, tape: Tape, x: Value, label: str = "") -> Value:
        """Apply it: the input is kept where the weights are trained, autocast's weight copy where it is used."""
        y = self.base(tape, x, label or self.name)
        plan = tape.how.adapters
        if plan is None or not self.adaptable or not plan.adapts(self.name, self.role):
            return y
        return self._adapted(tape, x, y)

    def base(self, tape: Tape, x: Value, label: str) -> Value:
        """Apply it without its own adapter."""
        weight = tape.weight(self.weight)
        weights = (weight, tape.weight(self.bias_weight)) if self.bias else (weight,)
        packed = tape.how.quantized and self.adaptable
        origin, compute = x.format, tape.how.compute
        x = tape.cast(x, compute) if packed else tape.low(x)
        gone = {d for d, _ in self.inp}
        shape = (*(e for e in x.dims if e.dim not in gone), *dims(*self.out))
        own, (columns, rows) = x, self._split(weight)
        x = tape.gather(x) if columns else x
        again = x is not own and tape.how.gathers == "again"
        saves = [own.storage if again else x.storage] if weight.trainable or self.role in tape.how.keeps_inputs else []
        if packed and tape.how.packed_copies is not None:
            kept = saves if self.role in tape.how.keeps_inputs else []
            saves = [*kept, tape.allocate(f"{self.name} input, copied", x.dims, tape.how.packed_copies)]
        forward, backward = [], []
        copy = tape.weight_copy(weight)
        if copy is not None and not packed:
            saves.append(copy)
            if weight.trainable:
                backward = [tape.allocate(f"gradient of {copy.tensor.name}", weight.dims, compute)]
        if packed:
            forward = backward = [tape.allocate("weight of the live matrix, dequantized", weight.dims, compute)]
        if again and saves:
            backward = [*backward, tape.allocate(x.name, x.dims, x.format)]
        format = compute if packed else x.format
        summed = bool(rows and tape.how.gathers)
        out = tape.op(
            "linear",
            (x,),
            _all_tokens(shape) if summed else shape,
            format,
            label=label,
            saves=saves,
            scratch=forward,
            weights=weights,
            backward_scratch=backward,
        )
        out = tape.scatter(out, shape) if summed else out
        return tape.cast(out, origin) if packed else out

    def _split(self, weight: Tensor) -> tuple[bool, bool]:
        """Whether tensor ranks have split its outputs, or its inputs."""
        notes = [Axis.TENSOR.value in e.note for e in weight.dims]
        return any(notes[: len(self.out)]), any(notes[len(self.out) :])

    def _adapted(self, tape: Tape, x: Value, y: Value) -> Value:
        plan = tape.how.adapters
        assert plan is not None
        down, up = (tape.how.split(replace(t, format=plan.format)) for t in self.adapters(plan.rank))
        narrow = tape.cast(x, plan.format, f"{self.name} input for adapter")
        narrow = tape.dropout(narrow, plan.dropout, adapter=True)
        narrow = tape.low(narrow)
        gone = {d for d, _ in self.inp}
        batch = tuple(e for e in x.dims if e.dim not in gone)
        rank_dims = (*batch, *dims((Dim.RANK, plan.rank)))
        inner = tape.op(
            "linear",
            (narrow,),
            rank_dims,
            narrow.format,
            label="adapter rank",
            saves=(narrow.storage,),
            weights=(down,),
        )
        outer = tape.op("linear", (inner,), y.dims, inner.format, label="adapter output", saves=(inner.storage,), weights=(up,))
        scaled = tape.op("mul", (outer,), y.dims, outer.format, label="scaled adapter output")
        return tape.cast(tape.add(y, scaled, label="adapted output"), y.format)


def adapted_together(tape: Tape, x: Value, y: Value, maps: list[Linear], plan: AdapterPlan) -> Value:
    """Adapters of several maps that read the same input, as one: their ranks side by side, one dropout in front."""
    pairs = [[tape.how.split(replace(t, format=plan.format)) for t in one.adapters(plan.rank)] for one in maps]
    narrow = tape.cast(x, plan.format, "input for adapters")
    narrow = tape.dropout(narrow, plan.dropout, adapter=True)
    gone = {d for one in maps for d, _ in one.inp}
    rows = tuple(e for e in x.dims if e.dim not in gone)
    shape = (*rows, *dims((Dim.MATRICES, len(maps)), (Dim.RANK, plan.rank)))
    downs, ups = tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)
    inner = tape.op("linear", (narrow,), shape, narrow.format, label="adapter rank", saves=(narrow.storage,), weights=downs)
    outer = tape.op("linear", (inner,), y.dims, inner.format, label="adapter output", saves=(inner.storage,), weights=ups)
    scaled = tape.op("mul", (outer,), y.dims, outer.format, label="scaled adapter output")
    return tape.cast(tape.add(y, scaled, label="adapted output"), y.format)


def _all_tokens(shape: Dims) -> Dims:
    return tuple(e._replace(dim=Dim.ALL_TOKENS) if e.dim in SEQUENCES else e for e in shape)


@dataclass(frozen=True, slots=True)
class LinearLayer:
    """One affine map as a layer of its own."""

    map: Linear

    def weights(self) -> Iterator[Tensor]:
        """The map's."""
        return self.map.weights()

    def forward(self, tape: Tape, x: Value) -> Value:
        """The map."""
        return self.map(tape, x)
