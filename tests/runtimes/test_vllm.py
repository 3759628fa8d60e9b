"""vLLM: pool, groups, stages, sampler, as its start-up logs and its cache code have them."""

from __future__ import annotations

from typing import Any

import pytest

from gauge.api import answer_to
from gauge.memory.engine_weights import block_size
from gauge.memory.paged_cache import Kind, paging
from gauge.memory.stages import shares, stages
from gauge.request import parse
from gauge.runtimes.vllm.profiled import profile
from gauge.runtimes.vllm.settings import Settings
from gauge.units import GIB, MIB

LLAMA = "meta-llama/Llama-3.1-8B"


def ask(**request: Any) -> dict[str, Any]:
    """An answer of the runtime without inverse questions."""
    found = answer_to({"runtime": "vllm", "model": LLAMA, "runtime_version": "0.19.0", **request}, deep=False)
    assert "errors" not in found, found
    return found


def parts(found: dict[str, Any]) -> dict[str, int]:
    """Bytes by component at the peak."""
    (pool,) = found["pools"]
    sums: dict[str, int] = {}
    for item in pool["items"]:
        if not item["moments"] or pool["peak"] in item["moments"]:
            kind = item["component"].partition(".")[0]
            sums[kind] = sums.get(kind, 0) + item["bytes"]
    return sums


def test_pool_is_what_the_share_leaves() -> None:
    """Start-up log on an H100: 14.99 GiB weights, 1.89 GiB peak, 58.11 GiB pool, 476,000 tokens at a share of 0.95."""
    found = ask(
        device="h100-80gb",
        device_memory=85029615043,
        gpu_memory_utilization=0.95,
        max_num_batched_tokens=8192,
        max_num_seqs=1024,
        sequence_length=8192,
    )
    assert parts(found)["weights"] / GIB == pytest.approx(14.99, abs=0.006)
    assert found["capacity"]["kv_pool_bytes"] / GIB == pytest.approx(58.11, abs=0.02)
    assert found["capacity"]["kv_pool_tokens"] == pytest.approx(476_000, rel=5e-4)
    assert found["capacity"]["kv_pool_tokens"] % 16 == 0


def test_pool_and_its_parts_fill_the_share_exactly() -> None:
    found = ask(device_memory="80GiB", gpu_memory_utilization=0.9)
    found_parts = parts(found)
    inside = sum(found_parts[k] for k in ("weights", "activations", "logits", "workspace", "kv_cache", "framework"))
    assert inside == int(80 * GIB * 0.9)
    (pool,) = found["pools"]
    assert pool["allocated"] < pool["reserved"], "the reserve is no need"


def test_eight_bit_cache_doubles_the_tokens() -> None:
    half = ask(device_memory="80GiB", kv_cache_dtype="fp8")["capacity"]["kv_pool_tokens"]
    whole = ask(device_memory="80GiB")["capacity"]["kv_pool_tokens"]
    assert half - 2 * whole in range(0, 32, 16)


def test_groups_of_mixed_layers_are_padded() -> None:
    """Gemma 3 27B: 10 global and 52 local layers make 7 groups of 10; 4B: 5 and 29 make 7 groups of 5."""
    found = paging([Kind("full", 0, 4096, 16)] * 10 + [Kind("window", 1024, 4096, 16)] * 52)
    assert found is not None and (len(found.kinds), found.layers, found.padding) == (7, 10, 8)
    found = paging([Kind("full", 0, 4096, 16)] * 5 + [Kind("window", 1024, 4096, 16)] * 29)
    assert found is not None and (len(found.kinds), found.layers, found.padding) == (7, 5, 1)


def test_attention_blocks_grow_to_hold_a_recurrent_state() -> None:
    found = paging([Kind("full", 0, 65536, 16)] + [Kind("recurrent", 0, 3_000_000, 0)] * 3)
    assert found is not None
    assert found.tokens % 16 == 0 and found.tokens > 16
    assert found.page >= 3_000_000 > found.page - 16 * 4096


def test_left_over_layers_go_before_the_last_stage() -> None:
    assert shares(32, 4) == [8, 8, 8, 8]
    assert shares(34, 4) == [8, 9, 9, 8]
    assert sum(shares(61, 8)) == 61


def test_allocator_keeps_rests_up_to_one_mebibyte() -> None:
    assert block_size(231 * MIB) == 232 * MIB
    assert block_size(12 * MIB + MIB // 2) == 12 * MIB + MIB // 2
    assert block_size(1000) == 1024


def test_sampler_is_not_split_by_tensor_parallelism() -> None:
    one, two = (parts(ask(tensor_parallel=n, max_num_seqs=1024)) for n in (1, 2))
    assert one["logits"] == two["logits"]
    assert two["weights"] < one["weights"]


def test_eager_mode_captures_no_graphs() -> None:
    assert "cuda_graphs" not in parts(ask(enforce_eager=True))
    assert parts(ask())["cuda_graphs"] > 0


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"tensor_parallel": 6}, "tensor_parallel"),
        ({"pipeline_parallel": 99}, "pipeline_parallel"),
        ({"expert_parallel": 4}, "expert_parallel"),
        ({"sparsity": "3:4"}, "sparsity"),
    ],
)
def test_impossible_settings_name_their_field(request_: dict[str, Any], field: str) -> None:
    found = answer_to({"runtime": "vllm", "model": LLAMA, **request_}, deep=False)
    assert [e["field"] for e in found["errors"]] == [field]
    assert found["errors"][0]["remedy"]


def test_a_share_without_a_device_is_remarked() -> None:
    found = ask(gpu_memory_utilization=0.8)
    assert any("gpu_memory_utilization" in w for w in found["warnings"])
    assert "kv_pool_bytes" not in found["capacity"]


def test_command() -> None:
    found = ask(tensor_parallel=2, gpu_memory_utilization=0.8, kv_cache_dtype="fp8", sequence_length="8k")
    assert found["command"] == (
        "vllm serve meta-llama/Llama-3.1-8B --dtype bfloat16 --max-model-len 8192 --kv-cache-dtype fp8 "
        "--tensor-parallel-size 2 --gpu-memory-utilization 0.8"
    )


def test_needs_beyond_the_share_are_short() -> None:
    found = answer_to({"runtime": "vllm", "model": LLAMA, "device_memory": "20GiB", "sequence_length": "128k"})
    assert found["fit"]["verdict"] == "short" and found["fit"]["headroom_bytes"] < 0
    assert 0 < len(found["fit"]["remedies"]) <= 3


# ------------------------------------------------------------------------------------------------ pictures, graphs, drivers
def labelled(found: dict[str, Any], word: str) -> list[dict[str, Any]]:
    """Items of the accelerator whose label has the word."""
    return [i for i in found["pools"][0]["items"] if word in i["label"]]


def test_the_profile_keeps_pictures_and_their_tokens() -> None:
    """Mistral Small 3.1 becomes 55 x 55 tokens of a picture of 1,540 pixels: two of them fit 8,192 tokens."""
    found = ask(model="mistralai/Mistral-Small-3.1-24B-Instruct-2503", device="h100-80gb", max_num_batched_tokens=8192)
    (cached,) = labelled(found, "encoder output")
    (pixels,) = labelled(found, "pictures of the profile")
    assert cached["bytes"] == 2 * 55 * 55 * 5120 * 2
    assert pixels["bytes"] == 2 * 3 * 1540 * 1540 * 2


def test_a_large_picture_goes_through_the_tower_where_the_sampler_is_small() -> None:
    """A picture of 16,384 tokens is more than one step may take, and the tower's pass is the profile's peak on an L4."""
    small = ask(model="Qwen/Qwen2.5-VL-7B-Instruct", device="l4")
    large = ask(model="Qwen/Qwen2.5-VL-7B-Instruct", device="h100-80gb")
    assert not labelled(small, "logits")
    assert labelled(large, "logits")
    (cached,) = labelled(large, "encoder output")
    assert cached["bytes"] == 16_384 * 3584 * 2


def test_split_decoding_reserves_partial_results_on_hopper_only() -> None:
    (reserved,) = labelled(ask(device="h100-80gb"), "partial results")
    assert reserved["bytes"] == 32 * 512 * 32 * 128 * 4
    (half,) = labelled(ask(device="h100-80gb", tensor_parallel=2), "partial results")
    assert 2 * half["bytes"] == reserved["bytes"]
    assert not labelled(ask(device="a100-80gb-sxm"), "partial results")
    assert not labelled(ask(device="h100-80gb", runtime_version="0.10.2"), "partial results")
    assert not labelled(ask(device="h100-80gb", model="google/gemma-3-4b-pt"), "partial results")
    latent = ask(device="h100-80gb", model="deepseek-ai/DeepSeek-V2-Lite")
    assert labelled(latent, "partial results")[0]["bytes"] == 32 * 512 * 16 * 512 * 4


def test_graphs_do_not_grow_with_the_experts_that_a_token_visits() -> None:
    few, many = (ask(device="h100-80gb", model="Qwen/Qwen3-30B-A3B", **{"config.num_experts_per_tok": n}) for n in (2, 8))
    assert parts(few)["cuda_graphs"] == parts(many)["cuda_graphs"]


def test_communicators_are_inside_the_profile_before_0_11() -> None:
    """Pull request 25359 of September 2025 put them in front of it."""
    new = parts(ask(device="h100-80gb", tensor_parallel=2))
    old = parts(ask(device="h100-80gb", tensor_parallel=2, runtime_version="0.10.2"))
    assert new["communication"] > old["communication"]
    assert not labelled(ask(device="h100-80gb"), "communicators")


@pytest.mark.parametrize(
    ("device", "label"),
    [("h100-80gb", "driver's context"), ("mi300x", "HIP context"), ("tpu-v5e", "TPU"), ("gaudi2-96gb", "runtime")],
)
def test_the_context_bears_the_name_of_the_platform(device: str, label: str) -> None:
    (found,) = (i for i in ask(device=device)["pools"][0]["items"] if i["component"] == "communication.context")
    assert label in found["label"]


def test_matrix_workspaces_follow_the_generation() -> None:
    """cuBLAS takes eight buffers of 4 MiB on Hopper, two of 4 MiB and sixteen of 8 KiB elsewhere, none on a TPU."""
    sizes = {d: sum(i["bytes"] for i in labelled(ask(device=d), "cuBLAS")) for d in ("h100-80gb", "a100-80gb-sxm", "tpu-v5e")}
    assert sizes == {"h100-80gb": 32 * MIB, "a100-80gb-sxm": 8_519_680, "tpu-v5e": 0}


def test_stages_that_hand_on_peak_in_the_forward_pass() -> None:
    """Start-up logs of Llama 3.1 8B in stages on H100: 1.05 to 1.10 GiB where no sampler runs."""
    request = {"runtime_version": "0.19.0", "device": "h100-80gb", "max_num_batched_tokens": 8192, "pipeline_parallel": 4}
    case = parse({"runtime": "vllm", "model": LLAMA, **request})
    found = [sum(i.bytes for i in profile(stage, Settings(case))) / GIB for stage in stages(case.model, 4)]
    assert found[0] == pytest.approx(1.05, abs=0.01)
    assert found[1] == found[2] == pytest.approx(1.10, abs=0.011)
    assert found[3] == pytest.approx(1.89, abs=0.01)


def test_latents_of_a_long_context_are_expanded_for_show() -> None:
    """DeepSeek-V2-Lite on an A100: 65,536 tokens x 16 heads x 256 x 2 bytes are more than its sampler with 256 rows."""
    found = ask(model="deepseek-ai/DeepSeek-V2-Lite", device="a100-80gb-sxm", sequence_length=8192, max_num_seqs=128)
    (shown,) = labelled(found, "expanded from latents")
    assert shown["bytes"] == 65_536 * 16 * 256 * 2


@pytest.mark.parametrize(
    ("model", "version", "tokens"),
    [
        ("nvidia/NVIDIA-Nemotron-Nano-9B-v2", "0.10.1", 672),  # issue 24280: states in float16 then
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", "0.19.0", 544),  # start-up log: padding the other page by 1.49 %
        ("Qwen/Qwen3.5-9B", "0.19.0", 528),  # pull request 37467: padding the other page by 0.76 %
        ("ibm-granite/granite-4.0-h-tiny", "0.19.0", 400),  # pull request 25752: a page of 788 kB, 2 kB a token
    ],
)
def test_enlarged_blocks_are_those_of_the_logs(model: str, version: str, tokens: int) -> None:
    found = ask(model=model, device="h200", runtime_version=version)
    assert any(f"enlarged to {tokens:,} tokens" in w.replace(str(tokens), f"{tokens:,}") for w in found["warnings"])


def test_a_model_of_states_alone_counts_whole_sequences() -> None:
    found = ask(model="state-spaces/mamba-2.8b-hf", device="l4", sequence_length=4096)
    assert not any("enlarged" in w for w in found["warnings"])
    assert found["capacity"]["kv_pool_tokens"] % 4096 == 0


def test_gpt_oss_narrows_its_experts_alone() -> None:
    """The repository's safetensors hold 13.76 GB: MXFP4 experts, everything else in bfloat16."""
    found = ask(model="openai/gpt-oss-20b", device="h100-80gb")
    held = [i for i in found["pools"][0]["items"] if i["component"].startswith("weights.") and "rotary" not in i["component"]]
    assert sum(i["bytes"] for i in held) == pytest.approx(13.76e9, rel=0.002)
    assert all("÷" not in i["substituted"] for i in held if "attention" in i["component"] or "bias" in i["label"])


@pytest.mark.parametrize(("device", "gib"), [("h100-80gb", 12.83), ("rtx-4090", 13.72), ("a100-80gb-sxm", 13.72)])
def test_mxfp4_experts_are_filled_up_for_marlin(device: str, gib: float) -> None:
    """Start-up logs of gpt-oss-20b on GPUs without kernels of their own for it: 13.72 GiB, experts of 2,944 x 3,072."""
    found = ask(model="openai/gpt-oss-20b", device=device)
    assert parts(found)["weights"] / GIB == pytest.approx(gib, abs=0.02)


@pytest.mark.parametrize(
    ("settings", "graphs"),
    [
        ({"max_num_seqs": 1024}, 2 * 51),  # 1, 2, 4, by eights below 256, by sixteens up to 512
        ({"max_num_seqs": 256}, 51 + 35),  # whole steps only for as many sequences as may run
        ({"max_num_seqs": 64}, 2 * 11 + 8),  # pieces for twice the sequences: 19 of them, 11 whole
        ({"max_num_seqs": 1024, "runtime_version": "0.11.0"}, 2 * 67),  # by eights all the way
        ({"max_num_seqs": 1024, "runtime_version": "0.10.2"}, 67),  # pieces alone
    ],
)
def test_whole_steps_are_captured_for_sequences_that_may_run(settings: dict[str, Any], graphs: int) -> None:
    assert labelled(ask(device="h100-80gb", **settings), f"{graphs} CUDA graphs")


def test_smaller_pages_hold_more_tokens() -> None:
    """Gemma 4 31B: 50 local layers of 16 KV heads x 256, 10 global ones of 4 x 512, whose blocks then take 32 tokens."""
    found = paging([Kind("window", 1024, 262_144, 16)] * 50 + [Kind("full", 0, 131_072, 16)] * 10)
    assert found is not None
    assert (len(found.kinds), found.layers, found.page, found.tokens) == (6, 10, 262_144, 16)
    assert found.blocks(4096, 8192) == 5 * 256 + 128


def test_windowed_layers_kept_every_token_before_the_hybrid_manager() -> None:
    """Gemma 3 27B has 62 layers and is padded to 70 since the cache is grouped (June 2025)."""
    new, old = (ask(model="google/gemma-3-27b-pt", device="h200", runtime_version=v)["capacity"] for v in ("0.9.2", "0.9.0"))
    assert old["kv_pool_tokens"] / new["kv_pool_tokens"] == pytest.approx(70 / 62, rel=0.001)


@pytest.mark.parametrize(("degree", "inner"), [(1, 2880), (2, 1472), (4, 768)])
def test_split_mxfp4_experts_are_filled_up_to_blocks(degree: int, inner: int) -> None:
    """Two blocks of 32 numbers: 1,440 of 2,880 become 1,472 on Hopper."""
    found = ask(model="openai/gpt-oss-20b", device="h100-80gb", tensor_parallel=degree)
    down = labelled(found, "routed experts, down")[0]
    assert f"{inner:,}" in down["substituted"]


def test_doubly_quantized_scales_are_expanded() -> None:
    once, twice = (parts(ask(quantization=q))["weights"] for q in ("bnb-nf4", "bnb-nf4-double"))
    assert once == twice


@pytest.mark.parametrize("runtime", ["vllm", "sglang", "tensorrt-llm"])
@pytest.mark.parametrize("model", ["microsoft/resnet-50", "stable-diffusion-v1-5/stable-diffusion-v1-5"])
def test_models_of_pictures_alone_are_not_served(runtime: str, model: str) -> None:
    (error,) = answer_to({"runtime": runtime, "model": model}, deep=False)["errors"]
    assert error["field"] == "runtime" and {"runtime": "transformers"} in error["fixes"]


@pytest.mark.parametrize(
    ("settings", "experts", "inner"),
    [
        ({"data_parallel": 2}, 128, 384),  # each expert over all ranks
        ({"tensor_parallel": 2, "data_parallel": 2}, 128, 192),
        ({"data_parallel": 4, "expert_parallel": 4}, 32, 768),  # whole experts
    ],
)
def test_data_parallel_ranks_share_the_experts(settings: dict[str, Any], experts: int, inner: int) -> None:
    """They also gather each other's tokens for them, 16,384 at once."""
    found = ask(model="Qwen/Qwen3-30B-A3B", device="h200", max_num_batched_tokens=8192, **settings)
    (down,) = labelled(found, "routed experts, down")
    assert down["bytes"] == 48 * experts * 2048 * inner * 2
    assert all(i["bytes"] == 16_384 * 8 * 2048 * 2 for i in labelled(found, "expert workspace"))


def test_replicas_of_sglang_hold_every_expert() -> None:
    one, two = (
        ask(model="Qwen/Qwen3-30B-A3B", device="h200", runtime="sglang", runtime_version="", data_parallel=n) for n in (1, 2)
    )
    assert parts(one)["weights"] == parts(two)["weights"]


def test_all_reduce_is_fused_under_tensor_parallelism_alone() -> None:
    alone, staged = (ask(device="h100-80gb", tensor_parallel=2, pipeline_parallel=n) for n in (1, 2))
    assert labelled(alone, "all-reduce workspaces") and not labelled(staged, "all-reduce workspaces")


@pytest.mark.parametrize(
    ("model", "mib"),  # start-up logs, 102 graphs on an H100
    [("google/gemma-2-2b", 727), ("google/gemma-2-27b", 1260), ("microsoft/phi-2", 778), ("meta-llama/Llama-3.1-8B", 932)],
)
def test_every_norm_is_a_kernel_in_every_graph(model: str, mib: int) -> None:
    found = ask(model=model, device="h100-80gb", max_num_seqs=1024, max_num_batched_tokens=8192)
    assert parts(found)["cuda_graphs"] / MIB == pytest.approx(mib, rel=0.015)


@pytest.mark.parametrize(
    ("device", "version", "first"),
    [("t4", "0.9.2", True), ("t4", "0.11.0", False), ("l4", "0.9.2", False), ("l4", "0.7.3", True)],
)
def test_the_first_engine_stayed_on_gpus_before_ampere(device: str, version: str, first: bool) -> None:
    case = parse({"runtime": "vllm", "model": LLAMA, "device": device, "runtime_version": version, "dtype": "float16"})
    assert Settings(case).old is first


@pytest.mark.parametrize("runtime", ["vllm", "sglang"])
@pytest.mark.parametrize(("dtype", "bytes_"), [(None, 576 * 2 + 132), ("fp8", 656 + 132)])
def test_indexed_latents_have_a_layout_of_their_own(runtime: str, dtype: str | None, bytes_: int) -> None:
    """DeepSeek V3.2: index keys are 128 FP8 numbers and a scale; FP8 latents keep four scales and 64 numbers in bfloat16."""
    request = {"model": "deepseek-ai/DeepSeek-V3.2", "runtime": runtime, "device": "h200", "tensor_parallel": 8}
    found = answer_to({**request, "sequence_length": 4096, **({"kv_cache_dtype": dtype} if dtype else {})}, deep=False)
    cache = (i for i in found["pools"][0]["items"] if i["component"] == "kv_cache")
    assert sum(i["bytes"] for i in cache) == 61 * 4096 * bytes_
