"""What a pasted or dropped file means for the question: fields to set, and a sentence about it.

The page cuts the header off the file; everything else about formats is known to the readers.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import json
from typing import Any

from gauge.view.reading import Json

MOST_HEADER = 100_000_000


def read(question: Json) -> dict[str, Any]:
    """`{"name", "kind", "text" | "data"}` to `{"changes": {field: value} | None, "message"}`; never raises."""
    name, kind = str(question.get("name") or "the file")[:200], question.get("kind")
    try:
        if kind == "config":
            return config(name, str(question.get("text") or ""))
        data = base64.b64decode(str(question.get("data") or ""), validate=True)
        return safetensors(name, data) if kind == "safetensors" else gguf(name, data)
    except (ValueError, KeyError, RecursionError, binascii.Error) as problem:
        return {"changes": None, "message": f"{name} is not readable: {problem}"}


def config(name: str, text: str) -> dict[str, Any]:
    """A config.json: kept as it was written, without a model beside it."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("it holds no JSON object")
    kind = found.get("model_type") or ", ".join(map(str, found.get("architectures") or ())) or "no model_type"
    compact = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    return {"changes": {"model": "", "config": compact}, "message": f"{name} is in place ({kind})."}


def safetensors(name: str, data: bytes) -> dict[str, Any]:
    """A .safetensors header: how many parameters the file holds and in which types."""
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= MOST_HEADER or len(data) < 8 + length:
        raise ValueError("its header has an impossible length")
    header = json.loads(data[8 : 8 + length])
    counts: dict[str, int] = {}
    for key, entry in header.items():
        if key == "__metadata__":
            continue
        size = 1
        for extent in entry["shape"]:
            size *= int(extent)
        counts[str(entry["dtype"])] = counts.get(str(entry["dtype"]), 0) + size
    total = sum(counts.values())
    kinds = ", ".join(f"{count:,} in {dtype}" for dtype, count in sorted(counts.items(), key=lambda kv: -kv[1]))
    told = "A header holds no architecture; add its config.json for an exact answer."
    return {
        "changes": {"model": "", "parameters": str(total)},
        "message": f"{name}: {total:,} parameters ({kinds}). {told}",
    }


def gguf(name: str, data: bytes) -> dict[str, Any]:
    """A .gguf header, through the reader of that format."""
    try:
        reader = importlib.import_module("gauge.readers.gguf")
    except ImportError:
        return {"changes": None, "message": "GGUF headers cannot be read in this version; choose the model by name."}
    found = reader.read(lambda offset, size: data[offset : offset + size])
    changes = {key: value if isinstance(value, str) else json.dumps(value) for key, value in found.items()}
    return {"changes": {"model": "", **changes}, "message": f"{name}: {', '.join(changes)} read from its header."}
