"""The training step against closed forms. Each test names its source; bytes unless said otherwise.

T tokens, h hidden, a heads, v KV heads, d head size, i MLP size, e bytes of the compute dtype, V vocabulary.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gauge.api import answer_to
from gauge.request import parse
from gauge.runtimes.transformers_training import Training

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "intermediate_size": 1408,
    "vocab_size": 8192,
    "tie_word_embeddings": False,
}
BERT = {
    "model_type": "bert",
    "architectures": ["BertForMaskedLM"],
    "hidden_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
    "vocab_size": 1000,
    "max_position_embeddings": 512,
}
GPT2 = {"model_type": "gpt2", "n_embd": 256, "n_layer": 3, "n_head": 4, "n_positions": 512, "vocab_size": 1000}


def ask(config: dict, **more: object) -> dict:
    request = {"config": config, "task": "training", "precision": "pure-16bit", "batch_size": 2, "sequence_length": 256}
    return request | more


def saved(config: dict, **more: object) -> int:
    """Bytes that a middle block keeps for backward."""
    run = Training(parse(ask(config, **more))).run
    block = next(s for s in run.segments if s.layer == 1)
    return block.trace.saved_bytes


def pool(config: dict, **more: object) -> dict:
    return answer_to(ask(config, **more), deep=False)["pools"][0]


T = 2 * 256


def test_llama_block_flash_16_bit():
    """PyTorch 2.13 and transformers 5.23, counted: T (16 h + 4 a d + 4 v d + 8 i + 4 a + 8); 24 B of seeds apart."""
    h, a, v, d, i = 512, 8, 2, 64, 1408
    assert abs(saved(LLAMA) - T * (16 * h + 4 * a * d + 4 * v * d + 8 * i + 4 * a + 8)) <= 24


def test_llama_block_eager_16_bit():
    """As flash, but keys and values for all heads (e 4 a d) and 6 a s for the scores."""
    h, a, d, i, s = 512, 8, 64, 1408, 256
    assert saved(LLAMA, attention="eager") == T * (16 * h + 2 * 4 * a * d + 8 * i + 8 + 6 * a * s)


def test_bert_block_korthikanti():
    """arXiv 2205.05198, equation 1: s b h (34 + 5 a s / h), and 16 B of norm statistics a token."""
    h, a, s = 256, 4, 256
    assert saved(BERT, attention="eager") == T * (34 * h + 5 * a * s + 16)


def test_gpt2_block_flash():
    """T (28 e h + 2 h + 16 + 4 a): GELU written out keeps five tensors of the MLP's width."""
    h, a, e = 256, 4, 2
    assert abs(saved(GPT2) - T * (28 * e * h + 2 * h + 16 + 4 * a)) <= 24


def test_loss_peak_is_twelve_bytes_a_logit():
    """Start of backward in 16 bit: float32 log-probabilities, their gradient, and the gradient of the logits."""
    logits = [i for i in pool(LLAMA)["items"] if i["component"] == "logits" and "loss_backward" in i["moments"]]
    assert sum(i["bytes"] for i in logits) == 12 * T * 8192


@pytest.mark.parametrize(("optimizer", "copies"), [("adamw", 5), ("adamw-fused", 4), ("sgd", 2), ("sgd-momentum", 3)])
def test_optimizer_step_in_copies_of_the_parameters(optimizer: str, copies: int):
    """Weights, gradients, states, and one more copy under foreach: 10, 8, 4 and 6 B a parameter in 16 bit."""
    answer = answer_to(ask(LLAMA, optimizer=optimizer), deep=False)
    items = [i for i in answer["pools"][0]["items"] if i["scope"] == "allocated" and (not i["moments"] or "step" in i["moments"])]
    assert sum(i["bytes"] for i in items) == 2 * copies * answer["model"]["parameters"]


def test_tied_matrix_has_three_gradients_at_the_end():
    """The head's gradient, the embedding's, and their sum exist together: 3 e V h."""
    found = pool(LLAMA | {"tie_word_embeddings": True})
    table = [
        i for i in found["items"] if "gradient" in i["label"] and "backward_end" in i["moments"] and "embedding" in i["label"]
    ]
    table += [i for i in found["items"] if "waiting" in i["label"] and "backward_end" in i["moments"]]
    assert sum(i["bytes"] for i in table) == 3 * 2 * 8192 * 512


def test_lora_adapter_parameters():
    """arXiv 2106.09685: rank × (in + out) for each adapted matrix."""
    answer = answer_to(ask(LLAMA, method="lora", lora_rank=8, lora_targets="all-linear"), deep=False)
    per_layer = 8 * ((512 + 512) * 2 + (512 + 128) * 2 + (512 + 1408) * 3)
    assert answer["model"]["trainable_parameters"] == 4 * per_layer


def test_checkpointing_keeps_less():
    for attention in ("sdpa", "eager"):
        peaks = [
            pool(LLAMA, attention=attention, optimizer="none", gradient_checkpointing=kind)["allocated"]
            for kind in ("none", "selective", "full")
        ]
        assert peaks == sorted(peaks, reverse=True)


def test_timeline_reaches_the_peak():
    found = pool(LLAMA, timeline=True)
    assert max(sum(e["bytes"].values()) for e in found["timeline"]) == found["device"]


PLANS = st.fixed_dictionaries(
    {
        "batch_size": st.integers(1, 3),
        "sequence_length": st.sampled_from([16, 64, 200]),
        "precision": st.sampled_from(["mixed", "float32", "pure-16bit", "master"]),
        "optimizer": st.sampled_from(["adamw", "adamw-8bit", "adafactor", "sgd", "muon", "galore-adamw", "adamw-paged-8bit"]),
        "gradient_checkpointing": st.sampled_from(["none", "selective", "full"]),
        "gradient_accumulation": st.integers(1, 2),
        "loss": st.sampled_from(["standard", "chunked", "fused", "compiled", "vocab-parallel"]),
        "method": st.sampled_from(["full", "lora", "qlora"]),
        "attention": st.sampled_from(["sdpa", "eager"]),
        "compile": st.booleans(),
        "optimizer_in_backward": st.booleans(),
        "activation_offload": st.booleans(),
        "cpu_offload": st.sampled_from(["none", "optimizer", "all"]),
        "upcast_frozen": st.booleans(),
    }
)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([LLAMA, BERT, GPT2]), PLANS)
def test_factors_multiply_and_moments_add_up(config: dict, plan: dict):
    answer = answer_to({"config": config, "task": "training", **plan}, deep=False)
    assert "errors" not in answer, answer
    for found in answer["pools"]:
        for one in found["items"]:
            product = 1
            for factor in one["factors"]:
                if not factor["divides"]:
                    product *= factor["value"]
            for factor in one["factors"]:
                if factor["divides"]:
                    product //= factor["value"]
            assert product == one["bytes"], one
        for moment in found["moments"]:
            alive = [i["bytes"] for i in found["items"] if not i["moments"] or moment["id"] in i["moments"]]
            assert sum(alive) == moment["bytes"]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([LLAMA, BERT, GPT2]), PLANS, st.sampled_from(["batch_size", "sequence_length", "layers", "lora_rank"]))
def test_more_never_needs_less(config: dict, plan: dict, what: str):
    key = "n_layer" if "n_layer" in config else "num_hidden_layers"
    request = {"config": config, "task": "training", "lora_rank": 4, **plan}
    more = {**request, "config": {**config, key: config[key] + 1}} if what == "layers" else {**request, what: request[what] * 2}
    small, large = (answer_to(r, deep=False)["pools"][0]["allocated"] for r in (request, more))
    assert small <= large


def test_replicas_hold_a_bucket_for_every_gradient():
    """torch/nn/parallel/distributed.py: buckets are memory of their own unless gradients are views of them."""
    alone, replica = pool(LLAMA), pool(LLAMA, data_parallel=8)
    parameters = answer_to(ask(LLAMA), deep=False)["model"]["parameters"]
    assert replica["allocated"] - alone["allocated"] == 2 * parameters
    assert pool(LLAMA, data_parallel=8, method="lora", lora_rank=4)["allocated"] < alone["allocated"]
    assert [i["label"] for i in replica["items"] if i["scope"] == "device" and i["component"] == "communication.nccl"]


def test_more_replicas_need_no_more_each():
    assert pool(LLAMA, data_parallel=2)["allocated"] == pool(LLAMA, data_parallel=1000)["allocated"]


@pytest.mark.parametrize(("version", "bytes_a_number"), [("", 8), ("4.40", 2), ("2022-01", 2)])
def test_eight_bit_optimizers_leave_embeddings_wide(version: str, bytes_a_number: int):
    """transformers trainer.py: bitsandbytes keeps the states of embeddings in float32, two moments of 4 bytes."""
    found = pool(LLAMA, optimizer="adamw-8bit", runtime_version=version)
    states = [i for i in found["items"] if i["component"].startswith("optimizer_states.embedding")]
    assert sum(i["bytes"] for i in states if "scales" not in i["label"]) == bytes_a_number * 8192 * 512
