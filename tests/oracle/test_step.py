"""PyTorch itself as the oracle: the peak of a whole training step, on real tensors, against ours.

Not part of the default run; needs torch and transformers, and peft for adapters:

    python -m pytest -m oracle tests/oracle

The allocator's own events of one steady step (`torch.profiler`, `profile_memory`) on a computer: small models in float32
with composed attention, where its kernels keep what a GPU's would keep. Checkpointing keeps 5 kB of random state a layer
that we leave out.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import pytest

from gauge.api import answer_to

pytestmark = pytest.mark.oracle

Changes = Callable[[Any, Any], list[int]]  # torch and a finished profile -> bytes given out and back, in order
BATCH, TOKENS = 4, 128
SMALL = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 352, "vocab_size": 1009}
GROUPED = {"num_key_value_heads": 2, "tie_word_embeddings": False}
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", **SMALL, **GROUPED},
    "llama, tied": {"model_type": "llama", **SMALL, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "mistral": {"model_type": "mistral", **SMALL, **GROUPED, "sliding_window": 64},
    "qwen2": {"model_type": "qwen2", **SMALL, **GROUPED},
    "qwen3": {"model_type": "qwen3", **SMALL, **GROUPED, "head_dim": 32},
    "gemma": {"model_type": "gemma", **SMALL, "num_key_value_heads": 1, "head_dim": 32, "tie_word_embeddings": True},
    "gemma2": {"model_type": "gemma2", **SMALL, "num_key_value_heads": 2, "head_dim": 32, "tie_word_embeddings": True},
    "gemma3": {
        "model_type": "gemma3_text", **SMALL, "num_key_value_heads": 2, "head_dim": 32, "tie_word_embeddings": True,
        "sliding_window": 64,
    },
    "phi": {
        "model_type": "phi", **SMALL, "tie_word_embeddings": False, "partial_rotary_factor": 0.5, "attention_dropout": 0.0,
        **NO_DROPOUT,
    },
    "phi3": {"model_type": "phi3", **SMALL, **GROUPED, "pad_token_id": 0, **NO_DROPOUT},
    "gpt_neox": {"model_type": "gpt_neox", **SMALL, "tie_word_embeddings": False},
    "gpt2": {
        "model_type": "gpt2", "n_embd": 128, "n_layer": 4, "n_head": 4, "n_positions": 128, "vocab_size": 1009,
        "attn_pdrop": 0.0, **NO_DROPOUT,
    },
    "falcon": {
        "model_type": "falcon", **SMALL, "multi_query": True, "new_decoder_architecture": False, "parallel_attn": True,
        "bias": False,
    },
    "vaultgemma": {"model_type": "vaultgemma", **SMALL, "num_key_value_heads": 2, "head_dim": 32, "tie_word_embeddings": True},
    "bitnet": {"model_type": "bitnet", **SMALL, **GROUPED},
    "xglm": {
        "model_type": "xglm", "d_model": 128, "num_layers": 4, "attention_heads": 4, "ffn_dim": 352, "vocab_size": 1009,
        "dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0, "layerdrop": 0.0,
    },
    "nanochat": {"model_type": "nanochat", **SMALL, **GROUPED},
    "olmo2": {"model_type": "olmo2", **SMALL, **GROUPED},
    "stablelm": {
        "model_type": "stablelm", **SMALL, "num_key_value_heads": 4, "tie_word_embeddings": False,
        "partial_rotary_factor": 0.25,
    },
    "starcoder2": {
        "model_type": "starcoder2", **SMALL, **GROUPED, "use_bias": True, "residual_dropout": 0.0,
        "embedding_dropout": 0.0, "sliding_window": None,
    },
    "nemotron": {"model_type": "nemotron", **SMALL, **GROUPED},
    "cohere": {"model_type": "cohere", **SMALL, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "bloom": {
        "model_type": "bloom", "hidden_size": 128, "n_layer": 4, "n_head": 4, "vocab_size": 1009, "hidden_dropout": 0.0,
        "attention_dropout": 0.0,
    },
    "mixtral": {"model_type": "mixtral", **SMALL, **GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen3_moe": {
        "model_type": "qwen3_moe", **SMALL, **GROUPED, "head_dim": 32, "num_experts": 8, "num_experts_per_tok": 2,
        "moe_intermediate_size": 96, "mlp_only_layers": [], "decoder_sparse_step": 1,
    },
    "apertus": {"model_type": "apertus", **SMALL, **GROUPED},
    "deepseek_v3": {
        "model_type": "deepseek_v3", **SMALL, "num_key_value_heads": 4, "tie_word_embeddings": False, "n_routed_experts": 8,
        "num_experts_per_tok": 2, "moe_intermediate_size": 96, "n_shared_experts": 1, "q_lora_rank": 48, "kv_lora_rank": 32,
        "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32, "first_k_dense_replace": 1, "n_group": 2,
        "topk_group": 1,
    },
    "llama4_text": {
        "model_type": "llama4_text", **SMALL, **GROUPED, "head_dim": 32, "intermediate_size_mlp": 352, "num_local_experts": 4,
        "num_experts_per_tok": 1, "interleave_moe_layer_step": 2, "pad_token_id": 0,
    },
    "qwen2_moe": {
        "model_type": "qwen2_moe", **SMALL, **GROUPED, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 96,
        "shared_expert_intermediate_size": 96,
    },
}  # fmt: skip
LORA = {"method": "lora", "lora_rank": 8}
PLANS: dict[str, dict[str, Any]] = {
    "full": {},
    "checkpointing": {"gradient_checkpointing": "full"},
    "adafactor": {"optimizer": "adafactor"},
    "adagrad": {"optimizer": "adagrad"},
    "momentum": {"optimizer": "sgd-momentum"},
    "accumulation": {"gradient_accumulation": 2},
    "lora": LORA | {"lora_targets": "q_proj,v_proj"},
    "lora everywhere": LORA | {"lora_targets": "all-linear"},
    "lora everywhere, checkpointing": LORA | {"lora_targets": "all-linear", "gradient_checkpointing": "full"},
}
EVERYWHERE = ("full", "checkpointing", "lora everywhere, checkpointing")
PARTLY = ("xglm", "apertus", "deepseek_v3", "llama4_text", "qwen2_moe")
CASES = [(name, plan) for name in CONFIGS if name not in PARTLY for plan in EVERYWHERE]
CASES += [("llama", plan) for plan in PLANS if plan not in EVERYWHERE]
CASES += [(name, "adafactor") for name in ("qwen2", "gpt2", "mixtral")]
CASES += [(name, plan) for name in PARTLY for plan in ("full", "lora" if name == "llama4_text" else "lora everywhere")]


def made(config: dict[str, Any], plan: dict[str, Any]) -> Any:
    """The model as its users would build it, with adapters where the plan has them."""
    transformers = pytest.importorskip("transformers")
    read = transformers.AutoConfig.for_model(**config, attn_implementation="eager")
    model = transformers.AutoModelForCausalLM.from_config(read, attn_implementation="eager").float().train()
    checkpointing = plan.get("gradient_checkpointing") == "full"
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if plan.get("method") == "lora":
        peft = pytest.importorskip("peft")
        if checkpointing:
            model.enable_input_require_grads()
        asked = plan["lora_targets"]
        targets = asked if asked == "all-linear" else asked.split(",")
        model = peft.get_peft_model(model, peft.LoraConfig(r=plan["lora_rank"], target_modules=targets, task_type="CAUSAL_LM"))
    return model


def optimizer_of(name: str, weights: list[Any]) -> Any:
    torch = pytest.importorskip("torch")
    kinds = {
        "adamw": lambda: torch.optim.AdamW(weights, foreach=True),
        "adafactor": lambda: torch.optim.Adafactor(weights),
        "adagrad": lambda: torch.optim.Adagrad(weights, foreach=True),
        "sgd-momentum": lambda: torch.optim.SGD(weights, momentum=0.9, foreach=True),
    }
    return kinds[name]()


def peak_of_pytorch(config: dict[str, Any], plan: dict[str, Any]) -> int:
    """Bytes at the worst of a steady step: weights, states, the batch, and what the allocator's events add up to."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = made(config, plan)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = optimizer_of(plan.get("optimizer", "adamw"), weights)
    ids = torch.randint(0, 1000, (BATCH, TOKENS))

    def step() -> None:
        for _ in range(plan.get("gradient_accumulation", 1)):
            model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return peak_of(model, optimizer, (ids,), step)


def changes(torch: Any, profile: Any) -> list[int]:
    """Bytes given out (and, negative, given back) in the order of time."""
    found: list[tuple[int, int]] = []
    left = list(profile.profiler.kineto_results.experimental_event_tree())
    while left:
        event = left.pop()
        left += event.children
        if event.tag == torch._C._profiler._EventType.Allocation:
            found.append((event.start_time_ns, event.extra_fields.alloc_size))
    return [size for _, size in sorted(found, key=lambda pair: pair[0])]


def peak_of(model: Any, optimizer: Any, inputs: tuple[Any, ...], step: Callable[[], None], read: Changes = changes) -> int:
    """Bytes at the worst of a second `step`: weights, states and inputs, and what `read` makes of the allocator's events."""
    torch = pytest.importorskip("torch")
    step()
    gc.collect()
    held = [*model.parameters(), *model.buffers(), *inputs]
    held += [v for state in optimizer.state.values() for v in state.values() if torch.is_tensor(v)]
    resident = sum(t.numel() * t.element_size() for t in held)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    return resident + max(accumulate(read(torch, profile), initial=0))


def peak_of_gauge(config: dict[str, Any], plan: dict[str, Any]) -> int:
    """The same as we say it: the largest moment of a steady step."""
    precision = {"precision": "float32", "dtype": "float32", "dropout": 0.0, "attention": "eager"}
    request = {"config": config, "task": "training", "batch_size": BATCH, "sequence_length": TOKENS} | precision | plan
    return worst_moment(request)


def worst_moment(request: dict[str, Any]) -> int:
    """Bytes of the largest moment of a steady step, as far as an allocator hands them out."""
    pool = answer_to(request, deep=False)["pools"][0]
    outside = [i for i in pool["items"] if i["scope"] != "allocated"]
    steady = [m for m in pool["moments"] if m["id"] != "first"]
    return max(m["bytes"] - sum(i["bytes"] for i in outside if not i["moments"] or m["id"] in i["moments"]) for m in steady)


@pytest.mark.parametrize(("name", "plan"), CASES)
def test_peak_of_a_step_is_pytorchs_own(name: str, plan: str) -> None:
    ours, theirs = (measure(CONFIGS[name], PLANS[plan]) for measure in (peak_of_gauge, peak_of_pytorch))
    assert ours == pytest.approx(theirs, rel=0.003), f"{ours:,} against {theirs:,}"
