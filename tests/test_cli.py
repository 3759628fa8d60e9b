"""The command line, as a process."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.readers import headers

ASK = ["model=gpt2", "task=training", "batch_size=4"]


def run(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gauge", *words]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, encoding="utf-8", check=False)


def test_a_table_by_default() -> None:
    done = run(*ASK)
    assert done.returncode == 0
    assert "GPT-2" in done.stdout and "GiB" in done.stdout and "Total" in done.stdout


def test_json_is_the_answer() -> None:
    found = json.loads(run(*ASK, "--json").stdout)
    assert found["request"]["batch_size"] == 4 and found["pools"][0]["name"] == "gpu"


def test_csv_lists_every_item() -> None:
    rows = list(csv.DictReader(io.StringIO(run(*ASK, "--csv").stdout)))
    found = json.loads(run(*ASK, "--json").stdout)
    assert [int(r["bytes"]) for r in rows] == [i["bytes"] for i in found["pools"][0]["items"]]


def test_markdown_has_a_total() -> None:
    assert "| **Total** |" in run(*ASK, "--markdown").stdout


def test_batch_answers_in_order_and_survives_bad_lines() -> None:
    lines = ['{"model": "gpt2", "id": 1}', "not json", '{"model": "nobody", "id": 2}', '{"model": "t5-small", "id": 3}']
    done = run("--jsonl", stdin="\n".join(lines) + "\n")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(answers) == 4
    assert [a.get("id") for a in answers] == [1, None, 2, 3]
    assert ["errors" in a for a in answers] == [False, True, True, False]


def test_every_line_of_a_batch_has_its_answer() -> None:
    """Also an empty line, one that is no UTF-8, and one behind a byte order mark."""
    lines = [b'{"model": "gpt2", "id": 1}', b"", b"  ", b'{"model": "\xff"}', b'\xef\xbb\xbf{"model": "gpt2", "id": 5}', b"{}"]
    done = subprocess.run([sys.executable, "-m", "gauge", "--jsonl"], input=b"\r\n".join(lines), capture_output=True, check=False)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [a.get("id") for a in answers] == [1, None, None, None, 5, None]
    assert ["errors" in a for a in answers] == [False, True, True, True, False, False]


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


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["--model", "gpt2"], "model=gpt2"),
        (["--model=gpt2"], "model=gpt2"),
        (["--batch-size", "4", "model=gpt2"], "batch_size=4"),
        (["gpt2"], "model=gpt2"),
        (["h100"], "device=h100"),
        (["model=gpt2", "--jsno"], "--json"),
        (["--device"], "device=..."),
    ],
)
def test_other_spellings_of_a_question_are_told_the_right_one(words: list[str], meant: str) -> None:
    done = run(*words)
    assert done.returncode == 2 and f"did you mean {meant}?" in done.stderr and not done.stdout


@pytest.mark.parametrize("words", [["model=gpt2", "--why", "--json"], ["model=gpt2", "--jsonl"]])
def test_two_forms_of_one_answer_are_a_mistake(words: list[str]) -> None:
    done = run(*words)
    assert done.returncode == 2 and "--json" in done.stderr and not done.stdout


CONFIG = '{"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 100, "n_positions": 64}'


@pytest.mark.parametrize("front", ["", "\ufeff"])
def test_a_config_comes_from_a_file_with_or_without_a_byte_order_mark(front: str, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(front + CONFIG, encoding="utf-8")
    from_file, from_text = (run(f"config={given}", "--json") for given in (f"@{file}", front + CONFIG))
    assert json.loads(from_file.stdout)["model"]["layers"] == 2
    assert from_file.stdout == from_text.stdout


def test_a_model_file_on_this_machine_is_asked_about_by_its_header(tmp_path: Path) -> None:
    """Words that were given hold against what the file says."""
    file = tmp_path / "tiny.gguf"
    file.write_bytes(headers.llama())
    done = run(f"config=@{file}", "sequence_length=64", "--json")
    found = json.loads(done.stdout)
    assert found["request"]["runtime"] == "llama.cpp" and found["request"]["gguf_types"] and found["model"]["layers"] == 2
    assert "parameters in" in done.stderr
    assert json.loads(run(f"config=@{file}", "runtime=textbook", "--json").stdout)["request"]["runtime"] == "textbook"
    file.write_bytes(b"GGUF, but broken")
    assert run(f"config=@{file}").returncode == 2


def test_a_config_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "absent", tmp_path, tmp_path / "binary"):
        done = run(f"config=@{path}")
        assert done.returncode == 2 and done.stderr.startswith("config: ") and "cannot be read" in done.stderr


def test_an_empty_config_file_is_no_answer_about_another_model(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(" \n")
    done = run(f"config=@{file}")
    assert done.returncode == 2 and "is empty; give the path" in done.stderr and not done.stdout


def test_a_pipe_gets_utf_8_whatever_the_console_has() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "gauge", "model=gpt2", "--why"]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 0 and "12 × 768" in done.stdout.decode()
