"""The whole forward graph of one micro-batch, and the compute buffer that it needs.

Source: ggml-org/llama.cpp src/llama-context.cpp (graph_reserve), src/models/.
"""

from __future__ import annotations

from gauge.layers.block import Stage
from gauge.layers.latent_attention import LatentAttention
from gauge.model import Model
from gauge.runtimes.llamacpp.graph.blocks import narrows_late, residual_block
from gauge.runtimes.llamacpp.graph.builder import Builder, Setting, Unwritten
from gauge.runtimes.llamacpp.graph.embeddings import deep_layers, embed
from gauge.runtimes.llamacpp.graph.rounds import cut
from gauge.runtimes.llamacpp.reserve import Peak, State, reserve, view_of
from gauge.tensor import Dim


def compute_peak(model: Model, setting: Setting) -> Peak:
    """The compute buffer's highest point. Raises Unwritten."""
    blocks = model.decoder.blocks
    deep = deep_layers(model)
    shorter = None if _picks(blocks) else cut([(id(block), index < deep) for index, block in enumerate(blocks)])
    if shorter:
        peak, states = _reserved(model, setting, tuple(blocks[i] for i in shorter.of(len(blocks))))
        if shorter.harmless(states):
            return peak
    return _reserved(model, setting, blocks)[0]


def _reserved(model: Model, setting: Setting, blocks: tuple[Stage, ...]) -> tuple[Peak, list[State]]:
    """The graph of these blocks laid out; the allocator's state before each of them."""
    graph = Builder(model, setting)
    forward(graph, blocks)
    return reserve(graph.recorded)


def forward(graph: Builder, blocks: tuple[Stage, ...]) -> None:
    """Inputs, blocks, final norm and head: (vocabulary, outputs), or an encoder's (hidden, tokens). Raises Unwritten."""
    if len(graph.model.parts) > 1 and any(p.sequence in ("source", "target") for p in graph.model.parts):
        raise Unwritten("encoder-decoder")
    x, pictures = embed(graph)
    deep = deep_layers(graph.model)
    for index, block in enumerate(blocks):
        graph.recorded.mark()
        x = residual_block(graph, block, x, last=index == len(blocks) - 1)
        if index < deep and pictures is not None:
            x = graph.over(x, view_of(pictures))
    x = graph.norm(graph.model.decoder.norm, x)
    if narrows_late(graph):
        x.kept = True
        x = graph.output_rows(x)
    if graph.model.head and not graph.encodes:
        rows = (Dim.TOKENS, graph.context.outputs)
        x = graph.new("logits", (Dim.VOCAB, graph.model.vocab), rows, of=(x,))
    graph.expand(x)


def _picks(blocks: tuple[Stage, ...]) -> bool:
    """Whether tokens are picked: every block then brings a constant of its own."""
    return any(isinstance(step.body, LatentAttention) and step.body.indexer for block in blocks for step in block.steps)
