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
from gauge.runtimes.llamacpp.reserve import Peak, reserve, view_of
from gauge.tensor import Dim

REACH = 8  # blocks before one that decide where its tensors find room


def compute_peak(model: Model, setting: Setting) -> Peak:
    """The compute buffer's highest point. Raises Unwritten."""
    graph = Builder(model, setting)
    forward(graph)
    return reserve(graph.recorded)


def forward(graph: Builder) -> None:
    """Inputs, every kind of block in every neighbourhood that occurs, final norm and head."""
    if len(graph.model.parts) > 1 and any(p.sequence in ("source", "target") for p in graph.model.parts):
        raise Unwritten("encoder-decoder")
    x, pictures = embed(graph)
    deep = deep_layers(graph.model)
    blocks = _neighbours(graph.model.decoder.blocks)
    for index, block in enumerate(blocks):
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


def _neighbours(blocks: tuple[Stage, ...]) -> list[Stage]:
    """The blocks without those whose kind, and whose neighbours' kinds, stood there before: they change nothing."""
    if _picks(blocks):
        return list(blocks)
    seen: set[tuple[int, ...]] = set()
    kept = []
    for i, block in enumerate(blocks):
        key = tuple(id(b) for b in blocks[max(i - REACH, 0) : i + 2])
        if key not in seen or i == len(blocks) - 1:
            kept.append(block)
        seen.add(key)
    return kept
