"""The catalogue of models, devices and instances: ids, aliases, search. The first file of the engine that may read a file.

A line of a data file is one entry. Nothing is parsed before it is asked for: an entry is found by its text, and lists
and searches read only the short part in front of a model's `config`, which comes last on its line.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from itertools import islice
from pkgutil import get_data
from typing import Any

from gauge.errors import RequestError, listed, shown
from gauge.hardware import Device, capability_of, counted_of, mebibytes, usable_of
from gauge.units import GIB

Entry = dict[str, Any]

MODELS, DEVICES, INSTANCES = "models.jsonl", "devices.jsonl", "instances.jsonl"
CONFIG = ', "config": '
KIND = re.compile(r'\{"model_type": "([^"]*)"')
LONGEST_SEARCH = 100
UNLIKE = {
    MODELS: "nothing is spelled like it: search by family and size, such as qwen3 8b",
    DEVICES: "nothing is spelled like it: search by name and size, such as h100 80gb",
}
ALMOST, ALIKE = 0.8, 0.6  # how near a spelling is


@cache
def _lines(name: str) -> tuple[str, ...]:
    return tuple((get_data("gauge", f"data/{name}") or b"").decode().splitlines())


def _find(name: str, wanted: str) -> Entry | None:
    """The entry whose id or alias is `wanted`, without parsing the others."""
    needle = json.dumps(wanted, ensure_ascii=False)
    for line in _lines(name):
        if needle in line:
            entry: Entry = json.loads(line)
            if entry["id"] == wanted or wanted in entry.get("aliases", ()):
                return entry
    return None


@cache
def entries(name: str) -> tuple[Entry, ...]:
    """All entries of a data file, parsed whole."""
    return tuple(json.loads(line) for line in _lines(name))


@cache
def heads(name: str) -> tuple[Entry, ...]:
    """All entries without their config, with `kind`, a model's model_type."""
    found = []
    for line in _lines(name):
        front, config, rest = line.partition(CONFIG)
        entry: Entry = json.loads(front + "}" if config else line)
        kind = KIND.match(rest)
        found.append({**entry, "kind": kind.group(1)} if kind else entry)
    return tuple(found)


# ---------------------------------------------------------------------------------------------------- one entry
@lru_cache(maxsize=256)
def load_model(id: str) -> Entry:
    """The catalogue's entry of a model by id, alias or a tolerant spelling of either. Raises RequestError."""
    entry = _find(MODELS, id) or _tolerant(MODELS, id)
    if entry is None:
        raise _unknown("model", MODELS, id, "or paste its config.json")
    return entry


@lru_cache(maxsize=256)
def load_device(id: str) -> Device:
    """A device by id or alias. Raises RequestError."""
    entry = _find(DEVICES, id) or _tolerant(DEVICES, id)
    if entry is None:
        raise _unknown("device", DEVICES, id, "or give device_memory")
    return device_of(entry)


def device_of(entry: Entry) -> Device:
    """A device from its line: what the driver reports, and what a process can use."""
    note = entry.get("usable_note") or ""
    measured = entry.get("memory_reported_mib")
    reported = mebibytes(measured) if measured else round(entry["memory_marketing_gb"] * GIB)
    counted = reported
    usable, why = usable_of(entry["kind"], reported, entry.get("gpu_limit_default_mib"), note)
    if entry["vendor"] == "NVIDIA" and not why:
        counted, why = counted_of(reported, entry.get("memory_cuda_mib"))
        usable = counted
    return Device(
        id=entry["id"],
        title=entry["title"],
        vendor=entry["vendor"],
        kind=entry["kind"],
        marketing_gb=entry["memory_marketing_gb"],
        reported=reported,
        usable=usable,
        counted=counted,
        usable_note=note,
        usable_why=why,
        reads_driver=bool(measured),
        capability=capability_of(entry.get("compute_capability")),
        multiprocessors=entry.get("multiprocessors"),
        bandwidth=entry.get("bandwidth_gb_s"),
        source=entry["source"],
    )


def _simple(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


@cache
def _spellings(name: str) -> dict[str, str]:
    """Simplified id, alias and title → id; a spelling that two entries share names neither."""
    found: dict[str, str] = {}
    for entry in heads(name):
        words = {entry["id"], entry["id"].rpartition("/")[2], entry["title"], *entry["aliases"]}
        for word in {_simple(w) for w in words}:
            found[word] = entry["id"] if found.get(word, entry["id"]) == entry["id"] else ""
    return found


def _tolerant(name: str, wanted: str) -> Entry | None:
    id = _spellings(name).get(_simple(wanted))
    return _find(name, id) if id else None


def _unknown(field: str, name: str, wanted: str, otherwise: str) -> RequestError:
    """The error of a name that the catalogue lacks, with those that may have been meant."""
    names = near(name, wanted)
    told = f"did you mean {listed(names)}? Choose one, {otherwise}" if names else f"{UNLIKE[name]}, {otherwise}"
    return RequestError(field, f"{shown(wanted)} is not in the catalogue", told, [{field: id} for id in names])


def near(name: str, wanted: str, most: int = 3) -> list[str]:
    """Ids that `wanted` may mean, likeliest first: spelled almost so, found by its words, or alike at all."""
    plain, spellings = _simple(wanted.rpartition("/")[2])[:80], _spellings(name)

    def alike(cutoff: float) -> list[str]:
        return [spellings[c] for c in difflib.get_close_matches(plain, spellings, n=most, cutoff=cutoff) if spellings[c]]

    found = [*alike(ALMOST), *(e["id"] for e in islice(_ranked(name, wanted[:LONGEST_SEARCH]), most))]
    return list(dict.fromkeys(found or alike(ALIKE)))[:most]


# ---------------------------------------------------------------------------------------------------- lists
def model_index() -> list[Entry]:
    """What a search box needs of every model."""
    keys = ("id", "title", "aliases", "family", "organisation", "parameters", "active_parameters", "released", "kind")
    return [{k: e.get(k) for k in keys} for e in heads(MODELS)]


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
            "words": also_called(e),
        }
        for e in heads(DEVICES)
        for d in (device_of(e),)
    ]


def instances(device: str = "") -> list[Entry]:
    """Cloud instances and boxed systems: `id`, `device`, `count`; only those with `device` where one is named."""
    return [e for e in heads(INSTANCES) if not device or e["device"] == device]


# ---------------------------------------------------------------------------------------------------- search
MACS = {"ultra": "mac studio mac pro", "max": "macbook pro mac studio", "pro": "macbook pro mac mini"}
PLAIN_MAC = "macbook air macbook pro mac mini imac"
KINDS = {"mobile": "phone smartphone tablet", "cpu": "computer laptop pc server without gpu"}


def also_called(entry: Entry) -> str:
    """Words that people search a device by and that its title lacks: the computers that a chip is in, what a kind is."""
    kind = entry.get("kind", "")
    if kind != "apple":
        return KINDS.get(kind, "")
    size = next((name for name in MACS if f"-{name}-" in entry["id"]), "")
    return f"mac macos {MACS.get(size, PLAIN_MAC)}"


def search(text: str, limit: int = 20, devices: bool = False) -> list[Entry]:
    """Entries that match, best first: every word must be found, as a word, its beginning, a part, or nearly.

    `text` may be spelled loosely (`lama 3 8b`, `qwen2.5-7B`, `h100 80 gb`). Empty text lists the catalogue in order.
    """
    name = DEVICES if devices else MODELS
    if not text.strip():
        return list(heads(name)[:limit])
    return list(_ranked(name, text[:LONGEST_SEARCH]))[: max(limit, 0)]


EXACT, BEGINS, INSIDE, NEARLY = 8, 5, 3, 1
WHOLE = 40
NEAR = 0.75


def _words(text: str) -> list[str]:
    """Runs of letters and runs of digits: `qwen2.5-7B` → qwen, 2.5, 7, b."""
    return re.findall(r"[a-z]+|\d+(?:\.\d+)*", text.lower())


def _ranked(name: str, text: str) -> Iterator[Entry]:
    wanted, whole = _words(text), _simple(text)
    found = []
    for place, (entry, names, words) in enumerate(_haystack(name)):
        score = _score(wanted, words)
        if score or whole in names:
            bonus = WHOLE if whole in names else WHOLE // 2 if any(n.startswith(whole) for n in names) else 0
            found.append((-(score + bonus), len(entry["title"]), -_when(entry), place, entry))
    found.sort(key=lambda row: row[:4])
    return (row[4] for row in found)


def _when(entry: Entry) -> int:
    digits = re.sub(r"\D", "", str(entry.get("released") or ""))[:6]
    return int(digits) if digits else 0


@cache
def _haystack(name: str) -> tuple[tuple[Entry, frozenset[str], frozenset[str]], ...]:
    """Each entry with its names as one word each, and with all of its words."""
    found = []
    for entry in heads(name):
        names = [entry["id"], entry["id"].rpartition("/")[2], entry["title"], *entry["aliases"]]
        more = [*(str(entry.get(k) or "") for k in ("family", "organisation", "vendor", "kind")), also_called(entry)]
        words = frozenset(w for text in (*names, *more) for w in _words(text))
        found.append((entry, frozenset(map(_simple, names)), words))
    return tuple(found)


def _score(wanted: Iterable[str], words: frozenset[str]) -> int:
    """Points for all words together; 0 where one of them is not found."""
    total = 0
    for word in wanted:
        points = _points(word, words)
        if not points:
            return 0
        total += points
    return total


def _points(word: str, words: frozenset[str]) -> int:
    if word in words:
        return EXACT
    if word[0].isdigit():
        return BEGINS if any(w.startswith(word + ".") or (len(word) > 1 and w.startswith(word)) for w in words) else 0
    if any(w.startswith(word) for w in words):
        return BEGINS
    if len(word) > 2 and any(word in w for w in words):
        return INSIDE
    return NEARLY if len(word) > 3 and difflib.get_close_matches(word, words, n=1, cutoff=NEAR) else 0
