"""What inference keeps between steps: keys and values, latents, recurrent states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gauge.breakdown import Item, item
from gauge.formats import Format
from gauge.layers.attention import Attention
from gauge.layers.block import Block
from gauge.memory.collect import layered
from gauge.model import Model
from gauge.sequence import Sequence
from gauge.tensor import Dim, Mesh, Rules, Tensor, shard

WHY_CACHE = "What each sequence in flight keeps so that the next token need not recompute the past."
WHY_STATE = "A recurrent layer folds the past into a state whose size does not depend on the context."


def is_recurrent(tensor: Tensor) -> bool:
    """Whether a state tensor is recurrent state rather than a cache of tokens."""
    return not tensor.role.endswith("_cache")


def without_newest(tensor: Tensor) -> Tensor:
    """The state of a short convolution as engines keep it: all inputs but the newest, which comes with the token."""
    dims = tuple(e._replace(size=e.size - 1, whole=e.whole - 1) if e.dim is Dim.CONV and e.size > 1 else e for e in tensor.dims)
    return replace(tensor, dims=dims)


def as_it_is(tensor: Tensor) -> Tensor:
    """The state as the model's own code keeps it."""
    return tensor


def state_items(
    model: Model,
    sequence: Sequence,
    formats: Callable[[Tensor], Format],
    rules: Rules = (),
    mesh: Mesh | None = None,
    shape: Callable[[Tensor], Tensor] = as_it_is,
) -> tuple[Item, ...]:
    """The cache and recurrent state of all layers, shaped by the runtime and split as the rules say."""
    held = ((shard(shape(t.stored_as(formats(t))), rules, mesh or {}), n) for t, n in model.state(sequence))
    return tuple(
        item(
            "recurrent_state" if is_recurrent(t) else "kv_cache",
            t,
            why=WHY_STATE if is_recurrent(t) else WHY_CACHE,
            source=model.source,
        )
        for t in layered(held, len(model.decoder.blocks))
    )


def spread(model: Model) -> Model:
    """The model as transformers caches it: where keys and values are copied to all heads, the copies are cached.

    Source: transformers models/falcon/modeling_falcon.py, FalconAttention (new_decoder_architecture).
    """
    layer = model.first(Attention)
    if layer is None or not layer.broadcasts:
        return model
    known: dict[int, Block] = {}
    blocks = tuple(known.setdefault(id(b), _spread(b)) if isinstance(b, Block) else b for b in model.decoder.blocks)
    return model.edited(parts=(*model.parts[:-1], replace(model.decoder, blocks=blocks)), total=0)


def _spread(block: Block) -> Block:
    steps = tuple(
        replace(s, body=s.body.edited(kv_heads=s.body.heads)) if isinstance(s.body, Attention) and s.body.broadcasts else s
        for s in block.steps
    )
    return replace(block, steps=steps)


def cache_formats(key: Format, value: Format | None, recurrent: Callable[[Tensor], Format]) -> Callable[[Tensor], Format]:
    """The format of each state tensor: one for keys and latents, one for values, a rule for recurrent state."""

    def choose(tensor: Tensor) -> Format:
        if is_recurrent(tensor):
            return recurrent(tensor)
        return (value or key) if "value" in tensor.role else key

    return choose
