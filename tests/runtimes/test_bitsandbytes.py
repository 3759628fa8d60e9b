"""LitGPT's table of quantized Falcon 7B (October 2023, A100): reserved memory in GB; its plugin narrows the head too."""

from __future__ import annotations

import pytest

from gauge.api import answer_to

ROWS = (("none", 14.51), ("bnb-nf4", 5.72), ("bnb-int8", 8.71))


def pool(quantization: str, version: str = "lit-gpt 2023-10") -> dict[str, object]:
    request = {
        "model": "tiiuae/falcon-7b",
        "config.tie_word_embeddings": False,
        "runtime": "transformers",
        "runtime_version": version,
        "quantization": quantization,
        "prompt_length": 16,
        "sequence_length": 272,
    }
    found: dict[str, object] = answer_to(request, deep=False)["pools"][0]
    return found


@pytest.mark.parametrize(("quantization", "stated"), ROWS)
def test_the_table_is_hit_within_two_percent(quantization: str, stated: float) -> None:
    assert pool(quantization)["reserved"] == pytest.approx(stated * 10**9, rel=0.02)


def test_transformers_itself_leaves_the_head_alone() -> None:
    def head(version: str) -> list[str]:
        items = pool("bnb-nf4", version)["items"]
        assert isinstance(items, list)
        return [i["label"] for i in items if i["component"] == "weights.head"]

    assert head("4.46") == ["output head"]
    assert len(head("lit-gpt 2023-10")) == 2


@pytest.mark.parametrize(
    ("model", "version", "narrow"),
    [
        ("mistralai/Mixtral-8x7B-v0.1", "4.57", True),  # a list of linear layers
        ("mistralai/Mixtral-8x7B-v0.1", "5.0", False),  # stacked parameters
        ("openai/gpt-oss-20b", "4.57", False),  # stacked from the start
    ],
)
def test_stacked_experts_stay_wide(model: str, version: str, narrow: bool) -> None:
    request = {"model": model, "runtime": "transformers", "runtime_version": version, "quantization": "bnb-nf4"}
    found = answer_to(request, deep=False)
    experts = [i for i in found["pools"][0]["items"] if i["label"].startswith("routed experts, down")]
    assert any("0.5" in i["substituted"] or "÷" in i["substituted"] for i in experts) is narrow
    assert any("stacked parameters" in w for w in found["warnings"]) is not narrow
