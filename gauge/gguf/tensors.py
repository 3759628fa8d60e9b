"""The tensors of a GGUF file: our weights under llama.cpp's names, cut and joined as its converter does.

A checkpoint's matrices mostly pass one to one. What differs: the latent up-projection becomes `attn_k_b` and `attn_v_b`
(older files keep `attn_kv_b`), Qwen3-Next's fused input becomes `attn_qkv` and `attn_gate`, Nomic's projections are
joined, gates fused with their ups are parted (Phi-3 and GLM keep them), Llama 3's and Phi's rotary factors are stored,
poolers, heads of encoders and vision towers are not.
Source: ggml-org/llama.cpp, convert_hf_to_gguf.py, gguf-py/gguf/constants.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import prod

from gauge.formats import FLOAT32
from gauge.layers.attention import Attention
from gauge.layers.experts import Experts
from gauge.layers.latent_attention import LatentAttention
from gauge.layers.linear_attention import KimiDelta
from gauge.layers.sparse_attention import SparseAttention
from gauge.model import Model, Part
from gauge.tensor import Dim, Tensor, extent, tensor

NAMES = {
    "token_embedding": "token_embd",
    "position_embedding": "position_embd",
    "type_embedding": "token_types",
    "head": "output",
    "query": "attn_q",
    "key": "attn_k",
    "value": "attn_v",
    "qkv": "attn_qkv",
    "attention_output": "attn_output",
    "attention_gate": "attn_gate",
    "latent_query_down": "attn_q_a",
    "latent_query_up": "attn_q_b",
    "latent_kv_down": "attn_kv_a_mqa",
    "latent_kv_up": "attn_kv_b",
    "relative_bias": "attn_rel_b",
    "mlp_gate": "ffn_gate",
    "mlp_up": "ffn_up",
    "mlp_down": "ffn_down",
    "expert_gate": "ffn_gate_exps",
    "expert_up": "ffn_up_exps",
    "expert_down": "ffn_down_exps",
    "shared_expert_gate": "ffn_gate_shexp",
    "shared_expert_up": "ffn_up_shexp",
    "shared_expert_down": "ffn_down_shexp",
    "router": "ffn_gate_inp",
    "router_correction": "exp_probs_b",
    "shared_expert_router": "ffn_gate_inp_shexp",
    "ssm_conv": "ssm_conv1d",
    "conv_in": "shortconv.in_proj",
    "conv_out": "shortconv.out_proj",
    "conv_filter": "shortconv.conv",
    "per_layer_embedding": "per_layer_token_embd",
    "per_layer_projection": "per_layer_model_proj",
    "per_layer_gate": "inp_gate",
    "per_layer_up": "proj",
    "altup_projection": "altup_proj",
    "altup_scale": "altup_correct_scale",
    "laurel_down": "laurel_l",
    "laurel_up": "laurel_r",
    "indexer_query": "indexer.attn_q_b",
    "indexer_key": "indexer.attn_k",
    "indexer_weights": "indexer.proj",
    "linear_qkv": "attn_qkv",
    "linear_gate": "attn_gate",
    "linear_ba": "ssm_ba",
    "linear_b": "ssm_beta",
    "linear_a": "ssm_alpha",
    "linear_out": "ssm_out",
}
# Kimi's delta layers name their projections as attention does, and so they are quantized.
KIMI_DELTA = {"linear_query": "attn_q", "linear_key": "attn_k", "linear_value": "attn_v", "linear_out": "attn_output"}
# Gemma 3n's small matrices, by the checkpoint's names; the first two are always F32.
ALTERNATING = {"correction_coefs": "altup_correct_coef", "prediction_coefs": "altup_predict_coef"}
ALTERNATING |= {"modality_router": "altup_router"}
SPARSE_INDEXER = {"indexer_query": "indexer.q_proj", "indexer_key": "indexer.k_proj"}
KEPT_AS_KEYS = frozenset({"mlp_activation"})  # a few numbers that the file holds among its keys
ALWAYS_FLOAT = frozenset({"norm", "router", "ssm_conv", "conv_filter", "position_embedding", "type_embedding", "relative_bias"})
ENCODER_ONLY = frozenset({"bert", "roberta", "xlm-roberta", "nomic_bert", "modernbert", "distilbert"})
OFFSET_POSITIONS = frozenset({"roberta", "xlm-roberta"})
PADDING_ROWS = 2
FUSED_GATES = frozenset({"phi3", "glm", "glm4", "chatglm", "modernbert"})
JOINED_ATTENTION = frozenset({"nomic_bert"})
PARTLY_ROTATED = frozenset({"gemma4", "gemma4_text", "gemma4_unified"})
# Scores of experts are steered by a bias that these families' checkpoints hold as a buffer, not as a parameter.
STEERED = frozenset({"kimi_linear", "glm4_moe", "solar_open", "minimax_m2", "minimax_m3_text", "minimax_m3_vl", "minimax_m3"})
STORED_ALL_THE_SAME = frozenset({"gemma3n", "gemma3n_text"})  # keys and values of layers that use an earlier one's
TEXT_PARTS = ("tokens", "source", "target")


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor of the file: `name` without block and `.weight`, `row` the numbers that lie next to each other.

    `part` is empty, or `enc`/`dec` in an encoder-decoder. `block` is -1 outside the blocks. `floating` tensors stay
    F32 whatever the file type.
    """

    name: str
    tensor: Tensor
    row: int
    part: str = ""
    block: int = -1
    floating: bool = False

    @property
    def matrix(self) -> bool:
        """Whether the file type decides how it is stored."""
        return not self.floating

    @property
    def stacked(self) -> bool:
        """Whether it is three-dimensional: a matrix for each expert or head."""
        return self.name.endswith(("_exps", "_k_b", "_v_b"))


def file_tensors(model: Model, split_latent: bool = True) -> list[Stored]:
    """Every tensor of the model's file, in the order in which the quantizer visits them.

    Blocks come in order; those of an encoder-decoder in the order of their names as text, decoder first.
    `split_latent`: whether the file is of a time when latent attention's up-projection was parted.
    """
    parts = [p for p in model.parts if p.sequence in TEXT_PARTS]
    two = len(parts) > 1
    found = list(_outside(model, parts))
    for part in reversed(parts):
        prefix = part.name[:3] if two else ""
        order = sorted(range(len(part.blocks)), key=str) if two else range(len(part.blocks))
        known: dict[int, list[Stored]] = {}
        for index in order:
            block = part.blocks[index]
            if id(block) not in known:
                one = _block(block, model.family, split_latent)
                known[id(block)] = sorted(one, key=lambda s: s.name)
            found += [replace(s, block=index, part=prefix) for s in known[id(block)]]
    return found


def _outside(model: Model, parts: Iterable[Part]) -> Iterator[Stored]:
    """Embeddings, final norms, output head, rotary factors."""
    encoder = model.family in ENCODER_ONLY
    for part in parts:
        for one in part.outer():
            if not (encoder and one.role.startswith(("pooler", "classifier"))):
                yield _named(_without_padding(one, model.family))
    if model.head and not encoder:
        for one in model.head.weights():
            yield _named(one)
    yield from _rotary_factors(model)


def _without_padding(one: Tensor, family: str) -> Tensor:
    """RoBERTa's tables of positions begin with two unused rows, which the converter cuts off."""
    if one.role != "position_embedding" or family not in OFFSET_POSITIONS:
        return one
    rows = max(one.dims[0].size - PADDING_ROWS, 1)
    return replace(one, dims=(extent(one.dims[0].dim, rows), *one.dims[1:]))


def _rotary_factors(model: Model) -> Iterator[Stored]:
    """Llama 3's frequencies, Phi's long and short factors: half a head each, F32."""
    scaling = model.config.get("rope_scaling") or model.config.get("rope_parameters") or {}
    kind = scaling.get("rope_type", scaling.get("type")) if isinstance(scaling, dict) else None
    layer = model.first(Attention)
    if layer is None or not layer.rotary:
        return
    if model.family in PARTLY_ROTATED:
        head = max(one.head for b in model.decoder.blocks for one in b.layers if isinstance(one, Attention))
        yield Stored("rope_freqs", tensor("rope_freqs", FLOAT32, (Dim.HEAD, head // 2)), head // 2, floating=True)
    names = {"llama3": ("rope_freqs",), "longrope": ("rope_factors_long", "rope_factors_short")}.get(str(kind), ())
    for name in names:
        yield Stored(name, tensor(name, FLOAT32, (Dim.HEAD, layer.rotary // 2)), layer.rotary // 2, floating=True)


def _block(block: object, family: str, split_latent: bool) -> Iterator[Stored]:
    for step in block.steps:  # type: ignore[attr-defined]
        cross = "cross_" if getattr(step.body, "cross", None) else ""
        for one in step.weights():
            if one.role in KEPT_AS_KEYS:
                continue
            for made in _converted(one, step.body, family, split_latent):
                yield replace(made, name=cross + made.name) if made.name.startswith("attn_") else made
        if family in JOINED_ATTENTION and isinstance(step.body, Attention):
            yield _joined(step.body)
    for layer in block.layers:  # type: ignore[attr-defined]
        yield from _beside(layer, family)


def _beside(layer: object, family: str) -> Iterator[Stored]:
    """What files hold of a layer though the model counts no such parameters."""
    if family in STEERED and isinstance(layer, Experts) and not layer.router.correction:
        yield Stored("exp_probs_b", tensor("exp_probs_b", FLOAT32, (Dim.EXPERTS, layer.experts)), layer.experts, floating=True)
    if family in STORED_ALL_THE_SAME and isinstance(layer, Attention) and layer.borrows:
        for one in (layer.key.weight, layer.value.weight, *layer.norm(1).weights()):
            yield _named(one)


def _converted(one: Tensor, body: object, family: str, split_latent: bool) -> Iterator[Stored]:
    """The file's tensors for one of the checkpoint's."""
    if one.role == "latent_kv_up" and split_latent and isinstance(body, LatentAttention):
        yield from _latent_parts(one, body)
    elif one.role == "linear_qkvz":
        values = body.values  # type: ignore[attr-defined]
        yield _named(_rows(one, one.size_of(Dim.INNER) - values, "linear_qkv"))
        yield _named(_rows(one, values, "linear_gate"))
    elif family in JOINED_ATTENTION and one.role in ("query", "key", "value"):
        return
    elif one.role in ("mlp_up", "shared_expert_up") and one.size_of(Dim.MATRICES) == 2 and family not in FUSED_GATES:
        half = replace(one, dims=tuple(e for e in one.dims if e.dim is not Dim.MATRICES))
        yield _named(replace(half, role=one.role.replace("_up", "_gate")))
        yield _named(half)
    elif one.role == "altup":
        name = ALTERNATING[one.name.split(".")[-2]]
        yield replace(_named(one), name=name, floating=name != "altup_router")
    elif isinstance(body, SparseAttention) and one.role in SPARSE_INDEXER:
        yield replace(_named(one), name=SPARSE_INDEXER[one.role])
    elif isinstance(body, KimiDelta) and one.role in KIMI_DELTA:
        yield replace(_named(one), name=KIMI_DELTA[one.role])
    elif family in ("t5", "mt5", "umt5") and one.role == "attention_output":
        yield replace(_named(one), name="attn_o")
    else:
        yield _named(one)


def _latent_parts(one: Tensor, body: LatentAttention) -> Iterator[Stored]:
    """Keys transposed (heads, latent, unrotated), values (heads, value, latent)."""
    heads = extent(Dim.HEADS, body.heads)
    latent = extent(Dim.LATENT, body.kv_rank)
    key = replace(one, dims=(heads, latent, extent(Dim.HEAD, body.nope)))
    value = replace(one, dims=(heads, extent(Dim.VALUE_HEAD, body.value_head), latent))
    yield Stored("attn_k_b", key, body.nope)
    yield Stored("attn_v_b", value, body.kv_rank)


def _joined(body: Attention) -> Stored:
    """Queries, keys and values as one matrix."""
    heads = extent(Dim.HEADS, body.heads + 2 * body.kv_heads)
    shape = (heads, extent(Dim.HEAD, body.head), extent(Dim.HIDDEN, body.hidden))
    return Stored("attn_qkv", replace(body.query.weight, name="attn_qkv", dims=shape, role="qkv"), body.hidden)


def _rows(one: Tensor, count: int, role: str) -> Tensor:
    """A stretch of a matrix's rows."""
    dims = tuple(extent(Dim.INNER, count) if e.dim is Dim.INNER else e for e in one.dims)
    return replace(one, dims=dims, role=role)


def _named(one: Tensor) -> Stored:
    weight = one.name.endswith(".weight")
    name = NAMES.get(one.role, one.role) if weight else one.role
    floating = not weight or one.role in ALWAYS_FLOAT or one.role.endswith("_bias") or _vector(one)
    return Stored(name, one, row_of(one), floating=floating)


def _vector(one: Tensor) -> bool:
    """Whether at most one dimension is longer than 1."""
    inner = [e for e in one.dims if e.size > 1]
    return len(inner) < 2


def row_of(one: Tensor) -> int:
    """Numbers in one row: what a matrix multiplies. Outputs read (hidden, heads, head): a row is all heads together."""
    if len(one.dims) > 2 and one.dims[0].dim is Dim.HIDDEN:
        return prod(e.size for e in one.dims[1:])
    return one.dims[-1].size if one.dims else 1
