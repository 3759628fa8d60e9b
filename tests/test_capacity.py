"""Inverse questions on whole requests: verified, monotone, few estimates; remedies that save what they say."""

from __future__ import annotations

from typing import Any

import pytest

from gauge import fit
from gauge.api import answer_to

MOST = 15
CASES: dict[str, dict[str, Any]] = {
    "transformers": {"model": "meta-llama/Llama-3.1-8B", "device": "rtx-4090", "sequence_length": 2048},
    "too large": {"model": "meta-llama/Llama-3.1-70B", "device": "rtx-4090", "sequence_length": 4096, "batch_size": 8},
    "vllm": {"model": "google/gemma-3-27b-pt", "runtime": "vllm", "device": "h100-80gb", "sequence_length": 4096},
    "phone": {"model": "meta-llama/Llama-3.2-1B", "quantization": "int4", "device": "pixel-8"},
    "training": {"model": "Qwen/Qwen3-0.6B", "task": "training", "device": "rtx-4090", "sequence_length": 1024},
    "lora": {"model": "meta-llama/Llama-3.1-8B", "task": "training", "method": "lora", "device": "a100-80gb", "batch_size": 4},
}


def asked(deep: bool = True, **request: Any) -> dict[str, Any]:
    found = answer_to(request, deep)
    assert "errors" not in found, found
    return found


def room(**request: Any) -> int:
    return int(asked(deep=False, **request)["fit"]["headroom_bytes"])


@pytest.mark.parametrize("name", CASES)
def test_the_largest_batch_fits_and_a_larger_one_does_not(name: str) -> None:
    most = asked(**CASES[name])["capacity"]["max_batch_size"]
    assert most == 0 or room(**{**CASES[name], "batch_size": most}) >= 0
    if most < fit.MOST_BATCH:
        assert room(**{**CASES[name], "batch_size": most + max(1, most // 16)}) < 0


@pytest.mark.parametrize("name", CASES)
def test_a_question_takes_few_estimates(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    plain_room, plain_largest, plain_fewest = fit._room, fit.largest, fit.min_devices

    def counted(*args: Any, **changes: Any) -> int | None:
        counts[-1:] = [counts[-1] + 1] if counts else [1]
        return plain_room(*args, **changes)

    def question(*args: Any) -> int:
        counts.append(0)
        return plain_largest(*args)

    def fewest(*args: Any) -> int | None:
        counts.append(0)
        return plain_fewest(*args)

    monkeypatch.setattr(fit, "_room", counted)
    monkeypatch.setattr(fit, "min_devices", fewest)
    monkeypatch.setattr(fit, "largest", question)
    asked(**CASES[name])
    assert counts
    assert max(counts) <= MOST


@pytest.mark.parametrize("name", ["transformers", "vllm", "training"])
def test_more_memory_never_holds_less(name: str) -> None:
    case = {k: v for k, v in CASES[name].items() if k != "device"}
    sizes = [asked(**case, device_memory=f"{n}GiB")["capacity"]["max_batch_size"] for n in (24, 48, 96, 192)]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("name", CASES)
def test_remedies_are_few_and_save_what_they_say(name: str) -> None:
    found = asked(**CASES[name])["fit"]
    assert found["verdict"] in ("fits", "tight", "short")
    assert (found["headroom_bytes"] < 0) == (found["verdict"] == "short")
    assert len(found["remedies"]) <= fit.MOST_REMEDIES
    saved = [r["saves_bytes"] for r in found["remedies"]]
    assert saved == sorted(saved, reverse=True)
    for remedy in found["remedies"]:
        after = room(**{**CASES[name], **remedy["changes"]})
        assert after - found["headroom_bytes"] == remedy["saves_bytes"] > 0
        assert remedy["cost"]
        fits = "more room" if found["headroom_bytes"] >= 0 else "fits then" if after >= 0 else "still short"
        assert remedy["text"].endswith(f"; {fits}")


def test_without_a_device_nothing_is_judged() -> None:
    assert "fit" not in (found := asked(model="Qwen/Qwen3-0.6B")) or found["fit"] is None


@pytest.mark.parametrize(
    ("model", "runtime", "most"),
    [
        ("Qwen/Qwen2.5-72B", "transformers", 4),
        ("Qwen/Qwen2.5-VL-32B-Instruct", "vllm", 2),
        ("tiiuae/falcon-7b", "sglang", 2),
        ("tiiuae/falcon-40b", "tensorrt-llm", 4),
        ("Qwen/Qwen2.5-72B", "llama.cpp", 4),
    ],
)
def test_the_fewest_devices_hold_it_and_half_of_them_do_not(model: str, runtime: str, most: int) -> None:
    device = "rtx-3090" if model.endswith("7b") and runtime == "sglang" else "h100-80gb"
    fewest = asked(model=model, runtime=runtime, device=device, sequence_length=2048)["capacity"]["min_devices"]
    assert 1 <= fewest <= most
    assert fewest & (fewest - 1) == 0


def test_heads_that_no_degree_divides_spread_by_stages() -> None:
    """Falcon 7B has 71 heads: two GPUs of 12 GB hold it as two stages."""
    found = asked(model="tiiuae/falcon-7b", runtime="vllm", device="rtx-4070", sequence_length=2048, dtype="float16")
    assert found["fit"]["verdict"] == "short"
    assert found["capacity"]["min_devices"] == 2
    assert not any("tensor_parallel" in r["changes"] for r in found["fit"]["remedies"])


def test_layers_spread_over_devices_by_transformers() -> None:
    found = asked(model="Qwen/Qwen2.5-72B", device="h100-80gb", sequence_length=2048)
    fewest = found["capacity"]["min_devices"]
    assert fewest == 2
    assert room(model="Qwen/Qwen2.5-72B", device="h100-80gb", sequence_length=2048, devices=fewest) >= 0


def test_a_trainer_spreads_a_model_through_fsdp() -> None:
    """Full fine-tuning of 8 billion parameters needs several 80 GB devices; replicas alone would never do."""
    plan = {"model": "llama3-8b", "task": "training", "sequence_length": 1024, "gradient_checkpointing": "full"}
    answer = answer_to(plan | {"device": "h100-80gb", "method": "full"})
    assert answer["fit"]["verdict"] == "short"
    few = answer["capacity"]["min_devices"]
    spread = plan | {"runtime": "fsdp", "device": "h100-80gb"}
    assert few > 1 and few & (few - 1) == 0
    assert answer_to(spread | {"data_parallel": few}, deep=False)["fit"]["headroom_bytes"] >= 0
    assert answer_to(spread | {"data_parallel": few // 2}, deep=False)["fit"]["headroom_bytes"] < 0
    assert answer_to(plan | {"device": "h100-80gb", "method": "lora"})["capacity"]["min_devices"] == 1


def test_a_vision_language_model_spreads_over_devices_too() -> None:
    found = asked(model="Qwen/Qwen2.5-VL-72B-Instruct", device="h100-80gb", sequence_length=2048)
    assert found["capacity"]["min_devices"] == 2


def test_layers_spread_over_any_number_of_devices() -> None:
    """Three devices hold it, as the verdict says, and two do not; no degree has to be set for that."""
    case = {"model": "Qwen/Qwen3-30B-A3B", "runtime": "llama.cpp", "device": "rtx-4090", "sequence_length": 32_768}
    found = asked(**case, devices=3)
    assert found["fit"]["verdict"] == "fits" and room(**case, devices=2) < 0
    assert found["capacity"]["min_devices"] == asked(**case)["capacity"]["min_devices"] == 3
    assert not any("degrees" in warning for warning in found["warnings"])


def test_the_fewest_devices_are_no_more_than_those_that_fit() -> None:
    """Degrees that were asked for are kept: fewer data-parallel ranks of them, down to one."""
    degrees = {"runtime": "megatron", "tensor_parallel": 2, "pipeline_parallel": 3, "devices": 24}
    found = asked(model="Qwen/Qwen3-0.6B", task="training", device="h100-80gb", sequence_length=1024, deep=True, **degrees)
    assert found["fit"]["verdict"] != "short" and found["capacity"]["min_devices"] <= 24


def offered(**request: Any) -> dict[str, dict[str, Any]]:
    """Changes of each remedy by its label."""
    return {r["label"]: r["changes"] for r in asked(**request)["fit"]["remedies"]}


def test_idle_devices_are_offered_before_more_of_them() -> None:
    found = asked(model="deepseek-ai/DeepSeek-V3", runtime="vllm", device="h200-141gb", devices=8)["fit"]["remedies"]
    assert (found[0]["label"], found[0]["changes"]) == ("tensor parallel 8 on these 8", {"tensor_parallel": 8})
    assert found[0]["text"].endswith("fits then")


def test_a_trainer_is_offered_sharding_and_degrees_on_its_own_devices() -> None:
    case = {"task": "training", "device": "h100-80gb", "model": "meta-llama/Llama-3.1-8B", "sequence_length": 2048, "devices": 8}
    assert offered(**case)["sharding with FSDP"] == {"runtime": "fsdp", "zero_stage": 3}
    megatron = offered(**case, runtime="megatron")
    assert megatron["distributed optimizer"] == {"zero_stage": 1}
    assert megatron["tensor parallel 2 on these 8"] == {"tensor_parallel": 2, "data_parallel": 4}
    assert asked(**case, runtime="megatron", tensor_parallel=2, data_parallel=4)["request"]["devices"] == 8


def test_full_checkpointing_is_offered_where_the_runtime_recomputes_a_part() -> None:
    case = {"model": "meta-llama/Llama-3.1-8B", "task": "training", "runtime": "torchtitan", "device": "rtx-4090", "devices": 8}
    assert asked(deep=False, **case)["request"]["gradient_checkpointing"] == "selective"
    assert offered(**case, sequence_length=8192)["full checkpointing"] == {"gradient_checkpointing": "full"}


def test_another_share_is_offered_where_the_share_is_what_is_short() -> None:
    case = {"model": "meta-llama/Llama-3.1-70B", "runtime": "vllm", "device": "h100-80gb", "tensor_parallel": 2}
    for share, words in ((0.9, "left to others"), (0.99, "too high")):
        found = asked(**case, sequence_length=8192, gpu_memory_utilization=share)["fit"]
        (other,) = [r for r in found["remedies"] if "gpu_memory_utilization" in r["changes"]]
        assert found["verdict"] == "short" and other["text"].endswith("fits then") and words in other["cost"]
        assert (other["changes"]["gpu_memory_utilization"] > share) is (share < 0.92)
        assert room(**case, sequence_length=8192, **other["changes"]) >= 0


def test_the_longest_context_does_not_depend_on_the_length_asked_for() -> None:
    """llama.cpp's cache comes in 256 tokens: all of the last block counts."""
    case = {"model": "meta-llama/Llama-3.1-8B", "runtime": "llama.cpp", "quantization": "Q8_0", "device": "rtx-3090"}
    (most,) = {asked(**case, sequence_length=n)["capacity"]["max_sequence_length"] for n in (1000, 4096, 49_662, 49_664)}
    assert most % 256 == 0 and room(**case, sequence_length=most) >= 0 > room(**case, sequence_length=most + 1)
