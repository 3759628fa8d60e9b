"""The command line, as a process."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest

ASK = ["model=gpt2", "task=training", "batch_size=4"]


def run(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gauge", *words]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, encoding="utf-8", check=False)


def test_a_table_by_default() -> None:
    done = run(*ASK)
    assert done.returncode == 0
    assert "GPT-2" in done.stdout and "GiB" in done.stdout and "total" in done.stdout


def test_json_is_the_answer() -> None:
    found = json.loads(run(*ASK, "--json").stdout)
    assert found["request"]["batch_size"] == 4 and found["pools"][0]["name"] == "gpu"


def test_csv_lists_every_item() -> None:
    rows = list(csv.DictReader(io.StringIO(run(*ASK, "--csv").stdout)))
    found = json.loads(run(*ASK, "--json").stdout)
    assert [int(r["bytes"]) for r in rows] == [i["bytes"] for i in found["pools"][0]["items"]]


def test_markdown_has_a_total() -> None:
    assert "| **total** |" in run(*ASK, "--markdown").stdout


def test_batch_answers_in_order_and_survives_bad_lines() -> None:
    lines = ['{"model": "gpt2", "id": 1}', "not json", '{"model": "nobody", "id": 2}', '{"model": "t5-small", "id": 3}']
    done = run("--jsonl", stdin="\n".join(lines) + "\n")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(answers) == 4
    assert [a.get("id") for a in answers] == [1, None, 2, 3]
    assert ["errors" in a for a in answers] == [False, True, True, False]


def test_mistakes_go_to_standard_error_with_status_2() -> None:
    done = run("model=gpt2", "batch_size=none")
    assert done.returncode == 2 and "batch_size" in done.stderr and not done.stdout
    assert run("gpt2").returncode == 2


def test_help_shows_an_example() -> None:
    assert "model=" in run("--help").stdout
    for field in ("sequence_length", "zero_stage", "kv_cache_dtype"):
        assert field in run("--help").stdout


def test_help_of_a_field_lists_its_choices() -> None:
    assert "adamw-8bit" in run("help", "optimizer").stdout
    done = run("help", "optimzer")
    assert done.returncode == 2 and "optimizer" in done.stderr


def test_the_catalogue_is_searched() -> None:
    assert "meta-llama/Llama-3.1-8B" in run("models", "llama", "3.1").stdout
    assert "h100-80gb-sxm" in run("devices", "h100").stdout
    assert run("models", "zzzzqqq").returncode == 2


@pytest.mark.parametrize("how", ["--markdown", "--csv", "--why"])
def test_mistakes_never_go_where_answers_go(how: str) -> None:
    done = run("model=gpt2", "batch_size=none", how)
    assert done.returncode == 2 and not done.stdout and "batch_size" in done.stderr


def test_a_word_given_twice_is_a_mistake() -> None:
    done = run("model=gpt2", "model=t5-small")
    assert done.returncode == 2 and "twice" in done.stderr


def test_why_opens_every_row_to_its_formula() -> None:
    said = run("model=llama-3.1-8b", "sequence_length=32k", "--why").stdout
    assert "layers × batch × tokens × KV heads × head size × bytes" in said
    assert "32 × 1 × 32,768 × 8 × 128 × 2" in said
