"""Sizes equal brute force, are no larger for weaker targets, and say why nothing is enough."""

from __future__ import annotations

import json
from functools import cache

import pytest

from kvsim.errors import ConfigError
from kvsim.plan.reuse import lookups_of, measure_reuse
from kvsim.plan.size import PRECISION, Sizing, Target, TierSize, meets, size_store, size_tier
from kvsim.plan.size_plan import SizePlan, make_size_plan
from kvsim.plan.trial import try_out
from kvsim.spec import Scenario
from kvsim.spec.cost import load_prices, resolve_prices
from kvsim.spec.slo import SloSpec


@cache
def small() -> Scenario:
    return Scenario.from_dict(
        {
            "name": "small",
            "model": "qwen3-8b",
            "gpu": "a100-40gb",
            "host": "epyc-pcie4",
            "engine": {"num_gpu_blocks": 700, "max_model_len": 8_000},
            "offload": {"connector": "lmcache_inproc", "save_decode_cache": True},
            "workload": {
                "kind": "multi_round_qa",
                "num_users": 5,
                "num_rounds": 8,
                "qps": 1,
                "shared_system_prompt": 300,
                "user_history_prompt": 3_000,
                "answer_len": 30,
                "time": 60,
            },
        }
    )


def size_cpu(target: Target | None) -> tuple[TierSize, Target]:
    return size_tier(Sizing(small(), "cpu"), target)


def plan(scenario: Scenario, **options: object) -> SizePlan:
    remote = scenario.offload.remote
    prices = resolve_prices(load_prices(), scenario.gpu, None if remote is None else remote.profile)
    return make_size_plan(scenario, prices, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.75])
def test_smallest_cpu_tier_equals_trying_every_capacity(rate: float) -> None:
    size, _ = size_cpu(Target(hit_rate=rate))
    assert size.capacity_bytes is not None
    sizing = Sizing(small(), "cpu")
    target = Target(hit_rate=rate, stable=True)
    chunk = sizing.unit_bytes
    found = size.capacity_bytes // chunk
    brute = next(n for n in range(found + 1) if meets(sizing.trials(n), target))
    assert brute <= found <= max(brute * (1 + PRECISION) + 1, brute + 1)


def test_weaker_targets_need_no_more() -> None:
    sizes = [size_cpu(Target(hit_rate=rate))[0].capacity_bytes for rate in (0.1, 0.4, 0.6, 0.8)]
    known = [size for size in sizes if size is not None]
    assert known == sorted(known)
    assert len(known) == 4


def test_default_target_is_nearly_all_that_can_be_found() -> None:
    size, target = size_cpu(None)
    assert target.hit_rate is not None
    best = max(point.hit_rate for point in size.points)
    assert target.hit_rate == pytest.approx(0.95 * best, rel=1e-6)
    assert target.stable
    at = next(p for p in size.points if p.capacity_bytes == size.capacity_bytes)
    assert at.meets
    assert size.monotone


def test_promises() -> None:
    size, _ = size_cpu(Target(slo=SloSpec.model_validate("ttft:p95<400ms")))
    assert size.capacity_bytes is not None
    assert next(p for p in size.points if p.capacity_bytes == size.capacity_bytes).attainment
    size, _ = size_cpu(Target(slo=SloSpec.model_validate("ttft:p95<1ms")))
    assert size.capacity_bytes is None
    assert "ttft:p95 is" in size.reason


def test_out_of_reach() -> None:
    size, _ = size_cpu(Target(hit_rate=1.0))
    assert size.capacity_bytes is None
    assert "were there before" in size.reason
    with pytest.raises(ConfigError, match="hit rate"):
        Target(hit_rate=1.5)
    none = small().replace({"offload.connector": "none"})
    with pytest.raises(ConfigError, match="lmcache_inproc"):
        Sizing(none, "cpu")


def test_seeds_are_those_of_the_scenario_or_given() -> None:
    sizing = Sizing(small(), "cpu", seeds=[0, 1])
    assert [trial.result.scenario.seed for trial in sizing.trials(20)] == [0, 1]
    assert Sizing(small(), "cpu").trials(20)[0].result.scenario.seed == small().seed


def test_gpu_memory() -> None:
    scenario = small().replace({"offload.connector": "none", "engine.num_gpu_blocks": None})
    made = plan(scenario, target=Target(hit_rate=0.5))
    (size,) = made.tiers
    assert size.tier == "hbm"
    assert size.capacity_bytes is not None
    assert made.sized.num_gpu_blocks < scenario.num_gpu_blocks
    assert made.trial.hit_rate >= 0.5
    assert made.curve == ()


def test_store_by_brute_force(qa: Scenario) -> None:
    trial = try_out(qa)
    target = Target(hit_rate=0.6)
    size = size_store(qa, trial, target)
    reuse = measure_reuse(lookups_of(trial.requests), qa.offload.chunk_tokens)
    wanted = 0.6 * reuse.prompt_tokens
    brute = next(n for n in range(100_000) if reuse.lru_tokens(n) >= wanted)
    best = next(n for n in range(100_000) if reuse.optimal_tokens(n) >= wanted)
    assert size.capacity_bytes == brute * qa.chunk_bytes
    assert size.optimal_bytes == best * qa.chunk_bytes
    assert best <= brute
    assert size_store(qa, trial, Target(hit_rate=0.999)).capacity_bytes is None


def test_the_whole_plan(qa: Scenario) -> None:
    runs = []
    made = plan(qa, on_run=lambda: runs.append(1))
    data = json.loads(json.dumps(made.to_dict(), allow_nan=False))
    assert [tier["tier"] for tier in data["tiers"]] == ["cpu", "remote"]
    assert data["reached"]
    assert len(runs) < 40
    rates = [row["lru_rate"] for row in data["curve"]]
    bounds = [row["bound_rate"] for row in data["curve"]]
    assert rates == sorted(rates)
    assert bounds == sorted(bounds)
    assert all(a <= b for a, b in zip(rates, bounds, strict=True))
    assert {d["tier"] for d in data["demands"]} == {"cpu", "remote"}
    (writes,) = data["writes"]
    assert writes["amplification"] >= 1
    assert data["cost"]["usd_per_hour"] > 0
    assert made.sized.offload.cpu.capacity == data["tiers"][0]["capacity_bytes"]
    assert made.trial.result.scenario.offload.cpu.capacity == made.sized.offload.cpu.capacity


def test_nothing_is_needed_where_the_gpu_is_enough(qa: Scenario) -> None:
    made = plan(
        qa.replace({"engine.num_gpu_blocks": None}), target=Target(hit_rate=0.05), tiers=["cpu"]
    )
    (size,) = made.tiers
    assert size.capacity_bytes == 0
    assert "not needed" in size.reason
    assert any("nothing reached the store" in note for note in made.notes)


def test_out_of_reach_costs_what_was_simulated() -> None:
    made = plan(small(), target=Target(hit_rate=0.999))
    assert not made.reached
    assert made.cost.ram_usd_per_hour < 1
