"""Every line of the catalogue: its fields, its names, its sums and its sources."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import pytest

from gauge.catalog import CONFIG, KIND, device_of

MONTH = re.compile(r"(19|20)\d\d-(0[1-9]|1[0-2])\Z")
INCLUDES = {
    "tied_head",
    "mtp",
    "mtp_dense",
    "mtp_step",
    "mtp_embeddings",
    "causal_masks",
    "fp8_scales",
    "shared_kv",
    "router_bias",
    "rotary_buffers",
    "position_ids",
    "pooler",
    "layer_scalars",
}
MODEL_FIELDS = {
    "id": str,
    "aliases": list,
    "title": str,
    "family": str,
    "organisation": str,
    "released": str,
    "license": str,
    "parameters": int,
    "published_parameters": int,
    "active_parameters": int,
    "published_includes": list,
    "published_rounded": bool,
    "source": str,
    "checked": str,
    "config": dict,
}
DEVICE_FIELDS = {
    "id": str,
    "aliases": list,
    "title": str,
    "vendor": str,
    "kind": str,
    "memory_marketing_gb": (int, float),
    "memory_reported_mib": (int, float),
    "memory_cuda_mib": int,
    "compute_capability": float,
    "multiprocessors": int,
    "gpu_limit_default_mib": int,
    "usable_note": str,
    "bandwidth_gb_s": (int, float),
    "peak_tflops": dict,
    "interconnect": str,
    "released": str,
    "source": str,
}
KINDS = {"gpu", "tpu", "npu", "apple", "cpu", "mobile"}
NEEDED = {
    "models.jsonl": {"id", "aliases", "title", "family", "organisation", "config", "parameters", "source", "checked"},
    "devices.jsonl": {"id", "aliases", "title", "vendor", "kind", "memory_marketing_gb", "source"},
    "instances.jsonl": {"id", "device", "count", "source"},
}


def lines(name: str) -> list[str]:
    return files("gauge.data").joinpath(name).read_text(encoding="utf-8").splitlines()


def entries(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(name)]


MODELS, DEVICES, INSTANCES = entries("models.jsonl"), entries("devices.jsonl"), entries("instances.jsonl")


@pytest.mark.parametrize("name", NEEDED)
def test_every_line_has_what_is_needed_and_no_name_twice(name: str) -> None:
    seen: set[str] = set()
    for entry in entries(name):
        assert NEEDED[name] <= entry.keys(), entry["id"]
        assert entry["source"].strip(), entry["id"]
        for word in (entry["id"], *entry.get("aliases", ())):
            assert word, entry["id"]
            assert word not in seen, word
            seen.add(word)


@pytest.mark.parametrize(("found", "fields"), [(MODELS, MODEL_FIELDS), (DEVICES, DEVICE_FIELDS)], ids=["models", "devices"])
def test_fields_are_known_and_of_their_type(found: list[dict[str, Any]], fields: dict[str, Any]) -> None:
    for entry in found:
        for key, value in entry.items():
            assert key in fields, f"{entry['id']}: {key}"
            assert value is None or isinstance(value, fields[key]), f"{entry['id']}: {key}"
        assert not entry.get("released") or MONTH.match(entry["released"]), entry["id"]


def test_the_config_comes_last_and_names_its_type_first() -> None:
    for line in lines("models.jsonl"):
        front, config, rest = line.partition(CONFIG)
        assert config, front[:80]
        assert KIND.match(rest), front[:80]
        assert isinstance(json.loads(front + "}"), dict)
        assert list(json.loads(line))[-1] == "config"


@pytest.mark.parametrize("entry", MODELS, ids=lambda e: e["id"])
def test_a_model_is_checked_and_its_totals_hang_together(entry: dict[str, Any]) -> None:
    owners = (entry["config"], entry["config"].get("text_config") or {})
    assert any(owner.get("torch_dtype") or owner.get("dtype") for owner in owners)
    assert entry["checked"].split(":")[0] in ("yes", "partly", "no")
    assert set(entry.get("published_includes") or ()) <= INCLUDES
    total, published = entry["parameters"], entry.get("published_parameters")
    assert total > 0
    if published and not entry.get("published_includes") and not entry.get("published_rounded"):
        assert abs(published - total) <= 0.005 * total
    active = entry.get("active_parameters")
    assert active is None or 0 < active <= total * 1.01


@pytest.mark.parametrize("entry", DEVICES, ids=lambda e: e["id"])
def test_a_device_has_memory_that_a_process_can_use(entry: dict[str, Any]) -> None:
    assert entry["kind"] in KINDS
    device = device_of(entry)
    assert 0 < device.usable <= device.reported
    assert device.reported <= entry["memory_marketing_gb"] * 1.1 * 2**30
    if device.unified or entry["vendor"] == "NVIDIA":
        assert device.usable < device.reported
        assert device.usable_why


def test_an_instance_names_a_device_of_the_catalogue() -> None:
    known = {e["id"] for e in DEVICES}
    for entry in INSTANCES:
        assert entry["device"] in known, entry["id"]
        assert entry["count"] >= 1
