"""The catalogue of models and devices: ids, aliases, search. The first file of the engine that may read a file."""

from __future__ import annotations

import difflib
import json
import re
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from gauge.errors import RequestError, shown
from gauge.hardware import Device, mebibytes
from gauge.units import GIB, MIB

Entry = dict[str, Any]


@cache
def _lines(name: str) -> tuple[str, ...]:
    return tuple(files("gauge.data").joinpath(name).read_text(encoding="utf-8").splitlines())


def _find(name: str, wanted: str) -> Entry | None:
    """The entry whose id or alias is `wanted`, without parsing the others."""
    needle = json.dumps(wanted, ensure_ascii=False)
    for line in _lines(name):
        if needle in line:
            entry: Entry = json.loads(line)
            if entry["id"] == wanted or wanted in entry["aliases"]:
                return entry
    return None


@cache
def entries(name: str) -> tuple[Entry, ...]:
    """All entries of a data file, parsed."""
    return tuple(json.loads(line) for line in _lines(name))


@lru_cache(maxsize=256)
def load_model(id: str) -> Entry:
    """The catalogue's entry of a model by id, alias or a tolerant spelling of either. Raises RequestError."""
    entry = _find("models.jsonl", id) or _tolerant("models.jsonl", id)
    if entry is None:
        raise RequestError(
            "model", f"{shown(id)} is not in the catalogue", _suggestion("models.jsonl", id, "or paste its config.json")
        )
    return entry


@lru_cache(maxsize=256)
def load_device(id: str) -> Device:
    """A device by id or alias. Raises RequestError."""
    entry = _find("devices.jsonl", id) or _tolerant("devices.jsonl", id)
    if entry is None:
        raise RequestError(
            "device", f"{shown(id)} is not in the catalogue", _suggestion("devices.jsonl", id, "or give device_memory")
        )
    return device_of(entry)


def device_of(entry: Entry) -> Device:
    """A device from its line: what the driver reports, and what a process can use."""
    label = round(entry["memory_marketing_gb"] * GIB)
    reported = mebibytes(entry["memory_reported_mib"]) if entry.get("memory_reported_mib") else label
    limit = entry.get("gpu_limit_default_mib")
    return Device(
        id=entry["id"],
        title=entry["title"],
        vendor=entry["vendor"],
        kind=entry["kind"],
        marketing_gb=entry["memory_marketing_gb"],
        reported=reported,
        usable=limit * MIB if limit else reported,
        usable_note=entry.get("usable_note") or "",
        bandwidth=entry.get("bandwidth_gb_s"),
        source=entry["source"],
    )


def _simple(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


@cache
def _spellings(name: str) -> dict[str, str]:
    """Simplified id, alias and title → id; a spelling that two entries share names neither."""
    found: dict[str, str] = {}
    for entry in entries(name):
        words = {entry["id"], entry["id"].rpartition("/")[2], entry["title"], *entry["aliases"]}
        for word in {_simple(w) for w in words}:
            found[word] = entry["id"] if found.get(word, entry["id"]) == entry["id"] else ""
    return found


def _tolerant(name: str, wanted: str) -> Entry | None:
    id = _spellings(name).get(_simple(wanted))
    return _find(name, id) if id else None


def _suggestion(name: str, wanted: str, otherwise: str) -> str:
    spellings = _spellings(name)
    close = difflib.get_close_matches(_simple(wanted)[:80], spellings, n=3, cutoff=0.6)
    names = list(dict.fromkeys(spellings[c] for c in close if spellings[c]))
    return (
        f"did you mean {', '.join(names)}? Choose one, {otherwise}"
        if names
        else f"choose one from the catalogue, {otherwise}"
    )


def model_index() -> list[Entry]:
    """What a search box needs of every model."""
    keys = ("id", "title", "aliases", "family", "organisation", "parameters", "active_parameters", "released")
    return [{k: e.get(k) for k in keys} | {"kind": e["config"].get("model_type", "")} for e in entries("models.jsonl")]


def device_index() -> list[Entry]:
    """What a search box needs of every device."""
    return [
        {
            "id": d.id,
            "title": d.title,
            "aliases": e["aliases"],
            "vendor": d.vendor,
            "kind": d.kind,
            "usable_bytes": d.usable,
            "reported_bytes": d.reported,
            "marketing_gb": d.marketing_gb,
        }
        for e in entries("devices.jsonl")
        for d in (device_of(e),)
    ]
