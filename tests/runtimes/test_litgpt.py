"""LitGPT's habits: one matrix with one adapter for queries, keys and values; inputs of quantized products."""

from __future__ import annotations

from typing import Any

import pytest

from gauge.api import answer_to
from gauge.request import parse
from gauge.runtimes.litgpt import Lit

HIDDEN, INNER, RANK, BATCH, TOKENS = 512, 1408, 8, 1, 256
CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "vocab_size": 8192,
    "tie_word_embeddings": False,
}


def ask(**changes: Any) -> dict[str, Any]:
    base = {"task": "training", "runtime": "litgpt", "config": CONFIG, "batch_size": BATCH, "sequence_length": TOKENS}
    return base | {"method": "lora", "lora_rank": RANK, "lora_targets": "q_proj,v_proj"} | changes


def kept(**changes: Any) -> dict[str, int]:
    """What a middle block keeps for backward: bytes a token by name."""
    block = next(s for s in Lit(parse(ask(**changes))).run.segments if s.layer == 1)
    found: dict[str, int] = {}
    for storage in block.trace.saved:
        found[storage.tensor.name] = found.get(storage.tensor.name, 0) + storage.size // (BATCH * TOKENS)
    return found


def test_queries_and_values_share_one_adapter() -> None:
    """litgpt/lora.py, LoRAQKVLinear: one dropout in front of the ranks of both."""
    found = kept()
    assert found["dropped out"] == 2 * HIDDEN
    assert found["adapter rank"] == 2 * 2 * RANK
    answer = answer_to(ask(), deep=False)
    assert answer["model"]["trainable_parameters"] == 4 * 2 * RANK * (HIDDEN + HIDDEN)


@pytest.mark.parametrize(("version", "bytes_a_number"), [("2023-10", 2), ("0.4", 4), ("", 4)])
def test_quantized_products_keep_copies_of_their_inputs(version: str, bytes_a_number: int) -> None:
    plain, packed = kept(runtime_version=version), kept(runtime_version=version, quantization="bnb-nf4")
    copies = {name: size for name, size in packed.items() if name.endswith("input, copied")}
    assert sum(copies.values()) == bytes_a_number * (4 * HIDDEN + INNER)
    assert sum(packed.values()) - sum(plain.values()) == sum(copies.values())
