"""Latent attention (DeepSeek's MLA): one cached vector a token; an indexer may pick the tokens that are read (DSA).

Source: ggml-org/llama.cpp src/models/deepseek2.cpp, src/models/glm-dsa.cpp.
"""

from __future__ import annotations

from gauge.formats import FLOAT16, FLOAT32
from gauge.layers.latent_attention import Indexer, LatentAttention
from gauge.runtimes.llamacpp.graph.builder import INT32, INT64, Builder, Unwritten, viewed
from gauge.runtimes.llamacpp.reserve import Node, stored, view_of
from gauge.tensor import Dim


def latent_attention(graph: Builder, layer: LatentAttention, x: Node) -> Node:
    """(hidden, tokens) to the same: queries in latent width against one cached vector a token, values brought back.

    Raises Unwritten.
    """
    if (
        (layer.indexer and not graph.context.policy.picks)
        or layer.gate
        or layer.nope_only
        or not graph.context.policy.latent
        or graph.context.policy.latent_values
    ):
        raise Unwritten("latent attention with extras")
    heads, rank = (Dim.HEADS, layer.heads), (Dim.LATENT, layer.kv_rank)
    if layer.indexer:
        _index_keys(graph, layer.indexer, x)
    if layer.query_rank:
        low = graph.new("low-rank queries", (Dim.RANK, layer.query_rank), graph.rows, of=(x,))
        low = graph.over(graph.over(low))
        x_query = low
    else:
        x_query = x
    q = graph.new("queries", (Dim.HEADS, layer.heads * (layer.nope + layer.rope)), graph.rows, of=(x_query,))
    absorbed = graph.new("queries in latent width", rank, graph.rows, heads, of=(view_of(q),))
    turned = graph.new("rotated queries", (Dim.HEAD, layer.rope), heads, graph.rows, of=(view_of(q), graph.positions()))
    wide = (Dim.LATENT, layer.kv_rank + layer.rope)
    query = graph.new("queries, joined", wide, heads, graph.rows, of=(view_of(absorbed), turned))
    low_kv = graph.new("latent and rotated keys", wide, graph.rows, of=(x,))
    normed = view_of(graph.over(graph.new("latents", rank, graph.rows, of=(view_of(low_kv),))))
    rope = graph.new("rotated keys", (Dim.HEAD, layer.rope), graph.rows, of=(view_of(low_kv), graph.positions()))
    key = graph.new("latents, joined", wide, graph.rows, of=(normed, rope))
    for one in (query, normed, key):
        graph.expand(one)
    graph.store(view_of(key), *graph.cache_indices(graph.full, "key", 1))
    if layer.indexer:
        graph.picked = _top_tokens(graph, layer.indexer, x, x_query)
    mask = graph.mask(graph.full) if graph.picked is None else _sparse_mask(graph, graph.picked)
    return graph.linear("attention branch", graph.hidden, view_of(graph.expand(_latent_output(graph, layer, query, mask))))


def _index_keys(graph: Builder, indexer: Indexer, x: Node) -> None:
    """The indexer's one key a token: normed, rotated, spread by a fixed matrix, cached."""
    head = (Dim.HEAD, indexer.head)
    key = graph.over(graph.new("keys of the indexer", head, graph.rows, of=(x,)))
    key = graph.over(graph.over(graph.new("keys of the indexer, normed", head, graph.rows, of=(key,))))
    turned = graph.reshaped("rotated keys of the indexer", key, head, (Dim.KV_HEADS, 1), graph.rows)
    turned.sources += (graph.positions(),)
    spread = graph.input("matrix of the indexer", head, head, format=FLOAT32)
    key = graph.new("keys of the indexer, spread", head, (Dim.KV_HEADS, 1), graph.rows, of=(spread, turned))
    graph.store(view_of(key), graph.cache_input(graph.indexer_cache, "indices of the indexer's keys", graph.rows, format=INT64))


def _top_tokens(graph: Builder, indexer: Indexer, x: Node, low: Node) -> Node:
    """(picked tokens, tokens): those that this layer, and the next ones without an indexer, read."""
    cells, head, heads = (Dim.CELLS, graph.full.cells), (Dim.HEAD, indexer.head), (Dim.GROUPS, indexer.heads)
    some = (Dim.KEY_TOKENS, min(indexer.top, graph.full.cells))
    query = graph.new("queries of the indexer", (Dim.GROUPS, indexer.heads * indexer.head), graph.rows, of=(low,))
    turned = graph.reshaped("rotated queries of the indexer", query, head, heads, graph.rows)
    turned.sources += (graph.positions(),)
    spread = graph.input("matrix of the indexer", head, head, format=FLOAT32)
    query = graph.new("queries of the indexer, spread", head, heads, graph.rows, of=(spread, turned))
    weights = graph.reshaped("weights of the indexer", graph.new("weights", heads, graph.rows, of=(x,)), heads, graph.rows)
    allowed = graph.cache_input(graph.indexer_cache, "mask of the indexer", cells, graph.rows, format=FLOAT16)
    scores = graph.new("scores of the indexer", cells, graph.rows, of=(view_of(query), stored(), weights, allowed))
    best = graph.new("tokens picked, unordered", some, graph.rows, of=(scores,), format=INT32)
    return graph.new("tokens picked", some, graph.rows, of=(best,), format=INT32)


def _sparse_mask(graph: Builder, best: Node) -> Node:
    """(cells, tokens): the mask of what was picked; closed everywhere, then zeros written where they were."""
    some = (Dim.KEY_TOKENS, best.shape[0])
    nothing = graph.over(graph.new("nothing for the picked", (Dim.ELEMENTS, 1), some, graph.rows, of=()))
    mask = graph.mask(graph.full)
    return graph.over(view_of(graph.over(mask), nothing, view_of(best)), mask)


def _latent_output(graph: Builder, layer: LatentAttention, query: Node, mask: Node) -> Node:
    """(value head, heads, tokens): attention over latents, then each head's values from its latent."""
    heads, rank = (Dim.HEADS, layer.heads), (Dim.LATENT, layer.kv_rank)
    value = (Dim.VALUE_HEAD, layer.value_head)
    if graph.context.flash:
        attended = graph.new("attention output in latent width", rank, heads, graph.rows, of=(view_of(query), mask))
    else:
        cells = (Dim.CELLS, graph.full.cells)
        turned = graph.new("cached latents, transposed", cells, rank, of=(stored(),), format=graph.formats.key)
        scores = graph.new("attention scores", cells, graph.rows, heads, of=(view_of(query),))
        scores = graph.over(scores, mask)
        attended = graph.new("attention output in latent width", rank, graph.rows, heads, of=(turned, scores))
    back = graph.new("values by heads", value, graph.rows, heads, of=(viewed(attended) if graph.context.flash else attended,))
    return graph.new("attention output", value, heads, graph.rows, of=(view_of(back),))
