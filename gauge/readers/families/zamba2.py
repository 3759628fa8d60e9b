"""Zamba 1 and 2: Mamba layers, and a transformer layer whose weights return at several places.

Source: transformers 5.23 models/zamba/modeling_zamba.py, models/zamba2/modeling_zamba2.py.
"""

from __future__ import annotations

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Layer, Residual
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.layers.shared_transformer import SharedTransformer
from gauge.layers.state_space import Mamba2
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama
from gauge.readers.patterns import blocks, layer_types

HYBRIDS = (6, 12, 18, 24, 30, 36, 42, 47, 51)


def read(config: Config) -> Model:
    """A Zamba 2 decoder from its config."""
    hidden = config.integer("hidden_size")
    kinds = layer_types(
        config,
        config.layers(),
        lambda i: "hybrid" if i in HYBRIDS else "linear_attention",
        "layers_block_type",
    )
    inner = config.integer("mamba_expand", default=2) * hidden
    heads = config.integer("n_mamba_heads", default=8)
    mixer = Mamba2(
        hidden=hidden,
        heads=heads,
        head=config.divides("mamba_expand", "n_mamba_heads", inner, heads),
        state_size=config.integer("mamba_d_state", default=64),
        groups=config.integer("mamba_ngroups", default=1),
        taps=config.integer("mamba_d_conv", default=4),
        chunk=config.integer("chunk_size", default=256),
        bias=config.flag("add_bias_linear"),
    )
    size = config.divides("hidden_size", "num_attention_heads", 2 * hidden, config.integer("num_attention_heads"))
    rotary = size if config.flag("use_mem_rope") else 0
    feed = MLP(
        hidden=hidden,
        inner=config.integer("intermediate_size", default=4 * hidden),
        fused=True,
        bias=config.flag("add_bias_linear"),
        activation=config.text("hidden_act", default="gelu"),
        names=("", "gate_up_proj", "down_proj"),
    )
    return returning(
        config,
        kinds,
        mixer,
        wide_attention(config, hidden, size, rotary),
        feed,
        shared=config.integer("num_mem_blocks", default=1),
        rank=config.integer("adapter_rank", default=128),
        adapts_attention=config.flag("use_shared_attention_adapter"),
    )


def wide_attention(config: Config, hidden: int, size: int, rotary: int) -> Attention:
    """Attention that reads the stream and the embeddings, and writes the stream's width."""
    return llama.attention(config, head=size, qkv_bias=False, out_bias=False, rotary=rotary).edited(
        hidden=2 * hidden, narrow=hidden
    )


def returning(
    config: Config,
    kinds: list[str],
    mixer: Layer,
    attention: Attention,
    feed: MLP,
    *,
    shared: int = 1,
    rank: int = 0,
    adapts_attention: bool = False,
) -> Model:
    """Mamba layers; the first `shared` hybrid places own the transformer layers that later ones use again."""
    hidden = config.integer("hidden_size")
    places = 0
    marked: list[str] = []
    for kind in kinds:
        hybrid = kind == "hybrid"
        marked.append(("owner" if places < shared else "user") if hybrid else "mamba")
        places += hybrid

    def make(kind: str) -> Block:
        if kind == "mamba":
            return Block((Residual(mixer, pre=Norm("input_layernorm", hidden)),), kind="mamba")
        body = SharedTransformer(
            hidden=hidden,
            attention=attention,
            mlp=feed,
            mixer=mixer,
            owns=kind == "owner",
            rank=rank,
            adapts_attention=adapts_attention,
        )
        return Block((Residual(body),), kind="hybrid")

    return llama.decoder(config, blocks(marked, make), Norm("final_layernorm", hidden), tied=True)
