"""llama.cpp's caches, buffers and placement against what its logs print.

Sources: start-up logs of builds b5353 to b11549 on CPUs, published logs of CUDA builds, as named at each test.
"""

from __future__ import annotations

from typing import Any

import pytest

from gauge.api import answer_to
from gauge.runtimes.llamacpp.policies import Policy, policy_of
from gauge.units import MIB

LLAMA, GEMMA, OSS = "meta-llama/Llama-3.1-8B", "google/gemma-3-1b-pt", "openai/gpt-oss-20b"


def ask(model: str, **more: Any) -> dict[str, Any]:
    """The answer to a request on llama.cpp."""
    return answer_to({"model": model, "runtime": "llama.cpp", "quantization": "Q4_K_M"} | more, deep=False)


def mib(answer: dict[str, Any], component: str, pool: str = "host") -> float:
    """MiB of a component in a pool."""
    held = next(p for p in answer["pools"] if p["name"] == pool)
    return sum(i["bytes"] for i in held["items"] if i["component"].startswith(component)) / MIB


def compute(answer: dict[str, Any], pool: str = "host") -> float:
    """MiB of the compute buffer."""
    return mib(answer, "workspace.compute", pool)


# ------------------------------------------------------------------------------------------------ caches
@pytest.mark.parametrize(("slots", "printed"), [(None, 119), (4, 152)])
def test_windowed_cache_of_gemma_3_1b_at_16k(slots: int | None, printed: float) -> None:
    """Unified: 64 + 22 layers × 2,560 cells; a cache each: 64 + 4 × 22 × 1,024."""
    assert mib(ask(GEMMA, sequence_length=16384, devices=0, parallel_slots=slots), "kv_cache") == printed


def test_windowed_cache_of_gpt_oss_at_131k() -> None:
    """3,072 + 54: 2,304 cells for a window of 128 and a micro-batch of 2,048, one slot."""
    found = ask(OSS, sequence_length=131072, ubatch_size=2048, parallel_slots=1, devices=0)
    assert mib(found, "kv_cache") == 3072 + 54


@pytest.mark.parametrize(("version", "printed"), [("b5353", 104), ("b8672", 38), ("b11549", 38)])
def test_windows_had_full_length_in_may_2025(version: str, printed: float) -> None:
    found = ask(GEMMA, sequence_length=4096, parallel_slots=1, devices=0, runtime_version=version)
    assert mib(found, "kv_cache") == printed


@pytest.mark.parametrize("model", ["mistralai/Mistral-7B-v0.1", "microsoft/Phi-3-mini-4k-instruct"])
def test_a_window_in_the_config_alone_makes_no_windowed_cache(model: str) -> None:
    long = mib(ask(model, sequence_length=16384, devices=0), "kv_cache")
    assert long == 4 * mib(ask(model, sequence_length=4096, devices=0), "kv_cache")


@pytest.mark.parametrize(("version", "printed"), [("2025-03", 1080), ("b11549", 121.5)])
def test_latent_cache_of_deepseek_v2_lite_at_4k(version: str, printed: float) -> None:
    found = ask("deepseek-ai/DeepSeek-V2-Lite", sequence_length=4096, devices=0, runtime_version=version)
    assert mib(found, "kv_cache") == printed


def test_contexts_are_padded_and_shared() -> None:
    """1,000 tokens are 1,024 cells; four slots do not multiply a full-length cache."""
    assert mib(ask(LLAMA, sequence_length=1000, devices=0), "kv_cache") == 128
    split = ask(LLAMA, sequence_length=16384, parallel_slots=4, devices=0)
    assert mib(split, "kv_cache") == mib(ask(LLAMA, sequence_length=16384, devices=0), "kv_cache") == 2048


def test_cache_types() -> None:
    """Llama-3.1-8B, 4k, keys in Q8_0 and values in Q4_0: 208 MiB."""
    asked = {"sequence_length": 4096, "kv_cache_dtype": "q8_0", "v_cache_dtype": "q4_0", "devices": 0}
    assert mib(ask(LLAMA, **asked, attention="flash"), "kv_cache") == 208


def test_recurrent_state_of_granite_4_h_micro_is_once_a_slot() -> None:
    """36 layers, 73.79 MiB a slot whatever the context."""
    for slots in (1, 4):
        found = ask("ibm-granite/granite-4.0-h-micro", sequence_length=4096, parallel_slots=slots, devices=0)
        assert mib(found, "recurrent_state") == pytest.approx(73.79 * slots, abs=0.02)


# ------------------------------------------------------------------------------------------------ compute buffers
@pytest.mark.parametrize(
    ("version", "attention", "llama", "gemma"),
    [
        ("b5353", "eager", 280.01, 514.25),
        ("b5353", "flash", 258.50, 514.25),
        ("b8672", "eager", 286.01, 518.75),
        ("b8672", "flash", 262.50, 516.50),
        ("b9538", "eager", 286.01, 63.26),
        ("b9538", "flash", 68.01, 54.27),
        ("b11063", "eager", 286.01, 63.26),
        ("b11549", "eager", 290.01, 63.77),
        ("b11549", "flash", 72.02, 56.78),
    ],
)
def test_compute_buffer_by_build(version: str, attention: str, llama: float, gemma: float) -> None:
    """Server, one slot, 4k, micro-batch 512, CPU."""
    for model, printed in (("meta-llama/Llama-3.2-1B", llama), (GEMMA, gemma)):
        asked = {"sequence_length": 4096, "parallel_slots": 1, "devices": 0, "attention": attention}
        assert compute(ask(model, **asked, runtime_version=version)) == pytest.approx(printed, rel=0.015)


@pytest.mark.parametrize(
    ("model", "asked", "printed"),
    [
        (LLAMA, {"sequence_length": 4096, "attention": "flash"}, 120.01),
        (LLAMA, {"sequence_length": 8192, "attention": "eager"}, 572.01),
        (LLAMA, {"sequence_length": 4096, "attention": "flash", "logits": "all"}, 266.50),
        ("Qwen/Qwen3-4B", {"sequence_length": 8192, "attention": "eager"}, 563.01),
        ("Qwen/Qwen3-30B-A3B", {"sequence_length": 8192, "attention": "eager"}, 558.01),
        ("CohereLabs/c4ai-command-r-v01", {"sequence_length": 16384, "attention": "flash"}, 212.01),
        ("CohereLabs/c4ai-command-r-v01", {"sequence_length": 8192, "attention": "eager"}, 1152.01),
        ("tiiuae/falcon-40b", {"sequence_length": 16384, "attention": "flash"}, 144.01),
    ],
)
def test_compute_buffer_of_release_0_5(model: str, asked: dict[str, Any], printed: float) -> None:
    """One slot, files of true shapes without weights, loaded in its sizes-only mode on a CPU."""
    found = ask(model, **asked, parallel_slots=1, devices=0, runtime_version="v0.5.0")
    assert compute(found) == pytest.approx(printed, rel=0.01)


@pytest.mark.parametrize(
    ("asked", "printed"),
    [
        ({"sequence_length": 4096, "attention": "flash"}, 128.02),
        ({"sequence_length": 8192, "attention": "eager"}, 580.01),
        ({"sequence_length": 4096, "attention": "flash", "logits": "all"}, 294.52),
    ],
)
def test_compute_buffer_of_llama_3_1_8b(asked: dict[str, Any], printed: float) -> None:
    assert compute(ask(LLAMA, **asked, parallel_slots=1, devices=0)) == pytest.approx(printed, abs=0.02)


@pytest.mark.parametrize(
    ("model", "asked", "printed"),
    [
        ("meta-llama/Meta-Llama-3-70B", {"sequence_length": 8192, "attention": "eager"}, 1108.50),
        ("microsoft/Phi-3-mini-4k-instruct", {"sequence_length": 4096, "attention": "eager", "ubatch_size": 256}, 150.0),
        ("Qwen/Qwen3-32B", {"sequence_length": 8192, "attention": "flash", "ubatch_size": 1024}, 633.50),
        ("CohereLabs/c4ai-command-r-v01", {"sequence_length": 4096, "attention": "eager", "devices": 2}, 672.01),
    ],
)
def test_compute_buffer_of_published_cuda_logs(model: str, asked: dict[str, Any], printed: float) -> None:
    found = ask(model, **asked, parallel_slots=1, runtime_version="2025-03")
    assert compute(found, "gpu") == pytest.approx(printed, rel=0.03)


@pytest.mark.parametrize(("ubatch", "context", "hidden_model", "printed"), [(256, 4096, "microsoft/Phi-3-mini-4k-instruct", 7.0)])
def test_input_buffer_in_host_memory(ubatch: int, context: int, hidden_model: str, printed: float) -> None:
    """`CUDA_Host compute buffer`: micro-batch × (context + hidden) × 4 bytes.

    Since build 7445 vectors may be given instead of tokens, since 9538 the mask of fused attention comes in 16 bits.
    """
    asked: dict[str, Any] = {"sequence_length": context, "ubatch_size": ubatch, "parallel_slots": 1}
    assert mib(ask(hidden_model, **asked, runtime_version="2025-03"), "workspace.inputs") == printed
    assert mib(ask(hidden_model, **asked), "workspace.inputs") == printed + 3 - 2


def test_output_buffer_is_a_row_a_slot() -> None:
    assert mib(ask(LLAMA, parallel_slots=1), "workspace.output") == pytest.approx(0.49, abs=0.01)
    assert mib(ask(LLAMA), "workspace.output") == pytest.approx(4 * 0.49, abs=0.01)


# ------------------------------------------------------------------------------------------------ placement
def test_the_embedding_stays_at_home_and_a_tied_one_is_stored_twice() -> None:
    tied = ask("meta-llama/Llama-3.2-1B")
    assert mib(tied, "weights.embedding") == mib(tied, "weights.embedding", "gpu") > 0
    assert mib(ask(LLAMA), "weights.embedding", "gpu") == 0 < mib(ask(LLAMA), "weights.head", "gpu")


def test_no_device_is_one_pool_and_holds_everything() -> None:
    alone = ask(LLAMA, devices=0)
    assert [p["name"] for p in alone["pools"]] == ["host"]
    both = ask(LLAMA)
    assert mib(alone, "weights") == mib(both, "weights") + mib(both, "weights", "gpu")


def test_layers_and_experts_at_home() -> None:
    """Half of the layers: half of the cache. Experts at home: the device needs room to copy the largest in."""
    half = ask(LLAMA, gpu_layers=16, runtime_version="2025-09")
    assert mib(half, "kv_cache") == mib(half, "kv_cache", "gpu")
    assert mib(half, "weights.head") > 0 == mib(half, "weights.head", "gpu")
    newer = ask(LLAMA, gpu_layers=17)  # the output head and sixteen layers
    assert mib(newer, "kv_cache") == mib(newer, "kv_cache", "gpu") and mib(newer, "weights.head") == 0
    moved = ask("Qwen/Qwen3-30B-A3B", cpu_moe_layers=48)
    assert mib(moved, "weights", "gpu") < mib(ask("Qwen/Qwen3-30B-A3B"), "weights", "gpu") / 5
    assert compute(moved, "gpu") > compute(ask("Qwen/Qwen3-30B-A3B"), "gpu")


def test_a_device_without_layers_still_computes_batches() -> None:
    """Qwen3-235B in Q6_K, no layer offloaded, a GPU present: 742 MiB, of which 630 the largest tensor (2025)."""
    asked = {"quantization": "Q6_K", "gpu_layers": 0, "sequence_length": 16384, "attention": "flash"}
    found = ask("Qwen/Qwen3-235B-A22B", **asked, runtime_version="2025-05", parallel_slots=1)
    assert compute(found, "gpu") == pytest.approx(742, abs=0.1)
    assert mib(found, "weights", "gpu") == 0


def test_two_devices_share_the_layers() -> None:
    one, two = ask(LLAMA, parallel_slots=1), ask(LLAMA, devices=2, parallel_slots=1)
    assert mib(one, "weights", "gpu") / 2 <= mib(two, "weights", "gpu") < mib(one, "weights", "gpu") * 0.6
    assert two["pools"][0]["count"] == 2


def test_the_course_of_a_start_ends_at_the_peak() -> None:
    for pool in ask(LLAMA, timeline=True)["pools"]:
        assert max(sum(e["bytes"].values()) for e in pool["timeline"]) == pool["device"]


# ------------------------------------------------------------------------------------------------ requests
def test_quantized_values_need_flash_attention() -> None:
    wrong = ask(LLAMA, kv_cache_dtype="q8_0", attention="eager")
    assert wrong["errors"][0]["field"] == "kv_cache_dtype" and "flash" in wrong["errors"][0]["remedy"]
    assert "errors" not in ask(LLAMA, kv_cache_dtype="q8_0", v_cache_dtype="float16", attention="eager")


def test_latent_attention_has_one_cache_type() -> None:
    wrong = ask("deepseek-ai/DeepSeek-V2-Lite", kv_cache_dtype="q8_0", v_cache_dtype="float16")
    assert wrong["errors"][0]["field"] == "v_cache_dtype"


def test_versions_are_builds_months_years_or_a_fork() -> None:
    assert policy_of("b5353") == Policy(latent=True)
    assert policy_of("2025-03") == Policy()
    assert policy_of("b9294").few_outputs is False and policy_of("b9538").few_outputs is True
    assert policy_of("") == policy_of("b11549") and policy_of("v0.5.0") == policy_of("b11063")
    assert policy_of("ik_llama.cpp 2025").windowed is False and policy_of("2026-05 build").slots == 4


def test_the_command_starts_the_server_so() -> None:
    found = ask(LLAMA, sequence_length=8192, kv_cache_dtype="q8_0", attention="flash", parallel_slots=2, gpu_layers=20)
    assert found["command"] == ("llama-server -m Llama-3.1-8B-Q4_K_M.gguf -c 8192 -ngl 20 -np 2 -ctk q8_0 -ctv q8_0 -fa on")


def test_recurrent_states_bound_how_many_sequences_fit() -> None:
    """One state a sequence, whatever the context: without slots of their own, sequences would be free."""
    request = {"model": "state-spaces/mamba2-2.7b", "runtime": "llama.cpp", "quantization": "Q4_K_M", "device": "rtx-4090"}
    most = answer_to(request | {"sequence_length": 4096})["capacity"]["max_batch_size"]
    assert 100 < most < 200
    states = [
        i for i in answer_to(request | {"batch_size": 64}, deep=False)["pools"][0]["items"] if i["component"] == "recurrent_state"
    ]
    assert sum(i["bytes"] for i in states) == pytest.approx(64 * 163.94 * MIB, rel=1e-3)


def test_no_more_sequences_than_the_library_keeps() -> None:
    found = answer_to({"model": "gpt2", "runtime": "llama.cpp", "batch_size": 257}, deep=False)
    assert found["errors"][0]["field"] == "batch_size" and "256" in found["errors"][0]["remedy"]
