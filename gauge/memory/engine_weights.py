"""What a serving engine holds beside the checkpoint's weights: position tables, absorbed copies, allocator rounding.

Source: vLLM model_executor/layers/rotary_embedding.py and attention/backends/mla (release 0.19); PyTorch 2
c10/cuda/CUDACachingAllocator.cpp.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gauge.formats import Format
from gauge.layers.attention import Attention
from gauge.layers.latent_attention import LatentAttention
from gauge.model import Model
from gauge.tensor import Dim, Mesh, Rules, Tensor, extent, shard, tensor
from gauge.units import MIB, round_up

SEGMENT = 2 * MIB
LARGE = 10 * MIB
LARGEST_REST = MIB  # a rest up to this size stays with its block
FUSED = (
    ("query", "key", "value"),
    ("mlp_gate", "mlp_up"),
    ("expert_gate", "expert_up"),
    ("shared_expert_gate", "shared_expert_up"),
)
UNSCALED = frozenset({"llama3", "default", "mrope", "none", ""})


# ------------------------------------------------------------------------------------------------ position tables
def rotary_tables(model: Model, format: Format, stretched: bool = True) -> Iterator[Tensor]:
    """Cosines and sines of every position, one table for each distinct rotation: (positions, rotated size)."""
    for size, scope in sorted(rotary_sizes(model)):
        shape = ((Dim.POSITIONS, positions(model, scope, stretched)), (Dim.HEAD, size))
        yield tensor(f"rotary table{f' ({scope})' if scope else ''}", format, *shape)


def rotary_sizes(model: Model) -> dict[tuple[int, str], int]:
    """(rotated numbers of a head, name of the table) → layers that use it."""
    counts: dict[tuple[int, str], int] = {}
    for found in _rotations(model):
        counts[found] = counts.get(found, 0) + 1
    return counts


def _rotations(model: Model) -> Iterator[tuple[int, str]]:
    for block in model.decoder.blocks:
        for layer in block.layers:
            if isinstance(layer, Attention) and layer.rotary:
                yield layer.rotary, layer.rotary_scope
            elif isinstance(layer, LatentAttention) and layer.rope and not layer.nope_only:
                yield layer.rope, ""


def text_config(model: Model) -> Mapping[str, Any]:
    """The keys that describe the language model."""
    for name in ("text_config", "llm_config", "language_config"):
        nested = model.config.get(name)
        if isinstance(nested, Mapping):
            return {**model.config, **nested}
    return model.config


def positions(model: Model, scope: str, stretched: bool = True) -> int:
    """Rows of a rotary table: the model's positions, stretched as its scaling says; local layers are not stretched."""
    config = text_config(model)
    longest = config.get("max_position_embeddings")
    longest = longest if isinstance(longest, int) else model.max_length
    scaling = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if not isinstance(scaling, Mapping) or scope == "sliding" or not stretched:
        return longest
    kind = str(scaling.get("rope_type", scaling.get("type", "")))
    if "mrope_section" in scaling:
        return 4 * longest
    if kind == "longrope":
        return longest + _number(scaling, "original_max_position_embeddings", config, longest)
    if kind in UNSCALED:
        return longest
    factor = scaling.get("factor", 1)
    base = _number(scaling, "original_max_position_embeddings", {}, longest) if kind == "yarn" else longest
    return round(base * factor) if isinstance(factor, (int, float)) else longest


def _number(first: Mapping[str, Any], key: str, then: Mapping[str, Any], otherwise: int) -> int:
    value = first.get(key, then.get(key))
    return value if isinstance(value, int) else otherwise


# ------------------------------------------------------------------------------------------------ latent attention
def absorbed(model: Model, format: Format, rules: Rules, mesh: Mesh) -> Iterator[tuple[Tensor, int]]:
    """The way up from the latent, once more as two matrices that decoding multiplies into queries and outputs."""
    for block, count in model.decoder.runs():
        for layer in block.layers:
            if isinstance(layer, LatentAttention):
                size = layer.nope + layer.value_head
                shape = ((Dim.HEADS, layer.heads), (Dim.HEAD, size), (Dim.LATENT, layer.kv_rank))
                yield shard(tensor("absorbed key and value projections", format, *shape), rules, mesh), count


# ------------------------------------------------------------------------------------------------ allocator
def block_size(size: int) -> int:
    """Bytes that the caching allocator books for a request: large ones come in whole 2 MiB segments, and what is left
    of a segment stays with the block up to 1 MiB."""
    if size < LARGE:
        return round_up(size, 512)
    segment = round_up(size, SEGMENT)
    return segment if segment - size <= LARGEST_REST else round_up(size, 512)


def rounding(weights: Iterable[tuple[Tensor, int]], fused: bool = True) -> int:
    """Bytes booked beyond the weights' own; `fused`: query, key and value are one matrix, gate and up another."""
    extra = 0
    waiting: dict[str, list[tuple[Tensor, int]]] = {}
    for one, count in weights:
        group = next((g for g in FUSED if one.role in g), None) if fused else None
        if group is None:
            extra += (block_size(one.bytes) - one.bytes) * count
        else:
            waiting.setdefault(group[0], []).append((one, count))
    for members in waiting.values():
        for count, size in _joined(members):
            extra += (block_size(size) - size) * count
    return extra


def _joined(members: list[tuple[Tensor, int]]) -> Iterator[tuple[int, int]]:
    """(layers, bytes) of fused matrices: members follow each other block by block."""
    pending: list[tuple[Tensor, int]] = []
    for one, count in members:
        if pending and (one.role == pending[0][0].role or count != pending[0][1]):
            yield pending[0][1], sum(t.bytes for t, _ in pending)
            pending = []
        pending.append((one, count))
    if pending:
        yield pending[0][1], sum(t.bytes for t, _ in pending)


def padded_vocabulary(weight: Tensor, multiple: int) -> Tensor:
    """The table with its rows filled up to a multiple, as vocabulary-parallel layers keep it."""
    if weight.role not in ("token_embedding", "head", "head_bias"):
        return weight
    dims = tuple(
        extent(e.dim, round_up(e.size, multiple))._replace(
            note="" if e.size % multiple == 0 else f"{e.size:,} rounded up to a multiple of {multiple}"
        )
        if e.dim is Dim.VOCAB
        else e
        for e in weight.dims
    )
    return Tensor(weight.name, dims, weight.format, weight.trainable, weight.role)
