"""A dropped file's header says where each type lies: split over devices and host to the byte."""

from __future__ import annotations

from typing import Any

import pytest

from gauge.api import answer_to
from gauge.readers.gguf_places import packed, place_of, unpacked
from gauge.request import parse
from gauge.runtimes.llamacpp.placement import file_weights

MODELS = ("meta-llama/Llama-3.1-8B", "Qwen/Qwen3-30B-A3B", "google/gemma-2-2b")
SPLITS: tuple[dict[str, Any], ...] = (
    {"devices": 1, "gpu_layers": 10},
    {"devices": 1, "cpu_moe_layers": 20},
    {"pipeline_parallel": 2},
    {"devices": 1},
)


def rows(model: str, file_type: str = "Q4_K_M") -> list[tuple[str, str, int]]:
    """(name, type, elements) of the file that the quantizer would write."""
    case = parse({"model": model, "runtime": "llama.cpp", "quantization": file_type})
    found = []
    for weight in file_weights(case.model, case.plan):
        name = f"blk.{weight.stored.block}.{weight.stored.name}" if weight.stored.block >= 0 else weight.stored.name
        found.append((name + ".weight", weight.format.id, weight.tensor.elements))
    return found


def header(model: str) -> dict[str, int]:
    """What a reader of that file would put into the request."""
    sums: dict[str, int] = {}
    for _, kind, elements in rows(model):
        sums[kind] = sums.get(kind, 0) + elements
    return sums | packed(rows(model))


def weights(**request: Any) -> dict[str, int]:
    found = answer_to({"runtime": "llama.cpp", **request}, deep=False)
    assert "errors" not in found, found
    kinds = ("weights", "framework.repacked")
    return {p["name"]: sum(i["bytes"] for i in p["items"] if i["component"].startswith(kinds)) for p in found["pools"]}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("split", SPLITS, ids=lambda s: ",".join(s))
def test_a_file_by_the_rule_is_split_as_the_rule_says(model: str, split: dict[str, Any]) -> None:
    plain = weights(model=model, quantization="Q4_K_M", **split)
    assert weights(model=model, gguf_types=header(model), **split) == plain


def test_a_file_that_keeps_its_first_blocks_wide_is_split_as_it_is() -> None:
    """Two files with the same sums: wide types in the first blocks, or in the last ones, which are on the device."""
    blocks = 32
    sums = {"Q8_0": 16 * 32_000, "Q4_0": 16 * 32_000}
    first = sums | {"Q8_0@0-15": 32_000, "Q4_0@16-31": 32_000}
    last = sums | {"Q4_0@0-15": 32_000, "Q8_0@16-31": 32_000}
    request = {"model": "meta-llama/Llama-3.1-8B", "config.num_hidden_layers": blocks, "devices": 1, "gpu_layers": 17}
    wide, narrow = weights(gguf_types=last, **request), weights(gguf_types=first, **request)
    assert wide["gpu"] == 16 * 34_000
    assert narrow["gpu"] == 16 * 18_000


def test_places_survive_packing() -> None:
    tensors = [(f"blk.{i}.ffn_down_exps.weight", "Q6_K" if i % 3 else "Q4_K", 512) for i in range(40)]
    tensors += [("token_embd.weight", "Q4_K", 1024), ("output_norm.weight", "F32", 64)]
    back = sorted(unpacked(packed(tensors)))
    assert back == sorted((kind, place_of(name), elements) for name, kind, elements in tensors)
    assert all(len(key) < 120 for key in packed(tensors))


@pytest.mark.parametrize("place", ["Q4_0@5-", "Q4_0@x", "Q4_0@9-3", "Q4_0@", "Q4_0@0-999999999"])
def test_a_place_that_is_none_is_refused(place: str) -> None:
    found = answer_to({"model": "meta-llama/Llama-3.1-8B", "runtime": "llama.cpp", "gguf_types": {place: 32}}, deep=False)
    assert found["errors"][0]["field"] == "gguf_types"
