"""Answers as plain text: the figures that the page shows, adding up to the total that it shows."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest

import gauge
from gauge.api import answer_to
from gauge.view import breakdown, plain
from gauge.view.figures import NBSP
from gauge.view.reading import Reading
from gauge.view.verdict import TOO_HIGH, sentence, verdict

ASKED: dict[str, dict[str, Any]] = {
    "short": {"model": "llama-3.1-8b", "device": "rtx-4090", "sequence_length": "32k"},
    "fits": {"model": "gpt2", "task": "training", "device": "h100", "batch_size": 3},
    "nowhere": {"model": "t5-small"},
    "reserves": {"model": "llama-2-7b", "runtime": "vllm", "device": "h100", "tensor_parallel": 2},
    "two pools": {"model": "llama-3.1-8b", "runtime": "llama.cpp", "gpu_layers": 10, "device": "rtx-4090"},
    "stages": {"model": "llama-3.1-70b", "runtime": "megatron", "task": "training", "pipeline_parallel": 4},
    "noted": {"model": "gpt2", "optimizer": "sgd"},
}
AMOUNT = r"(-?[\d,]+(?:\.\d+)?) [KMGT]?i?B"


def shown(name: str) -> Reading:
    return plain.read(answer_to(ASKED[name]))


def steps(figure: str) -> int:
    return int(re.sub(r"[,.]", "", figure))


@pytest.mark.parametrize("name", ASKED)
def test_rows_add_up_to_the_total_of_their_pool(name: str) -> None:
    reading = shown(name)
    tables = plain.table(reading).split("\n\n")[1 : 2 + len(reading.others)]
    for table in tables:
        found = [steps(m) for m in re.findall(rf"^  .{{26}} *{AMOUNT}", table, re.M)]
        assert len(found) > 1 and sum(found[:-1]) == found[-1]


@pytest.mark.parametrize("name", ASKED)
def test_total_and_range_are_those_of_the_page(name: str) -> None:
    reading = shown(name)
    page = re.sub("<[^>]+>", "", breakdown.breakdown(reading)).replace(NBSP, " ")
    for form in (plain.table(reading), plain.markdown(reading)):
        (total, *_) = [m[1] for m in re.finditer(rf"Total\W*{AMOUNT}", form)]
        assert re.search(rf"Total[a-z ]*{re.escape(total)} ", page)
        low, high = re.search(rf"([\d,.]+) to {AMOUNT}", form).groups()  # type: ignore[union-attr]
        assert steps(low) <= steps(total) <= steps(high)


@pytest.mark.parametrize("name", ["short", "fits", "reserves"])
def test_the_verdict_is_the_sentence_of_the_page(name: str) -> None:
    reading = shown(name)
    said = sentence(reading).replace(NBSP, " ")
    assert said in plain.table(reading) and f"**{said}**" in plain.markdown(reading)
    assert "NVIDIA" in said


def test_what_would_help_is_told_where_it_is_needed() -> None:
    assert "What would help:" in plain.table(shown("short")) and "fits then" in plain.table(shown("short"))
    assert "What would help:" not in plain.table(shown("fits"))


def test_limits_are_those_of_the_answer() -> None:
    reading = shown("reserves")
    capacity = reading.answer["capacity"]
    told = plain.table(reading)
    assert f"room for a cache of {capacity['kv_pool_tokens']:,} tokens" in told
    assert f"most sequences at once {capacity['max_batch_size']:,}" in told
    assert "Limits" not in plain.table(shown("nowhere"))


def test_a_wide_range_names_the_items_that_make_it() -> None:
    reading = plain.read(answer_to({"model": "llama-2-7b", "task": "training"}, deep=False))
    (told,) = re.findall("Least certain: (.*)", plain.table(reading))
    assert told.startswith("Allocator slack") and "to" in told


def test_every_item_is_a_row_of_the_csv() -> None:
    reading = shown("two pools")
    rows = list(csv.DictReader(io.StringIO(plain.table_of_items(reading))))
    assert [int(r["bytes"]) for r in rows] == [i["bytes"] for p in reading.answer["pools"] for i in p["items"]]
    assert {r["pool"] for r in rows} == {"gpu", "host"}


def test_arithmetic_ends_in_the_bytes_of_its_row() -> None:
    reading = shown("short")
    said = plain.worked(reading)
    for row in reading.rows:
        assert f"= {row.size:,} bytes" in said


def test_remarks_are_printed() -> None:
    assert "Note: Optimizer (optimizer)" in plain.table(shown("noted"))
    assert "* Optimizer (optimizer)" in plain.markdown(shown("noted"))


def test_an_estimate_prints_as_its_table() -> None:
    assert str(gauge.estimate(**ASKED["short"])) == plain.table(shown("short"))


def test_the_devices_of_all_pipeline_stages_are_counted() -> None:
    """Each kind of stage is a pool of its own: the verdict names the devices of all of them, in text and Markdown."""
    request = {"model": "Qwen/Qwen3-0.6B", "task": "training", "runtime": "megatron", "device": "h100-80gb"}
    degrees = {"devices": 32, "tensor_parallel": 2, "pipeline_parallel": 4, "sequence_length": 1024}
    answer = answer_to(request | degrees, deep=False)
    assert len(answer["pools"]) > 1
    reading = plain.read(answer)
    for text in (plain.table(reading), plain.markdown(reading)):
        assert "Fits on 32 × NVIDIA H100" in text


def test_a_share_that_is_too_high_is_called_so() -> None:
    request = {"model": "llama-3.1-8b", "runtime": "vllm", "device": "h100", "sequence_length": 4096}
    for share, high in (("1", True), ("0.9", False)):
        reading = plain.read(answer_to(request | {"gpu_memory_utilization": share}, deep=False))
        assert (TOO_HIGH in plain.table(reading)) is high and (TOO_HIGH in verdict(reading)) is high
