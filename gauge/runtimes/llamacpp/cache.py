"""Keys and values by cells and streams, and the recurrent states of each slot.

Encoders keep nothing; an encoder-decoder reserves only its decoder's self-attention. Recurrent state is F32 and leaves
out the newest input of the short convolution. Source: ggml-org/llama.cpp src/llama-kv-cache.cpp,
src/llama-memory-recurrent.cpp.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gauge.breakdown import Item, item
from gauge.formats import FLOAT32, Format
from gauge.layers.attention import Attention
from gauge.layers.latent_attention import LatentAttention
from gauge.layers.linear import Shape
from gauge.layers.linear_attention import GatedDeltaNet, KimiDelta
from gauge.layers.short_convolution import ShortConvolution
from gauge.layers.sparse_attention import SparseAttention
from gauge.layers.state_space import Mamba1, Mamba2
from gauge.memory.collect import stacked
from gauge.model import Model
from gauge.runtimes.llamacpp.context import Context, attentions, reach
from gauge.tensor import Dim, Extent, Tensor, extent, tensor

WHY_CACHE = "The cache is made for the whole context when the server starts, however much of it requests use."
WHY_WINDOW = "A windowed layer keeps its window for every sequence and one micro-batch, in a cache of its own."
WHY_STATE = "A recurrent layer folds the past into a state whose size does not depend on the context; one a slot."
CACHE_SOURCE = "ggml-org/llama.cpp src/llama-kv-cache.cpp; sizes as printed at start"
STATE_SOURCE = "ggml-org/llama.cpp src/llama-memory-recurrent.cpp; sizes as printed at start"


# Families in which layers without attention are given a cache like the others: no keys, but values if those are padded.
UNFILTERED = frozenset({"nemotron-nas", "deci"})


class Formats(NamedTuple):
    """Types of the cached keys and values."""

    key: Format
    value: Format


def cache_items(model: Model, context: Context, formats: Formats, blocks: Iterable[int]) -> tuple[Item, ...]:
    """What the blocks of one device keep between tokens."""
    kept = [t for index in blocks for t in block_state(model, index, context, formats)]
    return tuple(_item(one) for one in stacked((t, 1) for t in kept))


def _item(one: Tensor) -> Item:
    if one.role == "recurrent":
        return item("recurrent_state", _by_layers(one), why=WHY_STATE, source=STATE_SOURCE)
    why = WHY_WINDOW if one.role == "windowed" else WHY_CACHE
    return item("kv_cache", _by_layers(one), why=why, source=CACHE_SOURCE)


def _by_layers(one: Tensor) -> Tensor:
    first = one.dims[0]
    named = Extent(Dim.LAYERS, first.size, first.whole) if first.dim is Dim.COPIES else first
    return Tensor(one.name, (named, *one.dims[1:]), one.format, one.trainable, one.role)


def block_state(model: Model, index: int, context: Context, formats: Formats) -> Iterator[Tensor]:
    """What one block keeps."""
    if index >= len(model.decoder.blocks):
        return
    if context.padded and model.family in UNFILTERED and not _mixes(model.decoder.blocks[index].layers):
        widest = Extent(Dim.ELEMENTS, widest_values(model), widest_values(model), "of the widest layer")
        yield Tensor("value cache of layers without attention", (*_room(context, None), widest), formats.value, role="full")
    for layer in model.decoder.blocks[index].layers:
        if isinstance(layer, Attention) and layer.caches and not layer.cross and not layer.borrows:
            yield from _heads(model, layer, context, formats)
        elif isinstance(layer, LatentAttention):
            yield from _latent(layer, context, formats)
        else:
            yield from _recurrent(layer, context.slots)
    for step in model.decoder.blocks[index].steps:
        if isinstance(step.body, SparseAttention) and context.policy.indexer:
            yield from _indexed(step.body, context, formats)


def _mixes(layers: Iterable[object]) -> bool:
    return any(isinstance(layer, (Attention, LatentAttention)) for layer in layers)


def _room(context: Context, window: int | None) -> tuple[Extent, ...]:
    """(streams, cells), with what rounded or cut them."""
    cells = context.kept(window)
    note = ""
    if cells < context.cells:
        note = f"window {window:,}, micro-batch {context.ubatch:,}, rounded up to 256"
    elif context.streams > 1:
        note = f"{context.tokens:,} ÷ {context.streams} slots"
    room = Extent(Dim.CELLS, cells, cells, note)
    return (room,) if context.streams == 1 else (extent(Dim.SLOTS, context.streams), room)


def _heads(model: Model, layer: Attention, context: Context, formats: Formats) -> Iterator[Tensor]:
    room = _room(context, reach(layer))
    role = "windowed" if context.kept(reach(layer)) < context.cells else "full"
    word = "windowed layers' " if role == "windowed" else ""
    heads = extent(Dim.KV_HEADS, layer.kv_heads)
    yield Tensor(f"{word}key cache", (*room, heads, extent(Dim.HEAD, layer.head)), formats.key, role=role)
    values: tuple[Extent, ...] = (heads, extent(Dim.HEAD, layer.values_head))
    own, widest = layer.kv_heads * layer.values_head, widest_values(model)
    if context.padded and own < widest:
        values = (Extent(Dim.ELEMENTS, widest, widest, f"{own:,}, padded to the widest layer's"),)
    yield Tensor(f"{word}value cache", (*room, *values), formats.value, role=role)


def _indexed(layer: SparseAttention, context: Context, formats: Formats) -> Iterator[Tensor]:
    """A cache like the others for the indexer's one head, of whose values nothing is read."""
    picked = (*_room(context, None), extent(Dim.HEAD, layer.indexer.head))
    yield Tensor("keys of the indexer", picked, formats.key, role="full")
    yield Tensor("values of the indexer", picked, formats.value, role="full")


def widest_values(model: Model) -> int:
    """Numbers of a token's values in the widest layer; a transposed cache has rows of that width in every layer."""
    return max((one.kv_heads * one.values_head for one in attentions(model)), default=0)


def _latent(layer: LatentAttention, context: Context, formats: Formats) -> Iterator[Tensor]:
    room = _room(context, None)
    if layer.indexer and context.policy.indexer:
        picked = extent(Dim.HEAD, layer.indexer.head)
        yield Tensor("keys of the indexer", (*room, picked), formats.key, role="full")
    if context.policy.latent:
        yield Tensor("latent cache", (*room, extent(Dim.LATENT, layer.kv_rank + layer.rope)), formats.key, role="full")
        if context.policy.latent_values:
            yield Tensor("value part of latents", (*room, extent(Dim.LATENT, layer.kv_rank)), formats.value, role="full")
        return
    heads = extent(Dim.HEADS, layer.heads)
    yield Tensor("key cache", (*room, heads, extent(Dim.HEAD, layer.head)), formats.key, role="full")
    yield Tensor("value cache", (*room, heads, extent(Dim.HEAD, layer.value_head)), formats.value, role="full")


def _recurrent(layer: object, slots: int) -> Iterator[Tensor]:
    """(slots, channels, taps − 1) of the convolution and the state proper."""
    for name, shape in _states(layer):
        sized = tensor(name, FLOAT32, (Dim.SLOTS, slots), *shape)
        yield Tensor(name, sized.dims, FLOAT32, role="recurrent")


def _states(layer: object) -> Iterator[tuple[str, Shape]]:
    if isinstance(layer, Mamba1):
        yield "convolution state", ((Dim.CONV, layer.taps - 1), (Dim.INNER, layer.inner))
        yield "recurrent state", ((Dim.STATE, layer.state_size), (Dim.INNER, layer.inner))
    elif isinstance(layer, Mamba2):
        yield "convolution state", ((Dim.CONV, layer.taps - 1), (Dim.INNER, layer.filtered))
        yield "recurrent state", ((Dim.STATE, layer.state_size), (Dim.HEADS, layer.heads), (Dim.HEAD, layer.head))
    elif isinstance(layer, GatedDeltaNet):
        yield "convolution state", ((Dim.CONV, layer.taps - 1), (Dim.INNER, layer.filtered))
        square = ((Dim.HEAD, layer.key_head), (Dim.VALUE_HEAD, layer.value_head))
        yield "recurrent state", ((Dim.HEADS, layer.value_heads), *square)
    elif isinstance(layer, KimiDelta):
        yield "convolution state", ((Dim.CONV, layer.taps - 1), (Dim.MATRICES, 3), (Dim.INNER, layer.inner))
        yield "recurrent state", ((Dim.HEADS, layer.heads), (Dim.HEAD, layer.head), (Dim.VALUE_HEAD, layer.head))
    elif isinstance(layer, ShortConvolution):
        yield "convolution state", ((Dim.CONV, layer.taps - 1), (Dim.HIDDEN, layer.hidden))
