"""DeBERTa V2 and V3: content and position attend to each other through vectors of relative distances.

Source: transformers 5.23 models/deberta_v2/modeling_deberta_v2.py.
"""

from __future__ import annotations

from gauge.errors import RequestError
from gauge.layers.block import Block
from gauge.layers.disentangled import DisentangledAttention
from gauge.layers.embedding import Embeddings
from gauge.layers.head import Head
from gauge.layers.linear import Linear
from gauge.layers.relative import RelativeEmbeddings
from gauge.model import Model, Part
from gauge.readers import encoders
from gauge.readers.config import Config
from gauge.readers.heads import kind_of
from gauge.tensor import Dim


def read(config: Config) -> Model:
    """An encoder from its config; the head follows `architectures`."""
    hidden, vocab = config.integer("hidden_size"), config.integer("vocab_size")
    if config.integer("conv_kernel_size", default=0, least=0) > 0:
        raise RequestError(
            f"{config.path}.conv_kernel_size", "the convolution of DeBERTa V2 is not modelled", "choose a DeBERTa V3"
        )
    positions = config.integer("max_position_embeddings", default=512)
    kind = kind_of(config, "DebertaV2Model")
    part = Part(
        "encoder",
        (_block(config, hidden),) * config.layers(),
        _embeddings(config, hidden, vocab, positions),
        None,
        _relative(config, hidden, positions),
    )
    return Model(
        id="",
        family="deberta-v2",
        parts=(part,),
        head=_head(config, kind, hidden, vocab),
        max_length=positions,
        hidden=hidden,
        vocab=vocab,
    )


def _embeddings(config: Config, hidden: int, vocab: int, positions: int) -> Embeddings:
    width = config.integer("embedding_size", default=hidden)
    tables = [encoders.words(vocab, width)]
    if config.flag("position_biased_input", default=True):
        tables.append(encoders.places(positions, width))
    kinds = config.integer("type_vocab_size", default=0, least=0)
    if kinds:
        tables.append(encoders.types(kinds, width))
    project = None
    if width != hidden:
        project = Linear("embed_proj", "embedding_projection", ((Dim.HIDDEN, hidden),), ((Dim.HIDDEN, width),))
    norm, dropout = encoders.norm("embeddings.LayerNorm", hidden), encoders.dropout(config)
    return Embeddings(tuple(tables), norm, dropout, project=project, project_at="sum")


def _relative(config: Config, hidden: int, positions: int) -> tuple[RelativeEmbeddings, ...]:
    if not config.flag("relative_attention"):
        return ()
    normed = "layer_norm" in config.text("norm_rel_ebd", default="none")
    norm = encoders.norm("encoder.LayerNorm", hidden) if normed else None
    return (RelativeEmbeddings(2 * _distances(config, positions), hidden, norm),)


def _distances(config: Config, positions: int) -> int:
    """Buckets of distances, or the largest distance, or the positions: the first that is above zero."""
    for name in ("position_buckets", "max_relative_positions"):
        value = config.keys.get(name)
        if isinstance(value, int) and value > 0:
            count: int = config.integer(name)
            return count
    return positions


def _block(config: Config, hidden: int) -> Block:
    names = ("query_proj", "key_proj", "value_proj", "attention.output.dense")
    own = config.integer("attention_head_size", default=None)
    plain = encoders.attention(config, names, has_sdpa=False, **({"head": own} if own else {}))
    kinds = tuple(str(k) for k in config.listed("pos_att_type")) if config.flag("relative_attention") else ()
    distances = _distances(config, config.integer("max_position_embeddings", default=512))
    mixer = DisentangledAttention(plain, kinds, 2 * distances, shared=config.flag("share_att_key"))
    return encoders.block(mixer, encoders.mlp(config), hidden)


def _head(config: Config, kind: str, hidden: int, vocab: int) -> Head | None:
    if kind.endswith("ForMaskedLM"):
        return encoders.language_head(config, config.integer("embedding_size", default=hidden), vocab)
    return encoders.label_head(config, kind, "pooler.dense")
