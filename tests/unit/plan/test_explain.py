"""Formulas against the simulator's own figures, and each cause on a run that has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from kvsim.cli.explain import explain
from kvsim.compute.step_time import StepTime
from kvsim.deploy import scenario_text
from kvsim.plan.diagnose import Finding, diagnose
from kvsim.plan.first_token import FirstToken
from kvsim.plan.formulas import QUESTION_TOKENS, Formula, formulas
from kvsim.simulate import simulate
from kvsim.spec import Scenario

NO_OFFLOAD = {"offload.connector": "none", "offload.remote": None}


def named(scenario: Scenario, words: str, **given: Any) -> Formula:
    return next(each for each in formulas(scenario, **given) if words in each.label)


def test_filled_formulas_compute_their_values(qa: Scenario) -> None:
    token = named(qa, "KV of one token")
    assert token.filled == "2 · 36 · 8 · 128 · 2"
    assert token.value == 2 * 36 * 8 * 128 * 2 == qa.model.kv_bytes_per_token
    assert named(qa, "KV pool holds").value == (4_000 - 1) * 16
    assert named(qa, "a chunk").value == qa.chunk_bytes
    assert named(qa, "CPU tier").value == 20 * 2**30 // qa.chunk_bytes * 256
    assert named(qa, "KV of 5,000", context=5_000).value == 5_000 * 147_456


def test_the_pool_without_a_number_of_blocks(qa: Scenario) -> None:
    free = qa.replace({"engine.num_gpu_blocks": None})
    pool = named(free, "KV pool holds")
    assert pool.value == (free.num_gpu_blocks - 1) * 16
    assert "0.92" in pool.filled


def test_times_are_those_of_the_simulator(qa: Scenario) -> None:
    model, context = FirstToken(qa), 9_000
    assert qa.offload.remote is not None
    parts = model.load(context, QUESTION_TOKENS, qa.offload.remote.profile)
    assert named(qa, "look-up", context=context).value == parts.checks
    read = named(qa, "read of", context=context)
    assert read.value == parts.latency + parts.transfer
    assert named(qa, "from CPU memory", context=context).value == parts.copy
    step = StepTime(qa.model, qa.gpu, qa.engine, qa.workload.token_content)
    budget = qa.max_num_batched_tokens
    chunks = [(done, min(budget, context - done)) for done in range(0, context, budget)]
    computed = named(qa, "GPU time", context=context).value
    assert computed == pytest.approx(sum(step.step_s(0, 0, [chunk]) for chunk in chunks))


def test_the_break_even_rate_divides_loads_from_computing(qa: Scenario) -> None:
    rate, computed = named(qa, "rate at which"), named(qa, "GPU time")
    context = int(computed.label.split()[-2].replace(",", ""))
    assert rate.value == pytest.approx(context // 256 * qa.chunk_bytes / computed.value)


def test_latent_attention_has_its_own_formula(qa: Scenario) -> None:
    big = qa.replace(
        {
            "model": "deepseek-v3",
            "gpu": "h200",
            "engine.tensor_parallel_size": 8,
            "engine.num_gpu_blocks": None,
        }
    )
    token = named(big, "KV of one token, one rank")
    assert token.value == 61 * (512 + 64) * 2 == big.model.kv_bytes_per_token_per_rank(8)
    assert "kv_lora_rank" in token.formula


def test_without_offload_only_the_gpu_is_explained(qa: Scenario) -> None:
    labels = [each.label for each in formulas(qa.replace(NO_OFFLOAD))]
    assert not any("CPU" in label or "look-up" in label for label in labels)


def causes(scenario: Scenario, baseline: Scenario | None = None) -> list[Finding]:
    base = None if baseline is None else simulate(baseline)
    return diagnose(simulate(scenario), base)


def has(found: list[Finding], words: str) -> bool:
    return any(words in each.what for each in found)


def test_a_pool_that_thrashes(qa: Scenario) -> None:
    busy = qa.replace({**NO_OFFLOAD, "engine.num_gpu_blocks": 2_000})
    found = causes(busy)
    assert has(found, "GPU memory is too small")
    assert has(found, "answers fall behind questions") != simulate(busy).summary_dict()["stable"]
    helped = diagnose(simulate(qa), simulate(qa.replace(NO_OFFLOAD)))
    assert helped[0].what.startswith("offload")


def test_a_pool_that_is_large_enough(qa: Scenario) -> None:
    small = qa.replace(
        {"instances": 1, "workload.user_history_prompt": 300, "workload.num_users": 3}
    )
    found = causes(small, small.replace(NO_OFFLOAD))
    assert has(found, "GPU memory already holds what comes back")
    assert not has(found, "offload helps")


def test_a_cpu_tier_below_the_live_sessions(qa: Scenario) -> None:
    tiny = qa.replace(
        {
            "instances": 1,
            "offload.remote": None,
            "offload.cpu.capacity": "4GiB",
            "engine.num_gpu_blocks": 1_300,
            "workload.qps": 1,
        }
    )
    found = causes(tiny)
    assert has(found, "the CPU tier is smaller than the sessions alive")
    assert not has(found, "instances that do not have their context")
    roomy = causes(tiny.replace({"offload.cpu.capacity": "200GiB"}))
    assert not has(roomy, "the CPU tier is smaller")


def test_requests_that_change_instances(qa: Scenario) -> None:
    moving = qa.replace({"offload.remote": None, "offload.cpu.capacity": "100GiB"})
    moving = moving.replace({"workload.num_rounds": 3, "instances": 3})
    assert has(causes(moving), "instances that do not have their context")
    assert not has(causes(moving.replace({"router": "session"})), "do not have their context")


def test_a_slow_store(qa: Scenario) -> None:
    slow = qa.replace(
        {"offload.remote.profile.read.bandwidth": "300MB/s", "workload.user_history_prompt": 2_000}
    )
    assert has(causes(slow), "a load from storagegrid-s3 is slower than computing")
    assert not has(causes(qa), "slower than computing")
    late = qa.replace({"offload.lookup_timeout": 0.05})
    assert has(causes(late), "look-ups in storagegrid-s3 take too long")
    given_up = qa.replace({"offload.blocking_timeout": 0.1})
    assert has(causes(given_up), "loads from storagegrid-s3 take too long")


def test_prompts_below_a_chunk_and_first_sight(qa: Scenario) -> None:
    short = qa.replace({"workload.shared_system_prompt": 10, "workload.user_history_prompt": 10})
    short = short.replace({"workload.num_rounds": 2})
    assert has(causes(short), "prompts are shorter than a chunk")
    new = qa.replace({"workload.num_rounds": 1, "workload.shared_system_prompt": 0})
    found = next(each for each in causes(new) if "first time" in each.what)
    assert "the store is empty at the start" in found.evidence


def test_a_deadlock_is_the_first_cause(qa: Scenario) -> None:
    slow = qa.replace(
        {
            "offload.cpu.capacity": "4GiB",
            "offload.remote.profile.write.bandwidth": "50MB/s",
            "workload.num_users": 20,
        }
    )
    found = causes(slow, slow.replace(NO_OFFLOAD))
    assert found[0].what == "offload hurts"
    assert found[1].what == "an engine stopped for good"
    assert not has(found, "GPU memory already holds")


def test_command(qa: Scenario, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(explain)
    path, folder = tmp_path / "scenario.yaml", tmp_path / "run"
    short = qa.replace({"workload.time": 20})
    path.write_text(scenario_text(short), encoding="utf-8")
    simulate(short).save(folder)

    def run(*words: object) -> Any:
        return CliRunner().invoke(app, [str(word) for word in words], standalone_mode=False)

    fresh = json.loads(run(path, "--json").stdout)
    assert fresh["findings"][0]["what"].startswith("offload")
    saved = json.loads(run(folder, "--json").stdout)
    assert saved["formulas"] == fresh["formulas"]
    assert saved["findings"] == fresh["findings"][1:]
    assert "KV of one token: 144KiB" in run(path, "--context", 4_000).stdout
    assert "a saved run is over" in str(run(folder, "--set", "seed=1").exception)
