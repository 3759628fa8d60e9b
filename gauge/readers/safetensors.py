"""A safetensors file's header, or a whole index of them → dtypes, counts and shapes; compared with an architecture.

Layout: the header's length in 8 bytes, little-endian, then JSON: name → dtype, shape, data_offsets; then the data.
Source: huggingface/safetensors README, section Format; its own limit is 100 MB of header.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from gauge.errors import RequestError, shown
from gauge.readers import huggingface
from gauge.readers.slices import MOST_READ, WINDOW, Read, Slices, broken
from gauge.units import ceil_div, format_count

LONGEST_HEADER = MOST_READ - WINDOW
MOST_DIMENSIONS = 16
LARGEST_TENSOR = 1 << 44
BITS = {
    "F64": 64,
    "F32": 32,
    "F16": 16,
    "BF16": 16,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E8M0": 8,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "F4": 4,
    "I64": 64,
    "I32": 32,
    "I16": 16,
    "I8": 8,
    "U64": 64,
    "U32": 32,
    "U16": 16,
    "U8": 8,
    "BOOL": 8,
}
DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
PACKED = {"I32": "a packed integer format", "U8": "a packed 4-bit format", "I8": "int8", "F8_E4M3": "fp8"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Numbers in it."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of its data."""
        return ceil_div(self.elements * BITS[self.dtype], 8)


@dataclass(frozen=True, slots=True)
class Header:
    """What the header says."""

    tensors: tuple[Entry, ...]
    metadata: Mapping[str, str]

    @property
    def types(self) -> dict[str, int]:
        """Elements of each dtype."""
        counts: dict[str, int] = {}
        for tensor in self.tensors:
            counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.elements
        return counts

    @property
    def elements(self) -> int:
        """Numbers in all tensors."""
        return sum(t.elements for t in self.tensors)

    @property
    def bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(t.bytes for t in self.tensors)


def header(read: Read, size: int | None = None) -> Header:
    """The header behind `read(offset, size)`; `size` is the file's length where known. Raises RequestError."""
    file = Slices(read, size)
    length = file.integer(8)
    if not 2 <= length <= LONGEST_HEADER:
        raise broken(f"its header claims {length:,} bytes", "choose a .safetensors file")
    try:
        found = json.loads(file.bytes(length))
    except (ValueError, RecursionError):
        raise broken("its header is no JSON", "choose a .safetensors file") from None
    if not isinstance(found, dict):
        raise broken("its header is no JSON object", "choose a .safetensors file")
    metadata = found.pop("__metadata__", {})
    spans: list[tuple[int, int, str]] = []
    tensors = tuple(_entry(name, what, spans) for name, what in found.items())
    _check(spans, None if size is None else size - 8 - length)
    return Header(tensors, metadata if isinstance(metadata, dict) else {})


def _whole(values: object, most: int) -> list[int] | None:
    """The list if it holds at most so many whole numbers of a possible size."""
    if not isinstance(values, list) or len(values) > most:
        return None
    return values if all(type(v) is int and 0 <= v <= LARGEST_TENSOR * 16 for v in values) else None


def _entry(name: str, what: Any, spans: list[tuple[int, int, str]]) -> Entry:
    if not isinstance(what, dict):
        raise broken(f"tensor {shown(name)} is not described")
    dtype, shape, span = what.get("dtype"), _whole(what.get("shape"), MOST_DIMENSIONS), what.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in BITS:
        raise broken(f"tensor {shown(name)} has the unknown dtype {shown(dtype)}", "choose a file of a known dtype")
    if shape is None or prod(shape) > LARGEST_TENSOR:
        raise broken(f"tensor {shown(name)} has the impossible shape {shown(what.get('shape'))}")
    entry = Entry(name, dtype, tuple(shape))
    ends = _whole(span, 2)
    if ends is None or len(ends) != 2 or ends[1] - ends[0] != entry.bytes:
        raise broken(f"tensor {shown(name)} is {entry.bytes:,} bytes long, its data is not")
    spans.append((ends[0], ends[1], name))
    return entry


def _check(spans: list[tuple[int, int, str]], room: int | None) -> None:
    end = 0
    for start, stop, name in sorted(spans):
        if start < end:
            raise broken(f"the data of tensor {shown(name)} begins inside another's")
        end = stop
    if room is not None and end > room:
        raise broken(f"its tensors need {end:,} bytes, the file has {room:,}")


def fields(found: Header, config: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], str]:
    """The request fields that the header sets, and a sentence; with a `config`, whether the two agree."""
    kinds = sorted(found.types.items(), key=lambda kv: -kv[1])
    listed = ", ".join(f"{count:,} in {dtype}" for dtype, count in kinds)
    told = f"{format_count(found.elements)} parameters in {len(found.tensors):,} tensors ({listed})"
    changes: dict[str, Any] = {}
    main = next((DTYPES[d] for d, _ in kinds if d in DTYPES), None)
    if main:
        changes["dtype"] = main
    packed = next((PACKED[d] for d, _ in kinds[:1] if d in PACKED), None)
    if packed:
        told += f"; most of it in {packed}"
    if config is None:
        changes["parameters"] = found.elements
        return changes, f"{told}. A header holds no architecture; add its config.json for an exact answer."
    return changes, f"{told}. {compared(found, config)}".strip()


def compared(found: Header, config: Mapping[str, Any]) -> str:
    """Where header and architecture disagree, and why as far as that can be told."""
    try:
        model = huggingface.read(config)
    except RequestError as error:
        return f"Its config could not be read: {error.message}."
    difference = found.elements - model.parameters
    if difference == 0:
        return "Header and architecture agree to the last parameter."
    if difference == model.predictor_parameters:
        return "The file also holds the multi-token-prediction layers."
    if model.tied and model.head and difference == model.vocab * model.hidden:
        return "The output matrix is stored a second time though it equals the embedding; in memory it counts once."
    more = "more" if difference > 0 else "fewer"
    return (
        f"The file holds {format_count(abs(difference))} {more} numbers than the architecture: one of several files, "
        "packed weights, or tensors that are not loaded."
    )
