"""Number formats: how many values share one block, and how many bytes a block takes.

One row a format; every derived fact is arithmetic on the row. Block formats are exact integers, never a rounded
"bits per weight".
"""

from __future__ import annotations

from dataclasses import dataclass

from gauge.units import ceil_div

_GGML = "ggml block layouts, ggml-org/llama.cpp ggml/src/ggml-common.h"
_IEEE = "IEEE 754 / bfloat16 storage width"


@dataclass(frozen=True, slots=True)
class Format:
    """A storage format: `values` numbers are stored in `bytes` bytes."""

    id: str
    values: int
    bytes: int
    label: str
    source: str

    def size(self, elements: int) -> int:
        """Bytes that `elements` values take, the last block filled up."""
        return ceil_div(elements, self.values) * self.bytes

    @property
    def bits(self) -> float:
        """Bits a value, for display only."""
        return 8 * self.bytes / self.values


def _rows(*rows: tuple[str, int, int, str, str]) -> dict[str, Format]:
    return {row[0]: Format(*row) for row in rows}


FORMATS: dict[str, Format] = _rows(
    # id, values a block, bytes a block, label, source
    ("float64", 1, 8, "64-bit float", _IEEE),
    ("float32", 1, 4, "32-bit float", _IEEE),
    ("bfloat16", 1, 2, "bfloat16", _IEEE),
    ("float16", 1, 2, "16-bit float", _IEEE),
    ("int64", 1, 8, "64-bit integer", "two's complement width"),
    ("int32", 1, 4, "32-bit integer", "two's complement width"),
    ("fp8", 1, 1, "8-bit float (E4M3/E5M2)", "OCP 8-bit floating point specification 1.0"),
    ("int8", 1, 1, "8-bit integer", "two's complement width"),
    ("uint8", 1, 1, "8-bit unsigned integer", "two's complement width"),
    ("bool", 1, 1, "boolean, one byte each", "torch.bool storage width"),
    ("int4", 2, 1, "4-bit integer, packed in pairs", "two values a byte"),
    ("nf4", 2, 1, "4-bit NormalFloat, packed in pairs", "arXiv 2305.14314, section 3"),
    ("mxfp4", 32, 17, "MXFP4: 32 four-bit values and one scale byte", "OCP Microscaling specification 1.0"),
    ("nvfp4", 16, 9, "NVFP4: 16 four-bit values and one FP8 scale", "NVIDIA Blackwell NVFP4 block layout"),
    ("F32", 1, 4, "GGUF F32", _GGML),
    ("F16", 1, 2, "GGUF F16", _GGML),
    ("BF16", 1, 2, "GGUF BF16", _GGML),
    ("F64", 1, 8, "GGUF F64", _GGML),
    ("I8", 1, 1, "GGUF I8", _GGML),
    ("I16", 1, 2, "GGUF I16", _GGML),
    ("I32", 1, 4, "GGUF I32", _GGML),
    ("I64", 1, 8, "GGUF I64", _GGML),
    ("Q4_0", 32, 18, "GGUF Q4_0", _GGML),
    ("Q4_1", 32, 20, "GGUF Q4_1", _GGML),
    ("Q5_0", 32, 22, "GGUF Q5_0", _GGML),
    ("Q5_1", 32, 24, "GGUF Q5_1", _GGML),
    ("Q8_0", 32, 34, "GGUF Q8_0", _GGML),
    ("Q8_1", 32, 36, "GGUF Q8_1", _GGML),
    ("Q2_K", 256, 84, "GGUF Q2_K", _GGML),
    ("Q3_K", 256, 110, "GGUF Q3_K", _GGML),
    ("Q4_K", 256, 144, "GGUF Q4_K", _GGML),
    ("Q5_K", 256, 176, "GGUF Q5_K", _GGML),
    ("Q6_K", 256, 210, "GGUF Q6_K", _GGML),
    ("Q8_K", 256, 292, "GGUF Q8_K", _GGML),
    ("IQ1_S", 256, 50, "GGUF IQ1_S", _GGML),
    ("IQ1_M", 256, 56, "GGUF IQ1_M", _GGML),
    ("IQ2_XXS", 256, 66, "GGUF IQ2_XXS", _GGML),
    ("IQ2_XS", 256, 74, "GGUF IQ2_XS", _GGML),
    ("IQ2_S", 256, 82, "GGUF IQ2_S", _GGML),
    ("IQ3_XXS", 256, 98, "GGUF IQ3_XXS", _GGML),
    ("IQ3_S", 256, 110, "GGUF IQ3_S", _GGML),
    ("IQ4_NL", 32, 18, "GGUF IQ4_NL", _GGML),
    ("IQ4_XS", 256, 136, "GGUF IQ4_XS", _GGML),
    ("TQ1_0", 256, 54, "GGUF TQ1_0", _GGML),
    ("TQ2_0", 256, 66, "GGUF TQ2_0", _GGML),
    ("MXFP4", 32, 17, "GGUF MXFP4", _GGML),
    ("NVFP4", 64, 36, "GGUF NVFP4: four blocks of 16 with an FP8 scale each", _GGML),
    ("Q1_0", 128, 18, "GGUF Q1_0", _GGML),
    ("Q2_0", 64, 18, "GGUF Q2_0", _GGML),
)


def format_of(id: str) -> Format:
    """The format of that name; ggml's lower-case cache types (`q8_0`) name the same blocks. Raises KeyError."""
    return FORMATS[id] if id in FORMATS else FORMATS[id.upper()]


FLOAT32 = FORMATS["float32"]
BFLOAT16 = FORMATS["bfloat16"]
FLOAT16 = FORMATS["float16"]
BOOL = FORMATS["bool"]
UINT8 = FORMATS["uint8"]
INT64 = FORMATS["int64"]

DTYPES = ("bfloat16", "float16", "float32")
CACHE_DTYPES = (
    "bfloat16",
    "float16",
    "float32",
    "fp8",
    "int8",
    "int4",
    "q8_0",
    "q5_1",
    "q5_0",
    "q4_1",
    "q4_0",
    "iq4_nl",
)
