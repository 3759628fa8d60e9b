"""Llama 3.2 Vision: a tiled tower, one matrix, a Llama with gated cross-attention layers among its own.

Source: transformers 5.23 models/mllama/modeling_mllama.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gauge.layers.block import Block, Layer, Residual
from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.norm import Norm
from gauge.layers.projector import linear
from gauge.layers.scale import LayerScale
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama
from gauge.readers.heads import kind_of
from gauge.readers.vision_language import joined, vision_part, vision_width
from gauge.sequence import Sequence
from gauge.tape import Tape, Value
from gauge.tensor import Tensor

EXTRA_TOKENS = 8


@dataclass(frozen=True, slots=True)
class PictureBlock:
    """A block that attends to a picture; without one it is skipped."""

    block: Block
    kind: str = "cross-attention block"

    @property
    def steps(self) -> tuple[Residual, ...]:
        """Those of the block."""
        return self.block.steps

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Those of the block."""
        return self.block.layers

    def weights(self) -> Iterator[Tensor]:
        """Those of the block."""
        return self.block.weights()

    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """Keys and values of the picture, where there is one."""
        return self.block.state(sequence) if sequence.source_tokens else iter(())

    def forward(self, tape: Tape, x: Value, source: Value | None = None) -> Value:
        """The stream, changed only by a picture."""
        return x if source is None else self.block.forward(tape, x, source)


def read(config: Config) -> Model:
    """A Llama 3.2 Vision model, or its language model alone, from its config."""
    inner = config.inner("text_config") if "text_config" in config else config
    if "architectures" in config:
        inner = Config({**inner.keys, "architectures": config.listed("architectures")}, inner.path)
    text = _text(inner, config.flag("tie_word_embeddings"))
    if "vision_config" not in config or kind_of(config).endswith("ForCausalLM"):
        return text
    width = vision_width(config, "vision_output_dim", default=7680)
    part = vision_part(config, "mllama_vision_model")
    model = joined(config, text, part, linear("multi_modal_projector", width, text.hidden))
    return model.edited(parts=(replace(model.parts[0], feeds=True), *model.parts[1:]))


def _text(config: Config, tied: bool) -> Model:
    hidden, layers = config.integer("hidden_size"), config.layers()
    attention, mlp = llama.attention(config), llama.mlp(config)
    own = llama.block(config, attention, mlp)
    crossed = attention.edited(cross=hidden, causal=False, rotary=0, norms="head", window=None)
    cross = PictureBlock(
        Block(
            (
                Residual(crossed, Norm("input_layernorm", hidden), LayerScale("cross_attn_attn_gate", 1)),
                Residual(mlp, Norm("post_attention_layernorm", hidden), LayerScale("cross_attn_mlp_gate", 1)),
            )
        )
    )
    where = set(map(str, config.listed("cross_attention_layers")))
    model = llama.decoder(config, (own,) * layers)
    blocks = tuple(cross if str(i) in where else own for i in range(layers))
    rows = model.vocab + EXTRA_TOKENS
    entry = Embeddings((Embedding("embed_tokens", rows, hidden),))
    head = replace(model.head, tied=tied) if model.head else None
    return model.edited(parts=(replace(model.decoder, blocks=blocks, embeddings=entry),), head=head)
