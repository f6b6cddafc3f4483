"""The verdict names what binds, and its words follow the run."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from kvsim.metrics.cost import GpuTime, gpu_time
from kvsim.metrics.slo import SloReport, TargetOutcome, evaluate_run
from kvsim.plan.demand import Demand, demands
from kvsim.report.verdict import Binding, alone, binding, design_name, verdict
from kvsim.simulate import simulate
from kvsim.spec import Scenario
from kvsim.spec.slo import SloSpec

BUSY = GpuTime(prefill_s=1, store_s=0, load_s=0, decode_s=0, idle_s=0)


def summary(**changed: Any) -> dict[str, Any]:
    plain = {
        "died": False,
        "ttft_s_mean": 1.0,
        "queue_s_mean": 0.1,
        "load_s_mean": 0.1,
        "computed_tokens": 100,
        "recomputed_evicted_tokens": 0,
        "recomputed_elsewhere_tokens": 0,
        "hit_tokens_cpu": 0,
        "hit_tokens_remote": 10,
    }
    return plain | changed


def reads(p99_bytes_per_s: float) -> Demand:
    amounts = dict.fromkeys(Demand.__dataclass_fields__, 0)
    given = {"tier": "remote", "direction": "read", "limit_bytes_per_s": 10.0}
    return Demand(**{**amounts, **given, "p99_bytes_per_s": p99_bytes_per_s})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "time", "moved", "expected"),
    [
        ({"died": True}, BUSY, [], "engine"),
        ({"ttft_s_mean": None}, BUSY, [], "engine"),
        ({}, BUSY, [], "prefill"),
        ({"recomputed_evicted_tokens": 60}, BUSY, [], "evicted"),
        ({"recomputed_elsewhere_tokens": 60}, BUSY, [], "elsewhere"),
        ({"load_s_mean": 0.8}, BUSY, [reads(9.0)], "store"),
        ({"load_s_mean": 0.8}, BUSY, [reads(2.0)], "client"),
        ({"load_s_mean": 0.8, "hit_tokens_cpu": 90}, BUSY, [reads(9.0)], "pcie"),
        ({"load_s_mean": 0.8}, BUSY, [], "pcie"),
        ({"queue_s_mean": 0.8}, BUSY, [], "prefill"),
        ({"queue_s_mean": 0.8}, GpuTime(1, 0, 1, 5, 0), [], "decode"),
        ({"queue_s_mean": 0.8}, GpuTime(1, 0, 5, 1, 0), [reads(9.0)], "store"),
    ],
)
def test_what_binds(
    changed: dict[str, Any], time: GpuTime, moved: list[Demand], expected: Binding
) -> None:
    assert binding(summary(**changed), time, moved) == expected


@pytest.mark.parametrize(
    ("slo", "kept", "says"),
    [
        ("ttft:p95<1000s", True, "meets TTFT p95 < 1,000 s: it is"),
        ("ttft:p95<1ms", False, "misses TTFT p95 < 1 ms: it is"),
        ("ttft<1000s;goodput>0.001", True, "meets TTFT < 1,000 s for 100.0% of the requests"),
        (None, None, "requests/s with a first token after"),
    ],
)
def test_the_headline_tells_the_promise(
    qa: Scenario, slo: str | None, kept: bool | None, says: str
) -> None:
    promise = SloSpec.model_validate(slo) if slo else None
    result = simulate(qa.replace({"workload.time": 20}))
    words = verdict(
        qa,
        result.summary_dict(),
        slo=evaluate_run(promise, result) if promise else None,
        gpu_time=gpu_time(result),
        demands=demands(result),
    )
    assert words.kept is kept
    assert says in words.headline
    assert words.headline.startswith("2 x a100-40gb + CPU + storagegrid-s3 (S3)")


def test_designs_are_named_by_their_tiers(qa: Scenario) -> None:
    none = {"offload.connector": "none", "offload.remote": None}
    assert design_name(qa.replace(none)) == "2 x a100-40gb"
    files = qa.replace({"offload.remote.profile": "ontap-pnfs-rdma", "offload.cpu.capacity": 0})
    assert design_name(files) == "2 x a100-40gb + ontap-pnfs-rdma (files)"


def test_a_promise_reads_as_it_is_written() -> None:
    for text in ("ttft:p95<2s;itl:p99<=50ms", "goodput>=3;e2e:mean<1.5s", "ttft<500ms"):
        promise = SloSpec.model_validate(text)
        assert promise.text == text
        assert SloSpec.model_validate(promise.text) == promise


def judged(promise: str, *, passed: bool) -> SloReport:
    """Make the report of a promise all of whose limits came out the same."""
    targets = SloSpec.model_validate(promise).all_targets
    outcomes = tuple(TargetOutcome(target, 0.0, passed) for target in targets)
    return SloReport(outcomes, 0, 0, 0.0, 0.0, None, passed)


def parts(*rows: tuple[float, float, float], **columns: Any) -> pd.DataFrame:
    """Make a table of requests out of the parts of their time to first token."""
    table = pd.DataFrame(rows, columns=["queue_s", "load_s", "prefill_s"])
    return table.assign(warmup=False, ttft_s=table.sum(axis=1)).assign(**columns)


@pytest.mark.parametrize(
    ("promise", "rows", "says"),
    [
        ("ttft:mean<2s", [(0.1, 0.2, 2.4), (0.1, 0.2, 2.6)], "prefill (2.5 s), mean"),
        ("ttft:mean<2s", [(3.0, 0.2, 2.5)], "waiting (3 s) and prefill (2.5 s), mean"),
        ("ttft:mean<2s", [(0.9, 0.9, 0.9)], ""),
        ("ttft:p50<2s", [(0.0, 2.5, 0.1), (0.0, 2.5, 0.1), (0.0, 0.0, 9.0)], "loads (2.5 s), p50"),
        ("ttft:p95<2s;ttft:mean<1s", [(0.0, 0.0, 1.5)], "prefill (1.5 s), mean"),
        ("ttft<2s", [(0.0, 0.0, 9.0)], ""),
        ("e2e:mean<2s;goodput>3", [(0.0, 0.0, 9.0)], ""),
    ],
)
def test_the_part_that_breaks_a_promise_alone(
    promise: str, rows: list[tuple[float, float, float]], says: str
) -> None:
    expected = f"{says} of each part by itself" if says else ""
    assert alone(judged(promise, passed=False), parts(*rows)) == expected
    assert alone(judged(promise, passed=True), parts(*rows)) == ""


def test_only_answers_after_the_warm_up_are_asked_what_breaks_a_promise() -> None:
    missed = judged("ttft:mean<2s", passed=False)
    rows = [(9.0, 0.0, 0.5), (0.0, 0.0, 3.0), (9.0, 0.0, 0.5)]
    counted = parts(*rows, warmup=[True, False, False], ttft_s=[9.5, 3.0, None])
    assert alone(missed, counted) == "prefill (3 s), mean of each part by itself"
    assert alone(missed, parts(*rows, ttft_s=None)) == ""
