"""A Hugging Face `config.json` → `Model`, by the adapter of its `model_type`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from gauge.errors import RequestError, shown
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import SAME, llama

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,60}\Z")
GENERIC_KEYS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "intermediate_size")


def read(config: Mapping[str, Any], path: str = "config") -> Model:
    """The model that a config describes.

    An unknown `model_type` with Llama-like keys is read as a generic decoder, and a note says so. Raises RequestError.
    """
    keys = Config(config, path)
    kind = keys.text("model_type")
    adapter = adapter_of(kind)
    if adapter is not None:
        model: Model = adapter.read(keys)
        return replace(model, config=dict(config))
    return _generic(keys, kind)


def adapter_of(kind: str) -> Any:
    """The module that reads this `model_type`, or None."""
    name = SAME.get(kind, kind).replace("-", "_").replace(".", "_")
    if not _NAME.match(name):
        return None
    full = f"gauge.readers.families.{name}"
    return import_module(full) if find_spec(full) else None


def _generic(keys: Config, kind: str) -> Model:
    missing = [k for k in GENERIC_KEYS if k not in keys]
    if missing:
        what = f"model_type {shown(kind)} is not known" if kind else "there is no model_type"
        raise RequestError(
            keys.path,
            f"{what}, and for a generic decoder it lacks {', '.join(missing)}",
            f"add {', '.join(missing)}, or choose a model",
        )
    name = shown(kind) if kind else "no model_type"
    note = f"{name}: no adapter for this family, so it was read as a generic Llama-style decoder."
    return replace(llama.read(keys), family=kind or "generic", config=dict(keys.keys), notes=(note,))
