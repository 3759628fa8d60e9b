"""Which matrices an adapter request means."""

from __future__ import annotations

import pytest

from gauge.api import answer_to
from gauge.memory.adapters import targets_of
from gauge.request import parse


@pytest.mark.parametrize(
    ("model", "asked", "names"),
    [
        ("llama-3.1-8b", "q_proj,v_proj", {"q_proj", "v_proj"}),
        ("tiiuae/falcon-7b", "q_proj,v_proj", {"query_key_value"}),
        ("microsoft/Phi-3-mini-4k-instruct", "q_proj,gate_proj", {"qkv_proj", "gate_up_proj"}),
        ("gpt2", "attention", {"c_attn", "c_proj"}),
    ],
)
def test_llamas_names_mean_roles_elsewhere(model: str, asked: str, names: set[str]) -> None:
    assert targets_of(parse({"model": model}).model, asked) == names


def test_a_name_that_means_nothing_is_an_error() -> None:
    (error,) = answer_to({"model": "gpt2", "task": "training", "method": "lora", "lora_targets": "q_prj"})["errors"]
    assert error["field"] == "lora_targets" and "c_attn" in error["remedy"]


def test_all_linear_means_every_matrix() -> None:
    assert targets_of(parse({"model": "gpt2"}).model, "all-linear") is None


def test_adapters_everywhere_reach_experts():
    """PEFT 0.21 with transformers 5: gate and up as one matrix with twice the rank, down, and the router, an expert each."""
    h, inner, experts, rank, layers = 64, 96, 4, 8, 2
    config = {
        "model_type": "mixtral",
        "architectures": ["MixtralForCausalLM"],
        "hidden_size": h,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "num_local_experts": experts,
        "num_experts_per_tok": 2,
        "vocab_size": 256,
        "tie_word_embeddings": False,
    }
    request = {"config": config, "task": "training", "method": "lora", "lora_rank": rank, "sequence_length": 32}

    def trained(**changes: object) -> int:
        return answer_to(request | changes, deep=False)["model"]["trainable_parameters"]

    attention = 4 * rank * 2 * h
    each = 2 * rank * (h + 2 * inner) + rank * (inner + h)
    assert trained() == layers * attention
    everywhere = layers * (attention + experts * each + rank * (h + experts))
    assert trained(lora_targets="all-linear") == everywhere
    assert trained(lora_targets="all-linear", runtime_version="4.50") == layers * attention


MIXED = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "moe_intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 256,
}
GLM = MIXED | {
    "model_type": "glm4_moe",
    "head_dim": 16,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}
QWEN = MIXED | {
    "model_type": "qwen2_moe",
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "shared_expert_intermediate_size": 32,
    "decoder_sparse_step": 1,
}
ATTENTION = 3 * 4 * 8 * 2 * 64
EXPERTS = 8 * (2 * 8 * (64 + 2 * 32) + 8 * (32 + 64))
ROUTER = 8 * (64 + 8)


@pytest.mark.parametrize(
    ("config", "asked", "trained"),
    [
        pytest.param(GLM, "all-linear", ATTENTION + 2 * (EXPERTS + ROUTER), id="moved: shared experts, dense layers without"),
        pytest.param(GLM, "q_proj,gate_proj,up_proj,down_proj", ATTENTION // 4 + 2 * EXPERTS, id="moved by name"),
        pytest.param(QWEN, "all-linear", ATTENTION + 3 * (3 * 8 * (64 + 32) + 8 * (64 + 1)), id="Qwen2-MoE itself is not moved"),
        pytest.param(QWEN, "q_proj,gate_proj", ATTENTION // 4 + 3 * 8 * (64 + 32), id="its shared expert by name"),
    ],
)
def test_where_peft_moves_adapters_to_stacked_experts(config: dict[str, object], asked: str, trained: int) -> None:
    """Counted with PEFT 0.21 and transformers 5.23."""
    request = {"config": config, "task": "training", "method": "lora", "lora_rank": 8, "lora_targets": asked}
    assert answer_to(request | {"sequence_length": 32}, deep=False)["model"]["trainable_parameters"] == trained


def test_llamas_names_that_a_model_lacks_are_no_mistake_beside_others() -> None:
    seven = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"
    found = targets_of(parse({"model": "openai/gpt-oss-20b"}).model, seven)
    assert found == {"q_proj", "k_proj", "v_proj", "o_proj"}


@pytest.mark.parametrize("model", ["state-spaces/mamba-130m-hf", "google/mobilenet_v2_1.0_224"])
def test_no_attention_means_no_adapters_there(model: str) -> None:
    """PEFT asks for `target_modules` as well."""
    (error,) = answer_to({"model": model, "task": "training", "method": "lora"})["errors"]
    assert error["field"] == "lora_targets" and {"lora_targets": "all-linear"} in error["fixes"]
