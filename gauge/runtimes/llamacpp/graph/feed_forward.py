"""MLPs, experts and their router.

Source: ggml-org/llama.cpp src/llama-graph.cpp (build_ffn, build_moe_ffn).
"""

from __future__ import annotations

from gauge.gguf.tensors import FUSED_GATES
from gauge.layers.block import Layer
from gauge.layers.experts import Experts
from gauge.layers.mlp import MLP
from gauge.layers.together import Branch
from gauge.runtimes.llamacpp.graph.builder import INT32, Builder, Sized, Unwritten
from gauge.runtimes.llamacpp.reserve import Node, view_of
from gauge.tensor import Dim

_SOFTMAX_OF_CHOSEN = frozenset({"gpt_oss"})
_WEIGHTED_FIRST = frozenset({"llama4", "llama4_text"})


def feed_forward(graph: Builder, body: Layer, x: Node) -> Node:
    """(hidden, tokens) to the same: an MLP, or experts with the one that every token passes. Raises Unwritten."""
    if isinstance(body, MLP):
        return mlp(graph, body, x)
    if isinstance(body, Experts):
        return experts(graph, body, x)
    raise Unwritten(type(body).__name__)


def mlp(graph: Builder, layer: MLP, x: Node) -> Node:
    """Gate and up, (inner, tokens) each, their product, and down; without a gate the nonlinearity works in place."""
    inner = (Dim.FFN, layer.inner)
    if layer.gated and layer.fused and graph.model.family in FUSED_GATES:
        both = graph.new("MLP gate and up", (Dim.FFN, 2 * layer.inner), graph.rows, of=(x,))
        product = graph.new("MLP product", inner, graph.rows, of=(both,))
    elif layer.gated:
        gate = graph.linear("MLP gate", inner, x, layer.bias)
        product = graph.new("MLP product", inner, graph.rows, of=(gate, graph.linear("MLP up", inner, x, layer.bias)))
    else:
        product = graph.over(graph.linear("MLP inner values", inner, x, layer.bias))
    bias = layer.bias if layer.out_bias is None else layer.out_bias
    return graph.linear("MLP branch", graph.hidden, product, bias)


def experts(graph: Builder, layer: Experts, x: Node) -> Node:
    """Router, the chosen experts' rows, their weighted sum, the shared expert."""
    if layer.latent or layer.scale or layer.spare:
        raise Unwritten("experts with extras")
    return _with_shared(graph, layer, x, _expert_rows(graph, layer, x, *_route(graph, layer, x)))


def _expert_rows(graph: Builder, layer: Experts, x: Node, index: Node, weights: Node) -> Node:
    """(hidden, tokens): weighted sum of the chosen experts' (hidden, chosen, tokens)."""
    active, inner = (Dim.ACTIVE_EXPERTS, layer.router.active), (Dim.FFN, layer.inner)
    source = view_of(x)
    if graph.model.family in _WEIGHTED_FIRST:
        repeated = graph.new("repeated inputs of experts", graph.hidden, active, graph.rows, of=(source,))
        source = graph.over(repeated, weights)
    up = _per_expert(graph, "expert up", (inner, active, graph.rows), (source, index), layer.bias)
    product = graph.over(up)
    if layer.gated:
        gate = _per_expert(graph, "expert gate", (inner, active, graph.rows), (source, index), layer.bias)
        product = graph.new("expert product", inner, active, graph.rows, of=(gate, up))
    rows = _per_expert(graph, "expert outputs", (graph.hidden, active, graph.rows), (product, index), layer.bias)
    if graph.model.family not in _WEIGHTED_FIRST:
        rows = graph.over(rows, weights)
    return _sum_of_experts(graph, graph.expand(rows), layer.router.active)


def _per_expert(graph: Builder, name: str, dims: tuple[Sized, ...], of: tuple[Node, ...], bias: bool) -> Node:
    """A product with each token's chosen experts."""
    made = graph.new(name, *dims, of=of)
    return graph.over(made, of[-1]) if bias else made


def _route(graph: Builder, layer: Experts, x: Node) -> tuple[Node, Node]:
    """Indices of the chosen experts, and their weights, both (chosen, tokens)."""
    router = layer.router
    late = router.scores == "chosen" and graph.model.family in _SOFTMAX_OF_CHOSEN
    every, chosen = (Dim.EXPERTS, router.experts), (Dim.ACTIVE_EXPERTS, router.active)
    logits = graph.linear("router logits", every, x, router.bias)
    probabilities = logits if late else graph.over(logits)
    steered = (
        graph.new("steered scores", every, graph.rows, of=(probabilities,), over=True) if router.correction else probabilities
    )
    order = graph.new("experts in order", every, graph.rows, of=(steered,), format=INT32)
    index = view_of(order)
    weights = graph.new("expert weights", chosen, graph.rows, of=(view_of(probabilities), index))
    if late:
        weights = graph.new("expert weights", chosen, graph.rows, of=(view_of(weights),))
    elif router.normalised or router.scores == "chosen":
        flat = view_of(weights)
        total = graph.over(graph.new("sum of expert weights", (Dim.LABELS, 1), graph.rows, of=(flat,)))
        weights = view_of(graph.new("expert weights", chosen, graph.rows, of=(flat, total)))
    if graph.model.config.get("routed_scaling_factor") not in (None, 0, 1):
        weights = graph.new("expert weights", chosen, graph.rows, of=(weights,), over=True)
    graph.expand(weights)
    return index, view_of(weights)


def _sum_of_experts(graph: Builder, rows: Node, count: int) -> Node:
    """Added up one after the other; a single one is copied."""
    parts = [graph.expand(view_of(rows)) for _ in range(count)]
    if count == 1:
        return graph.new("experts' sum", graph.hidden, graph.rows, of=(parts[0],))
    total = graph.expand(graph.new("experts' sum", graph.hidden, graph.rows, of=(parts[0], parts[1])))
    for one in parts[2:]:
        total = graph.expand(graph.over(total, one))
    return total


def _with_shared(graph: Builder, layer: Experts, x: Node, total: Node) -> Node:
    """Plus what every token passes through, which a gate may scale."""
    if layer.shared is None:
        return total
    shared = mlp(graph, layer.shared, x)
    if layer.shared_gate:
        shared = graph.over(shared, graph.over(graph.new("shared expert's gate", (Dim.LABELS, 1), graph.rows, of=(x,))))
    return graph.over(total, shared)


def beside_experts(graph: Builder, plain: Branch, several: Branch, x: Node) -> Node:
    """An MLP and experts, each between norms of its own; the router norms the stream for itself, without weights."""
    if not isinstance(plain.body, MLP) or not isinstance(several.body, Experts) or not plain.post:
        raise Unwritten("branches")
    normed = graph.new("normed stream of the router", graph.hidden, graph.rows, of=(x,), over=True)
    routed = _route(graph, several.body, graph.over(graph.over(normed)))
    total = _expert_rows(graph, several.body, graph.norm(several.pre, x), *routed)
    inner = graph.norm(plain.post, mlp(graph, plain.body, graph.norm(plain.pre, x)))
    return graph.over(inner, graph.norm(several.post, total))
