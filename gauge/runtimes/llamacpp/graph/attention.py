"""Softmax attention over a cache of keys and values, or over the micro-batch itself in encoders.

Source: ggml-org/llama.cpp src/llama-graph.cpp (build_attn, build_attn_mha), src/llama-kv-cache.cpp (cpy_k, cpy_v).
"""

from __future__ import annotations

from math import prod

from gauge.formats import FLOAT16, FLOAT32
from gauge.gguf.tensors import JOINED_ATTENTION
from gauge.layers.attention import Attention
from gauge.layers.norm import Norm
from gauge.runtimes.llamacpp.cache import widest_values
from gauge.runtimes.llamacpp.context import reach
from gauge.runtimes.llamacpp.graph.builder import Builder, KVCache, Sized, Unwritten, viewed
from gauge.runtimes.llamacpp.reserve import Node, stored, view_of
from gauge.tensor import Dim

ROTATION = 64  # side of the smallest rotation matrix; keys take the largest power of two that divides a head
_TEMPERED = frozenset({"llama4", "llama4_text"})  # queries without positions are scaled by how far they look back


def attention(graph: Builder, layer: Attention, x: Node) -> Node:
    """(hidden, tokens) to the same: projections, norms, rotation, the cache, scores, and the way back. Raises Unwritten."""
    _check(layer)
    heads, keys = (Dim.HEADS, layer.heads), (Dim.KV_HEADS, layer.kv_heads)
    cache = graph.windowed if graph.windowed and reach(layer) is not None else graph.full
    q, k, v = _projections(graph, layer, x)
    joined = q
    q = _rotary(graph, layer, "queries", q, heads, 0)
    if layer.borrows:
        return _borrowed_attention(graph, layer, q, cache)
    k = _rotary(graph, layer, "keys", k, keys, 1)
    if layer.value_norm:
        v = graph.reshaped("values", v, (Dim.VALUE_HEAD, layer.values_head), keys, graph.rows)
    turn_keys, turn_values = _hadamards(graph, layer, cache) if layer.causal else (None, None)
    if turn_keys:
        q = _hadamard(graph, "queries", q, turn_keys, heads, layer.head)
        k = _hadamard(graph, "keys", k, turn_keys, keys, layer.head)
    if turn_values:
        v = _hadamard(graph, "values", v, turn_values, keys, layer.values_head)
    if not layer.causal:
        return _encoder_attention(graph, layer, q, k, v)
    for one in (q, k, v) if graph.windowed else (q, v, k):
        graph.expand(one)
    graph.store(view_of(k), *graph.cache_indices(cache, "key", 1))
    graph.store(view_of(v), *graph.cache_indices(cache, "value", 1 if graph.context.flash else widest_values(graph.model)))
    out = graph.expand(_cached_attention(graph, layer, q, cache))
    if turn_values:
        out = _hadamard(graph, "attention output", out, turn_values, heads, layer.values_head)
    out = view_of(out)
    if layer.gate:
        width = (Dim.HEADS, layer.heads * layer.values_head)
        out = graph.over(out, graph.over(graph.new("gate of the output", width, graph.rows, of=(view_of(joined),))))
    return graph.linear("attention branch", graph.hidden, out, layer.out_bias)


def _borrowed_attention(graph: Builder, layer: Attention, q: Node, cache: KVCache) -> Node:
    """Queries read the keys and values that an earlier layer cached."""
    heads = (Dim.HEADS, layer.heads)
    turn_keys, turn_values = _hadamards(graph, layer, cache)
    if turn_keys:
        q = _hadamard(graph, "queries", q, turn_keys, heads, layer.head)
    out = graph.expand(_cached_attention(graph, layer, graph.expand(q), cache))
    if turn_values:
        out = _hadamard(graph, "attention output", out, turn_values, heads, layer.values_head)
    return graph.linear("attention branch", graph.hidden, view_of(out), layer.out_bias)


def _projections(graph: Builder, layer: Attention, x: Node) -> tuple[Node, Node, Node]:
    """Queries, keys and values, each (heads * head, tokens): views of one product, or three products."""
    key, value = (Dim.KV_HEADS, layer.kv_heads * layer.head), (Dim.KV_HEADS, layer.kv_heads * layer.values_head)
    query = (Dim.HEADS, layer.heads * layer.head * (2 if layer.gate == "query" else 1))
    if layer.fused or graph.model.family in JOINED_ATTENTION:
        width = (Dim.ELEMENTS, prod(query[1:]) + key[1] + value[1])
        joined = graph.linear("queries, keys and values", width, x, layer.qkv_bias)
        return view_of(joined), view_of(joined), view_of(joined)
    bias = layer.qkv_bias if layer.key_bias is None else layer.key_bias
    q, k = graph.linear("queries", query, x, layer.qkv_bias), graph.linear("keys", key, x, bias)
    return q, k, k if layer.value_from_key else graph.linear("values", value, x, layer.qkv_bias)


def _rotary(graph: Builder, layer: Attention, name: str, x: Node, heads: Sized, which: int) -> Node:
    """(head, heads, tokens): rotated by position; normed over a head or over all heads, before or after it."""
    shape = ((Dim.HEAD, layer.head), heads, graph.rows)
    norm = layer.norm(which) if layer.norms else None
    if norm and layer.norms == "full":
        joint = ((Dim.HEAD, layer.head * heads[1]), graph.rows)
        x = graph.norm(norm, x, name, joint) if layer.fused else _normed_in_place(graph, norm, x)
        norm = None
    if norm and not layer.norm_after_rotary:
        x = graph.norm(norm, x, name, shape)
        return graph.over(x, graph.positions()) if layer.rotary else x
    if which == 0 and not layer.rotary and graph.model.family in _TEMPERED:
        scale = graph.input("temperature of queries", graph.rows, format=FLOAT32)
        return graph.new(name, *shape, of=(view_of(x), scale), over=True)
    if layer.rotary:
        x = graph.new(name, *shape, of=(view_of(x), graph.positions()), over=True)
        return _normed_in_place(graph, norm, x) if norm else x
    return graph.norm(norm, x, name, shape) if norm else x


def _normed_in_place(graph: Builder, norm: Norm, x: Node) -> Node:
    """A norm over `x` as it lies, of its shape."""
    made = Node(x.tensor, x.shape, (x,))
    made.over = norm.kind != "layer"
    for _ in norm.weights():
        made = graph.over(made)
    return made


def _hadamards(graph: Builder, layer: Attention, cache: KVCache) -> tuple[Node | None, Node | None]:
    """Hadamard matrices, (side, side), that spread a head's numbers before they are cached in blocks: keys', values'."""
    if not graph.context.policy.rotates:
        return None, None
    found: list[Node | None] = []
    for name, head, form in (("key", layer.head, graph.formats.key), ("value", layer.values_head, graph.formats.value)):
        side = ROTATION
        while name == "key" and head % (2 * side) == 0:
            side *= 2
        turns = form.values > 1 and head % ROTATION == 0
        found.append(graph.cache_input(cache, f"rotation of {name}s", (Dim.HEAD, side), (Dim.HEAD, side)) if turns else None)
    return found[0], found[1]


def _hadamard(graph: Builder, name: str, x: Node, matrix: Node, heads: Sized, head: int) -> Node:
    """(head, heads, tokens): every head times the matrix."""
    shape = ((Dim.HEAD, head), heads, graph.rows)
    source = x
    if x.base is not None and not x.stored and x.shape == ():
        source = x if _whole(x) else graph.new(f"{name}, gathered", *shape, of=(x,))
    made = graph.new(f"{name}, spread", *shape, of=(matrix, view_of(source)))
    return view_of(made)


def _cached_attention(graph: Builder, layer: Attention, q: Node, cache: KVCache) -> Node:
    """(head, heads, tokens): one fused operator; or scores (cells, tokens, heads), softmax in their place, product, copy."""
    heads = (Dim.HEADS, layer.heads)
    out = ((Dim.HEAD, layer.values_head), heads, graph.rows)
    if graph.context.flash:
        read = [q, *_keys_in_16_bits(graph, layer, cache), graph.mask(cache)]
        return graph.new("attention output", *out, of=tuple(viewed(n) for n in read))
    scores = graph.new("attention scores", (Dim.CELLS, cache.cells), graph.rows, heads, of=(view_of(q),))
    scores = graph.over(scores, graph.mask(cache))
    product = graph.new("attention output by heads", (Dim.HEAD, layer.values_head), graph.rows, heads, of=(scores,))
    return graph.new("attention output", *out, of=(view_of(product),))


def _encoder_attention(graph: Builder, layer: Attention, q: Node, k: Node, v: Node) -> Node:
    """Every token against every other, without a cache; the fused operator wants keys and values in 16 bits."""
    for one in (q, k, v):
        graph.expand(one)
    heads, head = (Dim.HEADS, layer.heads), (Dim.HEAD, layer.head)
    mask = graph.full if reach(layer) is None else graph.near
    if graph.context.flash:
        both = [("keys", k), ("values", v)]
        read = [graph.new(f"{n} in 16 bits", head, graph.rows, heads, of=(viewed(x),), format=FLOAT16) for n, x in both]
        out = graph.new("attention output", head, heads, graph.rows, of=(viewed(q), *read, graph.mask(mask)))
    else:
        turned = graph.new("values, transposed", graph.rows, head, heads, of=(viewed(v),))
        seen = (Dim.KEY_TOKENS, graph.tokens)
        scores = graph.new("attention scores", seen, graph.rows, heads, of=(viewed(k), viewed(q)))
        scores = graph.over(scores, graph.mask(mask))
        product = graph.new("attention output by heads", head, graph.rows, heads, of=(turned, scores))
        out = graph.new("attention output", head, heads, graph.rows, of=(view_of(product),))
    return graph.linear("attention branch", graph.hidden, view_of(graph.expand(out)), layer.out_bias)


def _keys_in_16_bits(graph: Builder, layer: Attention, cache: KVCache) -> list[Node]:
    """32-bit caches are converted for the fused operator, all cells of them."""
    made = []
    cells = (Dim.CELLS, cache.cells * graph.context.streams)
    for name, head, form in (("keys", layer.head, graph.formats.key), ("values", layer.values_head, graph.formats.value)):
        if form is FLOAT32:
            shape = ((Dim.HEAD, head), cells, (Dim.KV_HEADS, layer.kv_heads))
            made.append(graph.new(f"cached {name} in 16 bits", *shape, of=(stored(),), format=FLOAT16))
    return made


def _check(layer: Attention) -> None:
    """Raises Unwritten for attention with parts that the engine builds in its own way."""
    if layer.cross or layer.gate not in ("", "query") or layer.relative_buckets or layer.shared_bias:
        raise Unwritten("attention with extras")


def _whole(node: Node) -> bool:
    """Whether a view covers its base: only views of joined projections do not."""
    base = node.base
    return base is None or base.tensor is None or base.tensor.name != "queries, keys and values"
