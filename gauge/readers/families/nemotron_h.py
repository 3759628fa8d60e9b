"""Nemotron-H and Nemotron 3: Mamba 2, a few attention layers, squared-ReLU MLPs or latent experts; one mixer a layer.

Source: transformers 5.23 models/nemotron_h/modeling_nemotron_h.py.
"""

from __future__ import annotations

from gauge.errors import RequestError, shown
from gauge.layers.block import Block, Layer, Residual
from gauge.layers.experts import Experts
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.layers.state_space import Mamba2
from gauge.model import Model
from gauge.readers.config import MOST_LAYERS, Config
from gauge.readers.families import llama, mixtral
from gauge.readers.patterns import blocks, layer_types
from gauge.readers.prediction import predictors, predicts, said

LETTERS = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}


def read(config: Config) -> Model:
    """A Nemotron-H decoder from its config."""
    hidden = config.integer("hidden_size")

    def make(kind: str) -> Block:
        return Block((Residual(_mixer(config, hidden, kind), pre=Norm("norm", hidden, "rms_unit_offset")),), kind=kind)

    norm = Norm("norm_f", hidden, "rms_unit_offset")
    model = llama.decoder(config, blocks(_kinds(config), make), norm, embedding="embeddings", ties=False)
    ahead = predictors(config, hidden, *blocks(_ahead(config), make))
    return model.edited(predictors=ahead, notes=said(ahead))


def _ahead(config: Config) -> list[str]:
    """The kinds of the blocks in one multi-token-prediction layer, where there is one."""
    if not predicts(config):
        return []
    listed = config.listed("mtp_layers_block_type")
    if listed:
        return layer_types(config, len(listed), lambda i: "attention", "mtp_layers_block_type")
    return [LETTERS.get(letter, "attention") for letter in config.text("mtp_hybrid_override_pattern", default="*E")]


def _kinds(config: Config) -> list[str]:
    """From `hybrid_override_pattern`, a letter a layer, or from `layers_block_type`."""
    pattern = config.keys.get("hybrid_override_pattern")
    if isinstance(pattern, str) and len(pattern) <= 2000:
        unknown = set(pattern) - set(LETTERS)
        if unknown or not pattern:
            raise RequestError(
                f"{config.path}.hybrid_override_pattern",
                f"{shown(pattern)} has other letters than {' '.join(LETTERS)}",
                "give one letter a layer",
            )
        return [LETTERS[letter] for letter in pattern]
    names = ("layers_block_type", "layer_types")
    listed = next((config.listed(name) for name in names if name in config), [])
    count = min(len(listed), MOST_LAYERS) if listed and "num_hidden_layers" not in config else config.layers()
    return layer_types(config, count, lambda i: "mamba", *names)


def _mixer(config: Config, hidden: int, kind: str) -> Layer:
    if kind in ("attention", "full_attention"):
        return llama.attention(config, rotary=0, qkv_bias=False, out_bias=False)
    if kind == "moe":
        return _experts(config, hidden)
    if kind == "mlp":
        return _mlp(config, hidden, config.integer("intermediate_size"), "mlp")
    return Mamba2(
        hidden=hidden,
        heads=config.integer("mamba_num_heads", default=128),
        head=config.integer("mamba_head_dim", default=64),
        state_size=config.integer("ssm_state_size", default=128),
        groups=config.integer("n_groups", default=8),
        taps=config.integer("conv_kernel", default=4),
        chunk=config.integer("chunk_size", default=128),
        bias=config.flag("use_bias"),
        conv_bias=config.flag("use_conv_bias", default=True),
    )


def _mlp(config: Config, hidden: int, inner: int, prefix: str) -> MLP:
    return MLP(
        hidden=hidden,
        inner=inner,
        gated=False,
        bias=config.flag("mlp_bias"),
        activation=config.text("mlp_hidden_act", default="relu2"),
        prefix=prefix,
        names=("", "up_proj", "down_proj"),
    )


def _experts(config: Config, hidden: int) -> Experts:
    shared = config.integer("moe_shared_expert_intermediate_size", default=0, least=0)
    return Experts(
        hidden=hidden,
        inner=config.integer("moe_intermediate_size"),
        router=mixtral.router(config, hidden, scores="sigmoid", normalised=True, wide=True),
        activation=config.text("mlp_hidden_act", default="relu2"),
        gated=False,
        shared=_mlp(config, hidden, shared, "shared_expert") if shared else None,
        latent=config.integer("moe_latent_size", default=0, least=0),
    )
