"""Residual blocks: norms, a mixing branch and a feed-forward one, after each other or side by side.

Source: ggml-org/llama.cpp src/models/ (one builder an architecture).
"""

from __future__ import annotations

from gauge.layers.attention import Attention
from gauge.layers.block import Layer, Residual, Stage
from gauge.layers.experts import Experts
from gauge.layers.latent_attention import LatentAttention
from gauge.layers.linear_attention import GatedDeltaNet
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.layers.per_layer_input import PerLayerInput
from gauge.layers.scale import LayerScale
from gauge.layers.short_convolution import ShortConvolution
from gauge.layers.state_space import Mamba1, Mamba2
from gauge.layers.together import Together
from gauge.runtimes.llamacpp.graph.attention import attention
from gauge.runtimes.llamacpp.graph.builder import Builder, Unwritten
from gauge.runtimes.llamacpp.graph.feed_forward import beside_experts, feed_forward
from gauge.runtimes.llamacpp.graph.latent_attention import latent_attention
from gauge.runtimes.llamacpp.graph.per_layer_input import per_layer_input
from gauge.runtimes.llamacpp.graph.recurrent import gated_delta_net, mamba1, mamba2, short_convolution
from gauge.runtimes.llamacpp.reserve import Node

# Families whose last block goes on with all rows, as speculation may want them.
_NARROWS_LATE = frozenset({"gemma4", "gemma4_text", "hy_v3", "nemotron_h", "qwen3_5", "qwen3_5_text"})
_NARROWS_LATE |= frozenset({"qwen3_5_moe", "qwen3_5_moe_text", "qwen3_next", "step3p5", "step3p7", "step3p7_text"})
_NARROWS_LATE_SINCE_PREDICTING = frozenset({"gpt_oss"})
_NARROWS_SUM = frozenset({"falcon_h1"})
_STREAM_FIRST = frozenset({"lfm2", "lfm2_moe", "jamba"})  # which operand of a sum comes first decides whose place it takes
_STREAM_FIRST_IN_MLP = frozenset({"phi3"})


def residual_block(graph: Builder, block: Stage, x: Node, last: bool) -> Node:
    """(hidden, tokens) to the same: branches one after the other, or side by side. Raises Unwritten.

    `last`: goes on with the rows that are asked for.
    """
    if getattr(block, "parallel", False):
        return _parallel(graph, block, x, last)
    for index, step in enumerate(block.steps):
        x = _residual(graph, step, x, last and index == 0 and not narrows_late(graph))
    return x


def _residual(graph: Builder, step: Residual, x: Node, narrows: bool) -> Node:
    """x + post(body(pre(x)))."""
    branch = _body(graph, step.body, x, step.pre)
    sums = graph.model.family in _NARROWS_SUM
    if narrows and not sums:
        branch, x = graph.output_rows(branch), graph.output_rows(x)
    branch = _post(graph, step.post, branch)
    family = graph.model.family
    first = family in _STREAM_FIRST or (isinstance(step.body, MLP) and family in _STREAM_FIRST_IN_MLP)
    first = first or isinstance(step.body, PerLayerInput)
    x = graph.over(x, branch) if first else graph.over(branch, x)
    x = graph.output_rows(x) if narrows and sums else x
    return graph.norm(step.after, x) if step.after else x


def _post(graph: Builder, post: Norm | LayerScale | None, x: Node) -> Node:
    """What is applied to a branch before it joins the stream."""
    if isinstance(post, LayerScale):
        return graph.over(x)
    return graph.norm(post, x)


def _parallel(graph: Builder, block: Stage, x: Node, last: bool) -> Node:
    """Attention and MLP from one input; which two are added first differs by family."""
    mixer, mlp = (_only(block.steps, True), _only(block.steps, False))
    normed = graph.norm(mixer.pre, x)
    mixed = _mixer(graph, mixer.body, normed)
    if last:
        mixed, x = graph.output_rows(mixed), graph.output_rows(x)
        normed = normed if mlp.pre else graph.output_rows(normed)
    inner = feed_forward(graph, mlp.body, graph.norm(mlp.pre, x) if mlp.pre else normed)
    if graph.model.family == "falcon":
        return graph.over(graph.over(inner, mixed), x)
    if graph.model.family in ("phi", "phi-msft"):
        return graph.over(graph.over(mixed, inner), x)
    return graph.over(graph.over(inner, x), mixed)


def _body(graph: Builder, body: Layer, x: Node, pre: Norm | None) -> Node:
    """A mixing layer or a feed-forward one, behind its norm."""
    if isinstance(body, Together):
        return _hybrid(graph, body, x, pre)
    if isinstance(body, (MLP, Experts)):
        return feed_forward(graph, body, graph.norm(pre, x))
    return _mixer(graph, body, graph.norm(pre, x))


def _hybrid(graph: Builder, body: Together, x: Node, pre: Norm | None) -> Node:
    """Attention beside a state space: each norms the input for itself."""
    kinds = [type(b.body) for b in body.branches]
    if kinds == [MLP, Experts]:
        return beside_experts(graph, body.branches[0], body.branches[1], x)
    if set(kinds) != {Attention, Mamba2}:
        raise Unwritten("branches of " + ", ".join(k.__name__ for k in kinds))
    attends, scan = (next(b for b in body.branches if isinstance(b.body, k)) for k in (Attention, Mamba2))
    first = _mixer(graph, attends.body, graph.norm(pre, x))
    second = mamba2(graph, scan.body, lambda: graph.norm(pre, x))  # type: ignore[arg-type]
    return graph.over(first, second)


def _mixer(graph: Builder, body: Layer, x: Node) -> Node:
    """Attention or recurrence over the normed stream."""
    if isinstance(body, Attention):
        return attention(graph, body, x)
    if isinstance(body, LatentAttention):
        return latent_attention(graph, body, x)
    if isinstance(body, Mamba1):
        return mamba1(graph, body, lambda: x)
    if isinstance(body, Mamba2):
        return mamba2(graph, body, lambda: x)
    if isinstance(body, ShortConvolution):
        return short_convolution(graph, body, x)
    if isinstance(body, PerLayerInput):
        return per_layer_input(graph, body, x)
    if isinstance(body, GatedDeltaNet):
        return gated_delta_net(graph, body, x)
    raise Unwritten(type(body).__name__)


def _only(steps: tuple[Residual, ...], mixes: bool) -> Residual:
    found = [s for s in steps if isinstance(s.body, (MLP, Experts)) is not mixes]
    if len(found) != 1:
        raise Unwritten("branches side by side")
    return found[0]


def narrows_late(graph: Builder) -> bool:
    """Whether the last block goes on with all rows, which speculation may want; the head narrows them."""
    family, policy = graph.model.family, graph.context.policy
    if family in _NARROWS_LATE_SINCE_PREDICTING:
        return policy.predicting
    return family in _NARROWS_LATE and policy.few_outputs
