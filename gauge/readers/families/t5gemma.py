"""T5Gemma: an encoder and a decoder of Gemma 2's blocks; the decoder also attends to the encoder.

Source: transformers 5.23 models/t5gemma/modeling_t5gemma.py; arXiv 2504.06225.
"""

from __future__ import annotations

from dataclasses import replace

from gauge.layers.block import Block, Residual
from gauge.layers.head import Head
from gauge.layers.norm import Kind, Norm
from gauge.model import Model, Part
from gauge.readers import heads
from gauge.readers.config import Config
from gauge.readers.families import gemma, gemma2, llama
from gauge.readers.patterns import blocks, layer_types

KIND: Kind = "rms_unit_offset"


def read(config: Config) -> Model:
    """An encoder-decoder from its config, or its encoder alone."""
    reads, writes = config.inner("encoder"), config.inner("decoder")
    alone = not config.flag("is_encoder_decoder", default=True) or heads.kind_of(config).endswith("EncoderModel")
    source = reads.integer("hidden_size")
    parts: tuple[Part, ...] = (_stack(config, reads, 0),)
    last = reads if alone else writes
    parts = (replace(parts[0], sequence="tokens"),) if alone else (*parts, _stack(config, writes, source))
    return Model(
        id="",
        family=config.text("model_type"),
        parts=parts,
        head=_head(config, last),
        max_length=last.integer("max_position_embeddings", default=8192),
        hidden=last.integer("hidden_size"),
        vocab=last.integer("vocab_size"),
    )


def _stack(config: Config, side: Config, source: int) -> Part:
    """One side; `source` is the width of the other that it attends to, 0 for the encoder."""
    capped = side.number("attn_logit_softcapping", default=50.0) > 0
    dropout = config.number("dropout_rate", default=0.0)
    kinds = layer_types(side, side.layers(), lambda i: "full_attention" if i % 2 else "sliding_attention")
    window, hidden = side.integer("sliding_window", default=4096), side.integer("hidden_size")
    feed = llama.mlp(side, activation=side.text("hidden_activation", default="gelu_pytorch_tanh"), bias=False)

    def make(kind: str) -> Block:
        reach = window if kind == "sliding_attention" else None
        mixer = gemma2.attention(side, reach, causal=bool(source), caches=bool(source), soft_cap=capped, has_sdpa=not capped)
        steps = [_step("self_attn", mixer.edited(out_dropout=dropout), hidden)]
        if source:
            cross = mixer.edited(cross=source, causal=False, window=None, rotary=0, out_dropout=dropout)
            steps.append(_step("cross_attn", cross, hidden))
        steps.append(_step("feedforward", feed, hidden))
        return Block(tuple(steps))

    name = "decoder" if source else "encoder"
    entry = replace(gemma.scaled(side), dropout=dropout)
    norm = gemma.final_norm(side)
    return Part(name, blocks(kinds, make), entry, norm, sequence="target" if source else "source", dropout=dropout)


def _step(name: str, body: object, hidden: int) -> Residual:
    pre, post = Norm(f"pre_{name}_layernorm", hidden, KIND), Norm(f"post_{name}_layernorm", hidden, KIND)
    return Residual(body, pre=pre, post=post)  # type: ignore[arg-type]


def _head(config: Config, side: Config) -> Head | None:
    hidden, vocab, kind = side.integer("hidden_size"), side.integer("vocab_size"), heads.kind_of(config)
    if heads.is_bare(config):
        return None
    if kind.endswith(heads.LABELLED):
        return heads.labelled(config, kind, hidden, "score.out_proj", True)
    tied = config.flag("tie_word_embeddings", default=True)
    capped = side.number("final_logit_softcapping", default=30.0) > 0
    return Head(hidden=hidden, outputs=vocab, tied=tied, upcast=False, soft_cap=capped, name="lm_head.out_proj")
