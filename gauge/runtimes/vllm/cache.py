"""The blocks of vLLM's cache: groups of layers, recurrent states, what sequences need of them.

Source: vLLM v1/core/kv_cache_utils.py (release 0.19).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gauge.breakdown import Factor, Item, product
from gauge.formats import FLOAT16, FLOAT32, FORMATS, Format
from gauge.layers.latent_attention import LatentAttention
from gauge.layers.linear_attention import KimiDelta
from gauge.memory.engine_weights import text_config
from gauge.memory.paged_cache import ALIGNMENT, Paging, kinds, paging
from gauge.memory.stages import Stage
from gauge.memory.state import WHY_CACHE
from gauge.model import Model
from gauge.plan import Plan
from gauge.runtimes.release import release
from gauge.runtimes.serving import TENSOR_RULES, cached, formats, serving_mesh
from gauge.runtimes.vllm.settings import SOURCE, Settings
from gauge.sequence import Sequence
from gauge.units import round_up

LATENT_ALIGNMENT = 64  # tokens that blocks of cached latents are a multiple of
HYBRID_SINCE = ((0, 9, 1), (2025, 6))  # layers in groups, one pool for all of them (pull request 17996)


def needed(stage: Stage, settings: Settings, groups: Paging) -> Iterator[Item]:
    """The blocks that the request's sequences need: where all layers look alike as tensors, else as blocks of groups."""
    plan = settings.plan
    if len(groups.kinds) == 1 and groups.kinds[0].reach == "full" and groups.layers > 1:
        sequence = Sequence(plan.batch_size, round_up(plan.tokens, groups.tokens), policy=_whole)
        yield from (i.at("serve") for i in cached(stage.model, plan, sequence))
        return
    factors = (
        Factor("blocks", blocks_of(settings, groups), f"{groups.tokens} tokens each, in {len(groups.kinds)} groups of layers"),
        Factor("layers a group", groups.layers, f"{groups.padding} of them padding" if groups.padding else ""),
        Factor("bytes a page", groups.page, f"one layer's {groups.tokens} tokens"),
    )
    yield product("kv_cache", "cache blocks", factors, why=WHY_CACHE, source=SOURCE, moments=("serve",))


def blocks_of(settings: Settings, groups: Paging) -> int:
    """Blocks that the request's sequences need."""
    plan = settings.plan
    return groups.blocks(plan.tokens, settings.tokens) * plan.batch_size


def _whole(tokens: int, window: int | None, chunk: int | None) -> int:
    """A model whose layers all look alike keeps every token."""
    return tokens


def groups_of(model: Model, plan: Plan) -> Paging | None:
    """The groups of layers that share the cache's blocks; releases before the hybrid cache manager keep every token in
    windowed layers too.
    """
    alignment = LATENT_ALIGNMENT if model.first(LatentAttention) else ALIGNMENT
    found = kinds(model, formats(plan, model, state_format(model, plan)), TENSOR_RULES, serving_mesh(plan))
    which = release(plan.runtime_version)
    if which.says("V0") or which.before(*HYBRID_SINCE):
        found = [replace(k, reach="full", limit=0) if k.reach != "recurrent" else k for k in found]
    return paging(found, alignment)


def state_format(model: Model, plan: Plan) -> Format:
    """The format of recurrent states: the model's dtype, unless its configuration or its architecture asks for another.

    Source: vLLM model_executor/models/config.py and layers/mamba/mamba_utils.py.
    """
    config = text_config(model)
    if model.first(KimiDelta) is not None:
        return FLOAT32
    if model.family == "nemotron_h":
        early = release(plan.runtime_version).before((0, 11), (2025, 10))
        return FORMATS.get(str(config.get("mamba_ssm_cache_dtype")), FLOAT16 if early else FLOAT32)
    otherwise = FLOAT32 if model.family.startswith("qwen3_5") else FORMATS[plan.dtype]
    return FORMATS.get(str(config.get("mamba_ssm_dtype")), otherwise)
