"""One recipe a scheme: which weights are stored how, and the scales that come with them.

GGUF file types have rules of their own in `gauge.gguf`; here are the schemes of the PyTorch world.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from gauge.errors import RequestError
from gauge.formats import FLOAT16, FLOAT32, FORMATS, Format
from gauge.tensor import Dim, Extent, Tensor
from gauge.units import ceil_div

KEPT = frozenset(
    {
        "token_embedding",
        "position_embedding",
        "type_embedding",
        "patch_embedding",
        "class_token",
        "mask_token",
        "convolution",
        "head",
        "router",
    }
)
EXPERTS_ALONE = ("mxfp4",)  # schemes that narrow nothing else where there are routed experts
EXPERT = "expert_"
TOWER = "tower."  # how weights of vision and sound towers begin: calibrated recipes leave them out


@dataclass(frozen=True, slots=True)
class Scheme:
    """How linear weights are stored: `format`, a scale for every `group` numbers in `scale`, a zero point in `zero`.

    `second_group`: scales are themselves stored in 8 bits with a float32 scale for so many of them. `per_row`: one
    scale a row instead of a group. What `KEPT` names (and vectors) stays in the plan's dtype, and so do towers unless
    the scheme takes every matrix (`towers`; bitsandbytes).
    """

    id: str
    label: str
    format: Format | None
    source: str
    group: int = 0
    scale: Format | None = None
    zero: Format | None = None
    second_group: int = 0
    per_row: bool = False
    towers: bool = False
    spared: tuple[str, ...] = ()

    def stored(self, weight: Tensor, dtype: Format) -> Iterator[Tensor]:
        """The tensors that hold `weight` in memory."""
        kept = weight.role in KEPT or weight.role.startswith(self.spared)
        kept = kept or (not self.towers and weight.name.startswith(TOWER))
        if self.format is None or kept or weight.role.endswith("_bias") or _width(weight) < 2:
            yield weight.stored_as(dtype)
            return
        yield weight.stored_as(self.format)
        if self.scale is None:
            return
        scales = rows_of(weight) if self.per_row else ceil_div(weight.elements, self.group)
        yield from self._scales(weight, scales)

    def _scales(self, weight: Tensor, count: int) -> Iterator[Tensor]:
        assert self.scale is not None
        yield _vector(f"scales of {weight.name}", count, self.scale, weight)
        if self.zero is not None:
            yield _vector(f"zero points of {weight.name}", count, self.zero, weight)
        if self.second_group:
            yield _vector(f"scales of the scales of {weight.name}", ceil_div(count, self.second_group), FLOAT32, weight)


def rows_of(weight: Tensor) -> int:
    """Output rows of a matrix: all dimensions but the one that it reads, which is heads × head size for outputs."""
    inner = weight.dims[-1].size
    reads_heads = len(weight.dims) > 2 and weight.dims[-1].dim in (Dim.HEAD, Dim.VALUE_HEAD)
    if reads_heads and weight.dims[-2].dim in (Dim.HEADS, Dim.KV_HEADS):
        inner *= weight.dims[-2].size
    return weight.elements // max(inner, 1)


def _width(weight: Tensor) -> int:
    """Rank of the tensor as a matrix: a vector has one dimension, heads and head size count as one."""
    inner = [e for e in weight.dims if e.dim not in (Dim.HEAD, Dim.MATRICES)]
    return len(inner)


def _vector(name: str, count: int, format: Format, weight: Tensor) -> Tensor:
    return replace(weight, name=name, dims=(Extent(Dim.BLOCKS, count, count),), format=format, role=f"{weight.role}_scale")


SCHEMES: dict[str, Scheme] = {
    s.id: s
    for s in (
        Scheme("none", "None", None, ""),
        Scheme(
            "fp8",
            "FP8",
            FORMATS["fp8"],
            "fine-grained FP8 of DeepSeek-V3 and Qwen3: one float32 scale for a block of 128 × 128",
            group=128 * 128,
            scale=FLOAT32,
        ),
        Scheme("int8", "INT8, one scale a row", FORMATS["int8"], "weight-only int8", scale=FLOAT16, per_row=True),
        Scheme("int4", "INT4, groups of 128", FORMATS["int4"], "weight-only int4", group=128, scale=FLOAT16),
        Scheme(
            "bnb-int8", "bitsandbytes LLM.int8()", FORMATS["int8"], "arXiv 2208.07339", scale=FLOAT32, per_row=True, towers=True
        ),
        Scheme(
            "bnb-nf4", "bitsandbytes NF4", FORMATS["nf4"], "arXiv 2305.14314, section 3", group=64, scale=FLOAT32, towers=True
        ),
        Scheme(
            "bnb-nf4-double",
            "bitsandbytes NF4, double quantization",
            FORMATS["nf4"],
            "arXiv 2305.14314, section 3",
            group=64,
            scale=FORMATS["uint8"],
            second_group=256,
            towers=True,
        ),
        Scheme(
            "gptq-int4-g128",
            "GPTQ INT4, groups of 128",
            FORMATS["int4"],
            "arXiv 2210.17323",
            group=128,
            scale=FLOAT16,
            zero=FORMATS["int4"],
        ),
        Scheme(
            "gptq-int8-g128",
            "GPTQ INT8, groups of 128",
            FORMATS["int8"],
            "arXiv 2210.17323",
            group=128,
            scale=FLOAT16,
            zero=FORMATS["int8"],
        ),
        Scheme(
            "awq-int4-g128",
            "AWQ INT4, groups of 128",
            FORMATS["int4"],
            "arXiv 2306.00978",
            group=128,
            scale=FLOAT16,
            zero=FORMATS["int4"],
        ),
        Scheme("mxfp4", "MXFP4", FORMATS["mxfp4"], "OCP Microscaling specification 1.0"),
        Scheme("nvfp4", "NVFP4", FORMATS["nvfp4"], "NVIDIA NVFP4, one FP8 scale for 16 values"),
    )
}


Store = Callable[[Tensor], Iterator[Tensor]]
PAIRS = (2, 4)  # values kept of how many, under 2:4
DENSE = "Pruned weights: embeddings, head, routers, norms, biases and scales stay dense."


def share_kept(sparsity: str) -> tuple[int, int] | None:
    """(kept, of) values under a sparsity such as `0.5`; None for `none`. Raises RequestError."""
    if sparsity in ("", "none", "0"):
        return None
    if sparsity == "2:4":
        return PAIRS
    try:
        gone = float(sparsity)
    except ValueError:
        gone = -1.0
    if not 0 < gone < 1:
        raise RequestError("sparsity", f"{sparsity!r} is no pattern or share", "give none, 2:4 or a share such as 0.5")
    return 10_000 - round(gone * 10_000), 10_000


def in_linears(scheme: Scheme, stacked: bool) -> Scheme:
    """The scheme where experts are `stacked`: parameters of three dimensions, which bitsandbytes does not narrow.

    Source: transformers 5.23, integrations/bitsandbytes.py, replace_with_bnb_linear.
    """
    return replace(scheme, spared=(EXPERT,)) if stacked and scheme.id.startswith("bnb") else scheme


def store_of(quantization: str, sparsity: str, dtype: Format, routed: bool = False, stacked: bool = False) -> Store:
    """How weights are stored under a scheme and a sparsity. Raises RequestError.

    `routed`: the model has routed experts; MXFP4 then narrows those alone, as gpt-oss's `modules_to_not_convert` says.
    `stacked`: they are stacked parameters rather than linear layers.

    2:4 keeps two of four values and a 2-bit index for each; any other share is stored as compressed rows: kept values,
    a 32-bit column for each, a 32-bit start of each row.
    Source: NVIDIA Ampere architecture whitepaper (2:4); torch.sparse_csr_tensor.
    """
    scheme, kept = in_linears(scheme_of(quantization), stacked), share_kept(sparsity)

    def dense(weight: Tensor) -> Iterator[Tensor]:
        spared = routed and scheme.id in EXPERTS_ALONE and not weight.role.startswith(EXPERT)
        yield from (weight.stored_as(dtype),) if spared else scheme.stored(weight, dtype)

    def sparse(weight: Tensor) -> Iterator[Tensor]:
        assert kept is not None
        for held in dense(weight):
            plain = weight.role in KEPT or _width(weight) < 2 or held.role.endswith("_scale")
            yield from (held,) if plain else _pruned(held, kept)

    return dense if kept is None else sparse


def _pruned(held: Tensor, kept: tuple[int, int]) -> Iterator[Tensor]:
    whole = held.elements
    count = ceil_div(whole * kept[0], kept[1])
    note = f"{kept[0] / kept[1]:.2%} of {whole:,} values kept"
    yield replace(held, dims=(Extent(Dim.ELEMENTS, count, whole, note),))
    if kept == PAIRS:
        yield _vector(f"2-bit indices of {held.name}", ceil_div(count, 4), FORMATS["uint8"], held)
        return
    yield _vector(f"columns of {held.name}", count, FORMATS["int32"], held)
    yield _vector(f"row starts of {held.name}", rows_of(held) + 1, FORMATS["int32"], held)


def scheme_of(quantization: str) -> Scheme:
    """The scheme of that name; GGUF file types are llama.cpp's and leave weights as they are here."""
    return SCHEMES.get(quantization, SCHEMES["none"])


GGUF_FILE_TYPES = (
    "F32",
    "F16",
    "BF16",
    "Q8_0",
    "Q6_K",
    "Q5_K_M",
    "Q5_K_S",
    "Q5_1",
    "Q5_0",
    "Q4_K_M",
    "Q4_K_S",
    "Q4_1",
    "Q4_0",
    "Q3_K_L",
    "Q3_K_M",
    "Q3_K_S",
    "Q2_K",
    "Q2_K_S",
    "IQ4_NL",
    "IQ4_XS",
    "IQ3_M",
    "IQ3_S",
    "IQ3_XS",
    "IQ3_XXS",
    "IQ2_M",
    "IQ2_S",
    "IQ2_XS",
    "IQ2_XXS",
    "IQ1_M",
    "IQ1_S",
    "MXFP4_MOE",
    "TQ1_0",
    "TQ2_0",
)
