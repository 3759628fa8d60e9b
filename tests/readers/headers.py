"""Writes small model files' headers, as their specifications describe them, for tests to read and to spoil."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

ALIGNMENT = 32
BLOCKS = {0: (1, 4), 1: (1, 2), 8: (32, 34), 12: (256, 144), 14: (256, 210), 40: (64, 36), 41: (128, 18), 42: (64, 18)}

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


def gguf(pairs: Mapping[str, Any], tensors: Iterable[Row], version: int = 3, data: bool = True, gap: int = 0) -> bytes:
    """A whole file whose data is zeros, or its header alone; `gap` bytes lie between the data of two tensors."""
    rows = list(tensors)
    head = b"GGUF" + struct.pack("<IQQ", version, len(rows), len(pairs))
    for key, one in pairs.items():
        head += text(key) + value(one)
    offset = 0
    for name, dims, kind in rows:
        values, width = BLOCKS.get(kind, (1, 1))
        head += text(name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", d) for d in dims)
        head += struct.pack("<IQ", kind, offset)
        size = -(-dims[0] // values) * width
        for extent in dims[1:]:
            size *= extent
        offset += -(-size // ALIGNMENT) * ALIGNMENT + gap
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


def words(count: int, longest: int = 14) -> list[str]:
    """Tokens as a tokenizer has them: bytes, syllables, other scripts, and a few long runs."""
    random = Random(count)
    found = [f"<0x{n:02X}>" for n in range(256)]
    while len(found) < count:
        if random.random() < 0.001:
            found.append("Ġ" * random.randint(20, 256))
        else:
            found.append("".join(random.choices("etaoinshrdlu Ġ▁本語", k=random.randint(1, longest))))
    return found


def tokenized(
    tokens: int, merges: int = 1000, scores: bool = False, types: bool = True, longest: int = 14, gap: int = 0
) -> bytes:
    """The header of an 8B Llama in Q4_K with such a tokenizer, its keys in the order in which converters write them."""
    listed = words(tokens, longest)
    pairs: dict[str, Any] = {
        "general.architecture": "llama",
        "llama.embedding_length": 4096,
        "llama.block_count": 32,
        "llama.feed_forward_length": 14_336,
        "llama.attention.head_count": 32,
        "llama.attention.head_count_kv": 8,
        "llama.context_length": 8192,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": listed,
    }
    pairs |= {"tokenizer.ggml.scores": [0] * tokens} if scores else {}
    pairs |= {"tokenizer.ggml.token_type": [1] * tokens} if types else {}
    pairs["tokenizer.ggml.merges"] = [f"{listed[7 * n % tokens]} {listed[n * n % tokens]}" for n in range(merges)]
    pairs |= {"tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.add_bos_token": True}
    pairs |= {"tokenizer.chat_template": "{{ messages }}" * 800, "general.quantization_version": 2, "general.file_type": 15}
    rows: list[Row] = [("token_embd.weight", (4096, tokens), 12)]
    for i in range(32):
        square, small, wide = (4096, 4096), (4096, 1024), (4096, 14_336)
        shapes = {"attn_q": square, "attn_k": small, "attn_v": small, "attn_output": square, "ffn_gate": wide, "ffn_up": wide}
        rows += [(f"blk.{i}.{name}.weight", shape, 12) for name, shape in shapes.items()]
        rows += [(f"blk.{i}.ffn_down.weight", (14_336, 4096), 14)]
        rows += [(f"blk.{i}.{name}.weight", (4096,), 0) for name in ("attn_norm", "ffn_norm")]
    return gguf(pairs, rows, data=False, gap=gap)


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
    """A file that counts what is read of it; `padded`: noise follows without end, as weights would."""

    def __init__(self, data: bytes, padded: bool = False) -> None:
        self.data = data
        self.padded = padded
        self.taken = 0

    def __call__(self, offset: int, size: int) -> bytes:
        found = self.data[offset : offset + size]
        if self.padded:
            found += Random(offset).randbytes(size - len(found))
        self.taken += len(found)
        return found
