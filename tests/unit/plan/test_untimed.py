"""Hit rates of whole scenarios without time."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from typer.testing import CliRunner

from kvsim.cli import app
from kvsim.errors import ConfigError
from kvsim.metrics.columns import TOKEN_SUMS
from kvsim.metrics.result import RunResult
from kvsim.plan.untimed import untimed_hits
from kvsim.plan.untimed_run import TENANT_COLUMNS, UntimedRun
from kvsim.simulate import simulate
from kvsim.spec import Scenario, load_scenario
from kvsim.workload.trace_hits import count_hits, references
from kvsim.workload.traces import read_trace
from tests.strategies import replayed_scenarios

ROOT = Path(__file__).parents[3]
EXPERIMENT = ROOT / "experiments" / "mooncake-conversation.yaml"
EXCERPT = ROOT / "tests" / "data" / "traces" / "mooncake_conversation.jsonl"
TENANTS = {"paying": {"share": 1, "cpu_reserved": "50%"}, "free": {"share": 2}}
SOURCES = ("hit_tokens_hbm", "hit_tokens_cpu", "hit_tokens_remote", "computed_tokens")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(replayed_scenarios())
def test_every_prompt_token_has_one_source(scenario: Scenario) -> None:
    found = untimed_hits(scenario).summary
    assert sum(found[name] for name in SOURCES) == found["prompt_tokens"]
    assert min(found[name] for name in SOURCES) >= 0


def test_requests_far_apart_hit_what_they_hit_with_time() -> None:
    scenario = load_scenario(EXPERIMENT)
    timed, untimed = simulate(scenario).summary_dict(), untimed_hits(scenario).summary
    assert untimed["requests"] == timed["finished"]
    assert [untimed[name] for name in TOKEN_SUMS] == [timed[name] for name in TOKEN_SUMS]


@pytest.mark.parametrize("quota", [None, "2%"])
def test_tenants_far_apart_get_what_they_get_with_time(tmp_path: Path, quota: str | None) -> None:
    scenario = load_scenario(EXPERIMENT, changes={"instances": 4, "tenants": TENANTS})
    scenario = scenario.replace({"tenants.free.cpu_quota": quota})
    timed, untimed = simulate(scenario).tenants_dict()["tenants"], untimed_hits(scenario)
    rows = [{name: row[name] for name in TENANT_COLUMNS} for row in timed]
    assert untimed.tenant_rows() == rows
    assert all(row["hit_tokens_remote"] and row["cpu_peak_bytes"] for row in rows)
    assert bool(rows[1]["cpu_evicted_bytes"]) == (quota is not None)
    by_tenant = untimed.requests.groupby("tenant").sum()
    for row in rows:
        assert [by_tenant.loc[row["tenant"], name] for name in TOKEN_SUMS] == [
            row[name] for name in TOKEN_SUMS
        ]
    untimed.save(tmp_path / "run")
    saved = UntimedRun.load(tmp_path / "run")
    assert saved.to_dict() == untimed.to_dict()
    assert saved.requests.equals(untimed.requests)


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
    found = untimed_hits(scenario).summary
    single = count_hits(references(read_trace(EXCERPT)), "lru", (2 << 30) // (64 << 20))
    assert found["hit_tokens_hbm"] == 0
    assert found["hit_tokens_cpu"] == pytest.approx(single.hit_tokens, rel=0.1)


def test_multi_round_qa_has_no_order_without_time(qa: Scenario) -> None:
    with pytest.raises(ConfigError, match="no order without time"):
        untimed_hits(qa)


def test_command_line(tmp_path: Path) -> None:
    words = ["run", str(EXPERIMENT), "--no-time"]
    out = tmp_path / "run"
    more = ["--set", f"tenants={json.dumps(TENANTS)}", "--out", str(out)]
    shown = CliRunner().invoke(app, [*words, *more], env={"COLUMNS": "80"})
    assert "remote hit" in shown.stdout
    assert re.search(r"paying │ +\d+ │.*% │$", shown.stdout, re.MULTILINE)
    found = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert found["requests"] == 120
    assert "tenants" not in found
    with pytest.raises(ConfigError, match="is a run without time"):
        RunResult.load(out)
