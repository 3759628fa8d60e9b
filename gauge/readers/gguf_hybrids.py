"""Keys of hybrid models that a GGUF file does not state: which layer is of which kind shows in its tensors.

Source: ggml-org/llama.cpp convert_hf_to_gguf.py (Qwen3-Next, Granite hybrid, Jamba, Nemotron-H, Falcon-H1, LFM2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Pairs = Mapping[str, Any]
Shapes = Mapping[str, tuple[int, ...]]
Keys = dict[str, Any]

RECURRENT = ("ssm_conv1d.weight", "ssm_in.weight", "shortconv.in_proj.weight")


def has(shapes: Shapes, layer: int, *names: str) -> bool:
    """Whether the layer owns one of these tensors."""
    return any(f"blk.{layer}.{name}" in shapes for name in names)


def kinds(keys: Keys, shapes: Shapes, recurrent: str, attending: str) -> list[str]:
    """One name a layer: recurrent where it has a convolution or a scan."""
    layers = keys.get("num_hidden_layers")
    count = layers if isinstance(layers, int) and layers <= len(shapes) else 0
    return [recurrent if has(shapes, i, *RECURRENT) else attending for i in range(count)]


def number(pairs: Pairs, arch: str, suffix: str) -> int:
    """A whole number of the metadata, 0 where it is absent."""
    value = pairs.get(f"{arch}.{suffix}")
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def ratio(whole: int, part: int) -> int:
    """whole ÷ part, 1 where that makes no sense."""
    return max(1, whole // part) if part else 1


def delta_net(keys: Keys, pairs: Pairs, arch: str, shapes: Shapes) -> None:
    """Qwen3-Next and Qwen3.5: gated delta nets with attention between."""
    heads = number(pairs, arch, "ssm.time_step_rank")
    keys["layer_types"] = kinds(keys, shapes, "linear_attention", "full_attention")
    keys["linear_conv_kernel_dim"] = number(pairs, arch, "ssm.conv_kernel") or 4
    keys["linear_key_head_dim"] = number(pairs, arch, "ssm.state_size") or 128
    keys["linear_num_key_heads"] = number(pairs, arch, "ssm.group_count") or 16
    keys["linear_num_value_heads"] = heads or 32
    keys["linear_value_head_dim"] = ratio(number(pairs, arch, "ssm.inner_size"), heads) if heads else 128


def mamba2_hybrid(keys: Keys, pairs: Pairs, arch: str, shapes: Shapes) -> None:
    """Granite 4 and Falcon-H1: Mamba-2 layers, or Mamba-2 beside attention in every layer."""
    inner, heads = number(pairs, arch, "ssm.inner_size"), number(pairs, arch, "ssm.time_step_rank")
    keys["layer_types"] = kinds(keys, shapes, "mamba", "attention")
    keys["mamba_d_ssm"] = inner or None
    keys["mamba_n_heads"] = heads or None
    keys["mamba_d_head"] = ratio(inner, heads)
    keys["mamba_d_state"] = number(pairs, arch, "ssm.state_size") or 128
    keys["mamba_n_groups"] = number(pairs, arch, "ssm.group_count") or 1
    keys["mamba_d_conv"] = number(pairs, arch, "ssm.conv_kernel") or 4
    keys["mamba_expand"] = ratio(inner, keys.get("hidden_size", 0))
    keys["shared_intermediate_size"] = number(pairs, arch, "expert_shared_feed_forward_length") or None
    norms = has(shapes, 0, "ssm_norm.weight")
    keys["mamba_rms_norm"] = norms
    if arch == "falcon-h1":
        keys.pop("layer_types")


def jamba(keys: Keys, pairs: Pairs, arch: str, shapes: Shapes) -> None:
    """Jamba: attention and experts at regular distances."""
    kind = kinds(keys, shapes, "mamba", "attention")
    keys["attn_layer_offset"], keys["attn_layer_period"] = _every([i for i, k in enumerate(kind) if k == "attention"])
    sparse = [i for i in range(len(kind)) if has(shapes, i, "ffn_gate_exps.weight", "ffn_up_exps.weight")]
    keys["expert_layer_offset"], keys["expert_layer_period"] = _every(sparse)
    keys["mamba_d_state"] = number(pairs, arch, "ssm.state_size") or 16
    keys["mamba_d_conv"] = number(pairs, arch, "ssm.conv_kernel") or 4
    keys["mamba_dt_rank"] = number(pairs, arch, "ssm.time_step_rank") or 256
    keys["mamba_expand"] = ratio(number(pairs, arch, "ssm.inner_size"), keys.get("hidden_size", 0))
    keys["num_key_value_heads"] = _largest(keys.get("num_key_value_heads"), keys.get("num_attention_heads"))


def _every(places: list[int]) -> tuple[int, int]:
    """The first place and the distance to the next."""
    if not places:
        return 0, 1_000_000
    return places[0], places[1] - places[0] if len(places) > 1 else 1_000_000


def _largest(value: Any, otherwise: Any) -> Any:
    """The largest of a number a layer: layers without attention have none."""
    if isinstance(value, list):
        return max((v for v in value if isinstance(v, int)), default=otherwise)
    return value


def nemotron(keys: Keys, pairs: Pairs, arch: str, shapes: Shapes) -> None:
    """Nemotron-H: one mixer a layer, M for Mamba-2, * for attention, E for experts, - for an MLP."""
    layers = keys.get("num_hidden_layers")
    count = layers if isinstance(layers, int) and layers <= len(shapes) else 0
    keys["hybrid_override_pattern"] = "".join(_letter(shapes, i) for i in range(count))
    inner, heads = number(pairs, arch, "ssm.inner_size"), number(pairs, arch, "ssm.time_step_rank")
    keys["mamba_num_heads"] = heads or None
    keys["mamba_head_dim"] = ratio(inner, heads)
    keys["ssm_state_size"] = number(pairs, arch, "ssm.state_size") or 128
    keys["n_groups"] = number(pairs, arch, "ssm.group_count") or 8
    keys["conv_kernel"] = number(pairs, arch, "ssm.conv_kernel") or 4
    for key in ("num_key_value_heads", "num_attention_heads", "intermediate_size"):
        keys[key] = _largest(keys.get(key), None)


def _letter(shapes: Shapes, layer: int) -> str:
    if has(shapes, layer, *RECURRENT):
        return "M"
    if has(shapes, layer, "ffn_up_exps.weight"):
        return "E"
    return "*" if has(shapes, layer, "attn_q.weight") else "-"


def short_convolutions(keys: Keys, pairs: Pairs, arch: str, shapes: Shapes) -> None:
    """LFM2: short convolutions with attention between; the MLP's width is stated as it is."""
    keys["layer_types"] = kinds(keys, shapes, "conv", "full_attention")
    keys["conv_L_cache"] = number(pairs, arch, "shortconv.l_cache") or 3
    keys["block_auto_adjust_ff_dim"] = False
    keys["num_key_value_heads"] = _largest(keys.get("num_key_value_heads"), keys.get("num_attention_heads"))


HYBRIDS: dict[str, Callable[[Keys, Pairs, str, Shapes], None]] = {
    "qwen3_next": delta_net,
    "qwen3_5_text": delta_net,
    "qwen3_5_moe_text": delta_net,
    "granitemoehybrid": mamba2_hybrid,
    "falcon_h1": mamba2_hybrid,
    "jamba": jamba,
    "nemotron_h": nemotron,
    "lfm2": short_convolutions,
}
