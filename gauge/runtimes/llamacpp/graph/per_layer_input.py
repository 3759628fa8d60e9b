"""Narrow embeddings that every layer mixes into its stream (Gemma 4): looked up first, joined with the stream on first use.

Source: ggml-org/llama.cpp src/models/gemma4.cpp (build_inp_per_layer, project_per_layer_inputs).
"""

from __future__ import annotations

from gauge.layers.per_layer_input import PerLayerEmbeddings, PerLayerInput
from gauge.runtimes.llamacpp.graph.builder import INT32, Builder, Sized, Unwritten
from gauge.runtimes.llamacpp.reserve import Node, view_of
from gauge.tensor import Dim


def per_layer_embeddings(graph: Builder) -> Node | None:
    """(layers * narrow, tokens), of a table of its own; None where the model has none."""
    entry = _entry(graph)
    if entry is None:
        return None
    ids = graph.input("token ids of per-layer embeddings", graph.rows, format=INT32)
    found = graph.new("per-layer embeddings", _joint(entry), graph.rows, of=(ids,))
    return graph.expand(found if graph.context.policy.narrow_first else _scaled(graph, entry, found))


def join_per_layer(graph: Builder, found: Node, stream: Node) -> None:
    """(narrow, tokens, layers): the stream projected to all layers, normed, plus what was looked up. Stays to the end."""
    entry = _entry(graph)
    if entry is None:
        return
    narrow, layers = (Dim.RANK, entry.narrow), (Dim.LAYERS, entry.layers)
    projected = graph.over(graph.linear("per-layer projection", _joint(entry), stream))
    normed = graph.over(graph.reshaped("per-layer projection, normed", projected, narrow, layers, graph.rows))
    own = view_of(graph.over(found)) if graph.context.policy.narrow_first else found
    total = graph.over(graph.over(normed, own))
    graph.per_layer = graph.new("per-layer inputs", narrow, graph.rows, layers, of=(view_of(total),))


def per_layer_input(graph: Builder, layer: PerLayerInput, x: Node) -> Node:
    """(hidden, tokens) to the same through the narrow width, times the layer's own embedding. Raises Unwritten."""
    if graph.per_layer is None:
        raise Unwritten("per-layer inputs")
    narrow = (Dim.RANK, layer.narrow)
    inner = graph.over(graph.linear("per-layer gate", narrow, x))
    own = view_of(graph.per_layer)
    if graph.rows[1] != graph.tokens:
        own = graph.new("per-layer inputs of outputs", narrow, graph.rows, of=(own, graph.output_ids()))
    return graph.linear("per-layer branch", graph.hidden, graph.over(inner, own))


def _scaled(graph: Builder, entry: PerLayerEmbeddings, found: Node) -> Node:
    """(narrow, layers, tokens): reshaped, then scaled, which takes memory of its own."""
    return graph.reshaped("per-layer embeddings, scaled", found, (Dim.RANK, entry.narrow), (Dim.LAYERS, entry.layers), graph.rows)


def _entry(graph: Builder) -> PerLayerEmbeddings | None:
    return next((one for one in graph.model.decoder.extras if isinstance(one, PerLayerEmbeddings)), None)


def _joint(entry: PerLayerEmbeddings) -> Sized:
    return (Dim.ELEMENTS, entry.layers * entry.narrow)
