"""What holds for replayed and made-up workloads, from the request's path down to the tiers."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvsim.cache.chunk_tier import ChunkTier
from kvsim.cache.make import allowances
from kvsim.cache.tenant_tier import TenantTier
from kvsim.errors import ConfigError
from kvsim.simulate import World, simulate
from kvsim.spec import Scenario, load_scenario
from kvsim.workload.source import load_trace
from tests.laws.test_simulate import assert_equal_results
from tests.strategies import replayed_scenarios, tight_quotas
from tests.trace_strategies import hashed_prompts

ROOT = Path(__file__).parents[2]
EXPERIMENT = ROOT / "experiments" / "mooncake-conversation.yaml"
CONVERSATIONS = ROOT.parent / "shared" / "data" / "mooncake" / "conversation_trace.jsonl"
LAWS = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def check_laws(scenario: Scenario) -> World:
    """Run a scenario; every request of its workload is answered and its prompt accounted for."""
    world = World(scenario, coalesce=True)
    world.run()
    assert scenario.workload.kind != "multi_round_qa"
    sent = world.recorder.requests
    trace = world.driver.trace  # type: ignore[union-attr]
    assert Counter((r.prompt_tokens, r.output_tokens) for r in sent) == Counter(
        zip(trace.prompt_tokens.tolist(), trace.output_tokens.tolist(), strict=True)
    )
    for request in sent:
        assert request.outcome == "finished"
        hits = request.hit_tokens_hbm + request.hit_tokens_cpu + request.hit_tokens_remote
        assert request.computed_tokens + hits == request.prompt_tokens
        assert request.computed_tokens >= 1
        again = request.recomputed_elsewhere_tokens + request.recomputed_evicted_tokens
        assert 0 <= again <= request.computed_tokens
    for engine in world.engines:
        pool = engine.scheduler.pool
        assert pool.free_blocks == pool.num_blocks
        if engine.lmcache is not None:
            check_quotas(scenario, engine.lmcache.cpu)
    return world


def check_quotas(scenario: Scenario, cpu: ChunkTier) -> None:
    """Between loads no tenant has more of a tier than its quota."""
    limits = allowances(
        scenario.tenants, "cpu", scenario.offload.cpu.capacity, scenario.chunk_bytes
    )
    if limits is not None:
        assert isinstance(cpu, TenantTier)
        for tenant, allowance in limits.items():
            assert cpu.used_by[tenant] <= allowance.quota


@LAWS
@given(replayed_scenarios())
def test_laws_of_made_up_workloads(scenario: Scenario) -> None:
    check_laws(scenario)


@LAWS
@given(replayed_scenarios())
def test_coalesced_made_up_run_equals_the_oracle(scenario: Scenario) -> None:
    assert_equal_results(simulate(scenario), simulate(scenario, coalesce=False))


@LAWS
@given(hashed_prompts(), st.data())
def test_coalesced_replay_equals_the_oracle(
    rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        workload = {
            "kind": "trace",
            "file": str(file),
            "format": "mooncake",
            "hash_tokens": 256,
            "rate_scale": data.draw(st.sampled_from([1, 20])),
        }
        scenario = data.draw(replayed_scenarios(st.just(workload)))
        check_laws(scenario)
        assert_equal_results(simulate(scenario), simulate(scenario, coalesce=False))


@LAWS
@given(tight_quotas())
def test_quotas_smaller_than_loads_stop_nobody(scenario: Scenario) -> None:
    check_laws(scenario)
    assert_equal_results(simulate(scenario), simulate(scenario, coalesce=False))


@pytest.mark.parametrize("profile", ["ontap-pnfs-rdma", "storagegrid-s3"])
@pytest.mark.parametrize("chunks", [1, 2])
def test_a_load_lands_beyond_its_tenants_quota(tmp_path: Path, profile: str, chunks: int) -> None:
    file = tmp_path / "trace.jsonl"
    rows = [
        {
            "timestamp": 10_000 * row,
            "input_length": 4 * 512 + 44,
            "output_length": 3,
            "hash_ids": [1, 2, 3, 4, 100 + row],
            "tenant": tenant,
        }
        for row, tenant in enumerate(["whole", "part", "part", "part"])
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    chunk_bytes = load_scenario(EXPERIMENT).chunk_bytes
    scenario = load_scenario(
        EXPERIMENT,
        changes={
            "workload.file": str(file),
            "instances": 2,
            "router": "round_robin",
            "engine.enable_prefix_caching": False,
            "offload.remote.profile": profile,
            "tenants": {"whole": {}, "part": {"cpu_quota": chunks * chunk_bytes}},
        },
    )
    world = check_laws(scenario)
    found = [(r.hit_tokens_cpu, r.hit_tokens_remote) for r in world.recorder.requests]
    assert found == [(0, 0), (0, 2_048), (2_048, 0), (0, 2_048)]
    second = world.engines[1].lmcache
    assert second is not None
    assert isinstance(second.cpu, TenantTier)
    assert second.cpu.used_by["part"] == second.cpu.num_resident == chunks
    assert second.cpu.peak_of["part"] == 4


def test_shipped_experiment_replays_its_excerpt() -> None:
    scenario = load_scenario(EXPERIMENT)
    world = check_laws(scenario)
    requests = world.recorder.requests
    assert len(requests) == 120
    assert sum(r.hit_tokens_remote for r in requests) > 0, "instances share through the store"
    summary = world.result(0.0).summary_dict()
    assert summary["finished"] == 120
    assert summary["token_hit_rate"] > 0.3


def test_an_endless_cache_on_one_instance_hits_what_the_trace_repeats() -> None:
    scenario = load_scenario(
        EXPERIMENT, changes={"instances": 1, "offload.cpu.capacity": "4TiB", "offload.remote": None}
    )
    trace = load_trace(scenario.workload, 0)  # type: ignore[arg-type]
    seen: set[int] = set()
    chunks = 0
    for row in range(len(trace)):
        whole = trace.hashes(row)[: trace.prompt_tokens[row] // 512].tolist()
        known = [one in seen for one in whole]
        chunks += known.index(False) if False in known else len(known)
        seen.update(whole)
    world = check_laws(scenario)
    requests = world.recorder.requests
    hits = sum(r.hit_tokens_hbm + r.hit_tokens_cpu for r in requests)
    # Requests under way at once cannot hit each other; answers that come back are hits too.
    assert hits == pytest.approx(chunks * 512, rel=0.02)


@pytest.mark.parametrize("kind", ["agentic", "rag", "chat"])
def test_kinds_run_with_their_fitted_defaults(kind: str) -> None:
    workload = {"kind": kind, "arrivals": {"kind": "poisson", "rate": 0.5}, "duration": 20}
    if kind == "agentic":
        few = {"median": 3, "sigma": 0}
        workload |= {"turns": few, "resumed_turns": few, "max_prompt": 100_000}
    scenario = load_scenario(EXPERIMENT, changes={"workload": workload, "instances": 2})
    world = check_laws(scenario.replace({"offload.chunk_tokens": 256}))
    assert world.recorder.requests


def test_chunks_finer_than_the_hashes_are_an_error() -> None:
    scenario = load_scenario(EXPERIMENT, changes={"offload.chunk_tokens": 256})
    with pytest.raises(ConfigError, match=r"offload\.chunk_tokens: 256 is finer than the 512"):
        simulate(scenario)


def test_prompt_beyond_the_model_is_an_error() -> None:
    scenario = load_scenario(EXPERIMENT, changes={"engine.max_model_len": 2_000})
    with pytest.raises(ConfigError, match="more than max_model_len 2000"):
        simulate(scenario)


def test_a_trace_file_is_found_beside_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text(
        '{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [1, 2]}\n'
    )
    text = EXPERIMENT.read_text().replace(
        "../tests/data/traces/mooncake_conversation.jsonl", "mine.jsonl"
    )
    (tmp_path / "mine.yaml").write_text(text)
    result = simulate(load_scenario(tmp_path / "mine.yaml"))
    assert result.summary_dict()["finished"] == 1


@pytest.mark.slow
@pytest.mark.skipif(not CONVERSATIONS.is_file(), reason="the whole trace is not part of kvsim")
def test_the_whole_conversation_trace_runs() -> None:
    changes = {
        "workload.file": str(CONVERSATIONS),
        "offload.remote.profile.write.bandwidth": "10GB/s",
    }
    scenario = load_scenario(EXPERIMENT, changes=changes)
    summary = simulate(scenario).summary_dict()
    assert summary["finished"] == summary["launched"] == 12_031
    assert summary["stable"]
    assert summary["token_hit_rate"] == pytest.approx(0.3734, abs=2e-4), "what the trace repeats"
