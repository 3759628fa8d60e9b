"""Llama-style decoders: RMS norms, rotary positions, grouped-query attention, gated MLP.

Its functions are what most families are made of: each takes the keys that differ as keyword arguments.
Source: transformers 5.23 models/llama/modeling_llama.py, models/mistral/modeling_mistral.py.
"""

from __future__ import annotations

from typing import Any

from gauge.errors import RequestError
from gauge.layers.attention import Attention
from gauge.layers.block import Block, Layer, Residual
from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.mlp import MLP
from gauge.layers.norm import Kind, Norm
from gauge.model import Model, Part
from gauge.readers.config import Config
from gauge.readers.heads import decoder_head
from gauge.readers.prediction import predictors, said

WINDOWED = ("mistral", "ministral3")


def read(config: Config) -> Model:
    """A Llama-style decoder from its config."""
    same = block(config, attention(config), mlp(config))
    return decoder(config, (same,) * config.layers())


def head_size(config: Config, *names: str) -> int:
    """Numbers in one head: its own key, or hidden size ÷ heads. Raises RequestError."""
    own: int | None = config.integer(*(names or ("head_dim",)), default=None)
    if own is not None:
        return own
    hidden, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    return config.divides("hidden_size", "num_attention_heads", hidden, heads)


def rotated(config: Config, head: int) -> int:
    """The rotated part of a head: `partial_rotary_factor`, `rotary_dim` or all of it."""
    if "rotary_dim" in config:
        return min(head, int(config.integer("rotary_dim", least=0)))
    inner = config.keys.get("rope_parameters")
    inner = inner if isinstance(inner, dict) else {}
    nested = Config(inner, f"{config.path}.rope_parameters")
    part = nested.number("partial_rotary_factor", default=-1.0)
    part = part if part >= 0 else config.number("partial_rotary_factor", "rotary_pct", default=1.0)
    return max(0, min(head, int(head * part)))


def attention(config: Config, **changes: Any) -> Attention:
    """Grouped-query attention with rotary positions."""
    hidden, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    kv_heads = config.integer("num_key_value_heads", default=heads)
    bias = config.flag("attention_bias")
    size = changes.pop("head", None) or head_size(config)
    keys: dict[str, Any] = {
        "hidden": hidden,
        "heads": heads,
        "kv_heads": kv_heads,
        "head": size,
        "qkv_bias": bias,
        "out_bias": bias,
        "rotary": size,
        "window": config.integer("sliding_window", default=None) if config.text("model_type") in WINDOWED else None,
        "dropout": config.number("attention_dropout", default=0.0),
    }
    keys |= changes
    config.divides("num_attention_heads", "num_key_value_heads", keys["heads"], keys["kv_heads"])
    return Attention(**keys)


def mlp(config: Config, **changes: Any) -> MLP:
    """Gated MLP."""
    keys: dict[str, Any] = {"hidden": config.integer("hidden_size"), "activation": activation(config)}
    if "inner" not in changes:
        keys["inner"] = config.integer("intermediate_size")
    if "bias" not in changes:
        keys["bias"] = config.flag("mlp_bias")
    return MLP(**(keys | changes))


def activation(config: Config) -> str:
    """The nonlinearity's name."""
    return config.text("hidden_activation", "hidden_act", "activation_function", default="silu")


def block(
    config: Config,
    mixer: Layer,
    feed: Layer | None,
    *,
    norm: Kind = "rms",
    bias: bool = False,
    affine: bool = True,
    names: tuple[str, str] = ("input_layernorm", "post_attention_layernorm"),
    kind: str = "block",
) -> Block:
    """Mixer and feed-forward, each behind its own norm; without the second where `feed` is None."""
    hidden = config.integer("hidden_size")
    steps = [Residual(mixer, pre=Norm(names[0], hidden, norm, bias, affine))]
    if feed is not None:
        steps.append(Residual(feed, pre=Norm(names[1], hidden, norm, bias, affine)))
    return Block(tuple(steps), kind=kind)


def decoder(
    config: Config,
    blocks: tuple[Block, ...],
    norm: Norm | None = None,
    *,
    tied: bool = False,
    ties: bool = True,
    bare: bool = False,
    notes: tuple[str, ...] = (),
    embeddings: Embeddings | None = None,
    embedding: str = "embed_tokens",
    extras: tuple[Layer, ...] = (),
    **head: Any,
) -> Model:
    """A decoder-only model around its blocks; its head is the one that `architectures` name.

    `bare`: no norm follows the last block. `ties`: the family's class obeys `tie_word_embeddings`.
    """
    hidden, vocab = config.integer("hidden_size"), config.integer("vocab_size")
    if not blocks:
        raise RequestError(f"{config.path}.num_hidden_layers", "there are no layers", "give at least one layer")
    entry = embeddings or Embeddings((Embedding(embedding, vocab, hidden),))
    part = Part("decoder", blocks, entry, None if bare else norm or Norm("norm", hidden), extras)
    tied = ties and config.flag("tie_word_embeddings", default=tied)
    parts = predictors(config, hidden, blocks[-1])
    return Model(
        id="",
        family=config.text("model_type"),
        parts=(part,),
        head=decoder_head(config, hidden, vocab, tied, **head),
        max_length=config.integer("max_position_embeddings", "model_max_length", default=4096),
        hidden=hidden,
        vocab=vocab,
        notes=(*notes, *said(parts)),
        predictors=parts,
    )
