"""Attainment, goodput and limits on requests whose latencies are known."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.errors import ConfigError
from kvsim.metrics.recorder import StepRow
from kvsim.metrics.result import RunResult
from kvsim.metrics.slo import (
    evaluate,
    evaluate_run,
    latencies_of,
    slo_columns,
    token_gaps,
    weighted_quantile,
)
from kvsim.simulate import simulate
from kvsim.spec import Scenario
from kvsim.spec.slo import SloSpec
from kvsim.workload.request import NO_END, Request


def request(
    ttft: float | None, decode: float | None, *, output: int = 11, warmup: bool = False
) -> Request:
    made = Request(0, 0, 1, 100, output, ((1, NO_END),), warmup, 10.0)
    made.scheduled_s = 10.0
    made.first_token_s = None if ttft is None else 10.0 + ttft
    if ttft is not None and decode is not None:
        made.finished_s = 10.0 + ttft + decode
        made.outcome = "finished"
    return made


def judge(text: str, requests: list[Request], span_s: float = 10.0) -> tuple[bool, float, float]:
    report = evaluate(SloSpec.model_validate(text), latencies_of(requests, 1e6), span_s=span_s)
    return report.passed, report.attainment, report.goodput_per_s


FAST, SLOW_START, SLOW_DECODE = (request(0.1, 0.5), request(3.0, 0.5), request(0.1, 5.0))
NO_ANSWER = request(None, None)


def test_goodput_needs_every_limit() -> None:
    requests = [FAST, FAST, SLOW_START, SLOW_DECODE]
    assert judge("ttft:500 tpot:100", requests) == (False, 0.5, 0.2)
    assert judge("ttft:500", requests)[1] == 0.75
    assert judge("ttft:5000 tpot:1000", requests) == (True, 1.0, 0.4)


def test_no_answer_is_no_good_request() -> None:
    passed, attainment, _ = judge("ttft:p99<2s", [FAST, NO_ANSWER])
    assert not passed
    assert attainment == 0.5
    passed, _, _ = judge("ttft:median<2s", [FAST, NO_ANSWER])
    assert passed
    assert not judge("ttft:mean<100s", [FAST, NO_ANSWER])[0]


def test_answers_after_the_end_do_not_count() -> None:
    slo = SloSpec.model_validate("ttft:500")
    assert evaluate(slo, latencies_of([FAST], 10.2), span_s=1.0).attainment == 0.0
    assert evaluate(slo, latencies_of([FAST], 10.6), span_s=1.0).attainment == 1.0


def test_warmups_do_not_count_and_single_tokens_have_no_gap() -> None:
    assert judge("ttft:500", [request(9.0, 1.0, warmup=True), FAST])[1] == 1.0
    assert judge("tpot:1", [request(0.1, 0.0, output=1)])[1] == 1.0


def test_nobody_came() -> None:
    passed, attainment, goodput = judge("ttft:500", [])
    assert (passed, attainment, goodput) == (False, 0.0, 0.0)
    assert not judge("ttft:p99<1s", [])[0]


def test_quantile_limits_bind_requests_once_a_metric() -> None:
    requests = [request(0.1, 0.5)] * 98 + [SLOW_START] * 2
    assert judge("ttft:p50<1s;ttft:p95<2s", requests)[:2] == (True, 0.98)
    assert judge("ttft:p99<2s", requests)[:2] == (False, 0.98)
    assert judge("ttft:mean<1s", requests)[:2] == (True, 1.0)


def test_rates() -> None:
    requests = [FAST] * 30 + [SLOW_START] * 10
    assert judge("request_throughput>=4", requests)[0]
    assert not judge("request_throughput>4", requests)[0]
    assert judge("output_throughput>=44;total_token_throughput>=444", requests)[0]
    assert judge("goodput>=3;ttft:p50<1s", requests)[0]
    assert not judge("goodput>3;ttft:p50<1s", requests)[0]


def test_token_gaps_weigh_by_batch() -> None:
    steps: list[StepRow] = [
        (0, 0.0, 1, 0.5, 0, 0, 100, 0.0, 0.0),  # prefill: no token gap
        (0, 0.4, 10, 1.5, 2, 200, 0, 0.0, 0.0),  # ten steps of 0.1 s with two decodes
        (0, 1.5, 1, 2.5, 2, 220, 500, 0.0, 0.0),  # a prefill makes two tokens wait for 1 s
        (1, 9.0, 1, 9.1, 1, 50, 0, 0.0, 0.0),
    ]
    gaps = token_gaps(steps, 0.0, 100.0)
    assert gaps.gap_s.tolist() == pytest.approx([0.1, 1.0, 0.1])
    assert gaps.tokens.tolist() == [20.0, 2.0, 1.0]
    assert token_gaps([], 0.0, 1.0).gap_s.size == 0
    slo = SloSpec.model_validate("itl:p90<200ms;itl:p99<200ms")
    report = evaluate(slo, latencies_of([FAST], 1e6), span_s=1.0, gaps=gaps)
    assert [outcome.passed for outcome in report.outcomes] == [True, False]
    with pytest.raises(ConfigError, match="steps"):
        evaluate(slo, latencies_of([FAST], 1e6), span_s=1.0)


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(1, 5)), min_size=1, max_size=30),
    st.floats(0.01, 1.0),
)
def test_weighted_quantile_is_that_of_repeated_values(
    pairs: list[tuple[float, int]], quantile: float
) -> None:
    repeated = sorted(value for value, weight in pairs for _ in range(weight))
    place = max(0, math.ceil(quantile * len(repeated) * (1 - 1e-12)) - 1)
    values, weights = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    assert weighted_quantile(values, weights, quantile) == repeated[place]


def test_a_run_before_and_after_saving_is_judged_alike(qa: Scenario, tmp_path: Path) -> None:
    result = simulate(qa)
    slo = SloSpec.model_validate("ttft:p95<1s;itl:p95<100ms;goodput>0.5")
    report = evaluate_run(slo, result)
    result.save(tmp_path / "run")
    assert evaluate_run(slo, RunResult.load(tmp_path / "run")).to_dict() == report.to_dict()
    assert report.launched == result.summary_dict()["launched"]
    assert slo_columns(report)["slo_attainment"] == report.attainment
    by_table = (result.requests[~result.requests["warmup"]]["ttft_s"] < 1.0).mean()
    limited = evaluate_run(SloSpec.model_validate("ttft:p95<1s"), result)
    assert limited.attainment == pytest.approx(by_table)


def test_tighter_limits_never_make_more_requests_good(qa: Scenario) -> None:
    result = simulate(qa)
    rates = [
        evaluate_run(SloSpec.model_validate(f"ttft:{limit} tpot:60"), result).attainment
        for limit in (50, 100, 200, 500, 2_000, 10_000)
    ]
    assert rates == sorted(rates)
    with pytest.raises(ConfigError, match="nothing"):
        evaluate_run(SloSpec(), result)
