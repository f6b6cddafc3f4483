"""Made-up workloads have the statistics of their spec."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kvsim.errors import ConfigError, TraceError
from kvsim.spec.synthetic_workload import (
    AgenticSpec,
    ChatSpec,
    DiurnalArrivals,
    GammaArrivals,
    Lengths,
    MarkovArrivals,
    PoissonArrivals,
    RagSpec,
)
from kvsim.workload import fit
from kvsim.workload.synthetic import arrivals, draw_tokens, generate
from kvsim.workload.trace_stats import measure_reuse
from kvsim.workload.traces.build import TraceBuilder
from kvsim.workload.traces.trace import Floats, Trace

POISSON = PoissonArrivals(rate=0.1)


def at_times(times_s: Floats) -> Trace:
    builder = TraceBuilder("drawn", "drawn")
    for time_s in times_s.tolist():
        builder.add(time_s=time_s, prompt_tokens=1, output_tokens=1)
    return builder.build()


@pytest.mark.parametrize(
    ("spec", "tolerance"),
    [
        (PoissonArrivals(rate=5), 0.02),
        (GammaArrivals(rate=5, cv=3), 0.06),
        (MarkovArrivals(rate=5, burst_factor=8, burst=20, calm=60), 0.1),
        (DiurnalArrivals(rate=5, amplitude=0.8, period=1000), 0.02),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_arrivals_keep_their_mean_rate(spec: PoissonArrivals, tolerance: float) -> None:
    times_s = arrivals(spec, 20_000, 0)
    assert times_s.size / 20_000 == pytest.approx(5, rel=tolerance)
    assert (np.diff(times_s) >= 0).all()
    assert 0 <= times_s[0] < times_s[-1] < 20_000


def test_fits_find_the_numbers_that_made_a_trace() -> None:
    gamma = fit.fit_gamma(at_times(arrivals(GammaArrivals(rate=5, cv=3), 20_000, 1)))
    assert (gamma.rate, gamma.cv) == (pytest.approx(5, rel=0.1), pytest.approx(3, rel=0.1))
    day = DiurnalArrivals(rate=5, amplitude=0.6, period=5_000, peak=1_200)
    found = fit.fit_diurnal(at_times(arrivals(day, 20_010, 1)), 5_000)
    assert found.amplitude == pytest.approx(0.6, abs=0.03)
    assert found.peak == pytest.approx(1_200, abs=60)
    bursts = MarkovArrivals(rate=5, burst_factor=20, burst=60, calm=120)
    again = fit.fit_markov(at_times(arrivals(bursts, 40_000, 1)))
    assert again.burst == pytest.approx(60, rel=0.3)
    assert again.calm == pytest.approx(120, rel=0.3)
    assert again.burst_factor == pytest.approx(20, rel=0.4)
    with pytest.raises(TraceError, match="less than a period"):
        fit.fit_diurnal(at_times(np.arange(50.0)))


def test_lengths_have_their_median_and_bounds() -> None:
    rng = np.random.default_rng(0)
    values = [
        draw_tokens(Lengths(median=500, sigma=1, least=100, most=2_000), rng) for _ in range(4_000)
    ]
    assert np.median(values) == pytest.approx(500, rel=0.05)
    assert (min(values), max(values)) == (100, 2_000)
    found = fit.fit_lengths(np.array(values))
    assert found.median == pytest.approx(500, rel=0.05)
    assert draw_tokens(Lengths(median=3.4, sigma=0), rng) == 3


STATISTICS = Path(__file__).parents[2] / "data" / "traces" / "kv_cache_tester_statistics.json"


def test_agents_look_like_the_sessions_they_are_fitted_to() -> None:
    measured = json.loads(STATISTICS.read_text())
    trace = generate(AgenticSpec(arrivals=PoissonArrivals(rate=0.25), duration=3_600), 0)
    assert 800 < trace.num_sessions < 1_000
    rows = np.flatnonzero(trace.turn > 0)
    reuse = measure_reuse(trace)
    made = {
        "prompt_tokens": trace.prompt_tokens,
        "growth_tokens": trace.prompt_tokens[rows] - trace.prompt_tokens[trace.after[rows]],
        "think_time_s": trace.think_time_s[rows],
        "new_tokens": trace.prompt_tokens - reuse.hit_tokens,
        "output_tokens": trace.output_tokens,
        "turns": np.bincount(trace.session),
    }
    for name, values in made.items():
        for level, value in measured[name].items():
            found = values.mean() if level == "mean" else np.quantile(values, int(level[1:]) / 100)
            assert found == pytest.approx(value, rel=0.15), (name, level)
    part = reuse.hit_tokens.sum() / trace.prompt_tokens.sum()
    assert part == pytest.approx(measured["hit_part"], abs=0.003)
    found = fit.fit_agentic(trace)
    assert found["growth"].median == pytest.approx(646, rel=0.05)
    assert found["resumed_chance"] == pytest.approx(0.3382, rel=0.1)
    assert found["window"] == pytest.approx(159_000, rel=0.05)
    assert found["user_pause_chance"] == pytest.approx(0.196, rel=0.1)


def test_a_window_bounds_the_context_of_those_who_have_it() -> None:
    spec = AgenticSpec(
        arrivals=PoissonArrivals(rate=0.05),
        duration=3_600,
        resumed_chance=0,
        window=100_000,
        window_chance=1,
    )
    trace = generate(spec, 0)
    assert trace.longest_prompt_tokens <= 100_000
    free = generate(spec.model_copy(update={"window_chance": 0.0}), 0)
    assert free.longest_prompt_tokens > 100_000


def test_all_agents_share_tools_and_system_text() -> None:
    trace = generate(AgenticSpec(arrivals=POISSON, duration=600), 0)
    first = np.flatnonzero(trace.turn == 0)
    shared = [trace.hashes(row)[: 14_991 // 64].tolist() for row in first.tolist()]
    assert all(ids == shared[0] for ids in shared)


def test_documents_are_as_popular_as_their_rank_says() -> None:
    spec = RagSpec(arrivals=PoissonArrivals(rate=10), duration=1_000, documents=50, popularity=1.0)
    trace = generate(spec, 0)
    used = np.bincount([int(trace.hashes(row)[512 // 64]) for row in range(len(trace))])
    counts = np.sort(used[used > 0])[::-1]
    assert counts.size == 50
    harmonic = (1 / np.arange(1, 51)).sum()
    assert counts[0] / len(trace) == pytest.approx(1 / harmonic, rel=0.1)


def test_documents_after_other_documents_are_other_text() -> None:
    spec = RagSpec(
        arrivals=PoissonArrivals(rate=5), duration=200, documents=3, documents_per_prompt=2,
        document=Lengths(median=640, sigma=0), question=Lengths(median=10, sigma=0),
    )  # fmt: skip
    trace = generate(spec, 0)
    pairs = {tuple(trace.hashes(row)[[8, 18]].tolist()) for row in range(len(trace))}
    assert len(pairs) == 6, "each order of two out of three"
    assert len({second for _, second in pairs}) == 6


def test_chats_go_on_in_rounds_that_hold_the_answers() -> None:
    spec = ChatSpec(
        arrivals=PoissonArrivals(rate=2), duration=1_000, rounds_mean=4, shared_prompt=256
    )
    trace = generate(spec, 0)
    assert len(trace) / trace.num_sessions == pytest.approx(4, rel=0.1)
    rows = np.flatnonzero(trace.turn > 0)
    before = trace.after[rows]
    grown = trace.prompt_tokens[before] + trace.output_tokens[before]
    assert (trace.prompt_tokens[rows] >= grown + 4).all()
    for row, earlier in list(zip(rows.tolist(), before.tolist(), strict=True))[:50]:
        size = int(trace.hash_counts[earlier])
        assert trace.hashes(row)[:size].tolist() == trace.hashes(earlier).tolist()


def test_equal_seeds_give_equal_traces_and_sessions_keep_their_draws() -> None:
    spec = ChatSpec(arrivals=POISSON, duration=300)
    first, again = generate(spec, 5), generate(spec, 5)
    assert first.prompt_tokens.tolist() == again.prompt_tokens.tolist()
    assert generate(spec, 6).prompt_tokens.tolist() != first.prompt_tokens.tolist()
    longer = generate(spec.model_copy(update={"duration": 900.0}), 5)
    names = [longer.session_names[i] for i in longer.session]
    mine = longer.prompt_tokens[[i for i, name in enumerate(names) if name == "chat 3"]]
    kept = [i for i, s in enumerate(first.session) if first.session_names[s] == "chat 3"]
    assert mine.tolist() == first.prompt_tokens[kept].tolist()


def test_no_arrival_is_a_clear_error() -> None:
    with pytest.raises(ConfigError, match="no session begins"):
        generate(ChatSpec(arrivals=PoissonArrivals(rate=1e-6), duration=1), 0)
    with pytest.raises(TraceError, match="needs sessions and hash ids"):
        fit.fit_agentic(at_times(np.arange(5.0)))
