"""Every field of a request by itself: its choices, how its text is read, and the schema that forms are made from.

A field's meaning stands in `gauge.plan`; here are the readers of its kinds. What cannot be read is a RequestError
that names the nearest values that can.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gauge import __version__
from gauge.errors import RequestError, listed, shown
from gauge.formats import FORMATS
from gauge.optimizers import OPTIMIZERS
from gauge.plan import BOTH, DEFAULTS, GROUPS, KNOBS, Knob
from gauge.quantization import GGUF_FILE_TYPES, SCHEMES
from gauge.runtimes import of_task, runtimes
from gauge.units import parse_bytes, parse_count, parse_tokens

SCHEMA = 1
LARGEST_COUNT = 10**15
LONGEST_TEXT = 300
LONGEST_CONFIG = 2_000_000
DEEPEST_CONFIG = 32
MARK = "\ufeff"  # the byte order mark
FEW = 16  # choices that an error lists in full
NEAR = 3
CLOSENESS = 0.55
LEAST_PERCENT = 5  # a share of 5 to 100 was meant as a percentage
COMMON = frozenset(
    {
        "model",
        "config",
        "parameters",
        "task",
        "runtime",
        "runtime_version",
        "batch_size",
        "sequence_length",
        "dtype",
        "device",
        "devices",
        "device_memory",
    }
)
"""Fields that every runtime reads."""

SHORT = {
    "bf16": "bfloat16",
    "fp16": "float16",
    "f16": "float16",
    "half": "float16",
    "fp32": "float32",
    "f32": "float32",
    "single": "float32",
}
"""Other names of data types, taken where a field has no choice of that name."""

FLAGS = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
    "": False,
}
_SHARE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})\s*(%?)\Z")


# ---------------------------------------------------------------------------------------------------- schema
def choices(knob: Knob) -> tuple[tuple[str, str], ...]:
    """A field's choices as (value, label)."""
    if not isinstance(knob.choices, str):
        return knob.choices
    if knob.choices == "optimizers":
        return tuple((o.id, o.label) for o in OPTIMIZERS.values())
    if knob.choices == "quantizations":
        return (*((s.id, s.label) for s in SCHEMES.values()), *((t, f"GGUF {t}") for t in GGUF_FILE_TYPES))
    return tuple((id, profiles[0].label) for id, profiles in runtimes().items())


def schema() -> dict[str, Any]:
    """What a form, a command line or documentation needs of every field."""
    fields = [_described(name, knob) for name, knob in KNOBS.items()]
    groups = [{"id": id, "label": label} for id, label in GROUPS]
    return {"schema": SCHEMA, "gauge": __version__, "fields": fields, "groups": groups}


def _described(name: str, knob: Knob) -> dict[str, Any]:
    offered: list[dict[str, Any]] = [{"value": v, "label": text} for v, text in choices(knob)]
    if knob.choices == "runtimes":
        for choice in offered:
            choice["tasks"] = [t for t in BOTH if choice["value"] in of_task(t)]
    return {
        "name": name,
        "label": knob.label,
        "help": knob.help,
        "kind": knob.kind,
        "unit": knob.unit,
        "default": DEFAULTS[name],
        "choices": offered,
        "tasks": list(knob.tasks),
        "runtimes": _used_by(name),
        "group": knob.group,
        "prominent": knob.prominent,
        "placeholder": knob.placeholder,
    }


def _used_by(name: str) -> list[str] | None:
    if name in COMMON:
        return None
    return [id for id, profiles in runtimes().items() if any(name in p.uses for p in profiles)]


# ---------------------------------------------------------------------------------------------------- JSON
def read_json(text: str) -> tuple[Any, list[str], list[str]]:
    """A JSON text's value; keys given twice in its outermost object, and those given twice further inside.

    A byte order mark in front, which some editors write, is passed over. Raises ValueError (also for NaN and the
    infinities, which JSON has no word for) or RecursionError.
    """
    twice: list[list[str]] = []

    def whole(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice.append([key for key, times in Counter(key for key, _ in pairs).items() if times > 1])
        return dict(pairs)

    value = json.loads(text.removeprefix(MARK), parse_constant=_no_constant, object_pairs_hook=whole)
    outer = twice.pop() if isinstance(value, dict) else []
    return value, outer, [key for keys in twice for key in keys]


def _no_constant(name: str) -> None:
    raise ValueError(f"not JSON: {name}")


# ---------------------------------------------------------------------------------------------------- values
class _Unreadable(ValueError):
    """Why a value cannot be read, with values that can be."""

    def __init__(self, why: str, near: Iterable[Any] = ()) -> None:
        super().__init__(why)
        self.near = list(near)


def _count(value: Any, knob: Knob) -> int:
    read = PARSE[knob.kind](value) if isinstance(value, str) else _whole(value)
    if read < knob.least:
        raise _Unreadable(f"below {knob.least:,}", [knob.least] if knob.kind != "bytes" else [])
    if read > LARGEST_COUNT:
        raise _Unreadable("larger than anything that exists")
    return read


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _Unreadable("not a number")
    if isinstance(value, float) and not value.is_integer():
        near = [int(value), int(value) + 1] if abs(value) < LARGEST_COUNT else []
        raise _Unreadable("not a whole number", [n for n in near if n > 0])
    return int(value)


def _fraction(value: Any, knob: Knob) -> float:
    if isinstance(value, bool):
        raise _Unreadable("not a number")
    match = _SHARE.match(value.strip().replace(",", ".")) if isinstance(value, str) else None
    if isinstance(value, str) and match is None:
        raise _Unreadable("not a share")
    read = float(match[1]) / (100 if match[2] else 1) if match else float(value)
    if not 0 <= read <= 1:
        raise _Unreadable("not between 0 and 1", [read / 100] if LEAST_PERCENT <= read <= 100 else [])
    if read == 0 and knob.positive:
        raise _Unreadable("not above 0")
    return read


def _flag(value: Any, knob: Knob) -> bool:
    word = str(value).strip().lower()
    if word not in FLAGS:
        raise _Unreadable("neither true nor false", ["true", "false"])
    return FLAGS[word]


def _choice(value: Any, knob: Knob) -> Any:
    allowed = [v for v, _ in choices(knob)]
    text = str(value).strip()
    if text in allowed:
        return text
    same = [v for v in allowed if simple(v) == simple(text) and simple(text)]
    if len(same) == 1:
        return same[0]
    if SHORT.get(text.lower()) in allowed:
        return SHORT[text.lower()]
    raise _Unreadable("not one of the choices", nearest(text, allowed))


def _text(value: Any, knob: Knob) -> str:
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise _Unreadable("not a text")
    text = str(value).strip()
    if len(text) > LONGEST_TEXT:
        raise _Unreadable(f"longer than {LONGEST_TEXT} characters")
    if knob.pattern and text and not re.search(knob.pattern, text):
        raise _Unreadable(f"not {knob.wanted}")
    return text


def _object(value: Any, knob: Knob) -> dict[str, Any]:
    if isinstance(value, str):
        value = _pasted(value)
    if not isinstance(value, Mapping):
        raise _Unreadable("not a JSON object")
    if not _shallow(value, DEEPEST_CONFIG):
        raise _Unreadable(f"nested deeper than {DEEPEST_CONFIG} levels")
    return dict(value)


def _pasted(text: str) -> Any:
    if len(text) > LONGEST_CONFIG:
        raise _Unreadable(f"longer than {LONGEST_CONFIG:,} characters")
    try:
        value, outer, inner = read_json(text)
    except (ValueError, RecursionError) as why:
        raise _Unreadable("not readable as JSON") from why
    if outer or inner:
        raise _Unreadable(f"not clear: it gives {(outer + inner)[0][:40]!r} twice")
    return value


def _shallow(value: Any, left: int) -> bool:
    if not isinstance(value, (Mapping, list)):
        return True
    if left == 0:
        return False
    return all(_shallow(inner, left - 1) for inner in (value.values() if isinstance(value, Mapping) else value))


GGUF_TYPES = tuple(name for name in FORMATS if name.isupper())


def _map(value: Any, knob: Knob) -> dict[str, int]:
    read = _object(value, knob)
    if not all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= LARGEST_COUNT for v in read.values()):
        raise _Unreadable("not a map of counts")
    unknown = [name for name in read if name.partition("@")[0].upper() not in GGUF_TYPES]
    if unknown:
        near = nearest(unknown[0], GGUF_TYPES)
        fixed = [{name if n == unknown[0] else n: size for n, size in read.items()} for name in near]
        raise _Unreadable(f"no map of GGUF types: there is no {shown(unknown[0], 24)}", fixed)
    return read


PARSE: dict[str, Callable[[str], int]] = {"count": parse_count, "tokens": parse_tokens, "bytes": parse_bytes}
READ: dict[str, Callable[[Any, Knob], Any]] = {
    "model": _text,
    "device": _text,
    "text": _text,
    "config": _object,
    "map": _map,
    "count": _count,
    "tokens": _count,
    "bytes": _count,
    "fraction": _fraction,
    "flag": _flag,
    "choice": _choice,
}
EXAMPLES = {
    "count": "a whole number such as 8 or 8.03B",
    "tokens": "tokens such as 4096 or 32k",
    "bytes": "an amount such as 24GiB",
    "fraction": "a share such as 0.9 or 90%",
    "flag": "true or false",
    "config": "the contents of a config.json",
    "map": 'counts by type, such as {"Q4_K": 7000000000, "F32": 266240}',
    "text": "a short text",
    "model": "a model's id",
    "device": "a device's id",
}


def read_field(name: str, value: Any) -> Any:
    """One field's value. None and empty text mean the default. Raises RequestError."""
    knob = KNOBS[name]
    if value is None or value == "":
        return DEFAULTS[name]
    try:
        read = READ[knob.kind](value, knob)
    except (ValueError, TypeError, OverflowError) as why:
        near = why.near if isinstance(why, _Unreadable) else []
        raise RequestError(
            name, f"{shown(value)} is {_reason(str(why))}", _remedy(knob, near), [{name: one} for one in near]
        ) from None
    return int(read) if knob.kind == "choice" and isinstance(DEFAULTS[name], int) else read


def _reason(why: str) -> str:
    """A sentence that goes on after "… is"."""
    return why if why.startswith(("not ", "no ", "below", "larger", "longer", "neither")) else f"no amount: {why}"


def _remedy(knob: Knob, near: list[Any]) -> str:
    if knob.kind != "choice":
        plain = [n for n in near if isinstance(n, (int, float, str))]
        wanted = knob.example or EXAMPLES[knob.kind]
        return f"use {listed(plain)}" if plain else f"give {wanted}"
    allowed = [v for v, _ in choices(knob)]
    if len(allowed) <= FEW or not near:
        first = f"did you mean {near[0]}? " if near and len(allowed) > NEAR else ""
        return f"{first}{'Choose' if first else 'choose'} {listed(allowed)}"
    return f"use {listed(near)}, or another of the {len(allowed)} choices"


# ---------------------------------------------------------------------------------------------------- spelling
def simple(text: str) -> str:
    """Letters and digits alone, in lower case: how spellings are compared."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def nearest(text: str, known: Iterable[str], most: int = NEAR) -> list[str]:
    """Names that somebody who typed `text` may have meant, the likeliest first: nearly it, or beginning with it."""
    wanted = simple(text[:LONGEST_TEXT])
    spelled = {simple(name): name for name in reversed(list(known))}
    if not wanted:
        return []
    begin = [name for spelling, name in reversed(spelled.items()) if spelling.startswith(wanted)]
    close = [spelled[c] for c in difflib.get_close_matches(wanted, spelled, n=most, cutoff=CLOSENESS)]
    return list(dict.fromkeys([*(begin if len(wanted) > 1 else []), *close]))[:most]
