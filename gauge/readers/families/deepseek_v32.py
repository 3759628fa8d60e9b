"""DeepSeek V3.2: V3 with an indexer that picks the tokens that attention reads.

Source: transformers 5.23 models/deepseek_v32/modeling_deepseek_v32.py.
"""

from __future__ import annotations

from gauge.layers.latent_attention import Indexer
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import deepseek_v3


def read(config: Config) -> Model:
    """A DeepSeek V3.2 decoder from its config."""
    plain = Config({**config.keys, "mlp_bias": False}, config.path)  # its MLPs never have biases
    routed = deepseek_v3.experts(plain, scores="sigmoid", normalised=True)
    return deepseek_v3.decoder(plain, deepseek_v3.attention(config, indexer(config)), routed)


def indexer(config: Config) -> Indexer:
    """The indexer's sizes."""
    return Indexer(
        hidden=config.integer("hidden_size"),
        heads=config.integer("index_n_heads", default=64),
        head=config.integer("index_head_dim", default=128),
        query_from=config.integer("q_lora_rank"),
        pool=config.integer("index_kpool", default=1),
        top=config.integer("index_topk", default=2048),
    )
