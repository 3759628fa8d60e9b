"""Amounts read and printed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gauge.units import GIB, format_bytes, format_count, in_unit, parse_bytes, parse_count, parse_tokens, round_up


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("32k", 32768),
        ("128K", 131072),
        ("1M", 1048576),
        ("131,072", 131072),
        ("4096", 4096),
        ("1e5", 100_000),
        ("1.5k", 1536),
        ("1,5k", 1536),
        ("8.192", 8192),
        ("8’192", 8192),
        ("8 192", 8192),
        ("131\u202f072", 131072),
        ("1.048.576", 1048576),
        ("1,048,576", 1048576),
        ("8Ki", 8192),
    ],
)
def test_tokens_count_in_1024s(text: str, tokens: int) -> None:
    assert parse_tokens(text) == tokens


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("80GiB", 80 * GIB),
        ("24 GB", 24 * 10**9),
        ("24g", 24 * GIB),
        ("512 MiB", 512 * 2**20),
        ("85899345920", 80 * GIB),
        ("1,5 GiB", 3 * GIB // 2),
        ("1.024,5 GiB", 2049 * GIB // 2),
        ("1,024.5 GiB", 2049 * GIB // 2),
        ("1.500 GiB", 3 * GIB // 2),
    ],
)
def test_bytes_in_both_families(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(("text", "count"), [("8.03B", 8_030_000_000), ("175e9", 175 * 10**9), ("110M", 110 * 10**6)])
def test_counts_are_decimal(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize(
    "text", ["", "abc", "12 parsecs", "1.2.3", "1,2,3", "1.234,5.6", "1,,2", "12,34.5", "--5", "9" * 60, "0x10", "½"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    for parse in (parse_bytes, parse_count, parse_tokens):
        with pytest.raises(ValueError):
            parse(text)


def test_gpt3_in_float32_reads_as_people_know_it() -> None:
    assert format_bytes(700_000_000_000) == "651.93 GiB"
    assert format_bytes(700_000_000_000, "GB") == "700.00 GB"
    assert format_count(8_030_261_248) == "8.03 B"


@given(st.integers(min_value=0, max_value=2**60))
def test_needs_round_up_and_room_rounds_down(size: int) -> None:
    up, down = (float(in_unit(size, GIB, way).replace(",", "")) for way in ("up", "down"))
    assert down * GIB <= size + GIB * 1e-6 and size <= up * GIB + GIB * 1e-6
    assert up - down < 0.0101


@given(st.integers(0, 10**12), st.integers(1, 10**6))
def test_round_up_reaches_the_next_multiple(value: int, multiple: int) -> None:
    rounded = round_up(value, multiple)
    assert rounded % multiple == 0 and value <= rounded < value + multiple


@given(st.integers(1, 2**50))
def test_a_printed_number_of_bytes_reads_back(size: int) -> None:
    assert parse_bytes(f"{size:,}") == size
