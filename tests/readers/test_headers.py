"""GGUF and safetensors headers: what is read, how little is read, and that no spoiled header does harm."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gauge.api import answer_to
from gauge.catalog import load_model
from gauge.errors import RequestError
from gauge.gguf.tensors import file_tensors
from gauge.readers import files, gguf, gguf_keys, huggingface, safetensors, slices

_spec = importlib.util.spec_from_file_location("headers", Path(__file__).with_name("headers.py"))
assert _spec and _spec.loader
headers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(headers)

MEBIBYTE = 1 << 20
LONG = headers.tokenized(tokens=20_000)


def test_a_gguf_header_gives_types_architecture_and_file_type() -> None:
    data = headers.llama()
    found = gguf.header(headers.Counting(data), len(data))
    changes, told = gguf.fields(found)
    assert changes["quantization"] == "Q8_0"
    assert changes["gguf_types"]["F32"] == 5 * 64
    assert changes["config"]["num_key_value_heads"] == 2
    assert changes["config"]["vocab_size"] == 128
    assert changes["config"]["tie_word_embeddings"] is True
    assert "parameters" in told
    answer = answer_to({"config": changes["config"]})
    assert answer["model"]["parameters"] == found.elements


def test_an_output_matrix_makes_the_head_untied() -> None:
    data = headers.llama(tied=False)
    changes, _ = gguf.fields(gguf.header(headers.Counting(data), len(data)))
    assert changes["config"]["tie_word_embeddings"] is False


def test_only_the_header_of_a_huge_file_is_read() -> None:
    data = headers.llama(hidden=1024, layers=4, inner=4096, vocab=2048)
    file = headers.Counting(data)
    found = gguf.header(file, len(data))
    assert file.taken < 200_000 < found.bytes


def test_long_arrays_are_passed_over() -> None:
    data = headers.llama(tokens=20_000)
    file = headers.Counting(data)
    found = gguf.header(file, len(data))
    assert found.pairs["tokenizer.ggml.tokens"] == 20_000
    assert isinstance(found.pairs["tokenizer.ggml.tokens"], gguf.Length)


TOKENIZERS = {
    "tokens, types and merges": ({"tokens": 128_256, "merges": 280_147}, 400),
    "tokens, scores and types": ({"tokens": 262_144, "scores": True}, 300),
    "all of them": ({"tokens": 151_936, "scores": True, "merges": 151_387}, 450),
    "merges right behind the tokens": ({"tokens": 131_072, "types": False, "merges": 269_443}, 450),
    "long tokens": ({"tokens": 20_000, "merges": 20_000, "longest": 60}, 450),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_long_tokenizer_is_leaped_over(name: str) -> None:
    """Headers of 5 to 20 MiB, as long tokenizers make them, of which some hundred KiB are read; all behind is found."""
    made, most = TOKENIZERS[name]
    data = headers.tokenized(**made)
    file = headers.Counting(data, padded=True)
    found = gguf.header(file, 10**11)
    assert (len(found.tensors), found.pairs["general.file_type"]) == (289, 15)
    assert found.pairs["tokenizer.ggml.tokens"] == made["tokens"]
    assert found.read == file.taken < most * 1024 < len(data) / 4


def test_texts_that_cannot_be_leaped_over_are_walked() -> None:
    """Where tensors do not follow each other without gaps, a leap's result is not believed."""
    data = headers.tokenized(tokens=20_000, gap=64)
    file = headers.Counting(data, padded=True)
    found = gguf.header(file, 10**11)
    assert found.pairs["tokenizer.ggml.merges"] == 1000
    assert found.read == file.taken < 3 * MEBIBYTE


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_spoiled_long_tokenizer_costs_no_more_than_the_allowance(data: st.DataObject) -> None:
    spoil = bytearray(LONG)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(spoil) - 8))
        spoil[at : at + 8] = struct.pack("<Q", data.draw(st.integers(0, 2**64 - 1) | st.integers(0, 300)))
    file = headers.Counting(bytes(spoil), padded=True)
    with contextlib.suppress(RequestError):
        gguf.fields(gguf.header(file, 10**11))
    assert file.taken <= slices.MOST_READ


def test_the_page_reads_no_more_of_a_long_tokenizer() -> None:
    data = headers.tokenized(tokens=128_256, merges=100_000)
    file, held = headers.Counting(data, padded=True), []
    for _ in range(100):
        found = files.answer({"name": "long.gguf", "size": 10**11, "slices": held})
        if "want" not in found:
            break
        start, count = found["want"]["offset"], found["want"]["size"]
        held.append({"offset": start, "data": base64.b64encode(file(start, count)).decode()})
    assert found["changes"]["quantization"] == "Q4_K_M"
    assert file.taken < MEBIBYTE / 2


@pytest.mark.parametrize(("kind", "word"), [(250, "250"), (4, "Q4_2"), (31, "Q4_0_4_4")])
def test_an_unknown_type_is_named(kind: int, word: str) -> None:
    with pytest.raises(RequestError, match=word):
        gguf.header(headers.Counting(headers.gguf({"general.architecture": "llama"}, [("a", (64,), kind)])))


@pytest.mark.parametrize(("kind", "name", "size"), [(40, "NVFP4", 36 * 4), (41, "Q1_0", 18 * 2), (42, "Q2_0", 18 * 4)])
def test_the_newest_types_have_their_blocks(kind: int, name: str, size: int) -> None:
    (tensor,) = gguf.header(headers.Counting(headers.gguf({"general.architecture": "llama"}, [("a", (256,), kind)]))).tensors
    assert (tensor.type, tensor.bytes) == (name, size)


def test_a_tied_head_stored_twice_is_said() -> None:
    config = {
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "vocab_size": 100,
        "tie_word_embeddings": True,
    }
    shapes = {"embed": (100, 64), "head": (100, 64), "attention": (4 * 64, 64), "mlp": (3 * 128, 64), "norms": (3, 64)}
    data = headers.safetensors({name: ("BF16", shape) for name, shape in shapes.items()})
    found = safetensors.header(headers.Counting(data), len(data))
    assert found.types == {"BF16": found.elements}
    changes, told = safetensors.fields(found, config)
    assert changes["dtype"] == "bfloat16"
    assert "second time" in told


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda d: b"GGML" + d[4:], "GGUF"),
        (lambda d: d[:4] + struct.pack("<I", 1) + d[8:], "version"),
        (lambda d: d[:4] + struct.pack(">I", 3) + d[8:], "big-endian"),
        (lambda d: d[:8] + struct.pack("<Q", 1 << 60) + d[16:], "claims"),
        (lambda d: d[:16] + struct.pack("<Q", 1 << 60) + d[24:], "claims"),
        (lambda d: d[:24] + struct.pack("<Q", 1 << 62) + d[32:], "claims"),
        (lambda d: d[:300], "ends before"),
        (lambda d: b"", "ends before"),
        (lambda d: d[:-64], "need"),
    ],
)
def test_spoiled_gguf_headers_are_errors_that_say_why(spoil: Any, word: str) -> None:
    data = spoil(headers.llama())
    with pytest.raises(RequestError, match=word):
        gguf.header(headers.Counting(data), len(data))


def test_overlapping_tensors_are_refused() -> None:
    rows = [("a", (64,), 0), ("b", (64,), 0)]
    data = bytearray(headers.gguf({"general.architecture": "llama"}, rows))
    at = bytes(data).rindex(struct.pack("<Q", 256))
    data[at : at + 8] = struct.pack("<Q", 32)
    with pytest.raises(RequestError, match="inside another"):
        gguf.header(headers.Counting(bytes(data)), len(data))


def test_spoiled_safetensors_headers_are_errors() -> None:
    data = headers.safetensors({"a": ("F32", (4, 4)), "b": ("F32", (4,))})
    for spoiled in (b"", data[:20], b"\xff" * 8 + data[8:], data.replace(b"F32", b"F99"), data.replace(b"[4, 4]", b"[4, 5]")):
        with pytest.raises(RequestError):
            safetensors.header(headers.Counting(spoiled), len(spoiled))


SMALL = headers.llama(tokens=20)
TENSORS = headers.safetensors({"a": ("BF16", (8, 8)), "b": ("F32", (3,)), "c": ("I32", (2, 2, 2))})


@st.composite
def spoiled(draw: st.DrawFn, data: bytes) -> bytes:
    """The file with some bytes changed, some cut out, and possibly truncated."""
    found = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(found)))
        kind = draw(st.sampled_from(["byte", "length", "cut", "end"]))
        if kind == "byte" and at < len(found):
            found[at] = draw(st.integers(0, 255))
        elif kind == "length":
            found[at : at + 8] = struct.pack("<Q", draw(st.integers(0, 2**64 - 1)))
        elif kind == "cut":
            del found[at : at + draw(st.integers(0, 64))]
        else:
            del found[at:]
    return bytes(found)


@settings(max_examples=400, deadline=None)
@given(spoiled(SMALL), st.booleans())
@example(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 0) + struct.pack("<IIQ", 9, 8, 2**63), True)
def test_a_spoiled_gguf_header_is_read_or_refused(data: bytes, sized: bool) -> None:
    file = headers.Counting(data)
    with contextlib.suppress(RequestError):
        gguf.fields(gguf.header(file, len(data) if sized else None))
    assert file.taken <= MEBIBYTE


@settings(max_examples=400, deadline=None)
@given(spoiled(TENSORS), st.booleans())
def test_a_spoiled_safetensors_header_is_read_or_refused(data: bytes, sized: bool) -> None:
    file = headers.Counting(data)
    with contextlib.suppress(RequestError):
        safetensors.fields(safetensors.header(file, len(data) if sized else None))
    assert file.taken <= MEBIBYTE


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["x.gguf", "x.safetensors", "config.json", "x"]))
def test_any_bytes_get_an_answer(data: bytes, name: str) -> None:
    held = [{"offset": 0, "data": base64.b64encode(data).decode()}]
    found = json.loads(files.inspect(json.dumps({"name": name, "size": len(data), "slices": held})))
    assert found["message"] or found["want"]


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)))
def test_any_question_gets_an_answer(question: Any) -> None:
    asked = {"name": "x.gguf", "size": question, "slices": question, "config": question}
    assert json.loads(files.inspect(json.dumps(asked)))
    assert json.loads(files.inspect(json.dumps(question)))


@pytest.mark.parametrize("name", ["model.gguf", "model.safetensors", "config.json"])
def test_the_page_hands_over_slices_until_nothing_more_is_wanted(name: str) -> None:
    config = json.dumps({"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 100, "n_positions": 64})
    data = {"gguf": headers.llama(tokens=30_000), "tensors": TENSORS, "json": config.encode()}[
        name.rpartition(".")[2].replace("safe", "")
    ]
    held: list[dict[str, Any]] = []
    for _ in range(40):
        found = json.loads(files.inspect(json.dumps({"name": name, "size": len(data), "slices": held})))
        if "want" not in found:
            break
        start, count = found["want"]["offset"], found["want"]["size"]
        held.append({"offset": start, "data": base64.b64encode(data[start : start + count]).decode()})
    assert found["changes"], found


ROUND = {
    "meta-llama/Llama-3.1-8B": ("llama", {"rope.freq_base": 500_000}),
    "Qwen/Qwen3-30B-A3B": ("qwen3moe", {}),
    "google/gemma-2-2b": ("gemma2", {}),
    "microsoft/Phi-3-mini-4k-instruct": ("phi3", {}),
    "deepseek-ai/DeepSeek-V2-Lite": ("deepseek2", {}),
    "openai/gpt-oss-20b": ("gpt-oss", {}),
    "state-spaces/mamba-130m-hf": ("mamba", {}),
    "ai21labs/Jamba-v0.1": (
        "jamba",
        {"ssm.conv_kernel": 4, "ssm.state_size": 16, "ssm.time_step_rank": 256, "ssm.inner_size": 8192},
    ),
    "nvidia/Nemotron-H-8B-Base-8K": (
        "nemotron_h",
        {
            "ssm.conv_kernel": 4,
            "ssm.state_size": 128,
            "ssm.group_count": 8,
            "ssm.time_step_rank": 128,
            "ssm.inner_size": 8192,
        },
    ),
    "Qwen/Qwen3-Next-80B-A3B-Instruct": (
        "qwen3next",
        {
            "ssm.conv_kernel": 4,
            "ssm.state_size": 128,
            "ssm.group_count": 16,
            "ssm.time_step_rank": 32,
            "ssm.inner_size": 4096,
        },
    ),
}


@pytest.mark.parametrize("id", ROUND)
def test_a_converted_model_comes_back_with_its_architecture(id: str) -> None:
    """A header written from the architecture, as a converter would, is read as that architecture again."""
    arch, extra = ROUND[id]
    config = load_model(id)["config"]
    model = huggingface.read(config)
    pairs: dict[str, Any] = {"general.architecture": arch} | {f"{arch}.{key}": value for key, value in extra.items()}
    for key, suffix in {**gguf_keys.COMMON, **gguf_keys.ARCHITECTURES[arch].keys}.items():
        if type(config.get(key)) is int:
            pairs.setdefault(f"{arch}.{suffix}", config[key])
    rows = []
    for number, one in enumerate(file_tensors(model)):
        name = f"blk.{one.block}.{one.name}" if one.block >= 0 else one.name
        taken = any(name + ".weight" == row[0] for row in rows)
        rest = one.tensor.elements // one.row
        rows.append((f"{name}.{number}" if taken else f"{name}.weight", (one.row, rest) if rest > 1 else (one.row,), 1))
    data = headers.gguf(pairs, rows, data=False)
    changes, _ = gguf.fields(gguf.header(headers.Counting(data)))
    assert huggingface.read(changes["config"]).parameters == model.parameters
