"""LongCat Flash: two sublayers of latent attention and MLP a layer, with experts beside the first MLP; some experts
hand their input on.

Source: transformers 5.23 models/longcat_flash/modeling_longcat_flash.py; arXiv 2509.01322.
"""

from __future__ import annotations

from gauge.layers.block import Block, Residual
from gauge.layers.experts import Experts, Router
from gauge.layers.norm import Norm
from gauge.layers.together import Branch, Together
from gauge.model import Model
from gauge.readers import checks
from gauge.readers.config import Config
from gauge.readers.families import deepseek_v3, llama
from gauge.tensor import Dim
from gauge.units import ceil_div

NOTE = (
    "Identity experts have no weights of their own; transformers 5.23 allocates unused gate and up matrices for them, which "
    "are not counted."
)


def read(config: Config) -> Model:
    """A LongCat Flash decoder from its config."""
    hidden = config.integer("hidden_size")
    dense = llama.mlp(config, inner=config.integer("ffn_hidden_size"), bias=False)
    mixer = deepseek_v3.attention(config)
    first = Together((Branch(dense), Branch(_experts(config, hidden))))
    steps = (
        Residual(mixer, pre=Norm("input_layernorm.0", hidden)),
        Residual(first, pre=Norm("post_attention_layernorm.0", hidden)),
        Residual(mixer, pre=Norm("input_layernorm.1", hidden)),
        Residual(dense, pre=Norm("post_attention_layernorm.1", hidden)),
    )
    layers = config.layers("num_layers", "num_hidden_layers")
    notes = (NOTE,) if config.integer("zero_expert_num", default=0, least=0) else ()
    return llama.decoder(config, (Block(steps),) * layers, notes=notes)


def _experts(config: Config, hidden: int) -> Experts:
    """Scores over routed and identity experts together; a token visits its share of the routed ones."""
    routed, idle = config.integer("n_routed_experts"), config.integer("zero_expert_num", default=0, least=0)
    chosen = config.integer("moe_topk", "num_experts_per_tok")
    chosen = checks.active(config, "moe_topk", chosen, routed + idle)
    router = Router(
        hidden=hidden,
        experts=routed,
        active=min(routed, ceil_div(chosen * routed, routed + idle)),
        wide=True,
        bias=config.flag("router_bias"),
        name="router.classifier",
        vectors=(("router.classifier.weight of identity experts", Dim.HIDDEN, idle * hidden),) if idle else (),
    )
    inner = config.integer("expert_ffn_hidden_size", "moe_intermediate_size")
    return Experts(hidden=hidden, inner=inner, router=router, activation=llama.activation(config))
