"""The flat request: what each field's text means, defaults filled in, every mistake as a field error.

One reading for every door: form, link, command line, JSON, Python.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gauge import __version__
from gauge.case import Case, check_divides
from gauge.catalog import load_device, load_model
from gauge.errors import RequestError, shown
from gauge.hardware import Cluster
from gauge.layers.attention import Attention
from gauge.model import Model
from gauge.optimizers import OPTIMIZERS
from gauge.plan import BOTH, DEFAULTS, GROUPS, KNOBS, Knob, Plan
from gauge.quantization import GGUF_FILE_TYPES, SCHEMES
from gauge.readers import generic, huggingface, quantization_config
from gauge.runtimes import of_task, runtime, runtimes
from gauge.units import parse_bytes, parse_count, parse_tokens

SCHEMA = 1
DEFAULT_TOKENS = 4096
LARGEST_COUNT = 10**15
LONGEST_CONFIG = 2_000_000
DEEPEST_CONFIG = 32
GGUF_RUNTIMES = ("llama.cpp", "textbook")
IGNORED = frozenset({"id", "v", "schema"})
COMMON = frozenset(
    {
        "model",
        "config",
        "parameters",
        "gguf_types",
        "task",
        "runtime",
        "runtime_version",
        "batch_size",
        "sequence_length",
        "dtype",
        "device",
        "devices",
        "device_memory",
        "timeline",
    }
)


class RequestErrors(Exception):
    """All mistakes of one request."""

    def __init__(self, errors: list[RequestError]) -> None:
        super().__init__("; ".join(str(e) for e in errors))
        self.errors = errors


# ---------------------------------------------------------------------------------------------------- choices
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
    fields = []
    for name, knob in KNOBS.items():
        listed = [{"value": v, "label": text} for v, text in choices(knob)]
        if knob.choices == "runtimes":
            for choice in listed:
                choice["tasks"] = [t for t in BOTH if choice["value"] in of_task(t)]  # type: ignore[assignment]
        fields.append(
            {
                "name": name,
                "label": knob.label,
                "help": knob.help,
                "kind": knob.kind,
                "unit": knob.unit,
                "default": DEFAULTS[name],
                "choices": listed,
                "tasks": list(knob.tasks),
                "runtimes": _used_by(name),
                "group": knob.group,
                "prominent": knob.prominent,
                "placeholder": knob.placeholder,
            }
        )
    groups = [{"id": id, "label": label} for id, label in GROUPS]
    return {"schema": SCHEMA, "gauge": __version__, "fields": fields, "groups": groups}


def _used_by(name: str) -> list[str] | None:
    if name in COMMON:
        return None
    return [id for id, profiles in runtimes().items() if any(name in p.uses for p in profiles)]


# ---------------------------------------------------------------------------------------------------- values
def _count(value: Any, knob: Knob) -> int:
    if isinstance(value, str):
        read = (
            parse_tokens(value) if knob.kind == "tokens" else parse_bytes(value) if knob.kind == "bytes" else parse_count(value)
        )
    elif (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or value != value
        or abs(value) == float("inf")
        or value != int(value)
    ):
        raise ValueError("not a whole number")
    else:
        read = int(value)
    if read < knob.least:
        raise ValueError(f"below {knob.least:,}")
    if read > LARGEST_COUNT:
        raise ValueError("larger than anything that exists")
    return read


def _fraction(value: Any, knob: Knob) -> float:
    text = value.strip().removesuffix("%") if isinstance(value, str) else value
    if isinstance(text, bool):
        raise ValueError("not a number")
    read = float(text)
    if isinstance(value, str) and value.strip().endswith("%"):
        read /= 100
    if not 0 <= read <= 1:
        raise ValueError("not between 0 and 1")
    return read


def _flag(value: Any, knob: Knob) -> bool:
    if isinstance(value, bool):
        return value
    words = {
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
    if str(value).lower() in words:
        return words[str(value).lower()]
    raise ValueError("neither true nor false")


def _choice(value: Any, knob: Knob) -> Any:
    allowed = [v for v, _ in choices(knob)]
    text = str(value)
    for one in allowed:
        if text == one or text.lower() == one.lower():
            return one
    raise ValueError("not one of the choices")


def _text(value: Any, knob: Knob) -> str:
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise ValueError("not a text")
    text = str(value).strip()
    if len(text) > 300:
        raise ValueError("longer than 300 characters")
    return text


def _object(value: Any, knob: Knob) -> dict[str, Any]:
    if isinstance(value, str):
        if len(value) > LONGEST_CONFIG:
            raise ValueError(f"longer than {LONGEST_CONFIG:,} characters")
        try:
            value = json.loads(value, parse_constant=no_constant)
        except (ValueError, RecursionError) as why:
            raise ValueError("not readable as JSON") from why
    if not isinstance(value, Mapping):
        raise ValueError("not a JSON object")
    if not _shallow(value, DEEPEST_CONFIG):
        raise ValueError(f"nested deeper than {DEEPEST_CONFIG} levels")
    return dict(value)


def _shallow(value: Any, left: int) -> bool:
    if not isinstance(value, (Mapping, list)):
        return True
    if left == 0:
        return False
    return all(_shallow(inner, left - 1) for inner in (value.values() if isinstance(value, Mapping) else value))


def _map(value: Any, knob: Knob) -> dict[str, int]:
    read = _object(value, knob)
    if not all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= LARGEST_COUNT for v in read.values()):
        raise ValueError("not a map of counts")
    return read


READ = {
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

REMEDIES = {
    "count": "give a whole number such as 8 or 8.03B",
    "tokens": "give tokens such as 4096 or 32k",
    "bytes": "give an amount such as 24GiB",
    "fraction": "give a share such as 0.9 or 90%",
    "flag": "give true or false",
    "config": "paste the contents of a config.json",
    "map": "give counts by name",
    "text": "give a short text",
    "model": "give a model's id",
    "device": "give a device's id",
}


def read_field(name: str, value: Any) -> Any:
    """One field's value. None and empty text mean the default. Raises RequestError."""
    knob = KNOBS[name]
    if value is None or value == "":
        return DEFAULTS[name]
    try:
        read = READ[knob.kind](value, knob)
    except (ValueError, TypeError, OverflowError) as why:
        allowed = ", ".join(v for v, _ in choices(knob)) if knob.kind == "choice" else ""
        remedy = f"choose one of {allowed}" if allowed else REMEDIES[knob.kind]
        raise RequestError(
            name,
            f"{shown(value)} is {why}"
            if str(why).startswith(("not", "below", "larger", "longer", "neither"))
            else f"{shown(value)}: {why}",
            remedy,
        ) from None
    return int(read) if name == "zero_stage" else read


# ---------------------------------------------------------------------------------------------------- request
def parse(request: Mapping[str, Any]) -> Case:
    """The case that a request describes, every default filled in. Raises RequestErrors with all mistakes."""
    errors: list[RequestError] = []
    values: dict[str, Any] = {}
    edits: dict[str, Any] = {}
    for name, value in request.items():
        try:
            if name in IGNORED:
                continue
            if name.startswith("config."):
                edits[name.removeprefix("config.")] = _edit(value)
            elif name in KNOBS:
                values[name] = read_field(name, value)
            else:
                raise RequestError(name[:80], "there is no such field", "remove it, or check its spelling")
        except RequestError as error:
            errors.append(error)
    if errors:
        raise RequestErrors(errors)
    try:
        return _case(values, edits, frozenset(n for n in values if request[n] not in (None, "")))
    except RequestError as error:
        raise RequestErrors([error]) from None


def no_constant(name: str) -> None:
    """Refuses what JSON has no word for: NaN and the infinities."""
    raise ValueError(f"not JSON: {name}")


def _edit(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, parse_constant=no_constant)
    except (ValueError, RecursionError):
        return value


def _case(values: dict[str, Any], edits: dict[str, Any], given: frozenset[str]) -> Case:
    if "model" not in given and ({"config", "parameters"} & given):
        values["model"] = None
    model = model_of(values, edits)
    own = runtime(values.get("runtime", DEFAULTS["runtime"]), values.get("task", DEFAULTS["task"])).defaults
    chosen: dict[str, Any] = {**own, **{k: v for k, v in values.items() if k in given or k not in own}}
    plan = _filled(Plan(**chosen), model)
    if "quantization" not in given:
        plan, model = _quantized(plan, model)
    cluster = Cluster(load_device(plan.device) if plan.device else None, plan.devices or 0, plan.device_memory)
    case = Case(model, plan, cluster, given | {f"config.{k}" for k in edits})
    attention = model.first(Attention)
    if attention is not None:
        check_divides("tensor_parallel", plan.tensor_parallel, "attention heads", attention.heads)
    if plan.quantization in GGUF_FILE_TYPES and plan.runtime not in GGUF_RUNTIMES:
        told = f"{plan.quantization} is a GGUF file type, which {plan.runtime} does not run"
        raise RequestError("quantization", told, "use runtime=llama.cpp, or a scheme such as awq-int4-g128")
    runtime(plan.runtime, plan.task).check(case)
    return case


def model_of(values: Mapping[str, Any], edits: Mapping[str, Any]) -> Model:
    """The model that `model`, `config`, edits or `parameters` describe. Raises RequestError."""
    name, config, parameters = values.get("model", DEFAULTS["model"]), values.get("config"), values.get("parameters")
    entry = None
    if name and (config is None or not edits.keys() <= config.keys()):
        entry = _entry(name, config)
    keys: dict[str, Any] = {}
    if entry is not None and (config is None or "model_type" not in config):
        keys |= entry["config"]
    keys |= config or {}
    if not keys and parameters:
        return generic.from_parameters(parameters)
    before = dict(keys)
    keys = huggingface.edited(keys, edits)
    model = huggingface.read(keys)
    id = name or "custom"
    title = entry["title"] if entry and config is None else id
    source = entry["source"] if entry and config is None else "the config given"
    if edits:
        title += ", edited: " + ", ".join(f"{k} {_old(before, k)}{shown(v, 24)}" for k, v in edits.items())
    return model.edited(id=id, title=title, source=source)


def _old(keys: Mapping[str, Any], key: str) -> str:
    return f"{shown(keys[key], 24)} → " if key in keys else ""


def _entry(name: str, config: Mapping[str, Any] | None) -> dict[str, Any] | None:
    try:
        return load_model(name)
    except RequestError:
        if config is None:
            raise
        return None


def _filled(plan: Plan, model: Model) -> Plan:
    """The plan with the model's and the cluster's own values where the user gave none."""
    changes: dict[str, Any] = {}
    if plan.sequence_length is None:
        changes["sequence_length"] = min(DEFAULT_TOKENS, model.max_length)
    tokens = plan.sequence_length or changes["sequence_length"]
    if plan.prompt_length is None:
        changes["prompt_length"] = tokens
    elif plan.prompt_length > tokens and not plan.training:
        raise RequestError(
            "prompt_length",
            f"{plan.prompt_length:,} is more than the sequence length {tokens:,}",
            f"give at most {tokens:,}",
        )
    if plan.devices is None:
        changes["devices"] = plan.world
    return plan.edited(**changes)


def _quantized(plan: Plan, model: Model) -> tuple[Plan, Model]:
    """The plan under the config's own quantization, where the user chose none; training and GGUF files start without."""
    scheme, note = quantization_config.understood(model.config)
    if plan.training or "quantization" not in runtime(plan.runtime, plan.task).uses or plan.runtime == "llama.cpp":
        return plan, model
    model = model.edited(notes=(*model.notes, note)) if note else model
    return plan.edited(quantization=scheme) if scheme else plan, model


def unused(case: Case) -> list[str]:
    """Warnings for fields that the user set and the runtime does not read."""
    profile = runtime(case.plan.runtime, case.plan.task)
    parallel = {"tensor_parallel", "pipeline_parallel", "data_parallel", "context_parallel", "expert_parallel"}
    idle = []
    for name in sorted(case.given):
        plain = name.partition(".")[0]
        if plain in COMMON or plain in profile.uses or getattr(case.plan, plain) == DEFAULTS[plain]:
            continue
        if plain in parallel and profile.uses & parallel and getattr(case.plan, plain) == 1:
            continue
        idle.append(f"{plain} is not used by {profile.label} for {case.plan.task}{_instead(plain, case.plan.task)}.")
    if case.plan.devices and case.plan.devices > case.plan.world and profile.uses & parallel:
        idle.append(f"{case.plan.devices} devices, but the degrees use {case.plan.world}: set tensor_parallel or another degree.")
    return idle


def _instead(field: str, task: str) -> str:
    """Which runtimes of the task do use a field."""
    using = [id for id in of_task(task) if field in runtime(id, task).uses]
    return f"; {', '.join(using)} {'use' if len(using) > 1 else 'uses'} it" if using else ""
