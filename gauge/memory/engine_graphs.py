"""Memory of captured CUDA graphs: nodes of every layer in every graph, and buffers in the graphs' own pool.

Every kernel of a captured graph keeps its parameters on the device, so a layer costs as much as it has kernels, in each
graph anew. The pool is shared: it holds what the largest captured batch needs. On Hopper, decoding with FlashAttention 3
splits each sequence's keys, and a captured graph reserves the partial results of the most splits.
Source: vLLM v1/attention/backends/flash_attn.py (max_num_splits) and start-up logs of release 0.19.
"""

from __future__ import annotations

from collections.abc import Iterator

from gauge.breakdown import Item, constant, item
from gauge.formats import FLOAT32, Format
from gauge.layers.attention import Attention
from gauge.layers.block import Stage
from gauge.layers.experts import Experts
from gauge.layers.latent_attention import LatentAttention
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.overheads import Overhead, overhead
from gauge.tensor import Dim, Tensor, tensor
from gauge.units import ceil_div

SPLITS = 32  # VLLM_FLASH_ATTN_MAX_NUM_SPLITS_FOR_CUDA_GRAPH
PREFIX_LM = frozenset({"gemma3", "paligemma"})  # pictures attend both ways, which FlashAttention's decoding does not offer
USUAL_NORMS = 2
EXTRA_KERNELS = frozenset({"int8", "gptq-int4-g128", "gptq-int8-g128", "awq-int4-g128", "int4"})
WHY_PARTS = "A captured graph reserves the partial results of decoding: keys are read in up to so many splits."
WHY_POOL = "The largest captured batch keeps its widest tensors in the graphs' own pool."
SOURCE = "vLLM 0.19, v1/attention/backends/flash_attn.py"

Size = tuple[int, int, int]


def nodes(model: Model, graphs: int, quantization: str, format: Format) -> Size:
    """Bytes (typical, lowest, highest) of all captured kernels, and of what capturing keeps besides."""
    blocks = model.decoder.blocks
    sizes = [overhead("vllm", "graph_base").range, overhead("vllm", "graph_layer").times(len(blocks) * graphs)]
    layers = [layer for block in blocks for layer in block.layers]
    for kind, id in ((Experts, "graph_expert"), (LatentAttention, "graph_latent")):
        sizes.append(overhead("vllm", id).times(sum(isinstance(layer, kind) for layer in layers) * graphs))
    if quantization in EXTRA_KERNELS:
        sizes.append(overhead("vllm", "graph_quantized").times(len(blocks) * graphs))
    if format is FLOAT32:
        sizes.append(overhead("vllm", "graph_float32").times(len(blocks) * graphs))
    sizes.append(_more_or_fewer(overhead("vllm", "graph_norm"), _extra_norms(model) * graphs))
    return sum(s[0] for s in sizes), sum(s[1] for s in sizes), sum(s[2] for s in sizes)


def _extra_norms(model: Model) -> int:
    """Norms of the stream beyond two a block; not where pictures attend both ways, whose other attention was measured with
    its norms.
    """
    if model.family in PREFIX_LM:
        return 0
    return sum(_norms(block) - USUAL_NORMS for block in model.decoder.blocks)


def _norms(block: Stage) -> int:
    return sum(isinstance(norm, Norm) for step in block.steps for norm in (step.pre, step.post, step.after))


def _more_or_fewer(found: Overhead, count: int) -> Size:
    """A measured size so many times, taken away where there are fewer."""
    size, low, high = found.times(abs(count))
    return (size, low, high) if count >= 0 else (-size, -high, -low)


def pooled(model: Model, rows: int, format: Format, degree: int, splits: bool) -> Iterator[Tensor]:
    """What the largest captured batch of `rows` sequences holds in the pool: the MLP's inner pair, decoding's splits."""
    mlp = model.first(MLP)
    if mlp is not None:
        inner = ceil_div(mlp.inner, degree) * (2 if mlp.gated else 1)
        yield tensor("MLP gate and up of the largest graph", format, (Dim.BATCH, rows), (Dim.FFN, inner))
    if not splits or format is FLOAT32 or model.family in PREFIX_LM:
        return
    heads, size = _widest(model)
    if heads:
        shape = ((Dim.COPIES, SPLITS), (Dim.BATCH, rows), (Dim.HEADS, ceil_div(heads, degree)), (Dim.VALUE_HEAD, size))
        yield tensor("partial results of split decoding", FLOAT32, *shape)


def _widest(model: Model) -> tuple[int, int]:
    """(heads, numbers of a head's result) of the widest attention: latent attention decodes in the latent's width."""
    found = [(0, 0)]
    for block in model.decoder.blocks:
        for layer in block.layers:
            if isinstance(layer, Attention) and layer.caches:
                found.append((layer.heads, layer.values_head))
            elif isinstance(layer, LatentAttention) and layer.indexer is None:
                found.append((layer.heads, layer.kv_rank))
    return max(found, key=lambda pair: pair[0] * pair[1])


def graph_items(
    model: Model, graphs: int, rows: int, format: Format, quantization: str, degree: int, splits: bool
) -> Iterator[Item]:
    """The items of captured graphs, at the moment of serving."""
    label = f"{graphs} CUDA graphs over {len(model.decoder.blocks)} layers"
    size = nodes(model, graphs, quantization, format)
    yield constant("cuda_graphs", overhead("vllm", "graph_layer"), label=label, size=size, moments=("serve",))
    for one in pooled(model, rows, format, degree, splits):
        why = WHY_PARTS if one.format is FLOAT32 and "partial" in one.name else WHY_POOL
        yield item("cuda_graphs.pool", one, why=why, source=SOURCE, certainty="policy", moments=("serve",), scope="device")
