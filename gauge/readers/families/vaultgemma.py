"""VaultGemma: Gemma 2 without the norms behind the branches.

Source: transformers 5.23 models/vaultgemma/modeling_vaultgemma.py.
"""

from __future__ import annotations

from gauge.layers.block import Block
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import gemma, gemma2, llama
from gauge.readers.patterns import blocks, layer_types


def read(config: Config) -> Model:
    """A VaultGemma decoder from its config."""
    kinds = layer_types(config, config.layers(), lambda i: "full_attention" if i % 2 else "sliding_attention")
    window = config.integer("sliding_window", default=4096)
    capped = "attn_logit_softcapping" in config
    feed = llama.mlp(config, activation=config.text("hidden_activation", default="gelu_pytorch_tanh"))

    def make(kind: str) -> Block:
        mixer = gemma2.attention(config, window if kind == "sliding_attention" else None)
        capable = mixer.edited(soft_cap=capped, has_sdpa=not capped)
        return llama.block(config, capable, feed, norm="rms_unit_offset", names=("input_layernorm", "pre_feedforward_layernorm"))

    return llama.decoder(
        config,
        blocks(kinds, make),
        gemma.final_norm(config),
        tied=True,
        embeddings=gemma.scaled(config),
        soft_cap="final_logit_softcapping" in config,
    )
