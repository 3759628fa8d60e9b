"""Low-rank adapters: which matrices get one, and what its two factors take.

Source: arXiv 2106.09685, section 4; PEFT 0.21 tuners/lora.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from math import prod

from gauge.errors import RequestError, shown
from gauge.memory.segments import Pass
from gauge.model import Model
from gauge.tensor import Tensor
from gauge.versions import before

ATTENTION_TARGETS = {"query", "key", "value", "qkv", "attention_output"}

CLOSENESS = 0.55  # of a spelling that is suggested
SUFFIX = ".weight"
HEAD_NAME = "lm_head"  # accepted, though adapters are placed inside the blocks only
COMMON_NAMES: dict[str, tuple[str, ...]] = {
    "q_proj": ("query", "qkv"),
    "k_proj": ("key", "qkv"),
    "v_proj": ("value", "qkv"),
    "o_proj": ("attention_output",),
    "gate_proj": ("mlp_gate", "mlp_up"),
    "up_proj": ("mlp_up",),
    "down_proj": ("mlp_down",),
}
"""Llama's names, which people use for any family → the roles they mean; a fused matrix serves for its parts."""


MOVED = {
    "mixtral": ({"w1", "w3"}, {"w2"}),
    "qwen2_moe": ({"gate_proj", "up_proj"}, {"down_proj"}),
}
"""Since transformers 5 experts are stacked parameters. Names that PEFT then takes for gate and up, and for down, of routed
experts; it leaves linear maps of those names (shared experts, dense layers) without adapters.

Source: PEFT 0.21 utils/transformers_weight_conversion.py, `_convert_peft_config_moe`.
"""
ROUTER_NAME = "gate"
LIKE_MIXTRAL = ("mixtral", "minimax", "minimax_m2")
LIKE_QWEN = (
    "afmoe", "cohere2_moe", "deepseek_v2", "deepseek_v3", "deepseek_v32", "dots1", "ernie4_5_moe", "exaone_moe", "flex_olmo",
    "glm4_moe", "glm4_moe_lite", "glm_moe_dsa", "glm4v_moe", "hunyuan_v1_moe", "longcat_flash", "olmoe", "qwen3_moe",
    "qwen3_next", "qwen3_omni_moe", "solar_open",
)  # fmt: skip
"""Families whose adapters PEFT moves to stacked experts, by the pattern; Qwen2-MoE itself is not among them.

Source: transformers 5.23 conversion_mapping.py, `_MODEL_TO_CONVERSION_PATTERN`, as PEFT 0.21 reads it.
"""


def stacked_targets(model: Model, asked: str, version: str) -> tuple[frozenset[str], frozenset[str]]:
    """Roles of stacked experts and routers that PEFT adapts, and the names that serve for them."""
    groups = _moved(model)
    if before(version, 5) or not any(groups):
        return frozenset(), frozenset()
    names = {part.strip() for part in asked.split(",")}
    everything = asked == "all-linear"
    wide, down = (group if everything else group & names for group in groups)
    roles = {"expert_gate", "expert_up"} if wide else set()
    roles |= {"expert_down"} if down else set()
    roles |= {"router"} if everything or ROUTER_NAME in names else set()
    return frozenset(roles), frozenset(wide | down)


def _moved(model: Model) -> tuple[set[str], set[str]]:
    """Names for gate and up, and for down, of a family's routed experts; none where PEFT does not reach them."""
    like = "mixtral" if model.family in LIKE_MIXTRAL else "qwen2_moe" if model.family in LIKE_QWEN else ""
    return MOVED.get(like, (set(), set()))


def targets_of(model: Model, asked: str) -> frozenset[str] | None:
    """Names of the adapted matrices, None for every linear map inside the blocks (PEFT's `all-linear`).

    Raises RequestError where a name means no matrix of this model; one of Llama's names that only this model lacks is no
    mistake beside others.
    """
    if asked == "all-linear":
        return None
    linears = linear_names(model)
    if asked == "attention":
        attention = frozenset(name for name, role in linears if role in ATTENTION_TARGETS)
        if not attention:
            others = ({"lora_targets": "all-linear"}, {"method": "full"})
            raise RequestError("lora_targets", "this model has no attention", "use all-linear, or method=full", others)
        return attention
    found: set[str] = set()
    parts = [p.strip() for p in asked.split(",")]
    meant = {part: list(_meant(part, linears)) for part in parts}
    elsewhere = {HEAD_NAME, *set().union(*_moved(model)), *(COMMON_NAMES if any(meant.values()) else ())}
    for part, names in meant.items():
        if not names and part not in elsewhere:
            known = sorted({name for name, _ in linears})
            close = difflib.get_close_matches(part, known, n=3, cutoff=CLOSENESS)
            fixes = [{"lora_targets": name} for name in (*close, "all-linear")]
            remedy = f"use all-linear, or names among {', '.join(known)}"
            raise RequestError("lora_targets", f"{shown(part)} names no matrix of this model", remedy, fixes)
        found.update(names)
    return frozenset(found)


def _meant(asked: str, linears: set[tuple[str, str]]) -> Iterator[str]:
    """The model's names for what was asked: that name itself, or the matrices of the first role that it has."""
    if any(name == asked for name, _ in linears):
        yield asked
        return
    for role in COMMON_NAMES.get(asked, ()):
        found = [name for name, its in linears if its == role]
        if found:
            yield from found
            return


def linear_names(model: Model) -> set[tuple[str, str]]:
    """(name, role) of every matrix inside the blocks."""
    return {(t.name.removesuffix(SUFFIX), t.role) for t in _matrices(model)}


def _matrices(model: Model) -> Iterator[Tensor]:
    for part in model.parts:
        for block, _ in part.runs():
            yield from (t for t in block.weights() if t.name.endswith(SUFFIX))


def check_rank(model: Model, targets: frozenset[str] | None, rank: int) -> None:
    """A rank is no larger than the smaller side of the widest adapted matrix: beyond it nothing is low-rank.

    Raises RequestError.
    """
    sides = [_side(t) for t in _matrices(model) if targets is None or t.name.removesuffix(SUFFIX) in targets]
    most = max(sides, default=rank)
    if rank > most:
        raise RequestError(
            "lora_rank", f"{rank:,} is beyond the smaller side, {most:,}, of every adapted matrix", f"use at most {most:,}"
        )


def _side(matrix: Tensor) -> int:
    """The smaller of outputs and inputs; dimensions stand in that order, and the most even cut between them counts."""
    sizes = [e.size for e in matrix.dims]
    return max((min(prod(sizes[:cut]), prod(sizes[cut:])) for cut in range(1, len(sizes))), default=1)


def adapters(run: Pass) -> Iterator[tuple[Tensor, int]]:
    """The adapters' factors that a traced pass met, with the number of layers that own one."""
    for segment in run.segments:
        for weight in segment.trace.weight_gradients:
            if weight.role == "adapter":
                yield weight, 1
