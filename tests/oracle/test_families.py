"""transformers itself as the oracle of every text family: small models of random sizes, built and run.

Numbers in all weights (tied ones once) and in what a pass leaves in the cache, against our readers. Not part of the
default run; needs torch and transformers:

    python -m pytest -m oracle tests/oracle
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from gauge.readers import huggingface
from gauge.sequence import Sequence

pytestmark = pytest.mark.oracle

BATCH, TOKENS, WINDOW = 2, 12, 16
SEEDS = 3
LATENT = ("deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_v4", "glm4_moe_lite", "glm_moe_dsa", "minicpm3")
CACHED = (
    *LATENT,
    *(
        "apertus",
        "arcee",
        "bitnet",
        "bloom",
        "biogpt",
        "codegen",
        "cohere",
        "cohere2",
        "cwm",
        "dots1",
        "ernie4_5",
        "ernie4_5_moe",
    ),
    *(
        "exaone4",
        "exaone_moe",
        "falcon",
        "falcon_h1",
        "falcon_mamba",
        "flex_olmo",
        "gemma",
        "gemma2",
        "gemma3_text",
        "gemma4_text",
        "glm",
    ),
    *("glm4", "glm4_moe", "gpt2", "gpt_bigcode", "gpt_neox", "gpt_oss", "gptj", "granite", "granitemoe", "granitemoeshared"),
    *("hunyuan_v1_dense", "hunyuan_v1_moe", "hy_v3", "iquestcoder", "jais2", "lfm2", "llama", "llama4_text", "mamba"),
    *("mellum", "minimax", "minimax_m2", "ministral", "ministral3", "mistral", "mixtral", "modernbert-decoder", "mpt"),
    *("nanochat", "nemotron", "nemotron_h", "olmo"),
    *("olmo2", "olmo3", "olmo_hybrid", "olmoe", "opt", "phi", "phi3", "phimoe", "qwen2", "qwen2_moe", "qwen3"),
    *("qwen3_5_moe_text", "qwen3_5_text", "qwen3_moe", "qwen3_next", "vaultgemma", "xglm"),
)
UNCACHED = (
    *("albert", "bert", "camembert", "deberta-v2", "distilbert", "electra", "eurobert", "ibert", "modernbert", "mpnet"),
    *("nomic_bert", "roberta"),
)
PAIRED = (
    *("bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "m2m_100", "marian", "mbart", "mt5", "mvp", "pegasus"),
    *("plbart", "t5", "umt5"),
)
HEADS = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "Model")
HEADED = (
    "albert",
    "bart",
    "bert",
    "bloom",
    "electra",
    "falcon",
    "gemma",
    "gpt2",
    "gptj",
    "llama",
    "mixtral",
    "opt",
    "qwen3",
    "t5",
)


def sizes(kind: str, seed: int) -> dict[str, Any]:
    """Small sizes under every name that some family has for them."""
    pick = Random(f"{kind} {seed}").choice
    heads, layers, vocab, inner = pick([2, 4, 6]), pick([4, 5, 6]), pick([101, 128, 257]), pick([48, 72, 100])
    width = heads * pick([8, 16])
    groups = heads if kind in LATENT else pick([n for n in (1, 2, heads) if heads % n == 0])
    shared = {
        **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim"), width),
        **dict.fromkeys(("num_attention_heads", "n_head", "num_heads", "n_heads", "attention_heads"), heads),
        **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), heads),
        **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers"), layers),
        **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim", "d_ff"), inner),
        **dict.fromkeys(("vocab_size", "decoder_vocab_size"), vocab),
        **dict.fromkeys(("num_key_value_heads", "num_kv_heads"), groups),
        **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size", "hidden_dim"), inner),
        **dict.fromkeys(("num_experts", "num_local_experts"), pick([4, 6])),
        **dict.fromkeys(("max_position_embeddings", "n_positions"), 64),
        **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input"), vocab),
        **dict.fromkeys(("index_head_dim",), 16),
    }
    return shared | {
        "head_dim": 8 if kind in LATENT else pick([8, 16]),
        "sliding_window": WINDOW,
        "type_vocab_size": pick([1, 2]),
        "embedding_size": pick([16, 24]),
        "moe_intermediate_size": pick([24, 40]),
        "shared_expert_intermediate_size": pick([24, 56]),
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "n_shared_experts": pick([1, 2]),
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": pick([0, 1, 2]),
        "kv_lora_rank": pick([16, 24]),
        "q_lora_rank": 20,
        "qk_nope_head_dim": pick([8, 16]),
        "qk_rope_head_dim": 8,
        "v_head_dim": pick([8, 16]),
        "rotary_dim": 4,
        "index_n_heads": 4,
        "index_topk": 8,
        "state_size": 8,
        "time_step_rank": pick([4, 7]),
        "conv_kernel": pick([3, 4]),
        "linear_num_value_heads": 8,
        "linear_num_key_heads": 4,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": pick([8, 16]),
        "mamba_d_state": 8,
        "mamba_num_heads": 8,
        "mamba_head_dim": 8,
        "mamba_n_heads": 8,
        "mamba_d_head": "auto",
        "mamba_d_conv": pick([3, 4]),
        "encoder_layers": 2,
        "d_kv": pick([8, 16]),
        "ssm_state_size": 8,
        "decoder_start_token_id": 1,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def built(kind: str, seed: int) -> tuple[Any, dict[str, Any]]:
    """A model of transformers and the config.json that describes it."""
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    made = transformers.AutoConfig.for_model(kind)
    keys = {key: value for key, value in sizes(kind, seed).items() if key in made.to_dict()}
    config = type(made)(**keys)
    factory = transformers.AutoModelForMaskedLM if kind in UNCACHED else transformers.AutoModelForCausalLM
    factory = transformers.AutoModelForSeq2SeqLM if kind in PAIRED else factory
    model = factory.from_config(config).eval()
    config.architectures = [type(model).__name__]
    return model, json.loads(json.dumps(config.to_dict(), default=str))


def cached(model: Any) -> int:
    """Numbers that the cache holds after a pass."""
    import torch

    ids = torch.randint(3, 50, (BATCH, TOKENS))
    also = {"decoder_input_ids": ids} if model.config.is_encoder_decoder else {}
    with torch.no_grad():
        out = model(input_ids=ids, use_cache=True, **also)
    found: dict[int, int] = {}
    waiting = [getattr(out, "past_key_values", None) or getattr(out, "cache_params", None)]
    while waiting:
        one = waiting.pop()
        if isinstance(one, torch.Tensor):
            place = one.untyped_storage().data_ptr()
            found[place] = max(found.get(place, 0), one.numel() if one.numel() > 1 else 0)
        elif isinstance(one, (list, tuple)):
            waiting += one
        else:
            waiting += list((one if isinstance(one, dict) else getattr(one, "__dict__", {})).values())
    return sum(found.values())


def kept(keys: dict[str, Any], source: int) -> int:
    """Numbers in our state of the same pass: half-full windows of compressed caches count."""
    state = huggingface.read(keys).state(Sequence(BATCH, TOKENS, source, buffers=True))
    return sum(t.elements * n for t, n in state)


@pytest.mark.parametrize("kind", [*CACHED, *UNCACHED, *PAIRED])
def test_weights_and_cache_are_those_of_transformers(kind: str) -> None:
    for seed in range(SEEDS):
        model, keys = built(kind, seed)
        assert huggingface.read(keys).parameters == sum(p.numel() for p in model.parameters())
        if kind not in UNCACHED:
            assert kept(keys, TOKENS if kind in PAIRED else 0) == cached(model)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kind", HEADED)
def test_a_head_is_the_one_that_architectures_name(kind: str, head: str) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    model, keys = built(kind, 0)
    name = type(model).__name__
    stem = name[: name.find("For")] if "For" in name else name.removesuffix("LMHeadModel")
    other = getattr(transformers, stem + head, None)
    if other is None:
        pytest.skip(f"transformers has no {stem + head}")
    with torch.device("meta"):
        wanted = other(type(model.config).from_dict(keys))
    wanted.tie_weights()
    found = huggingface.read({**keys, "architectures": [stem + head]}).parameters
    assert found == sum(p.numel() for p in wanted.parameters())
