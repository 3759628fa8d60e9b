"""MiniCPM 3: latent attention with dense MLPs, scaled embeddings and residuals.

Source: transformers 5.23 models/minicpm3/modeling_minicpm3.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import deepseek_v3, gemma, llama


def read(config: Config) -> Model:
    """A MiniCPM 3 decoder from its config."""
    hidden, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    value = config.integer("v_head_dim", default=None)
    mixer = deepseek_v3.attention(
        config,
        kv_rank=config.integer("kv_lora_rank", default=256),
        query_rank=config.integer("q_lora_rank", default=768),
        nope=config.integer("qk_nope_head_dim", default=64),
        rope=config.integer("qk_rope_head_dim", default=32),
        value_head=value or config.divides("hidden_size", "num_attention_heads", hidden, heads),
    )
    same = llama.block(config, mixer, llama.mlp(config))
    return llama.decoder(config, (same,) * config.layers(), tied=True, embeddings=gemma.scaled(config))
