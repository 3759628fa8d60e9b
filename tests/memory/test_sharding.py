"""Properties of sharding: nothing is lost, nothing is invented, and degrees of one change nothing."""

from __future__ import annotations

from typing import Any

import pytest

from gauge.api import estimate
from gauge.errors import RequestError
from gauge.memory.pipeline import Schedule
from gauge.memory.sharding import Shards, mesh_of, routed, weight_rules
from gauge.memory.stages import stages
from gauge.request import RequestErrors, parse
from gauge.runtimes.megatron import Megatron
from gauge.tensor import shard

CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 512,
    "intermediate_size": 1536,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
}
STATES = ("weights", "gradients", "optimizer_states", "master_weights")
TRAINERS = ("fsdp", "deepspeed", "megatron", "torchtitan", "torchtune", "litgpt")


def request(**changes: Any) -> dict[str, Any]:
    base = {"task": "training", "runtime": "deepspeed", "config": CONFIG, "batch_size": 1, "sequence_length": 256}
    return base | changes


def states(**changes: Any) -> int:
    """Bytes of model states at the optimizer step."""
    pool = estimate(**request(**changes)).pools[0]
    return sum(i.bytes for i in pool.alive("step") if i.kind in STATES)


@pytest.mark.parametrize("degree", [1, 2, 4])
def test_shards_of_weights_cover_each_once_or_are_replicated(degree: int) -> None:
    case = parse(request(runtime="megatron", tensor_parallel=degree))
    for weight, _ in case.model.weights():
        part = shard(weight, weight_rules(weight), mesh_of(case.plan))
        assert part.elements in (weight.elements, weight.elements // degree)


@pytest.mark.parametrize("ranks", [1, 3, 8, 1000])
def test_flat_shards_cover_with_less_than_one_rank_of_padding(ranks: int) -> None:
    shards = Shards(3, ranks)
    for weight, _ in parse(request()).model.weights():
        part = shards.weight(weight).elements
        assert weight.elements <= part * ranks < weight.elements + ranks


def test_states_of_zero_are_those_of_the_paper() -> None:
    """arXiv 1910.02054, figure 1: 16Ψ; 4Ψ + 12Ψ/N; 2Ψ + 14Ψ/N; 16Ψ/N. Stage 3 leaves norms whole."""
    model, ranks = parse(request()).model, 64
    psi = model.parameters
    expected = (16 * psi, 4 * psi + 12 * psi / ranks, 2 * psi + 14 * psi / ranks, 16 * psi / ranks)
    for stage, size in enumerate(expected):
        assert states(zero_stage=stage, data_parallel=ranks) == pytest.approx(size, rel=2e-3)


def test_a_higher_stage_never_needs_more_states() -> None:
    sizes = [states(zero_stage=stage, data_parallel=8) for stage in range(4)]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_degrees_of_one_change_nothing(trainer: str) -> None:
    plain = estimate(**request(runtime=trainer)).answer()["pools"]
    ones = {"tensor_parallel": 1, "data_parallel": 1, "pipeline_parallel": 1, "context_parallel": 1, "expert_parallel": 1}
    assert estimate(**request(runtime=trainer, **ones)).answer()["pools"] == plain


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_stages_add_up_to_the_model(count: int) -> None:
    model = parse(request()).model
    assert sum(stage.model.parameters for stage in stages(model, count)) == model.parameters


def test_micro_batches_in_flight() -> None:
    """1F1B holds p - i; interleaving holds 1 + (p - 1) / (p v) times as much on the first stage (arXiv 2205.05198, 4.2.3)."""
    assert [Schedule(4, 1, 16).in_flight(i) for i in range(4)] == [(4, 1), (3, 1), (2, 1), (1, 1)]
    assert Schedule(4, 1, 2).in_flight(0) == (2, 1)
    held, chunks = Schedule(8, 4, 64).in_flight(0)
    assert held / chunks == 8 * (1 + 7 / (8 * 4))


def test_the_fullest_stage_is_named() -> None:
    answer = estimate(**request(runtime="megatron", pipeline_parallel=4)).answer()
    assert any("fullest pipeline stage" in text for text in answer["warnings"])


@pytest.mark.parametrize(("stages_", "tied"), [(2, False), (3, False), (4, False), (8, False), (4, True)])
def test_the_pools_of_all_stages_add_up_to_the_model(stages_: int, tied: bool) -> None:
    """A pool for each kind of stage with its devices; tied, the last stage has a copy of the token table."""
    plan = {"runtime": "megatron", "pipeline_parallel": stages_, "tensor_parallel": 2, "data_parallel": 3}
    answer = estimate(**request(**plan, config=CONFIG | {"tie_word_embeddings": tied})).answer()
    pools = [p for p in answer["pools"] if p["name"] == "gpu"]
    assert sum(p["count"] for p in pools) == 2 * 3 * stages_
    for component, size in (("weights", 2), ("optimizer_states", 8), ("master_weights", 4)):
        held = sum(
            p["count"] * sum(i["bytes"] for i in p["items"] if i["component"].startswith(component) and alive(i, p["peak"]))
            for p in pools
        )
        norms = CONFIG["hidden_size"] * (2 * CONFIG["num_hidden_layers"] + 1)
        whole = answer["model"]["parameters"] + tied * CONFIG["hidden_size"] * CONFIG["vocab_size"]
        assert held == 3 * size * (whole + norms), "norms are on both tensor ranks"


def alive(item: dict[str, Any], moment: str) -> bool:
    return not item["moments"] or moment in item["moments"]


def test_first_last_and_fullest_stage_are_pools() -> None:
    answer = estimate(**request(runtime="megatron", pipeline_parallel=4, sequence_length=1024)).answer()
    places = {p["place"]: p["allocated"] for p in answer["pools"]}
    assert set(places) == {"pipeline stage 1 of 4", "pipeline stages 2 to 3 of 4", "pipeline stage 4 of 4"}
    assert answer["pools"][0]["allocated"] == max(places.values())


@pytest.mark.parametrize("trainer", TRAINERS)
def test_one_stage_has_no_place(trainer: str) -> None:
    assert all("place" not in p for p in estimate(**request(runtime=trainer)).answer()["pools"])


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("tensor_parallel", {"tensor_parallel": 3}),
        ("pipeline_parallel", {"pipeline_parallel": 9}),
        ("virtual_pipeline", {"virtual_pipeline": 2}),
        ("expert_parallel", {"expert_parallel": 2}),
        ("context_parallel", {"context_parallel": 7}),
    ],
)
def test_degrees_that_cannot_be_are_refused(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises((RequestErrors, RequestError)) as caught:
        parse(request(runtime="megatron", **changes))
    assert field in str(getattr(caught.value, "errors", [caught.value])[0].field)


# ------------------------------------------------------------------------------------------------ experts and hybrids
MIXTURE = {
    "model_type": "mixtral",
    "architectures": ["MixtralForCausalLM"],
    "hidden_size": 512,
    "intermediate_size": 1024,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "vocab_size": 8192,
    "tie_word_embeddings": False,
}


def experts_and_others(**changes: Any) -> tuple[int, int]:
    """Weights of routed experts and all others on one device, in elements."""
    one = Megatron(parse(request(runtime="megatron", config=MIXTURE, **changes)))
    held = [(t.elements * n, routed(t)) for t, n in one.weights]
    return sum(size for size, is_expert in held if is_expert), sum(size for size, is_expert in held if not is_expert)


@pytest.mark.parametrize(
    ("degrees", "devices"),
    [
        ({"expert_parallel": 2, "data_parallel": 2}, 2),
        ({"expert_parallel": 2, "data_parallel": 2, "tensor_parallel": 2}, 4),
        ({"expert_parallel": 2, "data_parallel": 2, "tensor_parallel": 2, "expert_tensor_parallel": 1}, 2),
        ({"expert_parallel": 8, "tensor_parallel": 4, "data_parallel": 2}, 8),
    ],
)
def test_experts_are_split_by_their_own_degrees(degrees: dict[str, int], devices: int) -> None:
    """Experts over expert ranks, each over its own tensor ranks: as the other matrices, as far as the devices suffice."""
    whole, _ = experts_and_others()
    assert experts_and_others(**degrees)[0] * devices == whole


def test_states_of_experts_are_split_over_their_replicas() -> None:
    """8 devices, experts over 2, matrices over 2: an expert's share is on 8 / (2 × 2) devices, or on 8 / 2."""
    plan = {"tensor_parallel": 2, "data_parallel": 4, "expert_parallel": 2}
    for degree, replicas in ((None, 2), (2, 2), (1, 4)):
        shards = Shards.of(parse(request(runtime="megatron", config=MIXTURE, **plan, expert_tensor_parallel=degree)).plan)
        weight = next(t for t, _ in parse(request(config=MIXTURE)).model.weights() if routed(t))
        assert (shards.ranks, shards.degree(weight)) == (4, replicas)


@pytest.mark.parametrize("trainer", ["fsdp", "deepspeed", "torchtitan"])
def test_hybrid_sharding_splits_within_groups(trainer: str) -> None:
    """16 ranks in groups of 4 hold what 4 ranks hold; a group of all of them changes nothing."""

    def held(**changes: Any) -> int:
        pool = estimate(**request(runtime=trainer, zero_stage=3, **changes)).pools[0]
        return sum(i.bytes for i in pool.alive("between") if i.kind in STATES)

    assert held(data_parallel=16, shard_degree=4) == held(data_parallel=4)
    assert held(data_parallel=16, shard_degree=16) == held(data_parallel=16)


def test_hybrid_groups_divide_the_ranks() -> None:
    with pytest.raises((RequestErrors, RequestError)) as caught:
        parse(request(data_parallel=8, zero_stage=3, shard_degree=3))
    assert getattr(caught.value, "errors", [caught.value])[0].field == "shard_degree"
