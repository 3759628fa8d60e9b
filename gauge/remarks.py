"""What a question that can be answered should still be told: settings without effect, defaults that surprise."""

from __future__ import annotations

from collections.abc import Iterator

from gauge import abilities
from gauge.architecture import EDIT
from gauge.case import Case, Runtime
from gauge.errors import listed
from gauge.fields import COMMON
from gauge.formats import FORMATS
from gauge.plan import DEFAULTS, KNOBS
from gauge.quantization import DENSE, PAIRS, share_kept
from gauge.request import DEGREES
from gauge.runtimes import of_task, runtime
from gauge.versions import beyond

PARALLEL = frozenset({*DEGREES, "expert_parallel"})


def remarks(case: Case) -> Iterator[str]:
    """Every remark on a case, in words."""
    profile = runtime(case.plan.runtime, case.plan.task)
    yield from _unused(case, profile)
    yield from _idle_devices(case, profile)
    yield from _beyond_the_model(case)
    yield from _beyond_the_releases(case, profile)
    yield from abilities.remarks(case, profile.label)
    yield from _adapters_keep_activations(case, profile)
    yield from _pruned(case, profile)


def named(field: str) -> str:
    """A field as forms and as requests call it: `ZeRO stage (zero_stage)`."""
    return f"{KNOBS[field].label} ({field})"


def _unused(case: Case, profile: Runtime) -> Iterator[str]:
    """Fields that the user set and the runtime does not read."""
    for name in sorted(case.given - COMMON):
        if name.startswith(EDIT) or name in profile.uses or getattr(case.plan, name) == DEFAULTS[name]:
            continue
        if name in PARALLEL and profile.uses & PARALLEL and getattr(case.plan, name) == 1:
            continue
        yield f"{named(name)} is not used by {profile.label} for {case.plan.task}{_instead(name, case.plan.task)}."


def _instead(field: str, task: str) -> str:
    """Which runtimes of the task do use a field."""
    using = [id for id in of_task(task) if field in runtime(id, task).uses]
    return f"; {', '.join(using)} {'use' if len(using) > 1 else 'uses'} it" if using else ""


def _idle_devices(case: Case, profile: Runtime) -> Iterator[str]:
    """What follows from a number of devices alone; devices that no degree uses, unless layers spread over all of them."""
    ranks = case.plan.data_parallel
    if ranks > 1 and "data_parallel" not in case.given:
        yield f"{case.plan.devices} devices make {named('data_parallel')} {ranks}: a rank on each that the other degrees leave."
    if case.plan.devices and case.plan.devices > case.plan.world and profile.uses & PARALLEL and "devices" not in profile.uses:
        degrees = listed(named(d) for d in DEGREES if d in profile.uses)
        yield f"{case.plan.devices} devices, but the degrees use {case.plan.world}: set {degrees}."


def _beyond_the_model(case: Case) -> Iterator[str]:
    """More tokens than the model's config names: the figures hold, the model may not."""
    asked, most = case.plan.sequence_length or 0, case.model.max_length
    if "sequence_length" in case.given and asked > most > 0:
        yield f"{named('sequence_length')} {asked:,} is beyond the {most:,} tokens that the model's config names."


def _beyond_the_releases(case: Case, profile: Runtime) -> Iterator[str]:
    """A version later than all that is known of the runtime."""
    asked = case.plan.runtime_version
    known = beyond(asked, profile.newest) if asked else ""
    if known:
        yield f"{named('runtime_version')} {asked}: the newest known here is {known}, whose rules are used."


def _adapters_keep_activations(case: Case, profile: Runtime) -> Iterator[str]:
    """QLoRA's usual recipe turns checkpointing on; here it is a choice of its own. Source: PEFT
    `prepare_model_for_kbit_training(use_gradient_checkpointing=True)`."""
    plan = case.plan
    if not plan.training or plan.method != "qlora" or "gradient_checkpointing" not in profile.uses:
        return
    if plan.gradient_checkpointing == "none":
        yield (
            f"Every activation is kept: {named('gradient_checkpointing')} is none unless asked for. QLoRA's usual recipe "
            "recomputes them (PEFT's prepare_model_for_kbit_training turns it on): gradient_checkpointing=full counts that."
        )


def _pruned(case: Case, profile: Runtime) -> Iterator[str]:
    """What pruning leaves dense, and from where on compressed rows save memory at all."""
    kept = share_kept(case.plan.sparsity) if "sparsity" in profile.uses else None
    if kept is None:
        return
    yield DENSE
    width, column = FORMATS[case.plan.dtype].bytes, FORMATS["int32"].bytes
    if kept != PAIRS and case.plan.quantization == "none" and kept[0] * (width + column) > kept[1] * width:
        least = -(-100 * column // (width + column))
        held = f"a {column}-byte column beside each {width}-byte value"
        yield f"Compressed rows hold {held}: they save memory from {least} % removed on."
