"""Where a graph starts: rows of the token table, positions, vectors of pictures (DeepStack).

Source: ggml-org/llama.cpp src/llama-graph.cpp (build_inp_embd), src/models/qwen3vl.cpp.
"""

from __future__ import annotations

from gauge.formats import FLOAT32
from gauge.layers.embedding import Embeddings
from gauge.model import Model
from gauge.runtimes.llamacpp.graph.builder import INT32, INT64, Builder, Sized, Unwritten
from gauge.runtimes.llamacpp.graph.per_layer_input import join_per_layer, per_layer_embeddings
from gauge.runtimes.llamacpp.reserve import Node, view_of
from gauge.tensor import Dim


def embed(graph: Builder) -> tuple[Node, Node | None]:
    """(hidden, tokens), and beside it the pictures' part where layers add it: ((1 + layers) * hidden, tokens).

    Batches of vectors instead of tokens, or of both, would take ways of their own; inputs of all are reserved.
    Raises Unwritten.
    """
    entry = graph.model.decoder.embeddings
    if not isinstance(entry, Embeddings) or entry.project is not None:
        raise Unwritten("embeddings")
    if graph.device:
        return _copied(graph, entry), None
    own = per_layer_embeddings(graph) if graph.context.policy.narrow_first else None
    x = graph.expand(_looked_up(graph, "residual stream", "token ids"))
    also = _looked_up(graph, "tokens of a mixed batch", "token ids of a mixed batch") if graph.context.policy.mixed else None
    if also is not None:
        graph.expand(also)
    x = graph.expand(_padded(graph, x))
    if graph.context.policy.given:
        graph.expand(graph.input("vectors given instead of tokens", _given(graph), graph.rows, format=FLOAT32))
    if also is not None:
        _mixed(graph, _padded(graph, also))
    own = own or per_layer_embeddings(graph)
    pictures = x if deep_layers(graph.model) else None
    x = view_of(x) if pictures else x
    typed = any(t.role == "type_embedding" for t in entry.tables)
    x = graph.over(x) if typed else x
    if any(t.role == "position_embedding" for t in entry.tables):
        position = graph.new("position vectors", graph.hidden, graph.rows, of=(graph.positions(),))
        x = graph.over(position, x) if graph.encodes else graph.over(x, position)
    if entry.scaled:
        x = graph.over(x)
    if own is not None:
        join_per_layer(graph, own, x)
    return graph.norm(entry.norm, x), pictures


def _copied(graph: Builder, entry: Embeddings) -> Node:
    """The host looks tokens up, a device gets the vectors."""
    if len(entry.tables) > 1 or deep_layers(graph.model) or graph.model.decoder.extras:
        raise Unwritten("embeddings on a device")
    x = graph.expand(graph.input("embedded tokens", graph.hidden, graph.rows, format=FLOAT32))
    x = graph.over(x) if entry.scaled else x
    return graph.norm(entry.norm, x)


def _looked_up(graph: Builder, name: str, ids: str) -> Node:
    """Rows of the table of tokens."""
    return graph.new(name, graph.hidden, graph.rows, of=(graph.input(ids, graph.rows, format=INT32),))


def _padded(graph: Builder, x: Node) -> Node:
    """Token vectors at the width that pictures' have."""
    name = x.tensor.name if x.tensor else ""
    return graph.new(f"{name}, padded", _given(graph), graph.rows, of=(x,)) if deep_layers(graph.model) else x


def _mixed(graph: Builder, tokens: Node) -> None:
    """Vectors with some rows replaced by tokens': written into a copy, which is never freed."""
    slots = graph.input("rows of a mixed batch", graph.rows, format=INT64)
    given = graph.input("vectors of a mixed batch", _given(graph), graph.rows, format=FLOAT32)
    copy = graph.new("copy for a mixed batch", _given(graph), graph.rows, of=(given,))
    graph.expand(view_of(copy, tokens, slots))


def _given(graph: Builder) -> Sized:
    """Width of a vector that a batch may hold: a token's, and a picture's for each of the first layers."""
    return (Dim.HIDDEN, graph.model.hidden * (1 + deep_layers(graph.model)))


def deep_layers(model: Model) -> int:
    """How many of the first layers add vectors of pictures to the stream (DeepStack)."""
    vision = model.config.get("vision_config")
    listed = vision.get("deepstack_visual_indexes") if isinstance(vision, dict) else None
    return len(listed) if isinstance(listed, list) and model.family.startswith("qwen3_vl") else 0
