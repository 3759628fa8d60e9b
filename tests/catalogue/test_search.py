"""Search: loose spelling finds the right entry first, nonsense finds nothing, and no text does harm."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gauge import catalog
from gauge.errors import RequestError


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("llama 3.1 8b", "meta-llama/Llama-3.1-8B"),
        ("lama 3 8b", "meta-llama/Meta-Llama-3-8B"),
        ("qwen2.5-7B", "Qwen/Qwen2.5-7B"),
        ("gpt oss", "openai/gpt-oss-20b"),
        ("phi4", "microsoft/phi-4"),
        ("mixtral", "mistralai/Mixtral-8x7B-v0.1"),
        ("gemma3 27", "google/gemma-3-27b-pt"),
        ("whisper large", "openai/whisper-large-v3"),
        ("stable difusion xl", "stabilityai/stable-diffusion-xl-base-1.0"),
        ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B"),
    ],
)
def test_models_are_found_by_loose_spelling(text: str, id: str) -> None:
    assert catalog.search(text, 3)[0]["id"] == id


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("h100", "h100-80gb-sxm"),
        ("4090", "rtx-4090"),
        ("m3 max", "apple-m3-max-36gb"),
        ("macbook pro m3 max", "apple-m3-max-36gb"),
        ("mac studio m2 ultra", "apple-m2-ultra-64gb"),
        ("iphone 15", "iphone-15"),
    ],
)
def test_devices_are_found_by_loose_spelling(text: str, id: str) -> None:
    assert catalog.search(text, 3, devices=True)[0]["id"] == id


def test_nonsense_finds_nothing_and_nothing_lists_the_catalogue() -> None:
    assert catalog.search("zzqqxxy") == []
    assert len(catalog.search("", 7)) == 7
    assert catalog.search("llama", 0) == []


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40), st.booleans())
def test_any_text_can_be_searched(text: str, devices: bool) -> None:
    assert len(catalog.search(text, 5, devices)) <= 5


def test_a_search_reads_no_config() -> None:
    catalog.entries.cache_clear()
    catalog.model_index()
    catalog.search("llama")
    assert catalog.entries.cache_info().misses == 0


def test_every_id_and_alias_loads_its_entry() -> None:
    for entry in catalog.model_index():
        for word in (entry["id"], *entry["aliases"]):
            assert catalog.load_model(word)["id"] == entry["id"]


def test_an_unknown_name_comes_with_a_suggestion() -> None:
    with pytest.raises(RequestError) as found:
        catalog.load_model("meta-llama/Llama-3.1-9B")
    assert "Llama-3.1" in found.value.remedy


def test_instances_of_a_device() -> None:
    assert all(e["device"] == "h100-80gb-sxm" for e in catalog.instances("h100-80gb-sxm"))
    assert catalog.instances("h100-80gb-sxm")


@pytest.mark.parametrize("word", ["mac", "macbook", "imac", "phone", "laptop"])
def test_devices_are_found_by_what_they_are(word: str) -> None:
    assert catalog.search(word, 3, devices=True)
