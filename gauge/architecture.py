"""Which model a request means: one of the catalogue, a config.json, edits on top of either, or a count of parameters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gauge.catalog import load_model
from gauge.errors import RequestError, shown
from gauge.fields import nearest
from gauge.model import Model
from gauge.plan import DEFAULTS
from gauge.readers import generic, huggingface

Keys = Mapping[str, Any]

EDIT = "config."
NESTED = "text_config."  # where a wrapper's config keeps its language model
MOST_KNOWN = 8
_known: dict[str, Model] = {}  # by the JSON of the fields, the one asked for last at the end
SAME_COUNT = 20  # a count of parameters given beside a model may be off by one part in so many: "8B"


def model_of(values: Keys, edits: Keys) -> Model:
    """The model that the fields `model`, `config` and `parameters` describe, with keys of its config edited.

    A config without a model_type is more edits of the model named beside it. The last few are remembered with all that
    was worked out about them, since most changes of a request leave its model alone. Raises RequestError.
    """
    asked = values.get("model", DEFAULTS["model"]), values.get("config"), values.get("parameters"), edits
    try:
        key = json.dumps(asked)
    except (TypeError, ValueError, RecursionError):  # Python's callers may give what JSON does not know
        return _described(*asked)
    model = _known.pop(key, None) or _described(*asked)
    _known[key] = model
    if len(_known) > MOST_KNOWN:
        del _known[next(iter(_known))]
    return model


def _described(name: Any, config: Keys | None, parameters: int | None, edits: Keys) -> Model:
    entry = _entry(name, config) if name else None
    if entry is not None and config is not None and "model_type" not in config:
        changes = {key: value for key, value in config.items() if entry["config"].get(key) != value}
        config, edits = None, {**changes, **edits}
    own = entry if config is None else None
    keys = (own["config"] if own else config) or {}
    if not keys and parameters:
        return generic.from_parameters(parameters)
    model = huggingface.read(huggingface.edited(keys, edits))
    _check_count(model, parameters, "the model" if config else name)
    notes = (*model.notes, *_idle_edits(model, keys, edits), *_foreign(entry, config))
    return model.edited(**_names(name, own, keys, edits), notes=notes)


def inside(keys: Any, path: str) -> Any:
    """The value under a dotted path; None where there is none."""
    for key in path.split("."):
        keys = keys.get(key) if isinstance(keys, Mapping) else None
    return keys


def _entry(name: str, config: Keys | None) -> dict[str, Any] | None:
    """The catalogue's entry; a name of its own is no mistake beside a config."""
    try:
        return load_model(name)
    except RequestError:
        if config is None:
            raise
        return None


def _check_count(model: Model, parameters: int | None, name: str) -> None:
    if parameters and abs(parameters - model.parameters) * SAME_COUNT > model.parameters:
        raise RequestError(
            "parameters",
            f"{name} has {model.parameters:,} parameters, not {parameters:,}",
            "leave it out",
            ({"parameters": None}, {"model": None, "config": None}),
        )


def _names(name: str | None, own: Keys | None, keys: Keys, edits: Keys) -> dict[str, str]:
    """Id, title and source. A short name of the catalogue is nobody's repository: it becomes the entry's id."""
    id = own["id"] if own is not None and "/" not in (name or "") else name or "custom"
    title, source = (own["title"], own["source"]) if own is not None else (id, "the config given")
    if edits:
        title += ", edited: " + ", ".join(f"{k} {_old(keys, k)}{shown(v, 24)}" for k, v in edits.items())
    return {"id": id, "title": title, "source": source}


def _old(keys: Keys, key: str) -> str:
    return f"{shown(keys[key], 24)} → " if key in keys else ""


# ---------------------------------------------------------------------------------------------------- remarks
def _idle_edits(model: Model, keys: Keys, edits: Keys) -> Iterator[str]:
    """A remark on every edit of a key that the config did not have and that its reader does not ask for."""
    for key in edits:
        if inside(keys, key) is not None or inside(keys, NESTED + key) is not None:
            continue
        others = {k: v for k, v in edits.items() if k != key}
        without = huggingface.read(huggingface.edited(keys, others))
        if (without.parts, without.head, without.max_length) == (model.parts, model.head, model.max_length):
            near = nearest(key, keys, most=1)
            yield f"{EDIT}{key} changes nothing" + (f"; did you mean {EDIT}{near[0]}?" if near else ".")


def _foreign(entry: Keys | None, config: Keys | None) -> Iterator[str]:
    """A remark where the config given is of another family than the model named beside it."""
    if entry is None or config is None or config.get("model_type") == entry["config"].get("model_type"):
        return
    yield f"The config given is read, a {shown(config.get('model_type'), 40)}, not the catalogue's {entry['title']}."
