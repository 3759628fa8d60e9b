"""A serving engine's own forward pass at start-up: the largest batch through fused kernels, then the sampler over it.

The forward pass is the model's tape with fused operators; experts run in two workspaces that the engine keeps.
Source: vLLM v1/worker/gpu_model_runner.py (profile_run), model_executor/layers/fused_moe, v1/sample (release 0.19).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from gauge.formats import FLOAT32, INT64, UINT8, Format
from gauge.how import How
from gauge.layers.block import Residual
from gauge.layers.experts import Experts
from gauge.layers.mlp import MLP
from gauge.memory.segments import Lengths, Tracer
from gauge.model import Model, Part
from gauge.tape import Storage, Tape, Value, dims
from gauge.tensor import Axis, Dim, Extent, Tensor, extent, tensor
from gauge.units import ceil_div

WORKSPACES = ("expert workspace 1", "expert workspace 2")


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedExperts(Experts):
    """Routed experts in one fused kernel: rows of a token for each expert it visits, in two shared workspaces.

    Experts that are split over data-parallel ranks see the tokens of all of them; `chunk` is the most that one call takes.
    """

    chunk: int = 0

    def _grouped(self, tape: Tape, x: Value, weights: Value, index: Storage) -> Value:
        mesh = tape.how.mesh
        heads, whole, data = mesh.get(Axis.TENSOR, 1), mesh.get(Axis.EXPERT, 1), mesh.get(Axis.DATA, 1)
        rows = self._rows(weights.dims[:-1], max(data, whole // heads))
        inner = self.inner if whole > 1 else ceil_div(self.inner, heads * data)
        both = inner * 2 if self.gated else inner
        visits = dims((Dim.ACTIVE_EXPERTS, self.router.active))
        for name, width in zip(WORKSPACES, (max(inner, self.width), max(both, self.width)), strict=True):
            tape.shared(name, (*rows, *visits, *dims((Dim.ELEMENTS, width))), x.format)
        return tape.op("fused_experts", (x, weights), x.dims, x.format, label="expert output")

    def _rows(self, own: tuple[Extent, ...], ranks: int) -> tuple[Extent, ...]:
        """Batch and tokens of one call, `ranks` times those of one rank."""
        (tokens,) = (e for e in own if e.dim is Dim.TOKENS)
        count = tokens.size * ranks
        count = min(count, self.chunk) if self.chunk else count
        if count == tokens.size:
            return own
        return tuple(extent(Dim.ALL_TOKENS, count) if e is tokens else e for e in own)


def fused(model: Model, chunk: int = 0) -> Model:
    """The model with its experts as a serving engine runs them; equal blocks stay equal."""
    known: dict[int, object] = {}

    def block(old: object) -> object:
        if id(old) not in known:
            steps = getattr(old, "steps", ())
            known[id(old)] = (
                replace(old, steps=tuple(_step(s, chunk) for s in steps))  # type: ignore[type-var]
                if any(type(s.body) is Experts for s in steps) and "steps" in getattr(old, "__dataclass_fields__", ())
                else old
            )
        return known[id(old)]

    parts: list[Part] = [replace(p, blocks=tuple(block(b) for b in p.blocks)) for p in model.parts]  # type: ignore[misc]
    return model.edited(parts=tuple(parts))


def _step(step: Residual, chunk: int) -> Residual:
    body = step.body
    if type(body) is not Experts:
        return step
    return replace(step, body=FusedExperts(**{f.name: getattr(body, f.name) for f in fields(Experts)}, chunk=chunk))


@dataclass(frozen=True, slots=True)
class ForwardPeak:
    """What is alive at the largest operator, and the workspaces that stay."""

    flying: tuple[Tensor, ...]
    workspaces: tuple[Tensor, ...]

    @property
    def bytes(self) -> int:
        """Both together."""
        return sum(t.bytes for t in (*self.flying, *self.workspaces))


def forward_peak(model: Model, how: How, tokens: int, chunk: int = 0) -> ForwardPeak:
    """The forward pass of `tokens` tokens up to the final norm; position tables live with the weights. Experts take at
    most `chunk` tokens at once, 0: all.
    """
    source = next((p.length for p in model.parts if p.sequence == "source" and p.length), tokens)
    run = Tracer(fused(model, chunk), how, Lengths(1, tokens, source)).run(loss=False)
    worst: tuple[int, tuple[Storage, ...]] = (0, ())
    for segment in run.segments:
        if segment.name == "head":
            continue
        for moment in segment.trace.forward:
            if moment.bytes > worst[0]:
                worst = (moment.bytes, moment.alive)
    kept = tuple(v.storage.tensor for name, v in run.shared.items() if name in WORKSPACES)
    return ForwardPeak(tuple(s.tensor for s in worst[1]), kept)


def held_by_caller(tokens: int, hidden: int, format: Format) -> Tensor:
    """The stream that an uncompiled model's loop over layers still refers to while the next layer runs."""
    return tensor("stream before the layer, held by the caller", format, (Dim.TOKENS, tokens), (Dim.HIDDEN, hidden))


def quantized_input(model: Model, how: How, tokens: int) -> Tensor | None:
    """The down projection's 8-bit input, whose buffer exists before the MLP runs."""
    mlp = model.first(MLP)
    if mlp is None:
        return None
    inner = ceil_div(mlp.inner, how.mesh.get(Axis.TENSOR, 1))
    return tensor("8-bit input of the down projection", UINT8, (Dim.TOKENS, tokens), (Dim.FFN, inner))


@dataclass(frozen=True, slots=True)
class Sampler:
    """What sampling holds: `rows` sequences, each with a row of the vocabulary; never split over devices.

    `sorts`: top-p sorts the whole row, values, indices and the sort's own second buffers at once; otherwise a kernel
    gathers candidates, a row for each of its `programs`.
    """

    rows: int
    vocab: int
    format: Format
    sorts: bool
    programs: int

    def tensors(self) -> Iterable[Tensor]:
        """Everything alive at the sampler's peak."""
        yield self._row("logits", self.format)
        yield self._row("logits in float32", FLOAT32)
        if self.sorts:
            yield self._row("sorted logits", FLOAT32)
            yield self._row("sort indices", INT64)
            yield self._row("positions to sort", INT64)
            yield self._row("second buffer of the sorted logits", FLOAT32)
            yield self._row("second buffer of the sort indices", INT64)
            return
        yield self._row("probabilities", FLOAT32)
        yield self._row("random numbers to sample by", FLOAT32)
        shape = ((Dim.COPIES, self.programs), (Dim.VOCAB, self.vocab))
        yield tensor("candidates of the top-k/top-p kernel", FLOAT32, *shape)

    def _row(self, name: str, format: Format) -> Tensor:
        return tensor(name, format, (Dim.BATCH, self.rows), (Dim.VOCAB, self.vocab))
