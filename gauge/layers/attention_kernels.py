"""The kernels that turn queries, keys and values into an output, and the rule by which PyTorch picks one.

Shapes: q (batch, heads, tokens, head), k and v (batch, kv_heads, key_tokens, head).
Source: PyTorch 2.13 aten/src/ATen/native/transformers/cuda/sdp_utils.cpp;
transformers 5.23 integrations/sdpa_attention.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gauge.formats import BOOL, FLOAT32, INT64
from gauge.kernels import is_fused
from gauge.tape import Dims, Tape, Value, dims
from gauge.tensor import Dim, Tensor
from gauge.units import round_up

Kernel = Literal["flash", "efficient", "math", "eager"]
FLASH_LARGEST_HEAD = 256
EFFICIENT_ROW_ALIGNMENT = 32


@dataclass(frozen=True, slots=True)
class Scores:
    """What happens between the score matrix and the probabilities in the composed kernels."""

    masked: bool = False
    softmax32: bool = True
    scores32: bool = False
    sinks: bool = False
    soft_cap: bool = False
    bias: Value | None = None
    bias_copied: bool = True
    bias_masked: bool = False
    mask: str = ""
    dropout: float = 0.0
    scaled: bool = True
    broadcast: bool = False
    clamped: bool = False


def pick(
    asked: str,
    *,
    half: bool,
    masked: bool,
    grouped: bool,
    head: int,
    value_head: int,
    has_sdpa: bool,
    multi_query_math: bool = False,
) -> Kernel:
    """The kernel that runs when `asked` (`sdpa`, `flash`, `eager`) meets these shapes.

    `multi_query_math`: the family hands one key head to many queries without saying so (Falcon 7B), which only the
    composed path takes.
    """
    if asked == "eager" or (asked == "sdpa" and not has_sdpa):
        return "eager"
    if asked == "flash":
        return "flash"
    if multi_query_math and grouped:
        return "math"
    repeats = masked or head > FLASH_LARGEST_HEAD
    if half and not masked and head == value_head and head <= FLASH_LARGEST_HEAD:
        return "flash"
    if grouped and not repeats and not half:
        return "math"
    return "efficient"


def attend(tape: Tape, kernel: Kernel, q: Value, k: Value, v: Value, scores: Scores) -> Value:
    """The attention output (batch, tokens, heads, value head) under that kernel."""
    if kernel in ("eager", "math") and not is_fused(tape):
        grouped = _heads(k) != _heads(q)
        q, k, v = (part if grouped and part is not q else _batched(tape, part) for part in (q, k, v))
    with tape.core():
        return _attend(tape, kernel, q, k, v, scores)


def _attend(tape: Tape, kernel: Kernel, q: Value, k: Value, v: Value, scores: Scores) -> Value:
    if kernel == "flash":
        return flash(tape, q, k, v)
    origin = q.format
    if kernel == "math" and not tape.how.autocast:
        q, k, v = (tape.cast(value, FLOAT32, f"{value.name} in float32") for value in (q, k, v))
    unrepeated = kernel == "efficient" or (batch_of(q) == 1 and (kernel == "eager" or scores.broadcast))
    shared = single_head(k) and unrepeated
    k = repeat_heads(tape, k, q, "keys", shared)
    if not shared or kernel == "efficient":
        v = repeat_heads(tape, v, q, "values", shared)
    if kernel == "efficient":
        return efficient(tape, q, k, v, scores)
    return tape.cast(composed(tape, q, k, v, scores, math=kernel == "math"), origin, "attention output")


def _output_dims(q: Value, v: Value) -> Dims:
    """(batch, tokens, heads, value head): the order in which the output projection reads it."""
    head = next(e for e in reversed(v.dims) if e.dim in (Dim.HEAD, Dim.VALUE_HEAD))
    batch_heads = [e for e in q.dims if e.dim not in (Dim.HEAD, Dim.HEADS)]
    heads = [e for e in q.dims if e.dim is Dim.HEADS]
    return (*batch_heads, *heads, head._replace(dim=Dim.HEAD))


def flash(tape: Tape, q: Value, k: Value, v: Value) -> Value:
    """FlashAttention: keeps q, k, v at their own head counts, the output and a float32 log-sum-exp a query.

    It takes 16-bit operands only: wider ones (upcast frozen parts) are cast.
    """
    q, k, v = (tape.cast(value, tape.how.compute) for value in (q, k, v))
    rows = tuple(e for e in q.dims if e.dim is not Dim.HEAD)
    lse = tape.allocate("log-sum-exp", rows, FLOAT32)
    return tape.op(
        "flash_attention",
        (q, k, v),
        _output_dims(q, v),
        q.format,
        label="attention output",
        saves=(q.storage, k.storage, v.storage, lse),
        saves_output=True,
    )


def efficient(tape: Tape, q: Value, k: Value, v: Value, scores: Scores) -> Value:
    """Memory-efficient attention: as flash, with expanded k and v, the mask in q's dtype, and 32-row statistics."""
    q, k, v = tape.low(q), tape.low(k), tape.low(v)
    rows = tuple(
        e._replace(size=round_up(e.size, EFFICIENT_ROW_ALIGNMENT), whole=round_up(e.whole, EFFICIENT_ROW_ALIGNMENT))
        if e.dim in (Dim.TOKENS, Dim.SOURCE_TOKENS, Dim.PATCHES)
        else e
        for e in q.dims
        if e.dim is not Dim.HEAD
    )
    saves = [q.storage, k.storage, v.storage, tape.allocate("log-sum-exp", rows, FLOAT32)]
    inputs, scratch = [q, k, v], []
    bias = scores.bias
    if bias is not None:
        own = bias.format == q.format and not scores.bias_copied
        saves.append(bias.storage if own else tape.allocate("position bias, contiguous", bias.dims, q.format))
        if scores.bias_masked:
            saves.append(tape.allocate("causal mask", bias.dims[1:], BOOL))
        if bias.grad:
            inputs.append(bias)
            batch = tuple(e for e in q.dims if e.dim is Dim.BATCH)
            if not any(e.dim is Dim.BATCH for e in bias.dims):
                scratch = [tape.allocate("gradient of position bias, expanded", (*batch, *bias.dims), q.format)]
    elif scores.masked:
        saves.append(tape.allocate("attention mask", _mask_dims(q, k), q.format))
    return tape.op(
        "efficient_attention",
        inputs,
        _output_dims(q, v),
        q.format,
        label="attention output",
        saves=saves,
        saves_output=True,
        backward_scratch=scratch,
    )


def _key_tokens(k: Value) -> int:
    return next(e.size for e in k.dims if e.dim in (Dim.TOKENS, Dim.SOURCE_TOKENS, Dim.PATCHES))


def _mask_dims(q: Value, k: Value) -> Dims:
    kept = tuple(e for e in q.dims if e.dim in (Dim.BATCH, Dim.TOKENS, Dim.PATCHES))
    return (*kept, *dims((Dim.KEY_TOKENS, _key_tokens(k))))


def single_head(value: Value | Tensor) -> bool:
    """Whether there is one key head for all queries: repeating it is a view, not a copy."""
    return any(e.dim is Dim.KV_HEADS and e.size == 1 for e in value.dims)


def batch_of(value: Value) -> int:
    """Sequences in the batch."""
    return next((e.size for e in value.dims if e.dim is Dim.BATCH), 1)


def repeat_heads(tape: Tape, value: Value, q: Value, label: str, shared: bool = False) -> Value:
    """Copies key/value heads so that each query head has its own; nothing to do where they are as many.

    `shared`: one head serves all queries as a view without a stride.
    """
    heads = next(e for e in q.dims if e.dim is Dim.HEADS)
    own = next((e for e in value.dims if e.dim is Dim.KV_HEADS), None)
    if own is None:
        return value
    full = tuple(heads if e.dim is Dim.KV_HEADS else e for e in value.dims)
    if own.size == heads.size:
        return tape.alias(value, full)
    if shared:
        return _spread(tape, value, full)
    return tape.op("repeat", (value,), full, value.format, label=f"{label}, repeated to all heads")


def _spread(tape: Tape, value: Value, full: Dims) -> Value:
    """A view that shows one head to all queries; its gradient is summed back over them."""
    out = tape.alias(value, full)
    op = tape.ops[-1]
    op.gradients, op.passes = op.passes, ()
    return out


def _with_sinks(tape: Tape, raw: Value, row: Dims) -> Value:
    """One more column, the head's sink; then the row's maximum is subtracted, whose position is kept."""
    wider = (*row, *dims((Dim.KEY_TOKENS, raw.dims[-1].size + 1)))
    joined = tape.concat((raw,), wider, "scores and sinks")
    position = tape.allocate("position of the largest score", row, INT64)
    largest = tape.op("max", (joined,), row, raw.format, label="largest score", saves=(position,))
    return tape.op("sub", (joined, largest), wider, raw.format, label="scores below their maximum")


def _scaled(tape: Tape, value: Value, label: str) -> Value:
    """Times a constant; a view that shows one head to all queries stays one."""
    own = value.storage.tensor.dims if single_head(value.storage.tensor) else value.dims
    return tape.alias(tape.op("mul", (value,), own, value.format, label=label), value.dims)


def _heads(part: Value) -> int:
    return next((e.size for e in part.dims if e.dim in (Dim.HEADS, Dim.KV_HEADS)), 1)


def _batched(tape: Tape, part: Value) -> Value:
    """A batched product wants one batch dimension: a slice of a fused projection cannot give it, so it is copied.

    With one sequence alone the slice's strides fit as they are. Fused code lays batch and heads side by side instead.
    """
    several = any(e.dim is Dim.BATCH and e.size > 1 for e in part.dims)
    sliced = tape.allocate(part.name, part.dims, part.format).size < part.storage.size
    return tape.contiguous(part) if several and sliced else part


def composed(tape: Tape, q: Value, k: Value, v: Value, scores: Scores, math: bool = False) -> Value:
    """Attention written out: scores, mask, softmax, dropout, weighted sum. Keeps matrices of tokens × key tokens."""
    row = tuple(e for e in q.dims if e.dim is not Dim.HEAD)
    square = (*row, *dims((Dim.KEY_TOKENS, _key_tokens(k))))
    if math:
        q, k = _scaled(tape, q, "queries, scaled"), _scaled(tape, k, "keys, scaled")
    if scores.scores32:
        q, k = tape.cast(q, FLOAT32, "queries in float32"), tape.cast(k, FLOAT32, "keys in float32")
    raw = tape.matmul(q, k, square, label="attention scores")
    if scores.scaled and not math:
        raw = tape.op("mul", (raw,), square, raw.format, label="scaled scores")
    if scores.soft_cap:
        raw = tape.op("div", (raw,), square, raw.format, label="scores over cap")
        raw = tape.pointwise32("tanh", raw, keeps="output", label="capped scores")
        raw = tape.op("mul", (raw,), square, raw.format, label="soft-capped scores")
    if scores.bias is not None:
        raw = tape.add(raw, scores.bias, label="biased scores")
    elif scores.masked:
        tape.shared(f"attention mask{scores.mask}", _mask_dims(q, k), tape.how.compute)
        raw = tape.op("add", (raw,), square, raw.format, label="masked scores")
    if scores.clamped:
        raw = tape.op("max", (raw,), square, raw.format, label="scores above the least number", saves=(raw.storage,))
    if scores.sinks:
        raw = _with_sinks(tape, raw, row)
    wide = tape.cast(raw, FLOAT32, "scores in float32") if scores.softmax32 else raw
    probabilities = tape.softmax(wide)
    if not tape.how.autocast:
        probabilities = tape.cast(probabilities, v.format, "probabilities, cast")
    probabilities = tape.dropout(probabilities, scores.dropout, "probabilities, dropped out")
    out = tape.matmul(probabilities, v, (*row, *(e for e in v.dims if e.dim in (Dim.HEAD, Dim.VALUE_HEAD))), "weighted values")
    return tape.contiguous(out, "attention output", _output_dims(q, v))
