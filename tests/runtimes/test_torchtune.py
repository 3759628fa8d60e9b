"""torchtune's chunked loss against what PyTorch does: the loss of every chunk goes backward before the first product.

Counted on PyTorch 2.13 and 2.5 (`torch.profiler`, `profile_memory`): 8 chunks over kept logits, the loss compiled.
"""

from __future__ import annotations

from typing import Any

import pytest

from gauge.api import answer_to
from gauge.record import Trace
from gauge.request import parse
from gauge.runtimes.torchtune import Tune

HIDDEN, VOCAB, TOKENS, CHUNKS = 512, 8192, 1024, 8
CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": HIDDEN,
    "intermediate_size": 1408,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "vocab_size": VOCAB,
    "tie_word_embeddings": False,
}
CHUNK = TOKENS // CHUNKS * VOCAB * 2
MATRIX = VOCAB * HIDDEN * 2
ADAPTED = {"method": "lora", "lora_targets": "q_proj"}


def ask(**changes: Any) -> dict[str, Any]:
    base = {"task": "training", "runtime": "torchtune", "config": CONFIG, "sequence_length": TOKENS}
    return base | {"attention": "sdpa", "compile": True} | changes


def head(**changes: Any) -> Trace:
    return next(s.trace for s in Tune(parse(ask(**changes))).run.segments if s.name == "head")


def wide(trace: Trace) -> list[int]:
    """Bytes as wide as the vocabulary at each operator of backward, the matrix' own gradient left out."""
    moments = [[s for s in m.alive if "logits" in s.tensor.name or "log-prob" in s.tensor.name or "one chunk" in s.tensor.name]
               for m in trace.backward]  # fmt: skip
    return [sum(s.size for s in alive) for alive in moments]


def test_backward_of_a_chunk_makes_its_gradient_beside_all_logits() -> None:
    assert max(wide(head(**ADAPTED))) == (CHUNKS + 1) * CHUNK


def test_two_gradients_of_the_matrix_are_added_into_a_third() -> None:
    """Two chunks are done by then; the sum is the third, the gradient itself."""
    assert max(wide(head())) + MATRIX == (CHUNKS - 2) * CHUNK + 3 * MATRIX


def test_composed_loss_keeps_log_probabilities() -> None:
    """Forward: all logits, their log-softmax in float32, a chunk's float32 copy. Backward: two more of a chunk's."""
    trace = head(compile=False, **ADAPTED)
    forward = max(sum(s.size for s in m.alive if "log" in s.tensor.name) for m in trace.forward)
    assert forward == (CHUNKS + 2 * CHUNKS + 2) * CHUNK
    assert max(wide(trace)) == (2 * CHUNKS + 4) * CHUNK


@pytest.mark.parametrize(("loss", "matrices"), [("standard", 3), ("chunked", 2)])
def test_a_tied_embedding_adds_to_a_sum_in_place(loss: str, matrices: int) -> None:
    """The head's gradient alone is no memory that autograd overwrites; the sum of its chunks is."""
    answer = answer_to(ask(loss=loss, config=CONFIG | {"tie_word_embeddings": True}), deep=False)
    items = [i for i in answer["pools"][0]["items"] if "backward_end" in i["moments"] and i["certainty"] == "exact"]
    gradients = [i["bytes"] for i in items if i["label"].startswith("gradient of") and i["bytes"] >= MATRIX]
    assert sum(gradients) == matrices * MATRIX


def test_a_head_run_by_chunks_fetches_no_layer() -> None:
    """FSDP2 fetches what ran before in forward: for a unit that ran 8 times itself, until its first run."""
    eight = ask(data_parallel=8)
    ahead = [i for i in answer_to(eight, deep=False)["pools"][0]["items"] if i["label"] == "weights of the next layer, gathered"]
    assert [i["moments"] for i in ahead] == [["loss"]]
    adapted = answer_to(eight | ADAPTED, deep=False)["pools"][0]["items"]
    assert any("loss_backward" in i["moments"] for i in adapted if i["label"] == "weights of the next layer, gathered")
