"""DeepSeek V3 and R1, Kimi K2: latent attention, dense first layers, many small experts beside shared ones.

Source: transformers 5.23 models/deepseek_v3/modeling_deepseek_v3.py.
"""

from __future__ import annotations

from gauge.layers.block import Block, Layer
from gauge.layers.experts import Experts, Router
from gauge.layers.latent_attention import Indexer, LatentAttention
from gauge.layers.mlp import MLP
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama, mixtral
from gauge.readers.patterns import blocks, layer_types


def read(config: Config) -> Model:
    """A DeepSeek V3 decoder from its config."""
    return decoder(config, attention(config), experts(config, scores="sigmoid", normalised=True))


def decoder(config: Config, mixer: Layer, routed: Experts) -> Model:
    """The same attention in every layer; dense MLPs where `is_sparse` says so."""
    dense = llama.mlp(config)

    def make(sparse: bool) -> Block:
        return llama.block(config, mixer, routed if sparse else dense)

    return llama.decoder(config, blocks(is_sparse(config), make))


def is_sparse(config: Config, *, first: int = 0) -> list[bool]:
    """Which layers have experts: from `mlp_layer_types`, or all from `first_k_dense_replace` on."""
    layers = config.layers()
    dense = config.integer("first_k_dense_replace", default=first, least=0)
    step = config.integer("moe_layer_freq", default=1) if not isinstance(config.keys.get("moe_layer_freq"), list) else 1
    kinds = layer_types(config, layers, lambda i: "sparse" if i >= dense and i % step == 0 else "dense", "mlp_layer_types")
    return [kind == "sparse" for kind in kinds]


def attention(config: Config, indexer: Indexer | None = None, **changes: object) -> LatentAttention:
    """Latent attention with or without the queries' own bottleneck."""
    keys: dict[str, object] = {
        "hidden": config.integer("hidden_size"),
        "heads": config.integer("num_attention_heads"),
        "kv_rank": config.integer("kv_lora_rank", default=512),
        "query_rank": config.integer("q_lora_rank", default=None),
        "nope": config.integer("qk_nope_head_dim", default=128),
        "rope": config.integer("qk_rope_head_dim", default=64, least=0),
        "value_head": config.integer("v_head_dim", default=128),
        "bias": config.flag("attention_bias"),
        "dropout": config.number("attention_dropout", default=0.0),
        "indexer": indexer,
    }
    return LatentAttention(**(keys | changes))  # type: ignore[arg-type]


def experts(config: Config, *, scores: str, normalised: bool, **changes: object) -> Experts:
    """Routed experts, and shared ones as one MLP that many times as wide. The choice's bias is a buffer."""
    hidden = config.integer("hidden_size")
    width = config.integer("moe_intermediate_size")
    count = config.integer("n_shared_experts", "num_shared_experts", "num_shared_expert", default=0, least=0)
    shared: MLP | None = llama.mlp(config, inner=width * count, prefix="shared_expert") if count else None
    chosen: Router = mixtral.router(
        config, hidden, scores=scores, normalised=config.flag("norm_topk_prob", default=normalised), wide=True
    )
    keys: dict[str, object] = {
        "hidden": hidden,
        "inner": width,
        "router": chosen,
        "activation": llama.activation(config),
        "shared": shared,
    }
    return Experts(**(keys | changes))  # type: ignore[arg-type]
