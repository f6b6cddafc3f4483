"""Figures as people read them."""

from collections.abc import Callable
from math import inf, nan

import pytest

from kvsim.text import (
    bytes_text,
    change_text,
    coefficient_text,
    duration,
    number,
    percent,
    short,
    value_text,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1204.4, "1,204 s"),
        (1.7423, "1.742 s"),
        (0.99999, "1 s"),
        (0.0234, "23.4 ms"),
        (1.6e-6, "1.6 µs"),
        (4e-7, "400 ns"),
        (0.0, "0 s"),
    ],
)
def test_durations_have_four_digits_and_the_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_numbers_have_four_digits_or_are_whole() -> None:
    assert [value_text(n) for n in (2.07312, 0.25, 999.96, 12345.6)] == [
        "2.073",
        "0.25",
        "1,000",
        "12,346",
    ]


@pytest.mark.parametrize("write", [number, value_text, duration, bytes_text, percent])
@pytest.mark.parametrize("nothing", [None, nan])
def test_what_is_not_known_is_a_dash(
    write: Callable[[float | None], str], nothing: float | None
) -> None:
    assert write(nothing) == "-"


def test_changes_have_a_sign() -> None:
    assert [change_text(part) for part in (0.123, -0.4, -0.001, inf)] == [
        "+12 %",
        "\N{MINUS SIGN}40 %",
        "+0 %",
        "-",
    ]


def test_short_context() -> None:
    assert [short(tokens) for tokens in (500, 1_000, 2_500, 35_000)] == [
        "500",
        "1k",
        "2.5k",
        "35k",
    ]


def test_a_fitted_coefficient_has_three_digits() -> None:
    assert coefficient_text(49.4213e9, "B/s") == "49.4GB/s"
    assert coefficient_text(0.00320312, "s") == "3.2 ms"
    assert coefficient_text(0.93234, "of peak") == "0.932"
