"""What a pasted or dropped file means for the question: fields to set, and a sentence about it.

The page cuts slices off the file as they are wanted; everything else about formats is known to the readers.
"""

from __future__ import annotations

import json
from typing import Any

from gauge.readers import files
from gauge.view.reading import Json


def read(question: Json) -> dict[str, Any]:
    """`{"name", "kind": "config", "text"}` or `{"name", "size", "slices"}` (the protocol of `gauge.readers.files`).

    Answers `{"changes": {field: value} | None, "message"}`, or `{"want": {"offset", "size"}}` where the question is to be
    put again with that slice added. Never raises.
    """
    name, kind = str(question.get("name") or "the file")[:200], question.get("kind")
    try:
        return config(name, str(question.get("text") or "")) if kind == "config" else header(question)
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


def header(question: Json) -> dict[str, Any]:
    """The header of a .gguf or .safetensors file, through the readers of those formats."""
    found = files.answer(question)
    if "want" in found:
        return found
    if found["changes"] is None:
        name, said = str(question.get("name") or "The file")[:200], str(found["message"])
        return {"changes": None, "message": said if name in said else f"{name}: {said}"}
    changes = {key: value if isinstance(value, str) else json.dumps(value) for key, value in found["changes"].items()}
    return {"changes": {"model": "", **changes}, "message": found["message"]}
