"""One recipe a scheme: which weights are stored how, and the scales that come with them.

GGUF file types have rules of their own in `gauge.gguf`; here are the schemes of the PyTorch world.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

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

    def stored(self, weight: Tensor, dtype: Format) -> Iterator[Tensor]:
        """The tensors that hold `weight` in memory."""
        kept = weight.role in KEPT or (not self.towers and weight.name.startswith(TOWER))
        if self.format is None or kept or _width(weight) < 2:
            yield weight.stored_as(dtype)
            return
        yield weight.stored_as(self.format)
        if self.scale is None:
            return
        scales = weight.dims[0].size if self.per_row else ceil_div(weight.elements, self.group)
        yield from self._scales(weight, scales)

    def _scales(self, weight: Tensor, count: int) -> Iterator[Tensor]:
        assert self.scale is not None
        yield _vector(f"scales of {weight.name}", count, self.scale, weight)
        if self.zero is not None:
            yield _vector(f"zero points of {weight.name}", count, self.zero, weight)
        if self.second_group:
            yield _vector(f"scales of the scales of {weight.name}", ceil_div(count, self.second_group), FLOAT32, weight)


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
            "compressed-tensors float-quantized, one scale a row",
            scale=FLOAT32,
            per_row=True,
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
