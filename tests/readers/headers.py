"""Writes small model files' headers, as their specifications describe them, for tests to read and to spoil."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from typing import Any

ALIGNMENT = 32
BLOCKS = {0: (1, 4), 1: (1, 2), 8: (32, 34), 12: (256, 144), 14: (256, 210)}

Row = tuple[str, tuple[int, ...], int]


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def value(one: Any) -> bytes:
    if isinstance(one, str):
        return struct.pack("<I", 8) + text(one)
    if isinstance(one, bool):
        return struct.pack("<IB", 7, one)
    if isinstance(one, int):
        return struct.pack("<II", 4, one)
    if isinstance(one, float):
        return struct.pack("<If", 6, one)
    if one and isinstance(one[0], str):
        return struct.pack("<IIQ", 9, 8, len(one)) + b"".join(map(text, one))
    return struct.pack("<IIQ", 9, 5, len(one)) + b"".join(struct.pack("<i", n) for n in one)


def gguf(pairs: Mapping[str, Any], tensors: Iterable[Row], version: int = 3, data: bool = True) -> bytes:
    """A whole file whose data is zeros, or its header alone."""
    rows = list(tensors)
    head = b"GGUF" + struct.pack("<IQQ", version, len(rows), len(pairs))
    for key, one in pairs.items():
        head += text(key) + value(one)
    offset = 0
    for name, dims, kind in rows:
        values, width = BLOCKS[kind]
        head += text(name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", d) for d in dims)
        head += struct.pack("<IQ", kind, offset)
        size = -(-dims[0] // values) * width
        for extent in dims[1:]:
            size *= extent
        offset += -(-size // ALIGNMENT) * ALIGNMENT
    padding = -len(head) % ALIGNMENT
    return head + b"\0" * (padding + offset if data else 0)


def llama(hidden: int = 64, layers: int = 2, vocab: int = 128, inner: int = 128, tied: bool = True, tokens: int = 100) -> bytes:
    """A Llama-like file with Q8_0 matrices."""
    half = hidden // 2
    rows: list[Row] = [("token_embd.weight", (hidden, vocab), 8), ("output_norm.weight", (hidden,), 0)]
    if not tied:
        rows.append(("output.weight", (hidden, vocab), 8))
    for i in range(layers):
        shapes = {
            "attn_q": (hidden, hidden),
            "attn_k": (hidden, half),
            "attn_v": (hidden, half),
            "attn_output": (hidden, hidden),
            "ffn_gate": (hidden, inner),
            "ffn_up": (hidden, inner),
            "ffn_down": (inner, hidden),
        }
        rows += [(f"blk.{i}.{name}.weight", shape, 8) for name, shape in shapes.items()]
        rows += [(f"blk.{i}.{name}.weight", (hidden,), 0) for name in ("attn_norm", "ffn_norm")]
    pairs = {
        "general.architecture": "llama",
        "general.file_type": 7,
        "llama.embedding_length": hidden,
        "llama.block_count": layers,
        "llama.feed_forward_length": inner,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.context_length": 2048,
        "llama.rope.freq_base": 10000.0,
        "tokenizer.ggml.tokens": [f"token {n}" for n in range(tokens)],
        "tokenizer.ggml.scores": list(range(tokens)),
    }
    return gguf(pairs, rows)


def safetensors(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> bytes:
    """A whole file whose data is zeros."""
    widths = {"F32": 4, "BF16": 2, "F16": 2, "I32": 4, "U8": 1}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, (dtype, shape) in tensors.items():
        size = widths[dtype]
        for extent in shape:
            size *= extent
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    data = json.dumps(header).encode()
    return struct.pack("<Q", len(data)) + data + b"\0" * offset


class Counting:
    """A file that counts what is read of it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.taken = 0

    def __call__(self, offset: int, size: int) -> bytes:
        found = self.data[offset : offset + size]
        self.taken += len(found)
        return found
