"""Rotary embedding of queries and keys: whole heads or parts of heads, with shared tables or a layer's own."""

from __future__ import annotations

from gauge import kernels
from gauge.tape import Dims, Tape, Value, dims
from gauge.tensor import Dim

HEAD_DIMS = (Dim.HEAD, Dim.VALUE_HEAD)
Tables = tuple[Value, Value]


def tables_of(tape: Tape, value: Value, size: int, scope: str = "", *, own: bool = False) -> Tables:
    """The cosine and sine tables for the tokens of `value`; `scope` names them where a model has several.

    They are made once for the whole model, or, where `own`, repeated to neighbouring pairs by this layer.
    """
    tokens = next(e.size for e in value.dims if e.dim in (Dim.TOKENS, Dim.PATCHES, Dim.SOURCE_TOKENS))
    shared = kernels.rotary_table(tape, 1, tokens, size, scope)
    if not own or kernels.is_fused(tape):
        return shared
    rows = tuple(e for e in value.dims if e.dim in (Dim.BATCH, Dim.TOKENS))
    shape = (*rows, *dims((Dim.HEAD, size)))
    cos, sin = (tape.op("repeat", (t,), shape, t.format, label=f"{t.name}, repeated") for t in shared)
    return cos, sin


def rotate(tape: Tape, value: Value, size: int, tables: Tables, *, joined: bool) -> Value:
    """`value` with the first `size` numbers of each head rotated.

    `joined`: the rotated part and the rest are concatenated into new memory (GPT-NeoX, Phi).
    """
    label = f"{value.name}, rotated"
    if not joined:
        return kernels.rotary(tape, value, tables, label)
    if kernels.is_fused(tape):
        return tape.op("rotary", (value,), value.dims, value.format, label=label, saves=[t.storage for t in tables])
    with tape.hold(value):
        part = tape.alias(value, resized(value.dims, size))
        turned = kernels.rotary(tape, part, tables, f"{label} part")
        return tape.concat((turned, value), value.dims, label)


def resized(shape: Dims, size: int) -> Dims:
    """The same dimensions with heads of another size."""
    return tuple(e._replace(size=size, whole=size) if e.dim in HEAD_DIMS else e for e in shape)
