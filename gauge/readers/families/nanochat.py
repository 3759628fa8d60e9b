"""nanochat: norms without weights everywhere, also behind the embeddings and over queries and keys; a squared-ReLU MLP.

Source: transformers 5.23 models/nanochat/modeling_nanochat.py.
"""

from __future__ import annotations

from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama

USUAL_CAP = 15.0  # of the logits, where a config does not say; null is none


def read(config: Config) -> Model:
    """A nanochat decoder from its config."""
    hidden, vocab = config.integer("hidden_size"), config.integer("vocab_size")
    mixer = llama.attention(config, norms="head", norm_affine=False, norm_after_rotary=True)
    act = config.text("hidden_act", default="relu2")
    feed = llama.mlp(config, bias=False, gated=False, activation=act, names=("", "fc1", "fc2"))
    norm = Norm("norm", hidden, affine=False)
    return llama.decoder(
        config,
        (llama.block(config, mixer, feed, affine=False),) * config.layers(),
        norm,
        embeddings=Embeddings((Embedding("embed_tokens", vocab, hidden),), norm),
        soft_cap=config.keys.get("final_logit_softcapping", USUAL_CAP) is not None,
    )
