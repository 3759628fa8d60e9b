"""torchtitan's habits against what PyTorch does: what selective checkpointing keeps, how the loss is held, streams.

What a compiled and an uncompiled block keep was counted on PyTorch 2.13 with torchtitan's checkpointing policy.
"""

from __future__ import annotations

from typing import Any

import pytest

from gauge.api import answer_to
from gauge.request import parse
from gauge.runtimes.torchtitan import Titan
from gauge.versions import month_of

HIDDEN, HEADS, KV_HEADS, INNER, VOCAB, LAYERS = 256, 8, 2, 896, 8192, 4
BATCH, TOKENS = 16, 128
CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "vocab_size": VOCAB,
    "tie_word_embeddings": False,
}
POSITIONS = BATCH * TOKENS
LOGIT = POSITIONS * VOCAB


def ask(**changes: Any) -> dict[str, Any]:
    base = {"task": "training", "runtime": "torchtitan", "config": CONFIG, "batch_size": BATCH, "sequence_length": TOKENS}
    return base | {"attention": "flash"} | changes


def kept(**changes: Any) -> int:
    """Bytes that one block leaves for backward."""
    one = Titan(parse(ask(**changes)))
    block = next(s for s in one.run.segments if s.layer == 1)
    return sum(s.size for s in one.step.kept(block))


def logits(**changes: Any) -> int:
    """Bytes of the vocabulary's width at the start of backward."""
    items = answer_to(ask(**changes), deep=False)["pools"][0]["items"]
    return sum(i["bytes"] for i in items if i["component"] == "logits" and "loss_backward" in i["moments"])


def test_selective_checkpointing_keeps_every_second_product() -> None:
    """Input, queries, values, gate, down product, attention output with its log-sum-exp."""
    numbers = HIDDEN + HIDDEN + HIDDEN * KV_HEADS // HEADS + INNER + HIDDEN + HIDDEN
    assert kept() == POSITIONS * (2 * numbers + 4 * HEADS) == 4032 * POSITIONS - 32 * POSITIONS


def test_the_compiler_leaves_out_what_backward_does_not_read() -> None:
    """The down product's output only goes on into the residual stream."""
    assert kept() - kept(compile=True) == 2 * HIDDEN * POSITIONS


def test_full_checkpointing_keeps_the_input() -> None:
    assert kept(gradient_checkpointing="full") == 2 * HIDDEN * POSITIONS


@pytest.mark.parametrize(
    ("changes", "bytes_a_logit"),
    [
        pytest.param({}, 12, id="composed"),
        pytest.param({"compile": True, "loss": "compiled", "runtime_version": "Dec 2024"}, 12, id="not compiled yet"),
        pytest.param({"compile": True, "loss": "compiled", "runtime_version": "2025-06"}, 8, id="compiled"),
        pytest.param({"tensor_parallel": 2, "sequence_parallel": True}, 16 / 2, id="over a split vocabulary"),
    ],
)
def test_bytes_a_logit_at_the_start_of_backward(changes: dict[str, Any], bytes_a_logit: float) -> None:
    assert logits(**changes) == bytes_a_logit * LOGIT


def test_sequence_parallelism_keeps_gathered_inputs() -> None:
    """The norm's output is kept for all tokens where three products read it, once; Megatron gathers it again."""
    plan = {"tensor_parallel": 2, "sequence_parallel": True, "gradient_checkpointing": "none"}
    names: dict[str, list[int]] = {}
    for runtime in ("torchtitan", "megatron"):
        items = answer_to(ask(runtime=runtime, **plan), deep=False)["pools"][0]["items"]
        whole = [i for i in items if i["label"].endswith("norm output, all tokens") and i["component"] == "activations"]
        names[runtime] = [i["bytes"] for i in whole if "loss" in i["moments"]]
    assert names["megatron"] == []
    assert sum(names["torchtitan"]) >= 2 * LAYERS * POSITIONS * HIDDEN * 2


def test_other_streams_hold_gathered_layers_and_reduced_gradients() -> None:
    ranks = 8
    one = Titan(parse(ask(data_parallel=ranks)))
    layer = sum(t.elements for t in one.largest_layer())
    root = sum(t.elements for t in one.root())
    reduced = sum(-(-t.elements // ranks) * n for t, n in one.case.model.weights())
    assert sum(t.bytes for t in one.streams()) == 2 * (root + 2 * layer) + 4 * reduced
    assert list(Titan(parse(ask())).streams()) == []


@pytest.mark.parametrize(
    ("version", "month"),
    [("Dec 2024", (2024, 12)), ("December 2024", (2024, 12)), ("2025-03-04", (2025, 3)), ("0.19.1", None), ("", None)],
)
def test_months_of_versions(version: str, month: tuple[int, int] | None) -> None:
    assert month_of(version) == month
