"""What holds for every run, whatever its scenario."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd
from hypothesis import HealthCheck, given, settings

from kvsim.metrics.result import RunResult
from kvsim.simulate import World, simulate
from kvsim.spec import Scenario
from tests.strategies import scenarios

SLOW = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def assert_equal_results(one: RunResult, other: RunResult) -> None:
    for name in ("requests", "steps", "transfers", "tiers", "sessions"):
        pd.testing.assert_frame_equal(
            getattr(one, name), getattr(other, name), check_exact=True, obj=name
        )
    assert one.tenants_dict() == other.tenants_dict()
    ignored = {"events", "wall_s"}
    assert {k: v for k, v in one.summary_dict().items() if k not in ignored} == {
        k: v for k, v in other.summary_dict().items() if k not in ignored
    }


@SLOW
@given(scenarios())
def test_coalesced_run_equals_the_oracle(scenario: Scenario) -> None:
    assert_equal_results(simulate(scenario), simulate(scenario, coalesce=False))


@SLOW
@given(scenarios())
def test_laws_of_one_run(scenario: Scenario) -> None:
    world = World(scenario, coalesce=True)
    world.run()
    requests = world.recorder.requests
    cut_short = any(request.outcome == "failed" for request in requests)  # in the drain, maybe
    for request in requests:
        assert cut_short or request.outcome == "finished"
        if request.outcome != "finished":
            continue
        hits = request.hit_tokens_hbm + request.hit_tokens_cpu + request.hit_tokens_remote
        assert request.computed_tokens + hits == request.prompt_tokens
        assert request.computed_tokens >= 1
        again = request.recomputed_elsewhere_tokens + request.recomputed_evicted_tokens
        assert 0 <= again <= request.computed_tokens
        assert request.engine_s is not None
        assert request.scheduled_s is not None
        assert request.first_token_s is not None
        assert request.finished_s is not None
        instants = [
            request.arrival_s,
            request.engine_s,
            request.scheduled_s,
            request.first_token_s,
            request.finished_s,
        ]
        assert instants == sorted(instants)
    for one, two in pairwise(requests):
        assert one.request_id < two.request_id
    by_session: dict[int, list[float]] = {}
    for request in requests:
        if request.finished_s is not None and not request.warmup:
            ends = by_session.setdefault(request.session_id, [])
            assert not ends or request.arrival_s >= ends[-1]
            ends.append(request.finished_s)
    world.clock.run()  # a failure ends the drain at once; what was left behind ends as well
    assert {request.outcome for request in requests} <= {"finished", "failed"}
    for engine in world.engines:
        if engine.is_dead:
            continue
        pool = engine.scheduler.pool
        assert not engine.scheduler.has_requests
        assert pool.free_blocks == pool.num_blocks
        if engine.lmcache is not None:
            while engine.puts_in_flight:
                world.clock.step()
            cpu = engine.lmcache.cpu
            assert cpu.busy_chunks == 0
            assert cpu.used_chunks == cpu.num_resident <= cpu.capacity_chunks


@SLOW
@given(scenarios())
def test_a_tier_without_room_is_no_tier(scenario: Scenario) -> None:
    none = scenario.replace({"offload.connector": "none"})
    empty = scenario.replace(
        {"offload.connector": "lmcache_inproc", "offload.cpu.capacity": 0, "offload.remote": None}
    )
    assert_equal_results(simulate(none), simulate(empty))


def test_an_end_in_the_middle_of_a_run_of_decodes_counts_the_passes_that_began(
    qa: Scenario,
) -> None:
    held = []
    for coalesce in (True, False):
        world = World(qa.replace({"workload.answer_len": 400}), coalesce=coalesce)
        world.driver.start()
        world.clock.run(until=20.0)
        for engine in world.engines:
            engine.close()
        running = [one for engine in world.engines for one in engine.scheduler.running]
        held.append([(one.request_id, one.num_computed) for one in running])
    assert held[0] == held[1]
    assert held[0], "no request decodes at that instant"
