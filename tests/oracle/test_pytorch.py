"""PyTorch itself as the oracle: what autograd really keeps for backward, against what our tape says.

Not part of the default run; needs torch and transformers:

    python -m pytest -m oracle tests/oracle
"""

from __future__ import annotations

from typing import Any

import pytest

from gauge.formats import FLOAT32
from gauge.how import How
from gauge.memory.segments import Lengths, Tracer
from gauge.readers import huggingface

pytestmark = pytest.mark.oracle

BATCH, TOKENS = 2, 48
SMALL = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 160, "vocab_size": 211}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", **SMALL, "num_key_value_heads": 2, "tie_word_embeddings": False},
    "qwen2": {"model_type": "qwen2", **SMALL, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "qwen3": {"model_type": "qwen3", **SMALL, "num_key_value_heads": 2, "head_dim": 32, "tie_word_embeddings": False},
    "gpt_neox": {"model_type": "gpt_neox", **SMALL, "tie_word_embeddings": False, "hidden_act": "gelu"},
    "gpt2": {
        "model_type": "gpt2", "n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 64, "vocab_size": 211,
        "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0,
    },
    "bert": {"model_type": "bert", **SMALL, **NO_DROPOUT, "architectures": ["BertForMaskedLM"], "max_position_embeddings": 64},
}  # fmt: skip


def kept_by_pytorch(config: dict[str, Any]) -> int:
    """Bytes of the storages that autograd saves in one forward pass with loss: floats, neither weights nor inputs."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    made = transformers.AutoConfig.for_model(**config, attn_implementation="eager")
    kind = transformers.AutoModelForMaskedLM if config["model_type"] == "bert" else transformers.AutoModelForCausalLM
    model = kind.from_config(made, attn_implementation="eager").float().train()
    own = {p.untyped_storage().data_ptr() for p in (*model.parameters(), *model.buffers())}
    found: dict[int, Any] = {}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if tensor.is_floating_point() and storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage
        return tensor

    ids = torch.randint(0, 211, (BATCH, TOKENS))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = (
            model(input_ids=ids, labels=ids, use_cache=False).loss
            if "bert" not in config["model_type"]
            else (model(input_ids=ids, labels=ids).loss)
        )
    size = sum(s.nbytes() for s in found.values())
    assert loss.requires_grad
    return size


def kept_by_gauge(config: dict[str, Any]) -> int:
    """The same by the tape: saved tensors of every segment, and the shared ones that something keeps."""
    how = How(compute=FLOAT32, attention="eager", dropout=0.0, version="5.23.0")
    run = Tracer(huggingface.read(config), how, Lengths(BATCH, TOKENS)).run(loss=True)
    shared = {id(s): s.size for segment in run.segments for s in segment.trace.shared if s.tensor.format == FLOAT32}
    return sum(segment.trace.saved_bytes for segment in run.segments) + sum(shared.values())


@pytest.mark.parametrize("name", CONFIGS)
def test_saved_bytes_are_pytorchs_own(name: str) -> None:
    ours, theirs = kept_by_gauge(CONFIGS[name]), kept_by_pytorch(CONFIGS[name])
    assert abs(ours - theirs) <= 0.001 * theirs, f"{ours:,} against {theirs:,}"
