"""Rotary embedding of queries and keys: whole heads, parts of heads, halves or interleaved pairs."""

from __future__ import annotations

from gauge import kernels
from gauge.tape import Dims, Tape, Value, dims
from gauge.tensor import Dim

HEAD_DIMS = (Dim.HEAD, Dim.VALUE_HEAD)


def rotate(tape: Tape, value: Value, size: int, *, joined: bool, interleaved: bool, scope: str) -> Value:
    """`value` with the first `size` numbers of each head rotated.

    `joined`: the rotated part and the rest are concatenated into new memory (GPT-NeoX, Phi). `interleaved` pairs
    neighbours instead of halves (GPT-J). `scope` names the table where a model has several.
    """
    tokens = next(e.size for e in value.dims if e.dim in (Dim.TOKENS, Dim.PATCHES, Dim.SOURCE_TOKENS))
    table = kernels.rotary_table(tape, 1, tokens, size, scope)
    label = f"{value.name}, rotated"
    if not joined:
        return kernels.rotary(tape, value, table, label)
    if kernels.is_fused(tape):
        return tape.op("rotary", (value,), value.dims, value.format, label=label, saves=[t.storage for t in table])
    with tape.hold(value):
        part = tape.alias(value, resized(value.dims, size))
        turned = _pairs(tape, part, table) if interleaved else kernels.rotary(tape, part, table, f"{label} part")
        return tape.concat((turned, value), value.dims, label)


def _pairs(tape: Tape, part: Value, table: tuple[Value, Value]) -> Value:
    """Neighbouring pairs: x × cos + turned × sin, with tables that each layer repeats for itself."""
    size = part.dims[-1].size
    rows = tuple(e for e in part.dims if e.dim in (Dim.BATCH, Dim.TOKENS))
    own = [tape.op("repeat", (t,), (*rows, *dims((Dim.HEAD, size))), part.format, label=f"{t.name}, repeated") for t in table]
    with tape.hold(part):
        left = tape.mul(part, own[0], label="pairs × cos")
        turned = tape.op("stack", (part,), part.dims, part.format, label="pairs, turned")
        right = tape.mul(turned, own[1], label="pairs × sin")
        return tape.add(left, right, label="pairs, rotated")


def resized(shape: Dims, size: int) -> Dims:
    """The same dimensions with heads of another size."""
    return tuple(e._replace(size=size, whole=size) if e.dim in HEAD_DIMS else e for e in shape)
