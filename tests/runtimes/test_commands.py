"""The command of every trainer: a shell line that parses, whose options its documentation has, with the request's values."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gauge.api import answer_to

KNOWN: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("trainer_options.json").read_text(encoding="utf-8"))
CONFIG = {
    "model_type": "mixtral",
    "architectures": ["MixtralForCausalLM"],
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "vocab_size": 1000,
    "tie_word_embeddings": False,
}
DEGREES = {"tensor_parallel": 2, "pipeline_parallel": 2, "data_parallel": 4, "context_parallel": 2, "expert_parallel": 4}


def command(trainer: str, **changes: Any) -> str:
    answer = answer_to({"task": "training", "runtime": trainer, "config": CONFIG, "sequence_length": 128} | changes, deep=False)
    assert "errors" not in answer, answer
    return str(answer["command"])


def options(trainer: str, line: str) -> dict[str, str]:
    """Option → value ("" for a flag), as the trainer itself would read them."""
    if trainer == "deepspeed":
        return {name: str(value).lower() for name, value in _flat(json.loads(line))}
    words = shlex.split(line)
    if trainer == "torchtune":
        pairs = [word.split("=", 1) for word in words if "=" in word]
        return dict(pairs) | _dashed([w for w in words if "=" not in w])  # type: ignore[arg-type]
    return _dashed(words[next(i for i, w in enumerate(words) if w.endswith(".py") or not w.startswith("-")) :])


def _dashed(words: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for index, word in enumerate(words):
        if word.startswith("--"):
            following = words[index + 1] if index + 1 < len(words) else ""
            found[word] = "" if following.startswith("--") else following
    return found


def _flat(node: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, value


LAUNCHERS = {"--nproc_per_node", "-m"}
PLANS = st.fixed_dictionaries(
    {
        "data_parallel": st.sampled_from([1, 2, 8]),
        "dtype": st.sampled_from(["bfloat16", "float16", "float32"]),
        "method": st.sampled_from(["full", "lora", "qlora"]),
        "lora_targets": st.sampled_from(["attention", "all-linear", "q_proj,v_proj"]),
        "optimizer": st.sampled_from(["adamw", "adamw-fused", "adamw-8bit", "adafactor", "lion", "muon", "none"]),
        "gradient_checkpointing": st.sampled_from(["none", "selective", "full"]),
        "loss": st.sampled_from(["standard", "chunked", "fused"]),
        "attention": st.sampled_from(["sdpa", "flash"]),
        "compile": st.booleans(),
        "optimizer_in_backward": st.booleans(),
        "activation_offload": st.booleans(),
        "cpu_offload": st.sampled_from(["none", "optimizer", "all"]),
        "zero_stage": st.sampled_from([0, 1, 2, 3]),
        "shard_degree": st.sampled_from([None, 1]),
        "precision": st.sampled_from(["mixed", "pure-16bit", "master"]),
    }
)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(KNOWN)), PLANS, st.booleans())
def test_every_option_is_one_that_the_trainer_has(trainer: str, plan: dict[str, Any], parallel: bool) -> None:
    if trainer == "megatron":
        plan = plan | {"method": "full"}
    if parallel and trainer in ("megatron", "torchtitan"):
        plan = plan | DEGREES
    line = command(trainer, **plan)
    found = options(trainer, line)
    assert found.keys() - LAUNCHERS <= set(KNOWN[trainer]["options"]), line
    for name, allowed in KNOWN[trainer].get("values", {}).items():
        assert name not in found or found[name] in allowed, line


@pytest.mark.parametrize("trainer", sorted(KNOWN))
def test_options_say_where_they_are_documented(trainer: str) -> None:
    assert KNOWN[trainer]["source"] and KNOWN[trainer]["options"]


@pytest.mark.parametrize(
    ("trainer", "changes", "expected"),
    [
        ("megatron", DEGREES, {"--tensor-model-parallel-size": "2", "--expert-model-parallel-size": "4", "--num-layers": "8"}),
        ("megatron", DEGREES | {"expert_tensor_parallel": 1}, {"--pipeline-model-parallel-size": "2"}),
        ("megatron", {"pipeline_parallel": 3}, {"--pipeline-model-parallel-layout": "Et*3|t*3|t*2L"}),
        (
            "megatron",
            {"zero_stage": 1, "data_parallel": 8, "shard_degree": 2},
            {"--use-distributed-optimizer": "", "--num-distributed-optimizer-instances": "4"},
        ),
        ("megatron", {"gradient_checkpointing": "full"}, {"--recompute-granularity": "full", "--recompute-num-layers": "1"}),
        (
            "torchtitan",
            {"data_parallel": 16, "shard_degree": 4},
            {"--training.data_parallel_shard_degree": "4", "--training.data_parallel_replicate_degree": "4"},
        ),
        ("fsdp", {"data_parallel": 8, "shard_degree": 4}, {"--fsdp_sharding_strategy": "HYBRID_SHARD"}),
        ("fsdp", {"data_parallel": 8, "zero_stage": 2}, {"--fsdp_sharding_strategy": "SHARD_GRAD_OP"}),
        ("deepspeed", {"zero_stage": 3, "cpu_offload": "all"}, {"zero_optimization.offload_param.device": "cpu"}),
        ("deepspeed", {"batch_size": 4, "gradient_accumulation": 2}, {"train_micro_batch_size_per_gpu": "4"}),
        ("torchtune", {"batch_size": 2, "optimizer_in_backward": True}, {"batch_size": "2", "optimizer_in_bwd": "True"}),
        ("litgpt", {"method": "qlora"}, {"--quantize": "bnb.nf4-dq", "--lora_query": "true", "--lora_mlp": "false"}),
        ("transformers", {"method": "lora", "lora_rank": 4}, {"--lora_r": "4", "--use_peft": "true", "--optim": "adamw_torch"}),
    ],
)
def test_values_are_those_of_the_request(trainer: str, changes: dict[str, Any], expected: dict[str, str]) -> None:
    found = options(trainer, command(trainer, **changes))
    assert {name: found.get(name) for name in expected} == expected
