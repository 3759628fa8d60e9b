"""An estimate as the contract's answer: plain data that every door shows or sends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from gauge import __version__
from gauge.breakdown import Item, Pool
from gauge.errors import RequestError
from gauge.estimation import Estimate
from gauge.fields import SCHEMA
from gauge.fit import capacity, remedies, verdict
from gauge.plan import KNOBS, Plan
from gauge.runtimes import runtime


def answer(found: Estimate, deep: bool = True) -> dict[str, Any]:
    """The whole answer. `deep` adds capacity and remedies, which take many estimates."""
    fit = verdict(found)
    if fit is not None and deep:
        fit["remedies"] = remedies(found)
    return {
        "schema": SCHEMA,
        "gauge": __version__,
        "request": _request(found),
        "model": _model(found),
        "pools": [_pool(p) for p in found.pools],
        "capacity": capacity(found) if deep else dict(found.breakdown.capacity),
        "fit": fit,
        "command": runtime(found.case.plan.runtime, found.case.plan.task).command(found.case),
        "warnings": list(found.warnings),
    }


def failure(errors: Iterable[RequestError]) -> dict[str, Any]:
    """The answer to a request that cannot be answered."""
    return {"schema": SCHEMA, "errors": [e.as_dict() for e in errors]}


def _request(found: Estimate) -> dict[str, Any]:
    plan, task = found.case.plan, found.case.plan.task
    return {f.name: getattr(plan, f.name) for f in fields(Plan) if task in KNOBS[f.name].tasks}


def _model(found: Estimate) -> dict[str, Any]:
    model = found.case.model
    trainable = found.breakdown.trainable
    return {
        "id": model.id,
        "title": model.title,
        "family": model.family,
        "parameters": model.parameters,
        "active_parameters": model.active_parameters,
        "trainable_parameters": model.parameters if trainable is None else trainable,
        "layers": model.layers,
        "max_length": model.max_length,
        "source": model.source,
    }


def _pool(pool: Pool) -> dict[str, Any]:
    out: dict[str, Any] = {
        "name": pool.name,
        "count": pool.count,
        "items": [_item(i) for i in pool.items],
        "moments": [{"id": id, "label": label, "bytes": pool.bytes_at(id)} for id, label in pool.moments],
        "peak": pool.peak,
        "allocated": pool.allocated,
        "reserved": pool.reserved,
        "device": pool.device,
        "low": pool.low,
        "high": pool.high,
    }
    if pool.place:
        out["place"] = pool.place
    if pool.timeline:
        out["timeline"] = [{"event": e.event, "layer": e.layer, "bytes": e.bytes} for e in pool.timeline]
    return out


def _item(item: Item) -> dict[str, Any]:
    return {
        "component": item.component,
        "label": item.label,
        "bytes": item.bytes,
        "low": item.low,
        "high": item.high,
        "certainty": item.certainty,
        "symbols": item.symbols,
        "substituted": item.substituted,
        "factors": [
            {"name": f.name, "value": f.value, "note": f.note, "meaning": f.meaning, "divides": f.divides} for f in item.factors
        ],
        "why": item.why,
        "source": item.source,
        "code": item.code,
        "moments": list(item.moments),
        "scope": item.scope,
    }
