"""GPT-Neo: local and global layers by turns, unscaled scores in float32, causal masks kept as buffers.

Source: transformers 5.23 models/gpt_neo/modeling_gpt_neo.py.
"""

from __future__ import annotations

from gauge.errors import RequestError, shown
from gauge.layers.attention import Attention
from gauge.layers.block import Block, Residual
from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import MOST_LAYERS, Config
from gauge.readers.families.legacy import decoder
from gauge.readers.patterns import blocks
from gauge.tensor import Dim


def read(config: Config) -> Model:
    """A GPT-Neo decoder from its config."""
    hidden = config.integer("hidden_size")
    layers = config.layers("num_layers", "num_hidden_layers")
    positions = config.integer("max_position_embeddings", default=2048)
    dropout = config.number("resid_dropout", default=0.0)
    feed = MLP(
        hidden=hidden,
        inner=config.integer("intermediate_size", default=None) or 4 * hidden,
        gated=False,
        bias=True,
        dropout=dropout,
        activation=config.text("activation_function", default="gelu_new"),
        names=("", "c_fc", "c_proj"),
    )

    def make(kind: str) -> Block:
        mixer = _attention(config, hidden, kind == "local", positions, dropout)
        return Block((Residual(mixer, pre=_norm("ln_1", hidden)), Residual(feed, pre=_norm("ln_2", hidden))))

    tables = (
        Embedding("wte", config.integer("vocab_size"), hidden),
        Embedding("wpe", positions, hidden, "position_embedding", Dim.POSITIONS),
    )
    entry = Embeddings(tables, dropout=config.number("embed_dropout", default=0.0))
    return decoder(config, hidden, blocks(_kinds(config, layers), make), entry, _norm("ln_f", hidden), positions)


def _attention(config: Config, hidden: int, local: bool, positions: int, dropout: float) -> Attention:
    heads = config.integer("num_heads", "num_attention_heads")
    return Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head=config.divides("hidden_size", "num_heads", hidden, heads),
        out_bias=True,
        scaled=False,
        scores32=True,
        softmax32=False,
        has_sdpa=False,
        window=config.integer("window_size", default=256) if local else None,
        mask_buffer=positions,
        dropout=config.number("attention_dropout", default=0.0),
        out_dropout=dropout,
        names=("q_proj", "k_proj", "v_proj", "out_proj"),
    )


def _kinds(config: Config, layers: int) -> list[str]:
    """`attention_types` lists patterns with their repeats: [[["global", "local"], 6]]."""
    kinds: list[str] = []
    for entry in config.listed("attention_types"):
        pattern, times = entry if isinstance(entry, list) and len(entry) == 2 else (None, None)
        if not isinstance(pattern, list) or not isinstance(times, int) or not 0 < times <= MOST_LAYERS:
            raise RequestError(
                f"{config.path}.attention_types",
                f"{shown(entry)} is no pattern with a number of repeats",
                'give [[["global", "local"], 6]]',
            )
        kinds += [str(kind) for kind in pattern[:MOST_LAYERS]] * min(times, layers)
        if len(kinds) > 2 * MOST_LAYERS:
            break
    return (kinds or ["global", "local"] * layers)[:layers]


def _norm(name: str, hidden: int) -> Norm:
    return Norm(name, hidden, "layer", bias=True)
