"""A GGUF file's metadata → the keys of a `config.json`, by architecture.

`COMMON` holds for every architecture; `ARCHITECTURES` names the model_type and what else a family needs, each as the
config's key and the file's (without the architecture's prefix). Source: ggml-org/llama.cpp gguf-py/gguf/constants.py
and convert_hf_to_gguf.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gauge.errors import RequestError, shown
from gauge.readers import huggingface
from gauge.readers.gguf_hybrids import HYBRIDS
from gauge.units import format_count

Pairs = Mapping[str, Any]
Shapes = Mapping[str, tuple[int, ...]]

COMMON = {
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "max_position_embeddings": "context_length",
    "head_dim": "attention.key_length",
    "sliding_window": "attention.sliding_window",
}
EXPERTS = {
    "num_experts": "expert_count",
    "num_local_experts": "expert_count",
    "n_routed_experts": "expert_count",
    "num_experts_per_tok": "expert_used_count",
    "moe_intermediate_size": "expert_feed_forward_length",
    "shared_expert_intermediate_size": "expert_shared_feed_forward_length",
    "n_shared_experts": "expert_shared_count",
    "first_k_dense_replace": "leading_dense_block_count",
}
LATENT = {
    "q_lora_rank": "attention.q_lora_rank",
    "kv_lora_rank": "attention.kv_lora_rank",
    "qk_rope_head_dim": "rope.dimension_count",
}
STATE_SPACE = {
    "conv_kernel": "ssm.conv_kernel",
    "state_size": "ssm.state_size",
    "time_step_rank": "ssm.time_step_rank",
    "n_groups": "ssm.group_count",
}
GPT = {
    "n_embd": "embedding_length",
    "n_layer": "block_count",
    "n_inner": "feed_forward_length",
    "n_head": "attention.head_count",
    "n_positions": "context_length",
}


@dataclass(frozen=True)
class Architecture:
    """How one architecture is spelled: its model_type, further keys, and keys that are always the same."""

    model_type: str
    keys: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)


ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture("llama"),
    "mistral3": Architecture("llama"),
    "qwen2": Architecture("qwen2"),
    "qwen2vl": Architecture("qwen2"),
    "qwen2moe": Architecture("qwen2_moe", EXPERTS),
    "qwen3": Architecture("qwen3"),
    "qwen3vl": Architecture("qwen3"),
    "qwen3moe": Architecture("qwen3_moe", EXPERTS),
    "qwen3vlmoe": Architecture("qwen3_moe", EXPERTS),
    "gemma": Architecture("gemma"),
    "gemma2": Architecture("gemma2"),
    "gemma3": Architecture("gemma3_text"),
    "phi2": Architecture("phi"),
    "phi3": Architecture("phi3"),
    "falcon": Architecture("falcon", {"num_kv_heads": "attention.head_count_kv"}),
    "gpt2": Architecture("gpt2", GPT),
    "gptneox": Architecture("gpt_neox"),
    "bloom": Architecture("bloom", {"n_head": "attention.head_count", "n_layer": "block_count"}),
    "starcoder2": Architecture("starcoder2"),
    "olmo2": Architecture("olmo2"),
    "olmoe": Architecture("olmoe", EXPERTS),
    "granite": Architecture("granite"),
    "granitemoe": Architecture("granitemoe", EXPERTS),
    "deepseek2": Architecture("deepseek_v2", {**EXPERTS, **LATENT}),
    "gpt-oss": Architecture("gpt_oss", EXPERTS),
    "mamba": Architecture("mamba", STATE_SPACE),
    "mamba2": Architecture("mamba2", STATE_SPACE),
    "bert": Architecture("bert", {}, {"architectures": ["BertModel"]}),
    "command-r": Architecture("cohere"),
    "cohere2": Architecture("cohere2"),
    "stablelm": Architecture("stablelm"),
    "glm4": Architecture("glm4"),
    "smollm3": Architecture("smollm3"),
    "exaone4": Architecture("exaone4"),
    "seed_oss": Architecture("seed_oss"),
    "ernie4_5": Architecture("ernie4_5"),
    "hunyuan-dense": Architecture("hunyuan_v1_dense"),
    "arcee": Architecture("arcee"),
    "qwen3next": Architecture("qwen3_next", EXPERTS),
    "qwen35": Architecture("qwen3_5_text"),
    "qwen35moe": Architecture("qwen3_5_moe_text", EXPERTS),
    "granitehybrid": Architecture("granitemoehybrid", EXPERTS),
    "falcon-h1": Architecture("falcon_h1"),
    "jamba": Architecture("jamba", EXPERTS),
    "nemotron_h": Architecture("nemotron_h"),
    "nemotron_h_moe": Architecture("nemotron_h", EXPERTS),
    "lfm2": Architecture("lfm2"),
    "glm4moe": Architecture("glm4_moe", EXPERTS),
    "minimax-m2": Architecture("minimax_m2", EXPERTS),
    "bailingmoe2": Architecture("bailing_moe_v2", {**EXPERTS, "num_shared_experts": "expert_shared_count"}),
    "nomic-bert": Architecture("nomic_bert"),
    "t5": Architecture(
        "t5",
        {
            "d_model": "embedding_length",
            "d_ff": "feed_forward_length",
            "d_kv": "attention.key_length",
            "num_layers": "block_count",
            "num_heads": "attention.head_count",
            "num_decoder_layers": "decoder_block_count",
            "n_positions": "context_length",
            "relative_attention_num_buckets": "attention.relative_buckets_count",
        },
    ),
    "apertus": Architecture("apertus"),
}


def config(pairs: Pairs, shapes: Shapes) -> dict[str, Any]:
    """The config that the metadata and the tensors' shapes describe. Raises RequestError."""
    name = pairs.get("general.architecture")
    if not isinstance(name, str):
        raise RequestError("file", "the file names no architecture", "choose a model file")
    known = ARCHITECTURES.get(name)
    keys: dict[str, Any] = {"model_type": known.model_type if known else name}
    for key, suffix in {**COMMON, **(known.keys if known else EXPERTS)}.items():
        value = pairs.get(f"{name}.{suffix}")
        if isinstance(value, (int, list)) and not isinstance(value, bool) and value != 0:
            keys[key] = _one(value)
    keys |= known.fixed if known else {}
    _predictors(keys, pairs.get(f"{name}.nextn_predict_layers"))
    _from_tensors(keys, shapes)
    if keys["model_type"] == "llama":
        _llama(keys)
    if keys["model_type"] == "deepseek_v2":
        _latent(keys, pairs, name)
    if keys["model_type"] == "falcon":
        keys["multi_query"] = keys.get("num_kv_heads") == 1
        keys["new_decoder_architecture"] = "blk.0.attn_norm_2.weight" in shapes
        keys["bias"] = keys["alibi"] = "blk.0.attn_qkv.bias" in shapes
        keys["parallel_attn"] = "blk.0.ffn_norm.weight" not in shapes
    hybrid = HYBRIDS.get(keys["model_type"])
    if hybrid is not None:
        hybrid(keys, pairs, name, shapes)
    huggingface.read(keys)
    return keys


def _predictors(keys: dict[str, Any], count: Any) -> None:
    """A file's blocks include the multi-token-prediction layers; a config counts them apart."""
    layers = keys.get("num_hidden_layers")
    if type(count) is int and type(layers) is int and 0 < count < layers:
        keys |= {"num_hidden_layers": layers - count, "num_nextn_predict_layers": count}


def _one(value: Any) -> Any:
    """A list of equal numbers is that number."""
    if isinstance(value, list) and value and all(v == value[0] for v in value):
        return value[0]
    return value


def _from_tensors(keys: dict[str, Any], shapes: Shapes) -> None:
    table = shapes.get("token_embd.weight")
    if table and len(table) == 2:
        keys["vocab_size"] = table[1]
    keys["tie_word_embeddings"] = "output.weight" not in shapes
    positions = shapes.get("position_embd.weight")
    if positions and len(positions) == 2:
        keys["max_position_embeddings"] = positions[1]
    types = shapes.get("token_types.weight")
    if types and len(types) == 2:
        keys["type_vocab_size"] = types[1]
    if "blk.0.attn_q.bias" in shapes:
        keys["attention_bias"] = True
    if "blk.0.ffn_gate.bias" in shapes or "blk.0.ffn_up.bias" in shapes:
        keys["mlp_bias"] = True


def _llama(keys: dict[str, Any]) -> None:
    """One name stands for Llama, Mistral and, where there are experts, Mixtral."""
    if "num_local_experts" in keys or "num_experts" in keys:
        keys["model_type"] = "mixtral"


def _latent(keys: dict[str, Any], pairs: Pairs, name: str) -> None:
    """Head sizes are those of the expanded heads; newer files name them `_mla`."""
    rope = keys.get("qk_rope_head_dim", 0)
    size = pairs.get(f"{name}.attention.key_length_mla") or pairs.get(f"{name}.attention.key_length")
    value = pairs.get(f"{name}.attention.value_length_mla") or pairs.get(f"{name}.attention.value_length")
    keys.pop("head_dim", None)
    keys["num_key_value_heads"] = keys.get("num_attention_heads")
    if isinstance(size, int) and isinstance(rope, int) and size > rope:
        keys["qk_nope_head_dim"] = size - rope
    if isinstance(value, int):
        keys["v_head_dim"] = value
    keys.setdefault("q_lora_rank", None)


def compared(keys: Mapping[str, Any], elements: int) -> str:
    """A sentence where the header's sum and the architecture's count differ, or empty."""
    try:
        model = huggingface.read(keys)
    except RequestError:
        return ""
    known = "" if not model.notes else " ".join(model.notes)
    difference = elements - model.parameters
    if not difference:
        return known
    if difference == model.predictor_parameters:
        return f"The multi-token-prediction layers are in the file. {known}".strip()
    if model.tied and model.head and difference == model.vocab * model.hidden:
        return f"The output matrix is stored a second time though it equals the embedding. {known}".strip()
    more = "more" if difference > 0 else "fewer"
    return (
        f"The file holds {format_count(abs(difference))} {more} numbers than {shown(keys.get('model_type'))} of these "
        f"sizes has (rotary factors, merged or left-out tensors). {known}"
    ).strip()
