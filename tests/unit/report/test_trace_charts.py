"""Charts of reuse: bars, curves and words follow from the distances."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kvsim.report.charts.capacity import hit_rate_by_policy, marginal_saving
from kvsim.report.charts.tiers import age_at_hit_and_eviction, reuse_distance, working_set
from kvsim.report.trace_page import trace_page
from kvsim.workload.trace_hits import Ages, Hits
from kvsim.workload.trace_stats import measure_reuse, windows
from kvsim.workload.trace_summary import summarise_trace
from kvsim.workload.traces import read_trace

EXCERPT = Path(__file__).parents[2] / "data" / "traces" / "mooncake_conversation.jsonl"
GIB = 2**30


def test_distances_sum_to_the_ideal_hit_rate() -> None:
    trace = read_trace(EXCERPT)
    reuse = measure_reuse(trace)
    total = int(trace.prompt_tokens.sum())
    figure = reuse_distance(
        reuse.newer_blocks * reuse.unit_tokens, reuse.tokens, prompt_tokens=total
    )
    bars, line = figure.data
    assert sum(bars.y) == pytest.approx(100 * reuse.hit_tokens.sum() / total)
    assert line.y[-1] == pytest.approx(sum(bars.y))
    assert figure.layout.xaxis.title.text == "tokens (log scale)"
    in_bytes = reuse_distance([GIB], [5], prompt_tokens=10, kv_bytes_per_token=2)
    assert in_bytes.layout.xaxis.title.text == "GiB (log scale)"
    assert in_bytes.data[1].y[-1] == pytest.approx(50)


def test_no_reuse_is_an_empty_chart() -> None:
    assert len(reuse_distance([], [], prompt_tokens=10).data) == 0


def test_working_set_is_that_of_the_windows() -> None:
    trace = read_trace(EXCERPT)
    found = windows(trace, measure_reuse(trace))
    bars, line = working_set(found, kv_bytes_per_token=GIB).data
    assert list(bars.y) == [window.working_set_tokens for window in found]
    assert list(line.y) == [window.seen_tokens for window in found]


def test_one_more_tb_saves_the_difference_of_the_curve() -> None:
    tb = 1e12
    sizes = [0, tb, 2 * tb, 4 * tb]
    curve = pd.DataFrame({"capacity_bytes": sizes, "hit_rate": [0, 0.4, 0.5, 0.5]})
    (line,) = marginal_saving(curve).data
    assert list(line.x) == pytest.approx([tb / GIB, 2 * tb / GIB, 4 * tb / GIB])
    assert list(line.y) == pytest.approx([10, 0, 0])
    assert list(marginal_saving(curve, more_bytes=2 * tb).data[0].y) == pytest.approx([10, 0, 0])


def test_ages_are_quantiles_of_each_kind() -> None:
    found = Ages(np.array([1.0, 2.0, 3.0]), np.array([10.0]))
    hit, evicted = age_at_hit_and_eviction(found, "1 GiB").data
    assert (min(hit.x), max(hit.x)) == (1.0, 3.0)
    assert set(evicted.x) == {10.0}


def test_policies_have_a_line_each() -> None:
    found = [Hits("lru", 4, 40, 100), Hits("lru", 2, 20, 100), Hits("optimal", 4, 50, 100)]
    lru, best = hit_rate_by_policy(found, 16, GIB).data
    assert list(lru.x) == [32, 64]
    assert list(lru.y) == [20, 40]
    assert best.line.dash == "dash"


def test_trace_page_says_what_capacity_is_worth(tmp_path: Path) -> None:
    trace = read_trace(EXCERPT)
    reuse = measure_reuse(trace)
    summary = summarise_trace(trace, reuse)
    page = trace_page(trace, reuse, summary, kv_bytes_per_token=147_456)
    assert [figure.layout.title.text.partition("<br>")[0] for figure in page.figures] == [
        "Reuse distance",
        "Working set over the trace",
        "What 1 TB more would save",
        "Age of chunks, hit and evicted",
        "Age of chunks, hit and evicted",
    ]
    page.write(tmp_path / "trace.html")
    text = (tmp_path / "trace.html").read_text(encoding="utf-8")
    assert "an endless cache would find" in text
    assert "One more TB there would save" in text
    assert "without use (median)" in text
