"""A model's forward pass cut into segments: embeddings, each block, the head with its loss; each traced once a kind."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gauge.how import How
from gauge.layers.block import Stage
from gauge.model import Model, Part
from gauge.plan import Plan
from gauge.record import Trace
from gauge.tape import Dims, Tape, Value, dims
from gauge.tensor import Dim

INPUTS = ("pixel values", "mel features")


@dataclass(frozen=True, slots=True)
class Lengths:
    """The batch and the tokens of each sequence that a part may read."""

    batch: int
    tokens: int
    source: int = 0
    image: int | None = None

    def of(self, part: Part) -> int:
        """Positions of the sequence that a part reads; pixels on one side of an image."""
        if part.sequence == "source":
            return part.length or self.source
        return (self.image or part.length) if part.sequence == "image" else self.tokens


def lengths(model: Model, plan: Plan, tokens: int) -> Lengths:
    """Sequence lengths of the parts: an encoder-decoder reads `sequence_length` and writes `target_length`.

    An encoder of fixed length (speech) reads that instead.
    """
    first = model.parts[0]
    if first.sequence == "source":
        return Lengths(plan.batch_size, plan.target_length or tokens, first.length or tokens, plan.image_size)
    return Lengths(plan.batch_size, tokens, image=plan.image_size)


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of the pass with its trace; `layer` is None outside the blocks."""

    name: str
    part: str
    layer: int | None
    trace: Trace


@dataclass
class Pass:
    """All segments in order, with the values that they share and the segment that each of those comes from."""

    segments: list[Segment] = field(default_factory=list)
    shared: dict[str, Value] = field(default_factory=dict)
    origins: dict[str, int] = field(default_factory=dict)


def _hold_leaf(tape: Tape, x: Value) -> None:
    """The token vectors are made to require a gradient: as a leaf of the graph they stay, even where positions are only
    added to them on the way to the first block. A scaled table (Gemma) scales by itself."""
    vectors = [op for op in tape.ops[:2] if op.name in ("embedding", "mul")]
    if vectors and tape.ops[0].name == "embedding" and vectors[-1].outputs[0].storage is not x.storage:
        vectors[-1].saved += (vectors[-1].outputs[0].storage,)


class Tracer:
    """Traces a model; equal blocks with equal circumstances share one trace.

    `input_grad`: the embeddings' output is made to require a gradient (checkpointing over frozen weights).
    `recompute`: blocks keep only their input. `frozen`: the first so many blocks, and the embeddings, are not trained.
    """

    def __init__(
        self, model: Model, how: How, lengths: Lengths, input_grad: bool = False, recompute: bool = False, frozen: int = 0
    ) -> None:
        self._model = model
        self._how = how
        self._lengths = lengths
        self._input_grad = input_grad
        self._recompute = recompute
        self._frozen = replace(how, frozen=True) if frozen else how
        self._left = frozen
        self._pass = Pass()
        self._known: dict[tuple[int, bool, str, Dims, bool, bool], Trace] = {}

    def run(self, loss: bool) -> Pass:
        """The whole pass; with `loss`, the head is followed by the cross-entropy."""
        source: Value | None = None
        for part in self._model.parts:
            if part.optional and self._lengths.image is None:
                continue
            last = part is self._model.parts[-1]
            x = self._enter(part)
            for index, block in enumerate(part.blocks):
                x = self._block(part, index, block, x, source)
            x = self._leave(part, x, last, loss)
            if not last and part.feeds:
                source = self._publish(part, x)
        return self._pass

    def _tokens(self, part: Part) -> Dims:
        if part.sequence == "image":
            side = self._lengths.of(part)
            return dims((Dim.BATCH, self._lengths.batch), (Dim.HEIGHT, side), (Dim.WIDTH, side))
        return dims((Dim.BATCH, self._lengths.batch), (Dim.TOKENS, self._lengths.of(part)))

    def _enter(self, part: Part) -> Value:
        tape = Tape(self._frozen, self._pass.shared)
        if part.embeddings is None:
            shape = (*self._tokens(part), *dims((Dim.HIDDEN, self._model.hidden)))
            return tape.input("inputs", shape, self._how.stored)
        x = part.embeddings.forward(tape, self._tokens(part))
        if self._input_grad:
            _hold_leaf(tape, x)
        self._pass.segments.append(Segment("embeddings", part.name, None, tape.trace(None, x)))
        if self._input_grad:
            x.grad = True
        return x

    def _block(self, part: Part, index: int, block: Stage, x: Value, source: Value | None) -> Value:
        kept = self._kept_already(part)
        how = self._frozen if self._left > 0 else self._how
        self._left -= 1
        key = (id(block), x.grad, x.format.id, x.dims, kept, how.frozen)
        trace = self._known.get(key)
        if trace is None:
            tape = Tape(how, self._pass.shared)
            entry = tape.input("residual stream", x.dims, x.format, x.grad)
            entry.storage.shared = kept
            trace = tape.trace(entry, block.forward(tape, entry, source))
            self._known[key] = trace
        self._pass.segments.append(Segment(block.kind, part.name, index, trace))
        return trace.results[0]

    def _kept_already(self, part: Part) -> bool:
        """Whether the segment before keeps its result for backward: what enters the next then counts there."""
        before = self._pass.segments[-1:]
        if self._recompute or not before or before[0].part != part.name:
            return False
        return before[0].trace.saves_result

    def _leave(self, part: Part, x: Value, last: bool, loss: bool) -> Value:
        tape = Tape(self._how, self._pass.shared)
        entry = tape.input("residual stream", x.dims, x.format, x.grad)
        out = part.norm(tape, entry) if part.norm else entry
        out = tape.dropout(out, part.dropout, "output, dropped out") if part.dropout else out
        head = self._model.head
        if last and head:
            out = head.loss(tape, out) if loss else head.logits(tape, out)
        if tape.ops:
            self._pass.segments.append(
                Segment("head" if last and head else "final norm", part.name, None, tape.trace(entry, out))
            )
        return out

    def _publish(self, part: Part, x: Value) -> Value:
        shape = tuple(e._replace(dim=Dim.SOURCE_TOKENS) if e.dim is Dim.TOKENS else e for e in x.dims)
        tape = Tape(self._how, self._pass.shared)
        name = f"{part.name} output"
        self._pass.origins[name] = len(self._pass.segments) - 1
        return tape.shared(name, shape, x.format, x.grad)
