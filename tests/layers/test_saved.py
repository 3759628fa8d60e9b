"""What one layer keeps for backward, against closed forms counted on PyTorch 2.13 and transformers 5.23.

The forms were found by counting every tensor that autograd saved while the models ran on tensors without data. T is
tokens in the batch, h hidden, a heads, v key heads, d head size, i MLP size, s tokens of a sequence, e bytes of the
dtype. None of them appears in the engine: there they are sums over operators.
"""

from __future__ import annotations

from typing import Any

import pytest

from gauge.formats import BFLOAT16, FLOAT32, Format
from gauge.how import How
from gauge.readers.huggingface import read
from gauge.tape import Tape, dims
from gauge.tensor import Dim

BATCH, TOKENS = 2, 256
T = BATCH * TOKENS
H, I, L, V = 512, 1376, 2, 1000  # noqa: E741
SMALL: dict[str, Any] = {
    "hidden_size": H,
    "intermediate_size": I,
    "num_hidden_layers": L,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": V,
}
A, KV, D = 8, 2, 64
EXPERTS = {"num_experts": 16, "num_local_experts": 16, "num_experts_per_tok": 4, "moe_intermediate_size": 96}


def saved(config: dict[str, Any], *, attention: str = "sdpa", format: Format = BFLOAT16, tokens: int = TOKENS) -> int:
    """Bytes that the last block of that model keeps."""
    model = read(config)
    tape = Tape(How(compute=format, attention=attention), {})
    shape = dims((Dim.BATCH, BATCH), (Dim.TOKENS, tokens), (Dim.HIDDEN, model.hidden))
    x = tape.input("residual stream", shape, format, grad=True)
    block = model.decoder.blocks[-1]
    return tape.trace(x, block.forward(tape, x)).saved_bytes


def llama(e: int, kv: int = KV) -> int:
    norm = 4 + 2 * e if e == 2 else 12
    return T * (2 * (norm * H + 4) + e * (2 * A * D + 2 * kv * D) + 4 * A + 4 * e * I)


def q_k_norms(e: int) -> int:
    return T * ((4 + e) * (A * D + KV * D) + 4 * (A + KV))


def test_llama() -> None:
    assert saved({"model_type": "llama", **SMALL}) == llama(2)


def test_llama_eager_keeps_six_bytes_a_score() -> None:
    form = llama(2) - T * (2 * (2 * A * D + 2 * KV * D) + 4 * A) + T * (2 * 4 * A * D + 6 * A * TOKENS)
    assert saved({"model_type": "llama", **SMALL}, attention="eager") == form


def test_llama_float32_takes_the_composed_path() -> None:
    form = llama(4) - T * (4 * (2 * A * D + 2 * KV * D) + 4 * A) + T * (4 * 4 * A * D + 4 * A * TOKENS)
    assert saved({"model_type": "llama", **SMALL}, format=FLOAT32) == form


def test_qwen3_adds_norms_over_heads() -> None:
    assert saved({"model_type": "qwen3", "head_dim": D, **SMALL}) == llama(2) + q_k_norms(2)


def test_phi3_pins_the_fused_projection() -> None:
    assert saved({"model_type": "phi3", **SMALL}) == llama(2) + T * (2 * (A * D + KV * D) + 2 * A * D)


def test_window_makes_each_layer_keep_its_mask() -> None:
    config = {"model_type": "mistral", "sliding_window": 128, **SMALL}
    form = llama(2) + T * 2 * 2 * (A - KV) * D + 2 * BATCH * TOKENS * TOKENS
    assert saved(config) == form


def test_gemma2_eager_keeps_eight_bytes_a_score() -> None:
    config = {"model_type": "gemma2", "head_dim": D, "sliding_window": 4096, **SMALL}
    form = T * (4 * (8 * H + 4) + 4 * H + 8 * I + 8 * A * TOKENS + 2 * 4 * A * D) + 4 * 4 * H
    assert saved(config) == form


def test_gemma3_global_layer() -> None:
    config = {"model_type": "gemma3_text", "head_dim": D, "layer_types": ["full_attention"] * L, **SMALL}
    norms = T * (8 * (A * D + KV * D) + 4 * (A + KV)) + 2 * 4 * D
    form = T * (4 * (8 * H + 4) + 4 * H + 8 * I + 2 * (2 * A * D + 2 * KV * D) + 4 * A) + 4 * 4 * H
    assert saved(config) == form + norms


def grouped(inner: int, chosen: int = 4) -> int:
    """Each expert's rows are gathered copies: 2 h + 4 m for each visit, a float32 score an expert."""
    return T * (2 * chosen * (2 * H + 4 * inner) + 4 * 16)


def test_mixtral() -> None:
    indices = T * (40 * 4 + 4)
    assert saved({"model_type": "mixtral", **SMALL, **EXPERTS}) == llama(2) - T * 8 * I + grouped(I) + indices


def test_qwen3_moe() -> None:
    config = {"model_type": "qwen3_moe", "head_dim": D, **SMALL, **EXPERTS}
    assert saved(config) == llama(2) - T * 8 * I + q_k_norms(2) + grouped(96) + T * 34 * 4


def test_latent_attention_expands_keys_and_values_for_training() -> None:
    rank, nope, rope, value = 128, 32, 16, 24
    config = {
        "model_type": "deepseek_v2",
        "q_lora_rank": None,
        "kv_lora_rank": rank,
        "qk_nope_head_dim": nope,
        "qk_rope_head_dim": rope,
        "v_head_dim": value,
        "n_routed_experts": 16,
        "n_shared_experts": 2,
        "num_experts_per_tok": 4,
        "moe_intermediate_size": 96,
        "first_k_dense_replace": 1,
        "rope_interleave": False,
        **SMALL,
    }
    attention = 2 * 2 * A * (nope + rope) + 2 * A * (nope + value) + 2 * A * value + 4 * A
    shared = 8 * 2 * 96
    form = T * (2 * (8 * H + 4) + 8 * rank + 4 + attention + 4 * H + 36 * 4 + shared) + grouped(96) + 4 * 16 * H
    assert saved(config) == form


LEGACY = [
    ({"model_type": "gpt_neox", "rotary_pct": 0.25}, lambda: T * (2 * (2 * I + 10 * H) + 16 + 4 * A)),
    ({"model_type": "phi", "partial_rotary_factor": 0.5}, lambda: T * (2 * (5 * I + 7 * H) + 8 + 4 * A)),
    (
        {"model_type": "opt", "ffn_dim": I, "max_position_embeddings": 2048},
        lambda: T * (2 * (I + 8 * H) + 2 * H + 16 + 4 * A),
    ),
    ({"model_type": "bloom", "n_head": 8, "n_layer": L}, lambda: T * (2 * 16 * H + 16 + 6 * A * TOKENS)),
    (
        {"model_type": "gptj", "n_embd": H, "n_head": 8, "n_layer": L, "rotary_dim": 32, "n_positions": 512},
        lambda: T * (2 * 24 * H + 8 * H + 8 + 6 * A * TOKENS + 4 * 2 * 32),
    ),
    (
        {"model_type": "gpt2", "n_embd": H, "n_head": 8, "n_layer": L, "n_positions": 512},
        lambda: T * (2 * 28 * H + 2 * H + 16 + 4 * A),
    ),
    (
        {"model_type": "bert", "max_position_embeddings": 512},
        lambda: T * (2 * (2 * I + 8 * H) + 2 * H + 16 + 4 * A),
    ),
]


@pytest.mark.parametrize(("keys", "form"), LEGACY, ids=[str(k["model_type"]) for k, _ in LEGACY])
def test_layer_norm_families(keys: dict[str, Any], form: Any) -> None:
    config = {**SMALL, **keys}
    config["num_key_value_heads"] = 8
    assert saved(config) == form()


def test_falcon_with_one_key_head_takes_the_composed_path() -> None:
    config = {"model_type": "falcon", "num_attention_heads": 8, "hidden_size": H, "num_hidden_layers": L, "vocab_size": V}
    scores, norms, mlp = 4 * A * TOKENS, 2 * 2 * H + 8, 2 * 8 * H
    heads = 3 * 4 * A * D + 2 * H  # more than one sequence: the matrix product copies the key head to all queries
    assert saved(config) == T * (scores + norms + mlp + heads)


def test_mamba_keeps_its_projection_selection_and_output() -> None:
    config = {"model_type": "mamba", "hidden_size": H, "num_hidden_layers": L, "vocab_size": V, "time_step_rank": 32}
    inner, state, rank = 2 * H, 16, 32
    per_token = (8 * H + 4) + 2 * (2 * inner + rank + 2 * state + inner)
    assert saved(config) == T * per_token + BATCH * inner * 2 * state * 4


def test_sinks_keep_one_column_more_and_clamped_experts_seven_widths() -> None:
    config = {"model_type": "gpt_oss", "head_dim": D, **SMALL, **EXPERTS, "layer_types": ["full_attention"] * L}
    norms = 2 * (4 * H + 4 * H + 2 * H + 4)
    scores = 2 * A * (TOKENS + 1) + 8 * A
    attention = 2 * 4 * A * D + scores
    experts = 2 * 4 * (2 * H + 7 * I) + 4 * (8 + 8 + 8 + 8 + 8 + 2 + 2)
    assert saved(config) == T * (norms + attention + experts)
