"""The flat request as a case: every field read, defaults filled in, every mistake an error with tried remedies.

One reading for every door: form, link, command line, JSON, Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from gauge.architecture import EDIT, NESTED, inside, model_of
from gauge.case import Case, Runtime, check_divides
from gauge.catalog import load_device, load_model
from gauge.errors import RequestError, RequestErrors, word
from gauge.fields import SCHEMA, nearest, read_field, read_json, schema
from gauge.hardware import Cluster
from gauge.layers.attention import Attention
from gauge.layers.experts import Experts
from gauge.memory.adapters import check_rank, targets_of
from gauge.model import Model
from gauge.plan import DEFAULTS, KNOBS, Plan
from gauge.quantization import GGUF_FILE_TYPES, share_kept
from gauge.readers import quantization_config
from gauge.remedy import remedied
from gauge.runtimes import runtime

__all__ = ["SCHEMA", "RequestErrors", "checked", "parse", "schema"]

DEFAULT_TOKENS = 4096
DEGREES = ("tensor_parallel", "pipeline_parallel", "data_parallel", "context_parallel")
NATIVE = "MXFP4_MOE"  # the file of a checkpoint whose experts are MXFP4 as released
GGUF_RUNTIMES = ("llama.cpp", "textbook")
INSTEAD = ("config", "parameters")  # what describes a model without its name
IGNORED = frozenset({"id", "v", "schema"})


@dataclass(frozen=True)
class Asked:
    """A request as read: `values` of the plan's fields, `edits` of the config, and which of them the user gave."""

    values: Mapping[str, Any]
    edits: Mapping[str, Any]
    given: frozenset[str]

    def changed(self, changes: Mapping[str, Any]) -> Asked:
        """The same request with some fields changed; None takes a field back. Raises RequestErrors."""
        values, edits = dict(self.values), dict(self.edits)
        for name in changes:
            (edits if name.startswith(EDIT) else values).pop(name.removeprefix(EDIT), None)
        more = read({k: v for k, v in changes.items() if v is not None})
        given = (self.given - changes.keys()) | more.given
        return Asked({**values, **more.values}, {**edits, **more.edits}, given)

    def value(self, name: str) -> Any:
        """What a field, or a key of the config (`config.text_config.hidden_size`), was read as; None where left out."""
        if not name.startswith(EDIT):
            return self.values.get(name)
        path = name.removeprefix(EDIT)
        return self.edits[path] if path in self.edits else inside(self.values.get("config"), path)

    def works(self, changes: Mapping[str, Any]) -> bool:
        """Whether the request with these changes makes a case."""
        try:
            self.changed(changes).case()
        except (RequestError, RequestErrors):
            return False
        return True

    def case(self) -> Case:
        """The case, every default filled in and checked. Raises RequestError."""
        values, given = dict(self.values), self.given
        if "model" not in given and given.intersection(INSTEAD):
            values["model"] = None
        model = model_of(values, self.edits)
        own = runtime(values.get("runtime", DEFAULTS["runtime"]), values.get("task", DEFAULTS["task"])).defaults
        chosen: dict[str, Any] = {**own, **{k: v for k, v in values.items() if k in given or k not in own}}
        plan = _filled(_replicated(Plan(**chosen), given), model)
        if "quantization" not in given:
            plan, model = _quantized(plan, model)
        cluster = Cluster(load_device(plan.device) if plan.device else None, plan.devices or 0, plan.device_memory)
        return checked(Case(model, plan, cluster, given | {f"{EDIT}{k}" for k in self.edits}))


def parse(request: Mapping[str, Any]) -> Case:
    """The case that a request describes, every default filled in. Raises RequestErrors with all mistakes."""
    asked = read(request)
    try:
        return asked.case()
    except RequestError as error:
        found = _with_own(_as_asked(error, asked), asked)
        raise RequestErrors([remedied(found, asked.value(found.field), asked.works)]) from None


def _as_asked(error: RequestError, asked: Asked) -> RequestError:
    """An error about a key of the nested language model, under the shorter name by which the request edits it."""
    path = error.field.removeprefix(EDIT)
    short = path.removeprefix(NESTED)
    return error if path in asked.edits or short not in asked.edits else error.edited(field=f"{EDIT}{short}")


def _with_own(error: RequestError, asked: Asked) -> RequestError:
    """An error about an edit of the config, with the model's own value as a fix."""
    path = error.field.removeprefix(EDIT)
    if path not in asked.edits or asked.value("config") is not None:
        return error
    keys = load_model(asked.values.get("model") or DEFAULTS["model"])["config"]
    own = next((value for value in (inside(keys, path), inside(keys, NESTED + path)) if value is not None), None)
    if own is None:
        return error
    return error.edited(remedy=f"{error.remedy}; the model's own is {word(own)}", fixes=(*error.fixes, {error.field: own}))


def read(request: Mapping[str, Any]) -> Asked:
    """Every field by itself. Raises RequestErrors with all that cannot be read."""
    errors: list[RequestError] = []
    values: dict[str, Any] = {}
    edits: dict[str, Any] = {}
    for name, value in request.items():
        try:
            if name.startswith(EDIT):
                edits |= _edit(name, value)
            elif name in KNOBS:
                values[name] = read_field(name, value)
            elif name not in IGNORED:
                raise _no_field(name)
        except RequestError as error:
            errors.append(error)
    if str(request.get("model", "?")).strip() == "" and not any(request.get(name) for name in INSTEAD):
        errors.append(_no_model())
    if errors:
        raise RequestErrors(errors)
    return Asked(values, edits, frozenset(n for n in values if request[n] not in (None, "")))


def _no_model() -> RequestError:
    default = DEFAULTS["model"]
    return RequestError("model", "it is empty", f"give a model's id, or leave it out for {default}", ({"model": default},))


def _no_field(name: str) -> RequestError:
    if not name.strip():
        return RequestError("request", "one of its fields has no name", "name it, or remove it")
    near = nearest(name, KNOBS, most=1) or [n for n, k in KNOBS.items() if k.label.lower() == name.strip().lower()]
    remedy = f"did you mean {near[0]}? Otherwise remove it" if near else "remove it, or check its spelling"
    return RequestError(name[:80], "there is no such field", remedy)


def _edit(name: str, value: Any) -> dict[str, Any]:
    """An edit's key and value: JSON where it is JSON, else a text. An empty one takes the edit back. Raises RequestError."""
    key = name.removeprefix(EDIT)
    if not all(key.split(".")):
        raise RequestError(name[:80], "it names no key of a config", f"name one, such as {EDIT}num_hidden_layers")
    if not isinstance(value, str):
        return {key: value}
    try:
        return {key: read_json(value)[0]} if value.strip() else {}
    except (ValueError, RecursionError):
        return {key: value}


def checked(case: Case) -> Case:
    """The case itself, if it can be. Raises RequestError."""
    plan, model = case.plan, case.model
    attention = model.first(Attention)
    if attention is not None:
        check_divides("tensor_parallel", plan.tensor_parallel, "attention heads", attention.heads)
    if plan.quantization in GGUF_FILE_TYPES and plan.runtime not in GGUF_RUNTIMES:
        raise RequestError(
            "quantization",
            f"{plan.quantization} is a GGUF file type, which {plan.runtime} does not run",
            "use runtime=llama.cpp, or a scheme such as awq-int4-g128",
            ({"runtime": "llama.cpp"}, {"quantization": "awq-int4-g128"}),
        )
    profile = runtime(plan.runtime, plan.task)
    _check_devices(case, profile)
    if "sparsity" in profile.uses:
        share_kept(plan.sparsity)
    if plan.method != "full" and "lora_targets" in profile.uses:
        check_rank(model, targets_of(model, plan.lora_targets), plan.lora_rank)
    profile.check(case)
    return case


def _check_devices(case: Case, profile: Runtime) -> None:
    """There are as many devices as the degrees multiply to, or more."""
    degrees = {name: getattr(case.plan, name) for name in DEGREES if name in profile.uses}
    need, count = prod(degrees.values()), case.plan.devices
    if need > 1 and count is not None and count < need:
        named = " × ".join(f"{name} {degree}" for name, degree in degrees.items() if degree > 1)
        fixes: list[dict[str, Any]] = [{"devices": need}]
        if count and len([d for d in degrees.values() if d > 1]) == 1:
            fixes += [{name: count} for name, degree in degrees.items() if degree > 1]
        raise RequestError("devices", f"{count} for {named} = {need:,} ranks", f"use {need}", fixes)


# ---------------------------------------------------------------------------------------------------- defaults
def _replicated(plan: Plan, given: frozenset[str]) -> Plan:
    """The plan with `data_parallel` as launchers set it where the user gave only a number of devices: what the other
    degrees leave of them.

    Source: megatron/core/parallel_state.py, initialize_model_parallel; torchtitan `data_parallel_shard_degree` -1;
    accelerate `num_processes`.
    """
    if not plan.training or not plan.devices or given.isdisjoint({"devices"}) or "data_parallel" in given:
        return plan
    used = runtime(plan.runtime, plan.task).uses
    others = prod(getattr(plan, name) for name in DEGREES if name in used)
    if "data_parallel" not in used or plan.devices % others:
        return plan
    return plan.edited(data_parallel=plan.devices // others)


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
            ({"prompt_length": tokens}, {"sequence_length": plan.prompt_length}),
        )
    if plan.devices is None:
        changes["devices"] = plan.world
    return plan.edited(**changes)


def _quantized(plan: Plan, model: Model) -> tuple[Plan, Model]:
    """The plan under the config's own quantization, where the user chose none; training starts without.

    GGUF files are converted to 16 bits, except from checkpoints whose experts stay as they are.
    """
    scheme, note = quantization_config.understood(model.config)
    if plan.training or "quantization" not in runtime(plan.runtime, plan.task).uses:
        return plan, model
    if plan.runtime == "llama.cpp":
        native = quantization_config.experts_kept(model.config) and not plan.gguf_types and model.first(Experts) is not None
        return plan.edited(quantization=NATIVE) if native else plan, model
    model = model.edited(notes=(*model.notes, note)) if note else model
    return plan.edited(quantization=scheme) if scheme else plan, model
