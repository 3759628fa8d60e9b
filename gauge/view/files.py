"""What a pasted or dropped file means for the question: fields to set, and a sentence about it.

The page cuts the header off the file; everything else about formats is known to the readers.
"""

from __future__ import annotations

import json
from typing import Any

from gauge.readers import files
from gauge.view.reading import Json


def read(question: Json) -> dict[str, Any]:
    """`{"name", "kind", "text" | "data"}` to `{"changes": {field: value} | None, "message"}`; never raises."""
    name, kind = str(question.get("name") or "the file")[:200], question.get("kind")
    try:
        if kind == "config":
            return config(name, str(question.get("text") or ""))
        return header(name, "safetensors" if kind == "safetensors" else "gguf", str(question.get("data") or ""))
    except (ValueError, KeyError, RecursionError) as problem:
        return {"changes": None, "message": f"{name} is not readable: {problem}"}


def config(name: str, text: str) -> dict[str, Any]:
    """A config.json: kept as it was written, without a model beside it."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("it holds no JSON object")
    kind = found.get("model_type") or ", ".join(map(str, found.get("architectures") or ())) or "no model_type"
    compact = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    return {"changes": {"model": "", "config": compact}, "message": f"{name} is in place ({kind})."}


def header(name: str, kind: str, data: str) -> dict[str, Any]:
    """The header of a .gguf or .safetensors file, through the readers of those formats."""
    suffix = f".{kind}"
    named = name if name.lower().endswith(suffix) else name + suffix
    found = files.answer({"name": named, "slices": [{"offset": 0, "data": data}]})
    if found["changes"] is None:
        return {"changes": None, "message": found["message"]}
    changes = {key: value if isinstance(value, str) else json.dumps(value) for key, value in found["changes"].items()}
    return {"changes": {"model": "", **changes}, "message": found["message"]}
