"""The closed form of load or recompute agrees with simulations through the real clients."""

from __future__ import annotations

import pytest

from kvsim.plan.breakeven import CPU, Window, curve, rate_needed, what_ifs, window, with_rate
from kvsim.plan.breakeven_words import explain
from kvsim.plan.first_token import FirstToken
from kvsim.plan.one_request import simulate_first_token
from kvsim.spec import Scenario, load_profile

STORES = ("ontap-pnfs-rdma", "nfs-tcp", "local-nvme", "storagegrid-s3", "s3-standard")
MACHINES = (("h100-sxm-80gb", "xeon-pcie5"), ("a100-40gb", "epyc-pcie4"), ("l40s", "epyc-pcie4"))
AGREEMENT = 0.10


def scenario(gpu: str = "a100-40gb", host: str = "epyc-pcie4", **changes: object) -> Scenario:
    return Scenario.from_dict(
        {
            "name": "breakeven",
            "model": "qwen3-8b",
            "gpu": gpu,
            "host": host,
            "engine": {"max_model_len": 40_000, **changes},
            "offload": {"connector": "lmcache_inproc"},
            "workload": {
                "kind": "multi_round_qa",
                "num_users": 1,
                "num_rounds": 1,
                "qps": 1,
                "shared_system_prompt": 0,
                "user_history_prompt": 1_000,
                "answer_len": 1,
                "time": 1,
            },
        }
    )


@pytest.mark.parametrize(("gpu", "host"), MACHINES)
@pytest.mark.parametrize("context", [256, 1_024, 8_192, 32_768])
@pytest.mark.parametrize("question", [60, 300])
def test_recompute_and_cpu(gpu: str, host: str, context: int, question: int) -> None:
    here = scenario(gpu, host)
    model = FirstToken(here)
    for way, predicted in (
        ("recompute", model.recompute(context + question)),
        ("cpu", model.load(context, question)),
        ("miss", model.miss(context + question)),
    ):
        measured = simulate_first_token(here, way, context=context, question=question)  # type: ignore[arg-type]
        assert predicted.total_s == pytest.approx(measured, rel=AGREEMENT), way


@pytest.mark.parametrize("name", STORES)
@pytest.mark.parametrize("concurrency", [1, 2, 6])
@pytest.mark.parametrize("context", [256, 2_048, 16_384, 36_864])
def test_stores(name: str, concurrency: int, context: int) -> None:
    here, store = scenario(), load_profile("storage", name)
    predicted = FirstToken(here, concurrency=concurrency).load(context, 128, store)
    measured = simulate_first_token(
        here, "store", context=context, question=128, store=store, concurrency=concurrency
    )
    assert predicted.total_s == pytest.approx(measured, rel=AGREEMENT)


def test_look_ups_that_take_too_long_compute() -> None:
    here = scenario()
    slow = load_profile("storage", "s3-standard").model_copy(update={"head": 0.2})
    predicted = FirstToken(here).load(16_384, 128, slow)
    assert predicted.outcome == "lookup_timeout"
    measured = simulate_first_token(here, "store", context=16_384, question=128, store=slow)
    assert predicted.total_s == pytest.approx(measured, rel=AGREEMENT)


def test_loads_that_take_too_long_fail() -> None:
    here = scenario()
    store, _ = with_rate(load_profile("storage", "storagegrid-s3"), here, 50e6)
    assert store is not None
    predicted = FirstToken(here).load(16_384, 128, store)
    assert predicted.outcome == "load_timeout"
    assert predicted.total_s == float("inf")
    points = curve(here, store, points=4, simulated=4)
    assert [p.simulated_load_s is None for p in points] == [
        p.parts.outcome == "load_timeout" for p in points
    ]


def test_tensor_parallel_ranks() -> None:
    here = scenario("h100-sxm-80gb", "xeon-pcie5", tensor_parallel_size=2)
    store = load_profile("storage", "ontap-pnfs-rdma")
    predicted = FirstToken(here).load(8_192, 128, store).total_s
    measured = simulate_first_token(here, "store", context=8_192, question=128, store=store)
    assert predicted == pytest.approx(measured, rel=AGREEMENT)


def test_the_border_is_where_simulations_cross() -> None:
    here, store = scenario(), load_profile("storage", "storagegrid-s3")
    found = window(FirstToken(here), store)
    assert found.from_tokens is not None
    for context, wins in ((found.from_tokens // 2, False), (found.from_tokens * 2, True)):
        context -= context % 256
        load = simulate_first_token(here, "store", context=context, question=128, store=store)
        compute = simulate_first_token(here, "recompute", context=context, question=128)
        assert (load < compute) is wins


def start(found: Window | None) -> float:
    assert found is not None
    return float("inf") if found.from_tokens is None else found.from_tokens


def test_break_even_moves_as_theory_says() -> None:
    here, store = scenario(), load_profile("storage", "storagegrid-s3")
    rows = what_ifs(here, store, concurrency=(1, 2, 4, 8), latency=(0.25, 1, 2, 4))
    for changed in ("concurrency", "latency"):
        starts = [start(row.window) for row in rows if row.changed == changed]
        assert starts == sorted(starts)
    slower = [
        start(window(FirstToken(here), with_rate(store, here, r)[0])) for r in (4e9, 2e9, 1e9)
    ]
    assert slower == sorted(slower)
    fast, slow = (start(window(FirstToken(scenario(gpu)), store)) for gpu in ("l40s", "b200"))
    assert fast <= slow


def test_rate_needed_is_the_break_even() -> None:
    here = scenario()
    for store in (None, load_profile("storage", "storagegrid-s3")):
        rate = rate_needed(here, store, 16_384)
        assert rate is not None
        for factor, wins in ((0.98, False), (1.02, True)):
            changed, other = with_rate(store, here, rate * factor)
            model = FirstToken(other)
            load = model.load(16_384, 128, changed).total_s
            assert (load < model.recompute(16_384 + 128).total_s) is wins
    assert rate_needed(here, load_profile("storage", "s3-standard"), 256) is None


def test_impossible_conditions_say_why() -> None:
    rows = what_ifs(scenario(), None, gpus=["l40s"], models=["llama-3.1-70b"])
    assert [row.tier for row in rows] == [CPU, CPU]
    assert rows[0].window is not None
    assert rows[1].window is None
    assert "does not fit" in rows[1].reason


@pytest.mark.parametrize("name", STORES)
def test_words_name_the_cause(name: str) -> None:
    here, store = scenario("b200", "xeon-pcie5"), load_profile("storage", name)
    model = FirstToken(here)
    lines = explain(model, store, window(model, store))
    assert lines[0].startswith(f"{name}: loading wins")
    assert any("A miss at" in line for line in lines)
    assert any("no other request" in line for line in lines)
    assert all("nan" not in line and "inf" not in line.split() for line in lines)


def test_hit_rate_that_pays_weighs_savings_against_misses() -> None:
    points = curve(scenario(), load_profile("storage", "ontap-pnfs-rdma"), simulated=0)
    for point in points:
        share = point.break_even_hit_rate
        if share is None:
            assert point.load_s >= point.recompute_s
        else:
            mean = share * point.load_s + (1 - share) * point.miss_s
            assert mean == pytest.approx(point.recompute_s)
