"""Hit rates of whole scenarios without time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from typer.testing import CliRunner

from kvsim.cli import app
from kvsim.errors import ConfigError
from kvsim.plan.untimed import untimed_hits
from kvsim.simulate import simulate
from kvsim.spec import Scenario, load_scenario
from kvsim.workload.trace_hits import count_hits, references
from kvsim.workload.traces import read_trace
from tests.strategies import replayed_scenarios

ROOT = Path(__file__).parents[3]
EXPERIMENT = ROOT / "experiments" / "mooncake-conversation.yaml"
EXCERPT = ROOT / "tests" / "data" / "traces" / "mooncake_conversation.jsonl"
SOURCES = ("hit_tokens_hbm", "hit_tokens_cpu", "hit_tokens_remote", "computed_tokens")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(replayed_scenarios())
def test_every_prompt_token_has_one_source(scenario: Scenario) -> None:
    found = untimed_hits(scenario)
    assert sum(found[name] for name in SOURCES) == found["prompt_tokens"]
    assert min(found[name] for name in SOURCES) >= 0


def test_requests_far_apart_hit_what_they_hit_with_time() -> None:
    scenario = load_scenario(EXPERIMENT)
    timed, untimed = simulate(scenario).summary_dict(), untimed_hits(scenario)
    assert untimed["requests"] == timed["finished"]
    assert [untimed[name] for name in SOURCES] == [timed[name] for name in SOURCES]


def test_one_cpu_tier_is_the_single_cache_of_trace_hits() -> None:
    changes = {
        "instances": 1,
        "offload.remote": None,
        "offload.cpu.capacity": "2GiB",
        "offload.save_decode_cache": False,
        "engine.enable_prefix_caching": False,
        "workload.answers": "private",
    }
    scenario = load_scenario(EXPERIMENT, changes=changes)
    found = untimed_hits(scenario)
    single = count_hits(references(read_trace(EXCERPT)), "lru", (2 << 30) // (64 << 20))
    assert found["hit_tokens_hbm"] == 0
    assert found["hit_tokens_cpu"] == pytest.approx(single.hit_tokens, rel=0.1)


def test_multi_round_qa_has_no_order_without_time(qa: Scenario) -> None:
    with pytest.raises(ConfigError, match="no order without time"):
        untimed_hits(qa)


def test_command_line() -> None:
    words = ["run", str(EXPERIMENT), "--no-time"]
    shown = CliRunner().invoke(app, words, env={"COLUMNS": "80"}).stdout
    assert "found in the shared tier" in shown
    found = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert found["requests"] == 120
