"""DeepSeek V4: compressed sparse attention, hyper-connections, experts in every layer, the first ones by token hash.

Source: transformers 5.23 models/deepseek_v4/modeling_deepseek_v4.py, configuration_deepseek_v4.py.
"""

from __future__ import annotations

from gauge.layers.block import Block
from gauge.layers.compressed_attention import CompressedAttention, Compressor
from gauge.layers.experts import Experts
from gauge.layers.hyper_connections import HyperHead
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import deepseek_v3, llama
from gauge.readers.families.glm5_next_text import hyper
from gauge.readers.patterns import blocks, layer_types, numbers

SPARSE_RATE = 4
RATES = {"compressed_sparse_attention": 4, "heavily_compressed_attention": 128}


def read(config: Config) -> Model:
    """A DeepSeek V4 decoder from its config."""
    layers = config.layers()
    rates = numbers(config, layers, "compress_ratios") or _rates(config, layers)
    single = Config({**config.keys, "n_shared_experts": 1}, config.path)  # the class has one shared expert, whatever it says
    routed: Experts = deepseek_v3.experts(single, scores="sigmoid", normalised=True)

    def make(rate: int) -> Block:
        mixer = hyper(config, "attn_hc", _attention(config, rate))
        return llama.block(config, mixer, hyper(config, "ffn_hc", routed))

    head = HyperHead(config.integer("hidden_size"), config.integer("hc_mult", default=4))
    return llama.decoder(config, blocks(rates, make), extras=(head,))


def _rates(config: Config, layers: int) -> list[int]:
    """How many tokens one entry stands for, where `layer_types` name the layers; 0 for a window alone."""
    own = config.inner("compress_rates")
    known = {kind: own.integer(kind, default=rate) for kind, rate in RATES.items()}
    return [known.get(kind, 0) for kind in layer_types(config, layers, lambda i: "sliding_attention")]


def _attention(config: Config, rate: int) -> CompressedAttention:
    """A window of tokens, with compressed entries where `rate` is not 0, chosen by an indexer where they are many."""
    hidden, head = config.integer("hidden_size"), config.integer("head_dim", default=512)
    sparse = 0 < rate <= SPARSE_RATE
    index_head = config.integer("index_head_dim", default=128)
    return CompressedAttention(
        hidden=hidden,
        heads=config.integer("num_attention_heads"),
        head=head,
        rope=config.integer("qk_rope_head_dim", default=64),
        query_rank=config.integer("q_lora_rank"),
        groups=config.integer("o_groups", default=8),
        out_rank=config.integer("o_lora_rank", default=1024),
        window=config.integer("sliding_window", default=128),
        compressor=Compressor(name="compressor", hidden=hidden, head=head, rate=rate, overlaps=sparse) if rate else None,
        indexer=Compressor(name="compressor.indexer", hidden=hidden, head=index_head, rate=rate, overlaps=True)
        if sparse
        else None,
        index_heads=config.integer("index_n_heads", default=64),
    )
