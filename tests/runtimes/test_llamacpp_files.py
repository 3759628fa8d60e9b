"""GGUF files by the rule against files that were published, and the rule's own corners.

Sources: file sizes on model pages and in llama.cpp start-up logs; ggml-org/llama.cpp quantizer of 2026 (v0.5.0).
"""

from __future__ import annotations

from typing import Any

import pytest

from gauge.api import answer_to, estimate
from gauge.gguf.file_types import Place, Traits, fitting, more, stored_types, traits_of
from gauge.gguf.tensors import file_tensors
from gauge.units import GIB, MIB

GB = 10**9


def file_bytes(model: str, file_type: str, **more: Any) -> int:
    """Bytes of a file's tensors, as the host holds them without a device."""
    request = {"model": model, "runtime": "llama.cpp", "quantization": file_type, "devices": 0} | more
    return sum(i.bytes for i in estimate(**request).main.items if i.kind == "weights")


@pytest.mark.parametrize(
    ("model", "file_type", "published"),
    [
        ("meta-llama/Llama-3.1-8B", "Q4_K_M", 4.58 * GIB),
        ("meta-llama/Llama-3.1-8B", "Q5_K_M", 5.33 * GIB),
        ("meta-llama/Llama-3.1-8B", "Q6_K", 6.14 * GIB),
        ("meta-llama/Llama-3.1-8B", "Q8_0", 7.95 * GIB),
        ("meta-llama/Llama-3.1-8B", "Q4_0", 4437.80 * MIB),
        ("meta-llama/Llama-2-7b-hf", "Q4_0", 3.56 * GIB),
        ("meta-llama/Llama-2-7b-hf", "Q4_K_M", 3.80 * GIB),
        ("meta-llama/Llama-2-7b-hf", "Q8_0", 6.67 * GIB),
        ("Qwen/Qwen2.5-7B", "Q4_K_M", 4.36 * GIB),
        ("Qwen/Qwen2.5-32B", "Q4_K_M", 19.85 * GB),
        ("Qwen/Qwen2.5-72B", "Q4_K_M", 47.42 * GB),
        ("Qwen/Qwen3-4B", "Q4_K_M", 2.32 * GIB),
        ("Qwen/Qwen3-8B", "Q4_K_M", 4.68 * GIB),
        ("google/gemma-2-2b", "Q4_K_M", 1623.67 * MIB),
        ("openai/gpt-oss-20b", "MXFP4_MOE", 11.27 * GIB),
        ("mistralai/Mixtral-8x7B-v0.1", "Q6_K", 35.74 * GIB),
        ("mistralai/Mixtral-8x7B-v0.1", "Q8_0", 46.22 * GIB),
    ],
)
def test_the_rule_against_known_files(model: str, file_type: str, published: float) -> None:
    assert file_bytes(model, file_type) == pytest.approx(published, rel=0.005)


@pytest.mark.parametrize(("version", "published"), [("2025", 2281.66), ("b11549", 2285.03)])
def test_phi_3_mini_before_and_after_the_rewrite_of_the_quantizer(version: str, published: float) -> None:
    found = file_bytes("microsoft/Phi-3-mini-4k-instruct", "Q4_K_M", runtime_version=version)
    assert found / MIB == pytest.approx(published, abs=0.01)


@pytest.mark.parametrize(("version", "gigabytes"), [("2025-03", 10.360), ("b11549", 10.364)])
def test_deepseek_v2_lite_with_joined_and_with_parted_projections(version: str, gigabytes: float) -> None:
    found = file_bytes("deepseek-ai/DeepSeek-V2-Lite", "Q4_K_M", runtime_version=version)
    assert found / GB == pytest.approx(gigabytes, abs=0.0006)


def test_mixtral_files_of_december_2023_were_smaller_and_it_is_said() -> None:
    request = {"model": "mistralai/Mixtral-8x7B-v0.1", "runtime": "llama.cpp", "quantization": "Q4_K_M", "devices": 0}
    assert file_bytes(request["model"], "Q4_K_M") / GIB == pytest.approx(26.49, abs=0.005)
    assert any("before 2024" in w for w in answer_to(request, deep=False)["warnings"])


def test_more_bits_for_32_layers() -> None:
    """Layers 0-3, 6, 9, ... 27, 28-31: sixteen of them."""
    chosen = [i for i in range(32) if more(Place(i, 32, Traits(32)))]
    assert chosen == [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]


@pytest.mark.parametrize(
    ("type", "row", "stored"),
    [
        ("Q4_K", 4096, "Q4_K"),
        ("Q4_K", 896, "Q5_0"),
        ("Q5_K", 896, "Q5_1"),
        ("Q6_K", 896, "Q8_0"),
        ("Q2_K", 896, "Q4_0"),
        ("IQ3_S", 896, "IQ4_NL"),
        ("Q4_K", 48, "F16"),
        ("Q8_0", 48, "F16"),
    ],
)
def test_rows_that_blocks_do_not_divide(type: str, row: int, stored: str) -> None:
    assert fitting(type, row) == stored


def types(model: str, file_type: str) -> dict[tuple[str, int], str]:
    """(name, block) → type of every tensor that the rule decides."""
    from gauge.catalog import load_model
    from gauge.readers import huggingface

    read = huggingface.read(load_model(model)["config"])
    found = stored_types(file_tensors(read), file_type, traits_of(read))
    return {(s.name, s.block): f.id for s, f in found if s.matrix}


def test_falcon_keeps_its_head_in_8_bits_and_its_own_column() -> None:
    found = types("tiiuae/falcon-7b", "Q4_K_M")
    assert found["token_embd", -1] == "Q8_0"  # tied: the embedding is the head
    assert found["attn_output", 0] == "Q8_0" or found["attn_output", 0] == "Q5_0"  # rows of 4,544


def test_seventy_billion_layers_get_more_for_their_values() -> None:
    assert types("meta-llama/Llama-3.1-70B", "Q4_K_S")["attn_v", 40] == "Q5_K"
    assert types("meta-llama/Llama-3.1-8B", "Q4_K_S")["attn_v", 10] == "Q4_K"


def test_eight_experts_keep_keys_and_values_in_8_bits() -> None:
    found = types("mistralai/Mixtral-8x7B-v0.1", "Q4_K_M")
    assert (found["attn_v", 5], found["attn_k", 5], found["attn_output", 5]) == ("Q8_0", "Q8_0", "Q5_K")
    low = types("mistralai/Mixtral-8x7B-v0.1", "IQ2_XXS")
    assert (low["attn_v", 5], low["attn_k", 5], low["attn_output", 5]) == ("Q4_K", "Q4_K", "Q5_K")


def test_blocks_of_an_encoder_decoder_are_visited_in_the_order_of_their_names() -> None:
    from gauge.catalog import load_model
    from gauge.readers import huggingface

    model = huggingface.read(load_model("google-t5/t5-3b")["config"])
    visited = list(dict.fromkeys((s.part, s.block) for s in file_tensors(model) if s.block >= 0))
    assert visited[:4] == [("dec", 0), ("dec", 1), ("dec", 10), ("dec", 11)]
    assert visited[24][0] == "enc"


def test_llama_3_files_hold_their_rotary_frequencies() -> None:
    """An 8B has 64 numbers more than the checkpoint."""
    request = {"model": "meta-llama/Llama-3.1-8B", "config.rope_scaling": {"rope_type": "llama3", "factor": 8.0}}
    found = estimate(**request, runtime="llama.cpp", quantization="F32", devices=0)
    stored = sum(i.bytes for i in found.main.items if i.kind == "weights") // 4
    assert stored == found.case.model.parameters + 64


def test_a_header_is_counted_as_it_is() -> None:
    types = {"F32": 266_240, "Q4_K": 1_000_000_000 // 256 * 256, "Q6_K": 25_600}
    found = answer_to({"model": "meta-llama/Llama-3.1-8B", "runtime": "llama.cpp", "gguf_types": types, "devices": 0}, deep=False)
    weights = sum(i["bytes"] for i in found["pools"][0]["items"] if i["component"].startswith("weights"))
    assert weights == 266_240 * 4 + types["Q4_K"] // 256 * 144 + 100 * 210


def test_a_header_that_is_not_of_the_model_is_remarked() -> None:
    request = {"model": "Qwen/Qwen3-0.6B", "runtime": "llama.cpp", "devices": 0}
    whole = {"F32": 65_536, "F16": 595_984_384}
    assert not any("header" in w for w in answer_to(request | {"gguf_types": whole}, deep=False)["warnings"])
    for types in ({"F16": 2 * 595_984_384}, {"Q8_0": 256_000}):
        assert any("header" in w for w in answer_to(request | {"gguf_types": types}, deep=False)["warnings"])


def test_no_awq_files() -> None:
    found = answer_to({"model": "gpt2", "runtime": "llama.cpp", "quantization": "awq-int4-g128"}, deep=False)
    assert found["errors"][0]["field"] == "quantization" and "Q4_K_M" in found["errors"][0]["remedy"]


GPT_OSS_HEADER = 13_008_224  # the published MXFP4 file of 12,109,566,560 bytes less its tensors, 12,096,558,336


def test_experts_of_gpt_oss_stay_as_they_were_released() -> None:
    """Published Q4_K_M of the 20B: 11,624,759,488 bytes. Keys and paddings of a header differ by some bytes."""
    assert file_bytes("openai/gpt-oss-20b", "Q4_K_M") == pytest.approx(11_624_759_488 - GPT_OSS_HEADER, abs=4096)
    assert file_bytes("openai/gpt-oss-20b", "MXFP4_MOE") == 12_096_558_336


def test_gpt_oss_without_a_file_type_is_the_released_file() -> None:
    asked = {"model": "openai/gpt-oss-20b", "runtime": "llama.cpp", "devices": 0}
    found = estimate(**asked)
    assert found.case.plan.quantization == "MXFP4_MOE"
    assert sum(i.bytes for i in found.main.items if i.kind == "weights") == 12_096_558_336
    assert any("No file type was chosen" in w for w in found.warnings)
    assert not any("No file type" in w for w in estimate(**asked, quantization="Q8_0").warnings)


def test_experts_of_16_bits_follow_the_file_type() -> None:
    from gauge.catalog import load_model

    config = {k: v for k, v in load_model("openai/gpt-oss-20b")["config"].items() if k != "quantization_config"}
    assert file_bytes("gpt-oss", "Q4_K_S", config=config) == 14_641_234_176
    assert estimate(model="gpt-oss", config=config, runtime="llama.cpp").case.plan.quantization == "none"


def test_why_a_weight_is_held_is_true_of_routed_experts() -> None:
    found = estimate(model="qwen3-30b-a3b", runtime="vllm").main.items
    assert any("whether a token passes through it or not" in i.why for i in found)
