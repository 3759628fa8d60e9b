"""The primitive: sizes and splitting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gauge.formats import FORMATS
from gauge.tensor import GLOSSARY, Axis, Dim, flat_shard, shard, tensor

BF16 = FORMATS["bfloat16"]
RULES = ((Dim.HEADS, Axis.TENSOR), (Dim.KV_HEADS, Axis.TENSOR), (Dim.FFN, Axis.TENSOR), (Dim.TOKENS, Axis.TENSOR))
sizes = st.integers(1, 4096)


def test_every_dimension_has_a_meaning() -> None:
    assert set(GLOSSARY) == set(Dim)


@given(sizes, sizes, st.sampled_from(sorted(FORMATS)))
def test_bytes_are_whole_blocks(rows: int, columns: int, name: str) -> None:
    made = tensor("t", FORMATS[name], (Dim.HIDDEN, rows), (Dim.FFN, columns))
    form = FORMATS[name]
    assert made.elements == rows * columns
    assert made.bytes % form.bytes == 0
    assert 0 <= made.bytes * form.values - made.elements * form.bytes < form.values * form.bytes


@given(sizes, sizes, st.integers(1, 64))
def test_shards_cover_the_whole_and_no_more_than_a_row_too_much(rows: int, columns: int, degree: int) -> None:
    whole = tensor("t", BF16, (Dim.HIDDEN, rows), (Dim.FFN, columns))
    part = shard(whole, RULES, {Axis.TENSOR: degree})
    assert part.elements * degree >= whole.elements
    assert (part.size_of(Dim.FFN) - 1) * degree < columns
    assert flat_shard(whole, degree).elements * degree >= whole.elements


@given(sizes, sizes)
def test_a_degree_of_one_changes_nothing(rows: int, columns: int) -> None:
    whole = tensor("t", BF16, (Dim.HEADS, rows), (Dim.HEAD, columns))
    assert shard(whole, RULES, {Axis.TENSOR: 1}) == whole
    assert flat_shard(whole, 1) == whole


def test_an_axis_splits_a_tensor_once() -> None:
    whole = tensor("q", BF16, (Dim.TOKENS, 64), (Dim.HEADS, 8), (Dim.HEAD, 128))
    part = shard(whole, RULES, {Axis.TENSOR: 4})
    assert (part.size_of(Dim.TOKENS), part.size_of(Dim.HEADS)) == (64, 2)
    assert part.dims[1].note == "8 ÷ 4 tensor-parallel"


def test_fewer_heads_than_ranks_are_replicated() -> None:
    whole = tensor("k", BF16, (Dim.TOKENS, 1), (Dim.KV_HEADS, 8), (Dim.HEAD, 128))
    assert shard(whole, RULES, {Axis.TENSOR: 16}).size_of(Dim.KV_HEADS) == 1


def test_a_dimension_without_a_rule_is_replicated() -> None:
    latent = tensor("latent", BF16, (Dim.BATCH, 4), (Dim.LATENT, 576))
    assert shard(latent, RULES, {Axis.TENSOR: 8}) == latent
