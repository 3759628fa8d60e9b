"""Shown figures: rows add up to their sum, needs never look smaller and rooms never larger than they are."""

from __future__ import annotations

from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from gauge.view.figures import NBSP, Scale, percent

SIZES = st.lists(st.integers(0, 10**15), min_size=1, max_size=30)
SYSTEMS = st.sampled_from(["GiB", "GB"])


@given(SIZES, SYSTEMS)
def test_shown_rows_add_up_to_the_shown_sum(sizes: list[int], system: Literal["GiB", "GB"]) -> None:
    scale = Scale.of(max(sizes), system)
    assert sum(scale.rows(sizes)) == scale.up(sum(sizes))


@given(SIZES, SYSTEMS)
def test_each_row_is_its_size_rounded_down_or_up(sizes: list[int], system: Literal["GiB", "GB"]) -> None:
    scale = Scale.of(sum(sizes), system)
    for size, steps in zip(sizes, scale.rows(sizes), strict=True):
        assert scale.down(size) <= steps <= scale.up(size)


@given(st.lists(st.tuples(st.integers(0, 10**13), st.sampled_from("abc"), st.sampled_from("xy")), min_size=1), SYSTEMS)
def test_groups_of_rows_add_up_and_are_their_own_size_rounded(
    rows: list[tuple[int, str, str]], system: Literal["GiB", "GB"]
) -> None:
    sizes, paths = [size for size, *_ in rows], [(outer, inner) for _, outer, inner in rows]
    scale = Scale.of(sum(sizes), system)
    steps = scale.nested(sizes, paths)
    assert sum(steps) == scale.up(sum(sizes))
    for prefix in {path[:depth] for path in paths for depth in (1, 2)} | set(paths):
        inside = [i for i, path in enumerate(paths) if path[: len(prefix)] == prefix]
        size = sum(sizes[i] for i in inside)
        assert scale.down(size) <= sum(steps[i] for i in inside) <= scale.up(size)
    for size, shown in zip(sizes, steps, strict=True):
        assert scale.down(size) <= shown <= scale.up(size)


@given(st.integers(0, 10**16), SYSTEMS)
def test_needs_round_up_and_rooms_down(size: int, system: Literal["GiB", "GB"]) -> None:
    scale = Scale.of(size, system)
    assert scale.down(size) * scale.unit <= size * scale.steps <= scale.up(size) * scale.unit


@given(st.integers(1, 10**16), SYSTEMS)
def test_every_figure_prints_its_unit_after_a_space_that_does_not_break(size: int, system: Literal["GiB", "GB"]) -> None:
    scale = Scale.of(size, system)
    assert scale.need(size).endswith("\u00a0" + scale.name)


def test_the_scale_names_what_it_counts() -> None:
    assert Scale.of(16 * 2**30).need(16 * 2**30) == "16.00\u00a0GiB"
    assert Scale.of(80 * 10**9, "GB").room(80 * 10**9) == "80.00\u00a0GB"
    assert Scale.of(700_000_000_000).need(700_000_000_000) == "652.0\u00a0GiB"
    assert percent(1, 8) == "12\u00a0%"


def test_an_amount_by_itself_is_shown_finer_than_rows_that_add_up() -> None:
    scale = Scale.of(200 * 2**30)
    assert scale.near(2_101_346_304) == f"1.957{NBSP}GiB"
    assert Scale.of(500).near(432) == f"432{NBSP}B"
