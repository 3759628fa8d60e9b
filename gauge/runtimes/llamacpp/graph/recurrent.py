"""Layers with a recurrent state: Mamba, short convolutions, gated delta nets.

Source: ggml-org/llama.cpp src/llama-graph.cpp (build_rs), src/models/mamba-base.cpp, src/models/lfm2.cpp,
src/models/delta-net-base.cpp.
"""

from __future__ import annotations

from collections.abc import Callable

from gauge.layers.linear_attention import GatedDeltaNet
from gauge.layers.norm import Norm
from gauge.layers.short_convolution import ShortConvolution
from gauge.layers.state_space import Mamba1, Mamba2
from gauge.runtimes.llamacpp.graph.builder import INT32, Builder, Sized, Unwritten
from gauge.runtimes.llamacpp.reserve import Node, view_of
from gauge.tensor import Dim


def _states(graph: Builder, name: str, *dims: Sized) -> Node:
    """(…, sequences): every sequence's state, gathered from the cache."""
    ids = graph.input("slots of states", (Dim.SLOTS, graph.sequences), format=INT32)
    made = graph.expand(graph.new(name, *dims, (Dim.SLOTS, graph.sequences), of=(ids,)))
    return view_of(made)


def _short_convolution(
    graph: Builder, before: Node, channels: int, taps: int, signal: Node, bias: bool, silu: bool = True
) -> Node:
    """(channels, tokens): the short convolution over the last inputs, then the new ones."""
    width = (Dim.INNER, channels)
    joined = graph.new(
        "convolution input", (Dim.TOKENS, graph.tokens + (taps - 1) * graph.sequences), width, of=(before, view_of(signal))
    )
    graph.store(view_of(joined))
    made = graph.new("convolution output", width, graph.rows, of=(joined,))
    made = graph.over(made) if bias else made
    return graph.over(made) if silu else made


def _conv_state(graph: Builder, channels: int, taps: int) -> Node:
    """(taps - 1, channels, sequences): the convolution's last inputs."""
    return _states(graph, "last inputs of the convolution", (Dim.CONV, taps - 1), (Dim.INNER, channels))


def mamba2(graph: Builder, layer: Mamba2, normed: Callable[[], Node]) -> Node:
    """Mamba 2: one product for everything, convolution, scan, gate, norm, way back."""
    before = _conv_state(graph, layer.filtered, layer.taps)
    inner = ((Dim.HEAD, layer.head), (Dim.HEADS, layer.heads), graph.rows)
    both = graph.new("gate, signal, B, C and steps", (Dim.INNER, layer.into.out[0][1]), graph.rows, of=(normed(),))
    signal = _short_convolution(graph, before, layer.filtered, layer.taps, both, layer.conv_bias)
    steps = graph.over(graph.new("steps", (Dim.HEADS, layer.heads), graph.rows, of=(view_of(both),)))
    scanned = _scan(graph, layer.inner, layer.state_size, (view_of(signal), steps, view_of(signal), view_of(signal)))
    gate = graph.new("gate", *inner, of=(view_of(both),))
    skip = graph.new("skipped signal", *inner, of=(view_of(signal),), over=True)
    product = graph.new("gated scan", *inner, of=(gate, graph.new("scan", *inner, of=(view_of(scanned), skip), over=True)))
    if layer.gated_norm:
        groups = ((Dim.INNER, layer.inner // layer.groups), (Dim.GROUPS, layer.groups), graph.rows)
        product = graph.norm(Norm("norm", layer.inner), product, "gated scan, normed", groups)
    return graph.linear("recurrent branch", graph.hidden, view_of(product), layer.bias)


def _scan(graph: Builder, inner: int, state: int, of: tuple[Node, ...]) -> Node:
    """Outputs of all tokens and, behind them, every sequence's new state."""
    ids = view_of(graph.input("slots of states", (Dim.SLOTS, graph.sequences), format=INT32))
    rows = graph.tokens + state * graph.sequences
    made = graph.new("scan and new states", (Dim.INNER, inner), (Dim.TOKENS, rows), of=(*of, ids))
    graph.expand(made)
    graph.store(view_of(made))
    return made


def mamba1(graph: Builder, layer: Mamba1, normed: Callable[[], Node]) -> Node:
    """Mamba 1: the step goes through a bottleneck; the scan runs over every channel."""
    before = _conv_state(graph, layer.inner, layer.taps)
    width = (Dim.INNER, layer.inner)
    both = graph.new("signal and gate", (Dim.INNER, 2 * layer.inner), graph.rows, of=(view_of(normed()),))
    signal = _short_convolution(graph, before, layer.inner, layer.taps, both, layer.conv_bias)
    picked = graph.new("step, B and C", (Dim.STATE, layer.rank + 2 * layer.state_size), graph.rows, of=(signal,))
    rank, state = (Dim.RANK, layer.rank), (Dim.STATE, layer.state_size)
    low = graph.new("steps in low rank", rank, graph.rows, of=(view_of(picked),))
    chosen = [view_of(picked), view_of(picked)]
    if layer.inner_norms:
        low = graph.over(low) if layer.inner_norms == "weighted" else low
        chosen = [graph.new(name, state, graph.rows, of=(view_of(picked),)) for name in ("B, normed", "C, normed")]
        chosen = [graph.over(one) for one in chosen] if layer.inner_norms == "weighted" else chosen
    steps = graph.over(graph.new("steps", width, graph.rows, of=(low,)))
    scanned = _scan(graph, layer.inner, layer.state_size, (view_of(signal), steps, *chosen))
    gate = graph.new("gate", width, graph.rows, of=(view_of(both),))
    total = graph.new("scan", width, graph.rows, of=(view_of(scanned), graph.over(signal)), over=True)
    product = graph.new("gated scan", width, graph.rows, of=(gate, total))
    return view_of(graph.linear("recurrent branch", graph.hidden, product, layer.bias))


def short_convolution(graph: Builder, layer: ShortConvolution, x: Node) -> Node:
    """LFM 2: signal times gate, convolution, times the other gate."""
    before = _conv_state(graph, layer.hidden, layer.taps)
    both = graph.new("signal and gates", (Dim.HIDDEN, 3 * layer.hidden), graph.rows, of=(view_of(x),))
    product = graph.new("gated signal", graph.hidden, graph.rows, of=(view_of(both), view_of(both)))
    signal = _short_convolution(graph, before, layer.hidden, layer.taps, product, False, silu=False)
    gated = graph.new("gated convolution", graph.hidden, graph.rows, of=(view_of(both), signal), over=True)
    return view_of(graph.linear("recurrent branch", graph.hidden, gated))


def gated_delta_net(graph: Builder, layer: GatedDeltaNet, x: Node) -> Node:
    """Gated delta net: convolution over queries, keys and values, one fused rule, gated norm, way back."""
    if layer.split not in ("fused", "parts"):
        raise Unwritten("delta net with projections of its own")
    graph.expand(x)
    before = _conv_state(graph, layer.filtered, layer.taps)
    both = graph.new("queries, keys and values", (Dim.INNER, layer.filtered), graph.rows, of=(x,))
    signal = _short_convolution(graph, before, layer.filtered, layer.taps, both, False)
    square = ((Dim.HEAD, layer.key_head), (Dim.VALUE_HEAD, layer.value_head), (Dim.HEADS, layer.value_heads))
    states = _states(graph, "recurrent states", *square)
    query, key = (_unit_length(graph, layer, name, signal) for name in ("queries", "keys"))
    decay, step = _decay_and_step(graph, layer, x)
    rows = (Dim.TOKENS, graph.tokens + layer.key_head * graph.sequences)
    sources = (query, key, view_of(signal), decay, step, states)
    ruled = graph.new("rule's output and new states", (Dim.INNER, layer.values), rows, of=sources)
    graph.store(view_of(ruled))
    return _gated_output(graph, layer, x, ruled)


def _unit_length(graph: Builder, layer: GatedDeltaNet, name: str, signal: Node) -> Node:
    """Queries or keys of unit length; repeated for every value head where the rule is not told to share them."""
    size = (Dim.HEAD, layer.key_head)
    made = graph.over(graph.new(name, size, (Dim.HEADS, layer.key_heads), graph.rows, of=(view_of(signal),)))
    if layer.split == "parts" or layer.key_heads == layer.value_heads:
        return made
    return view_of(graph.new(f"{name}, repeated", size, (Dim.HEADS, layer.value_heads), graph.rows, of=(view_of(made),)))


def _decay_and_step(graph: Builder, layer: GatedDeltaNet, x: Node) -> tuple[Node, Node]:
    """Decay and step of every value head."""
    heads = (Dim.HEADS, layer.value_heads)
    if layer.split == "fused":
        joined = graph.new("decay and step", (Dim.HEADS, 2 * layer.value_heads), graph.rows, of=(x,))
        decay, step = (graph.new(name, heads, graph.rows, of=(view_of(joined),)) for name in ("decay", "step"))
        return view_of(graph.over(decay)), view_of(graph.over(step))
    decay, step = (graph.new(name, heads, graph.rows, of=(x,)) for name in ("decay", "step"))
    return (
        view_of(graph.over(graph.reshaped("decay", decay, heads, graph.rows))),
        graph.reshaped("step", step, heads, graph.rows),
    )


def _gated_output(graph: Builder, layer: GatedDeltaNet, x: Node, ruled: Node) -> Node:
    """Normed by heads, times the gate, back to the stream's width."""
    heads = ((Dim.HEAD, layer.value_head), (Dim.HEADS, layer.value_heads), graph.rows)
    normed = graph.norm(layer.norm, ruled, "rule's output, normed", heads)
    gate = graph.new("gate", (Dim.INNER, layer.values), graph.rows, of=(x,))
    product = graph.over(normed, graph.reshaped("gate", gate, *heads))
    return view_of(graph.linear("recurrent branch", graph.hidden, view_of(product)))
