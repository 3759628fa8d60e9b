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
from gauge.readers import checks, heads
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
    remarks = checks.notes(keys)
    adapter = adapter_of(kind)
    if adapter is not None:
        model: Model = adapter.read(keys)
        return replace(model, config=dict(config), notes=_once(model.notes, heads.said(keys), remarks))
    model = _wrapped(keys, kind) if isinstance(config.get("text_config"), Mapping) else _generic(keys, kind)
    return replace(model, notes=_once(model.notes, remarks))


def _once(*groups: tuple[str, ...]) -> tuple[str, ...]:
    """Each note once, though a nested config was read by itself too."""
    return tuple(dict.fromkeys(note for group in groups for note in group))


def _wrapped(keys: Config, kind: str) -> Model:
    """A wrapper of an unknown kind: its language model alone, and a note says so."""
    inner = keys.inner("text_config")
    model = read(inner.keys, inner.path)
    note = f"{shown(kind)}: no adapter for this family, so only its language model is counted, without towers."
    return replace(model, family=kind or model.family, config=dict(keys.keys), notes=(*model.notes, note))


def edited(config: Mapping[str, Any], edits: Mapping[str, Any]) -> dict[str, Any]:
    """The config with some keys changed: `text_config.hidden_size` names a nested one, and a key that only the nested
    `text_config` has is changed there."""
    keys = dict(config)
    for name, value in edits.items():
        outer, _, inner = name.partition(".")
        if inner and isinstance(keys.get(outer, {}), Mapping):
            keys[outer] = edited(keys.get(outer, {}), {inner: value})
        elif name not in keys and _nests(keys.get("text_config"), name):
            keys["text_config"] = {**keys["text_config"], name: value}
        else:
            keys[name] = value
    return keys


def _nests(inner: object, name: str) -> bool:
    return isinstance(inner, Mapping) and name in inner


def adapter_of(kind: str) -> Any:
    """The module that reads this `model_type`, or None."""
    name = SAME.get(kind, kind).replace("-", "_").replace(".", "_")
    if not _NAME.match(name):
        return None
    full = f"gauge.readers.families.{name}"
    return import_module(full) if find_spec(full) else None


# spellings of other families for the keys that a generic decoder needs
SPELLINGS = {
    "hidden_size": ("n_embd", "d_model", "model_dim", "dim"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers", "depth"),
    "num_attention_heads": ("n_head", "n_heads", "num_heads"),
    "num_key_value_heads": ("n_kv_heads", "num_kv_heads", "multi_query_group_num"),
    "intermediate_size": ("n_inner", "ffn_hidden_size", "ffn_dim", "d_ff"),
    "vocab_size": ("padded_vocab_size", "n_vocab"),
    "max_position_embeddings": ("n_positions", "seq_length", "max_seq_len", "max_sequence_length"),
}


def _generic(found: Config, kind: str) -> Model:
    keys = Config(_respelled(found.keys), found.path)
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
    experts = [k for k in ("num_experts", "num_local_experts", "n_routed_experts") if k in keys]
    if experts:
        note += f" Its experts ({experts[0]}) are not counted."
    return replace(llama.read(keys), family=kind or "generic", config=dict(found.keys), notes=(note,))


def _respelled(keys: Mapping[str, Any]) -> dict[str, Any]:
    """The keys, with those of other families under their usual names where these are absent."""
    found = dict(keys)
    for usual, others in SPELLINGS.items():
        if found.get(usual) is None:
            value = next((keys[o] for o in others if keys.get(o) is not None), None)
            if value is not None:
                found[usual] = value
    return found
