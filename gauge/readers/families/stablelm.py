"""StableLM: layer norms, partly rotated heads; the 12B size has one norm a head and branches side by side.

Source: transformers 5.23 models/stablelm/modeling_stablelm.py.
"""

from __future__ import annotations

from gauge.layers.block import Block, Residual
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama


def read(config: Config) -> Model:
    """A StableLM decoder from its config."""
    hidden = config.integer("hidden_size")
    size = llama.head_size(config)
    mixer = llama.attention(
        config,
        qkv_bias=config.flag("use_qkv_bias"),
        out_bias=False,
        rotary=llama.rotated(config, size),
        rotary_joined=True,
        norms="heads" if config.flag("qk_layernorm") else "",
        norm_kind="layer",
        norm_names=("q_layernorm", "k_layernorm"),
    )
    feed = llama.mlp(config, bias=False)
    final = Norm("norm", hidden, "layer", bias=True)
    if config.flag("use_parallel_residual"):
        norm = Norm("input_layernorm", hidden, "layer", bias=True)
        same = Block((Residual(mixer, pre=norm), Residual(feed)), parallel=True)
    else:
        same = llama.block(config, mixer, feed, norm="layer", bias=True)
    return llama.decoder(config, (same,) * config.layers(), final)
