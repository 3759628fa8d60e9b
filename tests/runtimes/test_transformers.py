"""transformers inference: logits by release, quantized weights, sparsity, hosts and several devices."""

from __future__ import annotations

from typing import Any

import pytest

from gauge.api import answer_to

LLAMA = "meta-llama/Llama-3.1-8B"
VOCAB = 128_256


def pool(**request: Any) -> dict[str, Any]:
    """The only pool of an answer."""
    found = answer_to({"model": LLAMA, **request}, deep=False)
    assert "errors" not in found, found
    (only,) = found["pools"]
    return dict(only)


def total(found: dict[str, Any], component: str) -> int:
    """Bytes of a component at its largest moment."""
    chosen = [i for i in found["items"] if i["component"].partition(".")[0] == component]
    moments = {m for i in chosen for m in i["moments"]} or {""}
    return max(sum(i["bytes"] for i in chosen if not i["moments"] or m in i["moments"]) for m in moments)


def test_old_releases_keep_logits_of_the_whole_prompt() -> None:
    """Before 4.45 every position had logits, in 16 bits and once more in float32: 6 bytes a vocabulary entry."""
    old = total(pool(runtime_version="4.38.2", sequence_length=2048), "logits")
    assert old == 6 * 2048 * VOCAB
    assert total(pool(sequence_length=2048, logits="all"), "logits") == 2 * 2048 * VOCAB


def test_sparsity_two_of_four() -> None:
    dense, sparse = (total(pool(sparsity=s), "weights") for s in ("none", "2:4"))
    pruned = 6_979_321_856  # weights of all linear layers in the blocks
    assert dense - sparse == pruned * 2 - (pruned + pruned // 8)


def test_sparsity_as_a_share_costs_indices() -> None:
    assert total(pool(sparsity="0.5"), "weights") > total(pool(), "weights")
    assert total(pool(sparsity="0.9"), "weights") < total(pool(), "weights")


@pytest.mark.parametrize("scheme", ["fp8", "int8", "bnb-nf4", "gptq-int4-g128", "awq-int4-g128"])
def test_embeddings_and_head_stay_dense(scheme: str) -> None:
    found = pool(quantization=scheme)
    sizes = {i["label"]: i["bytes"] for i in found["items"]}
    assert sizes["token embedding"] == sizes["output head"] == VOCAB * 4096 * 2


def test_layers_over_two_devices() -> None:
    one, two = pool(devices=1), pool(devices=2)
    assert total(two, "weights") < 0.6 * total(one, "weights")
    assert total(two, "kv_cache") * 2 == total(one, "kv_cache")


def test_a_phone_has_a_host_pool_without_a_driver() -> None:
    found = pool(model="meta-llama/Llama-3.2-1B", quantization="int4", device="pixel-8")
    assert found["name"] == "host"
    assert not any(i["component"] == "framework.context" for i in found["items"])


def cached(**request: object) -> int:
    """Bytes of the cache at the last token."""
    found = answer_to({"runtime": "transformers", "sequence_length": 4096, **request}, deep=False)
    (pool,) = found["pools"]
    return sum(i["bytes"] for i in pool["items"] if i["component"] == "kv_cache" and "decode" in i["moments"])


def test_falcon_40b_caches_the_keys_that_it_copied_to_all_heads() -> None:
    """modeling_falcon.py broadcasts keys to 128 heads before the cache is updated; Falcon 7B has one head of its own."""
    assert cached(model="tiiuae/falcon-40b") == 60 * 2 * 4096 * 128 * 64 * 2
    assert cached(model="tiiuae/falcon-7b") == 32 * 2 * 4096 * 64 * 2


def test_a_picture_is_cached_by_cross_attention() -> None:
    """Llama 3.2 11B Vision: eight layers attend to four tiles of 1,601 patches."""
    model = "meta-llama/Llama-3.2-11B-Vision-Instruct"
    assert cached(model=model, image_size=560) - cached(model=model) == 8 * 2 * 4 * 1601 * 8 * 128 * 2


def test_a_prompt_inside_the_window_makes_layers_look_alike() -> None:
    """Gemma 3's windowed and full layers cache the same while a prompt of one token passes, but not at the end."""
    assert cached(model="google/gemma-3-27b-pt", prompt_length=1) == cached(model="google/gemma-3-27b-pt")


@pytest.mark.parametrize("prompt", [1, 16, 100, 4096])
def test_buffers_that_are_empty_at_one_length_and_not_at_another_are_counted(prompt: int) -> None:
    """DeepSeek V4's compressors fold tokens by fours and by 128s: what is left over depends on the length."""
    for tokens in (prompt, 4096, 4097):
        found = pool(model="deepseek-ai/DeepSeek-V4-Flash", sequence_length=tokens, prompt_length=min(prompt, tokens))
        held = [i for i in found["items"] if i["component"] == "kv_cache" and "buffer" in i["label"]]
        assert all(i["bytes"] for i in held) and bool(held) == bool(tokens % 128)
