"""An estimate as the contract's answer, and as Markdown, CSV and a table for the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from gauge import __version__
from gauge.breakdown import COMPONENTS, Item, Pool
from gauge.errors import RequestError
from gauge.estimation import Estimate
from gauge.fields import SCHEMA
from gauge.fit import capacity, remedies, verdict
from gauge.plan import KNOBS, Plan
from gauge.runtimes import runtime
from gauge.units import format_bytes


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
        "moments": list(item.moments),
        "scope": item.scope,
    }


FRAMEWORK = {"communication.context": "framework"}  # found in use by an engine that does not count it as its own


def _range(pool: dict[str, Any]) -> str:
    """From the lower end, rounded down, to the upper end, rounded up: no total stands outside its range."""
    return f"{format_bytes(pool['low'], rounding='down')} to {format_bytes(pool['high'], rounding='up')}"


def by_component(pool: dict[str, Any]) -> list[tuple[str, int]]:
    """Bytes of each component at a pool's peak, in the fixed order of components."""
    sums: dict[str, int] = {}
    for item in pool["items"]:
        if not item["moments"] or pool["peak"] in item["moments"]:
            kind = FRAMEWORK.get(item["component"], item["component"].partition(".")[0])
            sums[kind] = sums.get(kind, 0) + item["bytes"]
    return [(c, sums[c]) for c in COMPONENTS if c in sums]


def heading(found: dict[str, Any]) -> str:
    """Which model, doing what, by which runtime."""
    model, request = found["model"], found["request"]
    return f"{model['title'] or model['id']}, {request['task']} with {request['runtime']}"


def table(found: dict[str, Any]) -> str:
    """The answer for a terminal."""
    if "errors" in found:
        return "\n".join(f"{e['field']}: {e['message']}; {e['remedy']}" for e in found["errors"])
    lines = [heading(found)]
    for pool in found["pools"]:
        label = next(m["label"] for m in pool["moments"] if m["id"] == pool["peak"])
        lines.append(f"\n{pool_name(pool)} (each of {pool['count']}), at its peak: {label}")
        lines += [f"  {name.replace('_', ' '):<20}{format_bytes(size, rounding='up'):>14}" for name, size in by_component(pool)]
        lines.append(f"  {'total':<20}{format_bytes(pool['device'], rounding='up'):>14}   ({_range(pool)})")
    if found["fit"]:
        lines.append(f"\n{verdict_line(found['fit'])}")
    lines += [f"Note: {w}" for w in found["warnings"]]
    return "\n".join(lines)


def pool_name(pool: dict[str, Any]) -> str:
    """How a pool is called: `gpu`, and which pipeline stages where there are several pools of that name."""
    return f"{pool['name']}, {pool['place']}" if pool.get("place") else str(pool["name"])


def worked(found: dict[str, Any]) -> str:
    """The answer for a terminal, and below it every row of the fullest moment opened to its formula."""
    if "errors" in found:
        return table(found)
    lines = [table(found)]
    for pool in found["pools"]:
        alive = [i for i in pool["items"] if not i["moments"] or pool["peak"] in i["moments"]]
        for item in sorted(alive, key=lambda i: i["bytes"], reverse=True):
            lines.append(f"\n{item['component']}: {item['label']}, {format_bytes(item['bytes'])} ({item['certainty']})")
            lines += [f"  = {text}" for text in (item["symbols"], item["substituted"]) if text]
            lines += [f"  {text}" for text in (item["why"], item["source"] and f"Source: {item['source']}") if text]
    return "\n".join(lines)


def verdict_line(fit: dict[str, Any]) -> str:
    """One line, such as `Fits: 22.41 GiB to spare of 79.64 GiB`."""
    spare = fit["headroom_bytes"]
    room = f"{format_bytes(spare, rounding='down')} to spare"
    words = room if spare >= 0 else f"short by {format_bytes(-spare, rounding='up')}"
    word = {"fits": "Fits", "tight": "Tight", "short": "Too large"}[fit["verdict"]]
    return f"{word}: {words} of {format_bytes(fit['usable_bytes'], rounding='down')}"


def markdown(found: dict[str, Any]) -> str:
    """The answer as a Markdown table."""
    if "errors" in found:
        return "\n".join(f"* **{e['field']}**: {e['message']}; {e['remedy']}" for e in found["errors"])
    lines = [f"**{heading(found)}** (gauge {found['gauge']})"]
    for pool in found["pools"]:
        lines += ["", f"| {pool_name(pool)} | memory |", "| --- | ---: |"]
        lines += [f"| {name.replace('_', ' ')} | {format_bytes(size, rounding='up')} |" for name, size in by_component(pool)]
        lines.append(f"| **total** | **{format_bytes(pool['device'], rounding='up')}** |")
        label = next(m["label"] for m in pool["moments"] if m["id"] == pool["peak"])
        lines += ["", f"Peak: {label}; range {_range(pool)}."]
    if found["fit"]:
        lines += ["", f"**{verdict_line(found['fit'])}**"]
    lines += ["", *(f"* {w}" for w in found["warnings"])] if found["warnings"] else []
    return "\n".join(lines)


def csv_text(found: dict[str, Any]) -> str:
    """Every item as a row of comma-separated values."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if "errors" in found:
        writer.writerow(["field", "message", "remedy"])
        writer.writerows([e["field"], e["message"], e["remedy"]] for e in found["errors"])
        return out.getvalue()
    writer.writerow(["pool", "component", "label", "bytes", "low", "high", "certainty", "symbols", "substituted", "moments"])
    for pool in found.get("pools", ()):
        for i in pool["items"]:
            writer.writerow(
                [
                    pool_name(pool),
                    i["component"],
                    i["label"],
                    i["bytes"],
                    i["low"],
                    i["high"],
                    i["certainty"],
                    i["symbols"],
                    i["substituted"],
                    " ".join(i["moments"]),
                ]
            )
    return out.getvalue()
