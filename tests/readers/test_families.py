"""Every model of the catalogue, from its config: parameters to the last digit, caches, shared blocks, odd configs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from gauge.errors import RequestError
from gauge.how import How
from gauge.memory.segments import Lengths, Tracer
from gauge.memory.state import is_recurrent
from gauge.readers.huggingface import adapter_of, read
from gauge.sequence import Sequence
from gauge.tensor import Dim

GIB = 1 << 30
ENTRIES = [json.loads(line) for line in files("gauge.data").joinpath("models.jsonl").read_text().splitlines()]
BY_ID = {entry["id"]: entry for entry in ENTRIES}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: str(e["id"]))
def test_parameters_equal_the_catalogue(entry: dict[str, Any]) -> None:
    found = read(entry["config"]).parameters
    assert found == entry["parameters"]


@pytest.mark.parametrize("kind", sorted({e["config"]["model_type"] for e in ENTRIES}))
def test_every_type_of_the_catalogue_has_an_adapter(kind: str) -> None:
    assert adapter_of(kind) is not None


# Keys and values in bfloat16 of 32,768 tokens, and recurrent state, by the architecture's own need, in GiB.
CACHES = {
    "meta-llama/Llama-3.1-8B": (4.00, 0),
    "Qwen/Qwen3-0.6B": (3.50, 0),
    "deepseek-ai/DeepSeek-V3": (2.14, 0),
    "google/gemma-3-27b-pt": (2.91, 0),
    "openai/gpt-oss-20b": (0.75, 0),
    "Qwen/Qwen3.5-27B": (2.00, 0.14),
    "google/gemma-4-26B-A4B": (0.82, 0),
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": (0.19, 0.05),
    "meta-llama/Llama-4-Scout-17B-16E-Instruct": (2.63, 0),
}


@pytest.mark.parametrize("model", CACHES)
def test_cache_of_32k_tokens(model: str) -> None:
    cache, state = kept(BY_ID[model]["config"], 32_768)
    assert (cache / GIB, state / GIB) == pytest.approx(CACHES[model], abs=0.006)


def kept(config: dict[str, Any], tokens: int) -> tuple[int, int]:
    """Bytes of the cache and of the recurrent state."""
    tensors = list(read(config).state(Sequence(1, tokens)))
    state = sum(t.bytes * n for t, n in tensors if is_recurrent(t))
    return sum(t.bytes * n for t, n in tensors) - state, state


@pytest.mark.parametrize(
    "model",
    ["state-spaces/mamba-130m-hf", "RWKV/rwkv-4-169m-pile", "state-spaces/mamba2-130m", "tiiuae/falcon-mamba-7b"],
)
def test_recurrent_models_keep_the_same_whatever_the_context(model: str) -> None:
    config = BY_ID[model]["config"]
    assert kept(config, 16) == kept(config, 32_768)
    assert kept(config, 16)[0] == 0 < kept(config, 16)[1]


def test_mamba_state_is_four_taps_and_sixteen_floats_a_channel() -> None:
    config = BY_ID["state-spaces/mamba-130m-hf"]["config"]
    assert kept(config, 16)[1] == 24 * (1536 * 4 * 2 + 1536 * 16 * 4)


def test_a_layer_that_borrows_its_cache_keeps_none() -> None:
    config = BY_ID["google/gemma-4-E2B"]["config"]["text_config"]
    owned = kept(config, 256)[0]
    assert owned < kept({**config, "num_kv_shared_layers": 0}, 256)[0]


def test_window_layers_stop_growing() -> None:
    config = BY_ID["google/gemma-3-1b-pt"]["config"]
    assert kept(config, 65_536)[0] - kept(config, 32_768)[0] == 4 * 32_768 * 2 * 256 * 2


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: str(e["id"]))
def test_active_parameters_are_part_of_all(entry: dict[str, Any]) -> None:
    model = read(entry["config"])
    assert 0 < model.active_parameters <= model.parameters
    published = entry.get("active_parameters")
    if published and model.parameters > 1.5 * published:
        assert 0.9 * published < model.active_parameters < 1.5 * published


def test_equal_layers_share_one_block() -> None:
    blocks = read(BY_ID["meta-llama/Llama-3.1-405B"]["config"]).decoder.blocks
    assert len(blocks) == 126
    assert len({id(block) for block in blocks}) == 1


ROLES = {"expert_gate", "expert_up", "expert_down", "router", "shared_expert_gate", "latent_kv_down", "attention_output"}


def test_weights_name_what_they_are_for() -> None:
    found = {t.role for t, _ in read(BY_ID["deepseek-ai/DeepSeek-V3"]["config"]).weights()}
    assert found >= ROLES
    assert all(t.role and t.name and t.dims for e in ENTRIES for t, _ in read(e["config"]).weights())


def test_multi_token_prediction_is_said_and_not_counted() -> None:
    notes = read(BY_ID["deepseek-ai/DeepSeek-V3"]["config"]).notes
    assert any("multi-token-prediction" in note for note in notes)


def counted_too(entry: dict[str, Any]) -> int:
    """Numbers that the published total has beyond the weights, for the reasons that can be computed from the config."""
    keys, model = entry["config"], read(entry["config"])
    sparse = sum(t.size_of(Dim.EXPERTS) * n for t, n in model.weights() if t.role == "router" and not t.name.endswith("bias"))
    reasons = {
        "router_bias": sparse,
        "position_ids": keys.get("max_position_embeddings", 0),
        "pooler": model.hidden * (model.hidden + 1),
        "rotary_buffers": model.layers * 64,
    }
    return sum(reasons[reason] for reason in entry["published_includes"])


EXPLAINED = [
    e
    for e in ENTRIES
    if set(e.get("published_includes") or ("?",)) <= {"router_bias", "position_ids", "pooler", "rotary_buffers"}
    and e["config"]["model_type"] != "glm"
]


@pytest.mark.parametrize("entry", EXPLAINED, ids=lambda e: str(e["id"]))
def test_what_a_published_total_counts_beyond_the_weights(entry: dict[str, Any]) -> None:
    assert entry["published_parameters"] - read(entry["config"]).parameters == counted_too(entry)


UNUSUAL = {"zai-org/GLM-5.2", "deepseek-ai/DeepSeek-V4-Flash", "deepseek-ai/DeepSeek-V4-Pro"}
PREDICTING = [
    e for e in ENTRIES if "mtp" in (e.get("published_includes") or ()) and read(e["config"]).predictors and e["id"] not in UNUSUAL
]


@pytest.mark.parametrize("entry", PREDICTING, ids=lambda e: str(e["id"]))
def test_published_totals_with_multi_token_prediction(entry: dict[str, Any]) -> None:
    """The total of the files less the model's own: the layers to the last parameter, with copies of both tables where
    the source says so; what is left is a buffer of one number an expert and layer, or scales."""
    model, includes = read(entry["config"]), entry["published_includes"]
    copies = 2 * model.vocab * model.hidden * len(model.predictors) if "mtp_embeddings" in includes else 0
    left = entry["published_parameters"] - entry["parameters"] - model.predictor_parameters - copies
    assert 0 <= left < (42_000_000 if "fp8_scales" in includes else 25_000)
    assert model.with_predictors().parameters == model.parameters + model.predictor_parameters


def test_predictors_are_exact_where_nothing_else_is_counted() -> None:
    for id in ("XiaomiMiMo/MiMo-7B-Base", "Qwen/Qwen3.5-27B", "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16"):
        entry = BY_ID[id]
        assert read(entry["config"]).with_predictors().parameters == entry["published_parameters"]


# ---------------------------------------------------------------- configs that are wrong
def wrong(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The config with one key missing, of another kind, or out of bounds."""
    for key in config:
        if key != "model_type":
            yield {k: v for k, v in config.items() if k != key}
            for value in (None, -1, 0, "many", [], {}, [[]], 10**12, 1.5, True, float("nan")):
                yield {**config, key: value}
            if isinstance(config[key], dict):
                yield from ({**config, key: inner} for inner in wrong(config[key]))


SAMPLES = {e["config"]["model_type"]: e["config"] for e in reversed(ENTRIES)}


@pytest.mark.parametrize("kind", sorted(SAMPLES))
def test_wrong_configs_are_refused_or_read(kind: str) -> None:
    for config in wrong(SAMPLES[kind]):
        try:
            assert read(config).parameters >= 0
        except RequestError as error:
            assert error.field.startswith("config")


# ---------------------------------------------------------------- every family's pass
READING = sorted(k for k, config in SAMPLES.items() if read(config).vocab and k != "diffusion_pipeline")


def kept_for_backward(config: dict[str, Any], tokens: int, how: How) -> int:
    """Bytes that all segments of a training pass keep."""
    run = Tracer(read(config), how, Lengths(2, tokens, tokens)).run(loss=True)
    return sum(segment.trace.saved_bytes for segment in run.segments)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", READING)
def test_longer_sequences_keep_more(kind: str, attention: str) -> None:
    how = How(attention=attention)
    short, long = (kept_for_backward(SAMPLES[kind], tokens, how) for tokens in (64, 128))
    assert 0 < short < long


@pytest.mark.parametrize("kind", READING)
def test_fused_kernels_keep_no_more_than_composed_ones(kind: str) -> None:
    composed, fused = (kept_for_backward(SAMPLES[kind], 64, How(kernels=k)) for k in ("eager", "fused"))
    assert fused <= composed


@pytest.mark.parametrize("kind", READING)
def test_frozen_weights_need_no_gradients(kind: str) -> None:
    run = Tracer(read(SAMPLES[kind]), How(frozen=True), Lengths(1, 32, 32)).run(loss=True)
    assert not any(segment.trace.weight_gradients for segment in run.segments)


@pytest.mark.parametrize("kind", [k for k in READING if k not in ("clip", "siglip", "mllama")])
def test_every_weight_of_a_language_model_is_used_in_its_pass(kind: str) -> None:
    model = read(SAMPLES[kind])
    run = Tracer(model, How(), Lengths(1, 32, 32)).run(loss=True)
    used = {w.name for segment in run.segments for w in segment.trace.weight_gradients}
    blocks = {t.name for part in model.parts if not part.optional for block, _ in part.runs() for t in block.weights()}
    unused = blocks - used - {"relative_attention_bias.weight", "sinks"}
    idle = ("router", "expert", "indexer", "compressor", "e_score", "kv_norm", "shared_expert", "spare")
    assert not {name for name in unused if not any(word in name for word in idle)}


# ---------------------------------------------------------------- families that the catalogue has no model of
BERT_BASE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
}
SEQ2SEQ = {f"{side}_{key}": n for side in ("encoder", "decoder") for key, n in (("attention_heads", 16), ("ffn_dim", 4096))}
SEQ2SEQ |= {"d_model": 1024, "encoder_layers": 12, "decoder_layers": 12, "max_position_embeddings": 1024}
OTHERS: dict[str, tuple[dict[str, Any], int]] = {
    "albert-base-v2": ({"model_type": "albert", "embedding_size": 128, "vocab_size": 30_000, **BERT_BASE}, 11_683_584),
    "electra-base": ({"model_type": "electra", "vocab_size": 30_522, **BERT_BASE}, 108_891_648),
    "mbart-large-50": ({"model_type": "mbart", "vocab_size": 250_054, **SEQ2SEQ}, 610_879_488),
    "nllb-200-distilled-600M": ({"model_type": "m2m_100", "vocab_size": 256_206, **SEQ2SEQ}, 615_073_792),
    "m2m100_418M": ({"model_type": "m2m_100", "vocab_size": 128_112, **SEQ2SEQ}, 483_905_536),
    "Bamba-9B": (
        {
            "model_type": "bamba",
            "hidden_size": 4096,
            "intermediate_size": 14_336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "vocab_size": 128_256,
            "attn_layer_indices": [9, 18, 27],
            "mamba_n_heads": 128,
            "mamba_d_head": 64,
            "mamba_d_state": 128,
            "mamba_n_groups": 1,
        },
        9_780_235_392,
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_published_totals_of_other_families(name: str) -> None:
    config, total = OTHERS[name]
    assert read(config).parameters == total


def test_zamba_shares_one_transformer_but_caches_at_each_place() -> None:
    config = {
        "model_type": "zamba2",
        "hidden_size": 256,
        "num_hidden_layers": 4,
        "vocab_size": 100,
        "num_attention_heads": 4,
        "n_mamba_heads": 8,
        "layers_block_type": ["linear_attention", "hybrid", "linear_attention", "hybrid"],
    }
    model = read(config)
    shared = [n for t, n in model.weights() if t.name == "q_proj.weight"]
    assert shared == [1]
    assert kept(config, 128)[0] == 2 * 128 * 2 * 4 * 128 * 2
