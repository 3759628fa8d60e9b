"""A GGUF file's header → what the request needs: the tensors' exact types and counts, and the architecture.

Layout (little-endian): magic, version, tensor count, pair count; pairs of key and typed value; then for each tensor its
name, dimensions (fastest first), type and offset; then padding and the data. Only the header is read, and of that not
the tokenizer: arrays of numbers are passed over by arithmetic, long arrays of texts by finding their end (string_arrays).
That end is believed only where all that follows fits: every pair, every tensor, and each tensor's data right behind the
one before. Where it does not, the texts are walked one by one, as far as the allowance goes.
Source: ggml-org/ggml docs/gguf.md; ggml-org/llama.cpp gguf-py/gguf/constants.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from math import prod
from struct import unpack
from typing import Any, NamedTuple

from gauge.errors import RequestError, shown
from gauge.formats import FORMATS
from gauge.quantization import GGUF_FILE_TYPES
from gauge.readers import gguf_keys
from gauge.readers.gguf_places import packed
from gauge.readers.slices import MOST_READ, Read, Slices, broken
from gauge.readers.string_arrays import ends
from gauge.units import ceil_div, format_count, round_up

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MOST_TENSORS = 200_000
MOST_PAIRS = 100_000
MOST_DIMENSIONS = 4
LONGEST_KEY = 65_535
LONGEST_TEXT = 64 * 1024 * 1024
LONG_ARRAY = 8_192
MOST_PASSED = 2
MOST_LEAPING = 3 * 1024 * 1024
LARGEST_TENSOR = 1 << 44
LONGEST_KEPT = 4_096
ALIGNMENT = 32

TYPES: dict[int, str] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    6: "Q5_0",
    7: "Q5_1",
    8: "Q8_0",
    9: "Q8_1",
    10: "Q2_K",
    11: "Q3_K",
    12: "Q4_K",
    13: "Q5_K",
    14: "Q6_K",
    15: "Q8_K",
    16: "IQ2_XXS",
    17: "IQ2_XS",
    18: "IQ3_XXS",
    19: "IQ1_S",
    20: "IQ4_NL",
    21: "IQ3_S",
    22: "IQ2_S",
    23: "IQ4_XS",
    24: "I8",
    25: "I16",
    26: "I32",
    27: "I64",
    28: "F64",
    29: "IQ1_M",
    30: "BF16",
    34: "TQ1_0",
    35: "TQ2_0",
    39: "MXFP4",
    40: "NVFP4",
    41: "Q1_0",
    42: "Q2_0",
}
REMOVED: dict[int, str] = {
    4: "Q4_2",
    5: "Q4_3",
    31: "Q4_0_4_4",
    32: "Q4_0_4_8",
    33: "Q4_0_8_8",
    36: "IQ4_NL_4_4",
    37: "IQ4_NL_4_8",
    38: "IQ4_NL_8_8",
}

FILE_TYPES: dict[int, str] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
}

# value types of metadata: bytes and how to read them
WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
SIGNED = frozenset({1, 3, 5, 11})
FLOATS = {6: "<f", 12: "<d"}
BOOL, TEXT, ARRAY = 7, 8, 9


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of the file: dimensions as stored, fastest first, and where its data begins."""

    name: str
    dims: tuple[int, ...]
    type: str
    offset: int

    @property
    def elements(self) -> int:
        """Numbers in it."""
        return prod(self.dims)

    @property
    def bytes(self) -> int:
        """Bytes of its data: whole blocks a row."""
        format = FORMATS[self.type]
        return ceil_div(self.dims[0], format.values) * format.bytes * prod(self.dims[1:])


@dataclass(frozen=True, slots=True)
class Header:
    """What the header says. Long arrays and texts of the metadata are kept as their length alone
    (`Length`)."""

    version: int
    pairs: Mapping[str, Any]
    tensors: tuple[Entry, ...]
    read: int

    @property
    def types(self) -> dict[str, int]:
        """Elements of each tensor type."""
        counts: dict[str, int] = {}
        for tensor in self.tensors:
            counts[tensor.type] = counts.get(tensor.type, 0) + tensor.elements
        return counts

    @property
    def elements(self) -> int:
        """Numbers in all tensors."""
        return sum(t.elements for t in self.tensors)

    @property
    def bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(t.bytes for t in self.tensors)


class Length(int):
    """Stands for an array or a text that was passed over: how many entries or bytes it has."""


def header(read: Read, size: int | None = None) -> Header:
    """The header behind `read(offset, size)`; `size` is the file's length where known. Raises RequestError."""
    leaping = Slices(read, size, MOST_LEAPING)
    try:
        return _header(leaping, leaps=True)
    except RequestError:
        walking = Slices(read, size, MOST_READ - leaping.taken)
        found = _header(walking, leaps=False)
        return replace(found, read=leaping.taken + found.read)


def _header(file: Slices, leaps: bool) -> Header:
    if file.bytes(4) != MAGIC:
        raise broken("it does not begin with GGUF", "choose a .gguf file")
    version = file.integer(4)
    if version not in VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        why = "it is big-endian" if swapped in VERSIONS else f"its version is {version}"
        raise broken(f"{why}; versions 2 and 3 in little-endian order are read", "convert it again")
    tensors, pairs = file.integer(8), file.integer(8)
    if tensors > MOST_TENSORS or pairs > MOST_PAIRS:
        raise broken(f"it claims {tensors:,} tensors and {pairs:,} metadata pairs")
    found, entries = _rest(file, _Left(pairs, tensors, leaps and tensors > 0), {})
    return Header(version, found, entries, file.taken)


class _Left(NamedTuple):
    """What is still to be read: pairs, tensors; `leaps`: whether long arrays of texts are leaped over."""

    pairs: int
    tensors: int
    leaps: bool


def _rest(file: Slices, left: _Left, known: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Entry, ...]]:
    """The remaining pairs and all tensors, checked."""
    found = dict(known)
    for done in range(left.pairs):
        key = _text(file, LONGEST_KEY)
        kind = file.integer(4)
        if kind != ARRAY:
            found[key] = _value(file, kind)
            continue
        inner, count = file.integer(4), file.integer(8)
        if left.leaps and inner == TEXT and count >= LONG_ARRAY:
            return _leap(file, left._replace(pairs=left.pairs - done - 1), {**found, key: Length(count)})
        found[key] = _array(file, inner, count)
    entries = tuple(_entry(file) for _ in range(left.tensors))
    _check(entries, found, file, gapless=left.leaps)
    return found, entries


def _leap(file: Slices, left: _Left, known: dict[str, Any]) -> tuple[dict[str, Any], tuple[Entry, ...]]:
    """The rest from behind an array of texts: of the places where it may end, the one from which all fits.

    Where another array of texts follows at once, its end may have been found: then that many fewer pairs are left.
    """
    places = list(ends(file, known[next(reversed(known))]))
    for passed in range(min(left.pairs, MOST_PASSED) + 1):
        for end in places:
            file.at = end
            with suppress(RequestError):
                return _rest(file, left._replace(pairs=left.pairs - passed), known)
    raise broken("the end of its tokenizer is not to be found")


def _text(file: Slices, longest: int) -> str:
    length = file.integer(8)
    if length > longest:
        raise broken(f"it claims a text of {length:,} bytes at byte {file.at:,}")
    return file.bytes(length).decode("utf-8", "replace")


def _long_text(file: Slices) -> Any:
    """A text, or the length of one that is too long to be of use here (a chat template, a whole tokenizer)."""
    length = file.integer(8)
    if length > LONGEST_TEXT:
        raise broken(f"it claims a text of {length:,} bytes at byte {file.at:,}")
    if length > LONGEST_KEPT:
        file.skip(length)
        return Length(length)
    return file.bytes(length).decode("utf-8", "replace")


def _value(file: Slices, kind: int) -> Any:
    if kind == TEXT:
        return _long_text(file)
    if kind not in WIDTHS:
        raise broken(f"it has a metadata value of unknown type {kind}")
    return _number(file, kind)


def _number(file: Slices, kind: int) -> Any:
    if kind in FLOATS:
        return unpack(FLOATS[kind], file.bytes(WIDTHS[kind]))[0]
    value = file.integer(WIDTHS[kind], kind in SIGNED)
    return bool(value) if kind == BOOL else value


def _array(file: Slices, kind: int, count: int) -> Any:
    if kind in WIDTHS:
        file.expect(count * WIDTHS[kind])
        if count <= LONGEST_KEPT:
            return [_number(file, kind) for _ in range(count)]
        file.skip(count * WIDTHS[kind])
        return Length(count)
    if kind != TEXT:
        raise broken(f"it has an array of unknown type {kind}")
    file.expect(count * 8)
    for _ in range(count):
        length = file.integer(8)
        if length > LONGEST_TEXT:
            raise broken(f"it claims a text of {length:,} bytes at byte {file.at:,}")
        file.skip(length)
    return Length(count)


def _entry(file: Slices) -> Entry:
    name = _text(file, LONGEST_KEY)
    rank = file.integer(4)
    if not 1 <= rank <= MOST_DIMENSIONS:
        raise broken(f"tensor {shown(name)} has {rank:,} dimensions")
    dims = tuple(file.integer(8) for _ in range(rank))
    if 0 in dims or any(d > LARGEST_TENSOR for d in dims) or prod(dims) > LARGEST_TENSOR:
        raise broken(f"tensor {shown(name)} has the impossible shape {shown(dims)}")
    kind, offset = file.integer(4), file.integer(8)
    if kind not in TYPES:
        raise _unknown(name, kind)
    return Entry(name, dims, TYPES[kind], offset)


def _unknown(name: str, kind: int) -> RequestError:
    """A tensor type that was taken out of the format, or that is newer than this table."""
    if kind in REMOVED:
        what = f"the type {REMOVED[kind]} ({kind}), which the format no longer has"
        return broken(f"tensor {shown(name)} has {what}", "choose a newer conversion, for instance in Q4_0 or IQ4_NL")
    remedy = f"choose a file whose types are known: {', '.join(TYPES.values())}"
    return broken(f"tensor {shown(name)} has the unknown type number {kind}; the newest known is {max(TYPES)}", remedy)


def _check(entries: tuple[Entry, ...], pairs: Mapping[str, Any], file: Slices, gapless: bool) -> None:
    """Names are unique; data does not overlap nor reach beyond the file; where `gapless`, nothing lies between."""
    if len({e.name for e in entries}) != len(entries):
        raise broken("two of its tensors have the same name")
    alignment = pairs.get("general.alignment", ALIGNMENT)
    if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20:
        raise broken(f"its alignment is {shown(alignment)}")
    end = 0
    for entry in sorted(entries, key=lambda e: e.offset):
        if entry.offset % alignment or entry.offset < end:
            raise broken(f"the data of tensor {shown(entry.name)} begins inside another's or off the grid")
        if gapless and entry.offset != round_up(end, alignment):
            raise broken(f"the data of tensor {shown(entry.name)} does not follow the one before")
        end = entry.offset + entry.bytes
    start = round_up(file.at, alignment)
    if file.size is not None and entries and start + end > file.size:
        raise broken(f"its tensors need {start + end:,} bytes, the file has {file.size:,}")


# ---------------------------------------------------------------------------------------------------- request
def read(read: Read, size: int | None = None) -> dict[str, Any]:
    """The request fields that a file sets: `config`, `gguf_types`, `quantization`, `runtime`. Raises RequestError."""
    return fields(header(read, size))[0]


def fields(found: Header) -> tuple[dict[str, Any], str]:
    """The request fields and a sentence about the file: what was read, and where header and architecture disagree."""
    told = f"{format_count(found.elements)} parameters in {len(found.tensors):,} tensors"
    placed = packed((t.name, t.type, t.elements) for t in found.tensors)
    changes: dict[str, Any] = {"gguf_types": found.types | placed, "runtime": "llama.cpp"}
    file_type = found.pairs.get("general.file_type")
    quantization = FILE_TYPES.get(file_type, "") if isinstance(file_type, int) else ""
    if quantization in GGUF_FILE_TYPES:
        changes["quantization"] = quantization
        told += f", {quantization}"
    split = found.pairs.get("split.count")
    if isinstance(split, int) and split > 1:
        told += f". It is one of {split} files: only its own tensors are counted"
    try:
        changes["config"] = gguf_keys.config(found.pairs, {t.name: t.dims for t in found.tensors})
    except RequestError as error:
        changes["parameters"] = found.elements
        return changes, f"{told}. The architecture is not known ({error.message}): only its weights are exact."
    return changes, f"{told}. {gguf_keys.compared(changes['config'], found.elements)}".strip()
