import math

import numpy as np
import pytest

from kvsim.metrics.stats import (
    level_max,
    level_mean,
    mean_interval,
    mean_or_none,
    overlap_mean,
    quantiles_or_none,
)

CHANGES = [(1.0, 2.0), (3.0, 5.0), (3.0, 4.0), (8.0, 1.0)]


def test_nothing_has_no_mean():
    assert mean_or_none([]) is None
    assert quantiles_or_none([], (0.5, 0.9)) == [None, None]


def test_quantiles_are_interpolated():
    assert quantiles_or_none([0, 10, 20], (0.5, 0.75)) == [10, 15]


@pytest.mark.parametrize(
    ("start_s", "end_s", "mean"),
    [
        (0, 1, 0),
        (0, 3, 4 / 3),
        (1, 3, 2),
        (2, 4, 3),
        (3, 8, 4),
        (4, 5, 4),
        (7, 12, 1.6),
        (9, 20, 1),
        (3, 3, 4),
        (0, 0, 0),
    ],
)
def test_mean_of_a_level(start_s, end_s, mean):
    assert level_mean(CHANGES, start_s, end_s) == pytest.approx(mean)


def test_mean_of_no_level_is_zero():
    assert level_mean([], 0, 10) == 0
    assert level_max([], 0, 10) == 0


def test_largest_level_counts_what_the_span_begins_with():
    assert level_max(CHANGES, 0, 10) == 5
    assert level_max(CHANGES, 4, 10) == 4
    assert level_max(CHANGES, 9, 10) == 1


def test_mean_number_of_open_intervals():
    assert overlap_mean([0, 2, 9], [4, math.inf, 10], 3, 5) == pytest.approx(1.5)


def test_interval_of_replications_is_students():
    mean, low, high = mean_interval([1.0, 2.0, 3.0])
    assert mean == 2
    assert high - mean == pytest.approx(4.302653 / math.sqrt(3))
    assert mean - low == pytest.approx(high - mean)


def test_one_replication_bounds_nothing():
    assert mean_interval([7.0]) == (7.0, -math.inf, math.inf)


def test_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = [
        low <= 3 <= high
        for _, low, high in (mean_interval(rng.normal(3, 1, 5), 0.9) for _ in range(1000))
    ]
    assert np.mean(covered) == pytest.approx(0.9, abs=0.03)
