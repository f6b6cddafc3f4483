"""Rates of windows are exact, and what tiers move adds up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.plan.demand import demands, window_rates, writes
from kvsim.plan.trial import try_out
from kvsim.spec import Scenario


def rates(rows: list[tuple[float, float, float]], start_s: float, end_s: float) -> list[float]:
    begun, ended, amounts = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    return [round(rate, 6) for rate in window_rates(begun, ended, amounts, start_s, end_s)]


def test_amounts_are_spread_over_their_time() -> None:
    assert rates([(0.5, 2.5, 100.0)], 0.0, 3.0) == [25.0, 50.0, 25.0]
    assert rates([(0.0, 1.0, 10.0), (0.0, 2.0, 10.0)], 0.0, 2.0) == [15.0, 5.0]
    assert rates([(1.25, 1.25, 7.0)], 0.0, 3.0) == [0.0, 7.0, 0.0]
    assert rates([(0.0, 10.0, 10.0)], 4.0, 6.0) == [1.0, 1.0]


@given(
    st.lists(
        st.tuples(st.floats(0, 50), st.floats(0, 5), st.floats(0, 1e6)), min_size=1, max_size=20
    )
)
def test_nothing_is_lost(spans: list[tuple[float, float, float]]) -> None:
    begun = np.array([a for a, _, _ in spans])
    ended = begun + np.array([b for _, b, _ in spans])
    amounts = np.array([c for _, _, c in spans])
    found = window_rates(begun, ended, amounts, 0.0, 60.0)
    assert found.sum() == pytest.approx(amounts.sum(), rel=1e-6, abs=1e-3)
    assert found.min() >= 0


def test_a_run(qa: Scenario) -> None:
    trial = try_out(qa)
    found = {(d.tier, d.direction): d for d in demands(trial.result)}
    transfers = trial.result.transfers
    for (tier, direction), demand in found.items():
        rows = transfers[(transfers["tier"] == tier) & (transfers["direction"] == direction)]
        assert demand.total_bytes == rows["n_bytes"].sum()
        assert demand.objects == rows["objects"].sum()
        assert demand.p50_bytes_per_s <= demand.p95_bytes_per_s <= demand.p99_bytes_per_s
        assert demand.p99_bytes_per_s <= demand.peak_bytes_per_s
        assert demand.mean_bytes_per_s <= demand.peak_bytes_per_s
        assert demand.limit_bytes_per_s is not None
        assert demand.peak_bytes_per_s <= demand.limit_bytes_per_s * 1.001
    unique = trial.new_remote_chunks * qa.chunk_bytes
    written = writes(trial.result, "remote", unique)
    assert written.written_bytes == found["remote", "write"].total_bytes
    assert written.amplification is not None
    assert written.amplification >= 1
    per_s = found["remote", "write"].mean_bytes_per_s
    assert written.bytes_per_day == pytest.approx(86_400 * per_s)


def test_ranks_count(qa: Scenario) -> None:
    one = qa.replace({"offload.remote": None, "workload.time": 20})
    two = one.replace({"engine.tensor_parallel_size": 2, "engine.num_gpu_blocks": 8_000})
    whole = sum(d.total_bytes for d in demands(try_out(two).result))
    tokens = 256 * one.model.kv_bytes_per_token
    assert whole % tokens == 0
