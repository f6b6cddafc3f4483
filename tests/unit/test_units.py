"""Sizes, rates and times read and written with exact prefixes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.errors import ConfigError, KvsimError
from kvsim.units import (
    format_bytes,
    format_count,
    format_rate,
    format_seconds,
    parse_bytes,
    parse_flops,
    parse_rate,
    parse_seconds,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("80GiB", 80 * 2**30),
        ("100GB", 100 * 10**9),
        ("36 MiB", 36 * 2**20),
        ("1.5GiB", 3 * 2**29),
        ("100TB", 10**14),
        ("512B", 512),
        (" 4096 ", 4096),
        ("1_000kB", 10**6),
        (2048, 2048),
        (0, 0),
        (2.0, 2),
    ],
)
def test_sizes(text: object, size: int) -> None:
    assert parse_bytes(text) == size
    assert isinstance(parse_bytes(text), int)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("25GB/s", 25e9),
        ("200Gb/s", 25e9),
        ("40Gbps", 5e9),
        ("1GiB/s", 2.0**30),
        ("3.35TB/s", 3.35e12),
        (5e9, 5e9),
        ("23e9", 23e9),
    ],
)
def test_rates(text: object, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15ms", 0.015),
        ("310us", 0.00031),
        ("310µs", 0.00031),
        ("93ns", 93e-9),
        ("1200s", 1200.0),
        ("20min", 1200.0),
        ("2h", 7200.0),
        (3, 3.0),
        ("0.5", 0.5),
    ],
)
def test_times(text: object, seconds: float) -> None:
    assert parse_seconds(text) == seconds


def test_flops() -> None:
    assert parse_flops("989TFLOPS") == 989e12
    assert parse_flops("2.25 PFLOP/s") == 2.25e15
    assert parse_flops(1e12) == 1e12


@pytest.mark.parametrize("parse", [parse_bytes, parse_rate, parse_seconds, parse_flops])
@pytest.mark.parametrize(
    "value",
    [
        "12 bananas",
        "",
        " ",
        "GiB",
        "-1",
        -5,
        "nan",
        "inf",
        float("nan"),
        float("inf"),
        "1e400",
        10**400,
        True,
        None,
        [1],
        "80gib/s",
        "1..5",
    ],
)
def test_nonsense_is_one_line(parse: object, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(value)  # type: ignore[operator]
    assert isinstance(caught.value, KvsimError)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_unit_of_another_dimension_is_refused() -> None:
    for parse, text in ((parse_bytes, "15ms"), (parse_seconds, "80GiB"), (parse_rate, "80GiB")):
        with pytest.raises(ConfigError, match="is not a"):
            parse(text)
    with pytest.raises(ConfigError, match="whole number of bytes"):
        parse_bytes(0.5)


def test_the_message_says_the_way_out() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_bytes("12 bananas")
    assert str(caught.value) == "'12 bananas' is not a size; write bytes or e.g. '80GiB'"


def test_formats() -> None:
    assert format_bytes(37_748_736) == "36MiB"
    assert format_bytes(100 * 2**30) == "100GiB"
    assert format_bytes(512) == "512B"
    assert format_rate(25e9) == "25GB/s"
    assert format_seconds(0.015) == "15ms"
    assert format_seconds(1200) == "20min"
    assert format_seconds(7200) == "2h"
    assert format_seconds(0) == "0s"
    assert format_seconds(2.5e-8) == "25ns"
    assert format_count(2084) == "2,084"
    assert format_count(8_190_726_144) == "8.19B"


@given(st.integers(min_value=0, max_value=2**60))
def test_whole_bytes_survive_a_text(size: int) -> None:
    assert parse_bytes(str(size)) == size
    assert parse_bytes(f"{size}B") == size


@given(st.integers(min_value=0, max_value=10**6))
def test_prefixes_are_exact(number: int) -> None:
    assert parse_bytes(f"{number}GiB") == number * 2**30
    assert parse_bytes(f"{number}GB") == number * 10**9
    assert parse_rate(f"{number}Gb/s") == parse_rate(f"{number}GB/s") / 8


@given(st.floats(min_value=1e-8, max_value=1e6))
def test_a_written_time_reads_back(seconds: float) -> None:
    assert parse_seconds(format_seconds(seconds)) == pytest.approx(seconds, rel=1e-3)
