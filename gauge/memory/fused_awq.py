"""AutoAWQ's fused layers: queries, keys and values of one matrix, a cache of fixed length, attention without a kernel.

While layers are fused, the matrices of queries, keys and values exist twice. The cache holds `max_new_tokens`. Scores are
16-bit, but softmax reads a float32 copy and writes another.
Source: casper-hansen/AutoAWQ 0.1.6, awq/models/llama.py, awq/modules/fused/attn.py, examples/benchmark.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gauge.formats import FLOAT32, Format
from gauge.layers.attention import Attention
from gauge.memory.weights import Store, stored
from gauge.model import Model
from gauge.tensor import Dim, Tensor, tensor

SOURCE = "AutoAWQ 0.1.6, awq/modules/fused/attn.py"
JOINED = ("query", "key", "value")
WHY_TWICE = "Fusing concatenates queries, keys and values into a new matrix; the old ones go when all layers are done."
WHY_ROTATIONS = "Complex rotations of every position, for twice the cache's length, in each fused layer."


def cached_tokens(tokens: int, prompt: int | None) -> int:
    """The cache's length: `max_new_tokens`, which callers set to the tokens that they generate."""
    new = tokens - (prompt or tokens)
    return new if new > 0 else tokens


def joined(model: Model, store: Store) -> Iterator[tuple[Tensor, int]]:
    """The matrices that exist twice while layers are fused."""
    for one, count in stored(model, store):
        if one.role.removesuffix("_scale").removesuffix("_bias") in JOINED:
            yield replace(one, name=f"{one.name}, joined"), count


def rotations(model: Model, tokens: int) -> Iterator[tuple[Tensor, int]]:
    """(2 × cache, half a head) complex numbers in each layer that rotates."""
    for block, count in model.decoder.runs():
        for layer in block.layers:
            if isinstance(layer, Attention) and layer.rotary:
                shape = ((Dim.POSITIONS, 2 * tokens), (Dim.HEAD, layer.rotary))
                yield tensor("rotations of every position, real and imaginary", FLOAT32, *shape), count


def attention_peak(model: Model, batch: int, tokens: int, format: Format, mask: bool) -> tuple[Tensor, ...]:
    """What lives while the prompt's softmax runs, in the layer where that is most."""
    peaks = (
        tuple(_softmax(layer, batch, tokens, format, mask))
        for block, _ in model.decoder.runs()
        for layer in block.layers
        if isinstance(layer, Attention) and not layer.cross
    )
    return max(peaks, key=lambda found: sum(t.bytes for t in found), default=())


def _softmax(layer: Attention, batch: int, tokens: int, format: Format, mask: bool) -> Iterator[Tensor]:
    def of(name: str, heads: int, form: Format = format, last: tuple[Dim, int] | None = None) -> Tensor:
        return tensor(name, form, (Dim.BATCH, batch), (Dim.TOKENS, tokens), (Dim.HEADS, heads), last or (Dim.HEAD, layer.head))

    stream = (Dim.BATCH, batch), (Dim.TOKENS, tokens), (Dim.HIDDEN, layer.hidden)
    yield tensor("residual stream", format, *stream)
    yield tensor("norm output", format, *stream)
    yield of("queries, keys and values", layer.heads + 2 * layer.kv_heads)
    if layer.rotary:
        yield of("rotated queries", layer.heads)
        yield of("rotated keys", layer.kv_heads)
    yield of("keys in the cache's order", layer.kv_heads)
    if layer.rotary or layer.kv_heads != layer.heads:
        yield of("keys for all heads", layer.heads)
        yield of("values for all heads", layer.heads)
    if mask:
        yield tensor("attention mask", format, (Dim.BATCH, batch), (Dim.TOKENS, tokens), (Dim.KEY_TOKENS, tokens))
    pairs = (Dim.KEY_TOKENS, tokens)
    yield of("scores", layer.heads, format, pairs)
    yield of("scores in float32", layer.heads, FLOAT32, pairs)
    yield of("probabilities", layer.heads, FLOAT32, pairs)
