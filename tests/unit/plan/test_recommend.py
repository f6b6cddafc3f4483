"""`kvsim recommend`: the choice agrees with simulations made one by one, the words with both."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner, Result

from kvsim.cli.deploy import deploy
from kvsim.cli.recommend import recommend as command
from kvsim.cli.slo import SLO_FAILED
from kvsim.deploy import existing_deployment, scenario_text
from kvsim.errors import ConfigError
from kvsim.metrics.slo import evaluate_run
from kvsim.plan.choice import NONE
from kvsim.plan.recommend import Recommendation, recommend
from kvsim.plan.setups import default_setups, reliefs, what_ifs
from kvsim.simulate import simulate
from kvsim.spec import Scenario, SloSpec, load_scenario

app = typer.Typer()
app.command()(command)
app.command()(deploy)
SHORT = {"workload.time": 25}
STORE = "ontap-pnfs-rdma"


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], standalone_mode=False)


@pytest.fixture(scope="module")
def scenario(request: pytest.FixtureRequest) -> Scenario:
    """Give a load that thrashes the GPU's pool, over a CPU tier that is too small for it."""
    path = request.config.rootpath / "experiments" / "storagegrid-one.yaml"
    return load_scenario(path, changes={"workload.time": 90, "offload.cpu.capacity": "60GiB"})


@pytest.fixture(scope="module")
def found(scenario: Scenario) -> Recommendation:
    seen: list[tuple[int, int]] = []
    answer = recommend(scenario, jobs=1, on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == list(range(1, len(seen) + 1))
    return answer


def test_the_choice_is_that_of_runs_made_one_by_one(
    scenario: Scenario, found: Recommendation
) -> None:
    waits = {}
    for name, changes in default_setups(scenario).items():
        results = [
            simulate(scenario.replace({**changes, "seed": seed})).summary_dict()
            for seed in range(3)
        ]
        waits[name] = sum(float(result["ttft_s_mean"] or 0) for result in results) / len(results)
        row = found.table.set_index("setup").loc[name]
        assert row["ttft_s_mean"] == pytest.approx(waits[name], rel=1e-12)
        assert row["stable"] == all(result["stable"] for result in results)
        assert (name in found.rejected) == (not row["stable"])
    left = {name: wait for name, wait in waits.items() if name not in found.rejected}
    assert found.chosen in (min(left, key=lambda name: left[name]), *found.tied)
    assert found.scenario == scenario.replace(default_setups(scenario)[found.chosen])


def test_words_hold_the_answer(found: Recommendation) -> None:
    text = "\n".join(found.words)
    assert found.chosen in found.words[0]
    assert found.binding in text
    assert "Against GPU memory alone" in text
    assert "The answer" in text
    assert "measured" in found.words[-1]
    for flip in found.flips:
        assert flip.words in text
        assert flip.chosen != found.chosen
    json.dumps(found.to_dict(), allow_nan=False)


def test_the_binding_constraint_is_the_resource_that_helps_most(
    scenario: Scenario, found: Recommendation
) -> None:
    own = found.scenario.replace({"seed": 0})
    before = simulate(own).summary_dict()["ttft_s_mean"]
    changes = reliefs(own)
    assert isinstance(before, float)
    for relief in found.reliefs:
        after = simulate(own.replace(changes[relief.resource])).summary_dict()["ttft_s_mean"]
        assert after == relief.ttft_s_mean
        assert relief.change == pytest.approx(relief.ttft_s_mean / before - 1)
    assert list(found.reliefs) == sorted(found.reliefs, key=lambda relief: relief.change)
    assert found.reliefs[0].resource in found.binding or "none" in found.binding


def test_equal_answers_however_many_processes(qa: Scenario) -> None:
    short = qa.replace({"workload.time": 15})
    one, two = recommend(short, seeds=1, jobs=1), recommend(short, seeds=1, jobs=2)
    assert one.words == two.words
    pd.testing.assert_frame_equal(one.table, two.table)


def test_where_memory_holds_everything_nothing_is_bought(qa: Scenario) -> None:
    small = qa.replace(
        {**SHORT, "workload.user_history_prompt": 200, "workload.num_users": 3, "workload.qps": 0.5}
    )
    answer = recommend(small, seeds=1, jobs=1)
    assert answer.chosen == "gpu"
    assert "GPU memory alone" in answer.words[0]


def test_budget_and_promise_reject(qa: Scenario) -> None:
    promise = SloSpec.model_validate("ttft:p50<1ms")
    answer = recommend(qa.replace(SHORT), slo=promise, seeds=1, jobs=1)
    assert answer.chosen == NONE
    assert answer.words[0].startswith("No set-up does it")
    reasons = list(answer.rejected.values())
    assert len(reasons) == 5
    assert any("SLO missed: ttft:p50" in reason for reason in reasons)
    poor = recommend(qa.replace(SHORT), budget_usd_per_hour=0.01, seeds=1, jobs=1)
    assert any("over budget" in reason for reason in poor.rejected.values())


def test_the_promise_is_held_against_each_run(qa: Scenario) -> None:
    short = qa.replace(SHORT)
    promise = SloSpec.model_validate("ttft:p95<2s")
    answer = recommend(short, slo=promise, seeds=1, jobs=1)
    for name, changes in default_setups(short).items():
        result = simulate(short.replace(changes))
        missed = "SLO missed" in answer.rejected.get(name, "")
        if result.summary_dict()["stable"]:
            assert missed == (not evaluate_run(promise, result).passed)


def test_a_setup_that_can_deadlock_is_rejected(qa: Scenario) -> None:
    tight = qa.replace({**SHORT, "offload.cpu.capacity": "4GiB", "workload.num_users": 20})
    answer = recommend(tight, seeds=1, jobs=1)
    assert "deadlock" in answer.rejected["storagegrid-s3"]
    assert "deadlock" not in answer.rejected.get(STORE, "")  # files end on threads of their own


def test_a_flip_is_the_answer_for_the_changed_load(scenario: Scenario) -> None:
    first = recommend(scenario, seeds=1, jobs=1)
    changed = next(what for what in what_ifs(scenario) if what.name == "contexts half as long")
    other = changed.of(scenario)
    assert other is not None
    then = recommend(other, setups=default_setups(scenario), seeds=1, jobs=1)
    flips = {flip.what: flip.chosen for flip in first.flips}
    assert flips.get(changed.name, first.chosen) in (then.chosen, *then.tied)


def test_what_cannot_be_deployed_is_an_error_before_any_run(qa: Scenario, tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(scenario_text(qa.replace({"offload.cpu.eviction": "arc"})), encoding="utf-8")
    done = run("recommend", path, "--out", tmp_path / "out")
    assert "arc is a what-if" in str(done.exception)


def test_own_setups_and_a_trace(qa: Scenario) -> None:
    traffic = {"kind": "chat", "duration": 20, "arrivals": {"kind": "poisson", "rate": 0.5}}
    chat = qa.replace({"workload": {**traffic, "max_prompt": 8_000}})
    alone = {"offload.connector": "none", "offload.remote": None}
    answer = recommend(chat, setups={"plain": alone, "own": {}}, seeds=1, jobs=1)
    assert list(answer.table["setup"]) == ["plain", "own"]
    assert any(line.startswith("Against ") for line in answer.words)
    with pytest.raises(ConfigError, match="choose another name"):
        recommend(chat, setups={"none": {}}, seeds=1, jobs=1)
    assert [what.name for what in what_ifs(chat)][:2] == ["twice the users", "half the users"]


def test_what_does_not_fit_is_left_out(scenario: Scenario) -> None:
    names = [what.name for what in what_ifs(scenario)]
    assert "contexts 1.5 times as long" in names  # twice as long exceeds the model's 40,960 tokens
    assert "sessions that stay on one instance" in names
    one = scenario.replace({"instances": 1, "workload.user_history_prompt": 8_000})
    names = [what.name for what in what_ifs(one)]
    assert "contexts twice as long" in names
    assert "sessions that stay on one instance" not in names


def test_stores_of_a_what_if_have_half_the_bandwidth(scenario: Scenario) -> None:
    half = next(what for what in what_ifs(scenario) if "half the bandwidth" in what.name)
    changed = half.of(scenario)
    assert changed is not None
    for name in ("read", "write"):
        own, other = (
            getattr(each.offload.remote.profile, name)  # type: ignore[union-attr]
            for each in (scenario, changed)
        )
        assert other.bandwidth == own.bandwidth / 2
    alone = scenario.replace({"offload.remote": None})
    assert half.of(alone) == alone


def test_command_writes_a_deployment(qa: Scenario, tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(scenario_text(qa.replace({"workload.time": 30})), encoding="utf-8")
    out = tmp_path / "answer"
    words = ("recommend", path, "--storage", STORE, "--seeds", 1, "--jobs", 1)
    done = run(*words, "--out", out, "--json")
    assert done.exception is None
    data = json.loads(done.stdout)
    assert done.return_value == 0
    assert [row["setup"] for row in data["table"]] == ["gpu", "cpu", "cpu-2x", STORE]
    written = load_scenario(out / "scenario.yaml")
    deployed, _ = existing_deployment(
        written,
        vllm_args=(out / "serve.sh").read_text(encoding="utf-8"),
        lmcache=out / "lmcache.yaml" if data["chosen"] != "gpu" else None,
    )
    assert deployed.offload == written.offload
    assert (out / "recommendation.csv").is_file()
    shown = run(*words)
    assert data["words"][0][:40] in shown.stdout.replace("\n", " ")


def test_command_gates_on_a_promise(qa: Scenario, tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(scenario_text(qa.replace({"workload.time": 20})), encoding="utf-8")
    words = ("--slo", "ttft:p50<1ms", "--seeds", 1, "--jobs", 1, "--out", tmp_path / "out")
    done = run("recommend", path, *words)
    assert done.return_value == SLO_FAILED
    assert not (tmp_path / "out" / "serve.sh").exists()


def test_deploy_command(qa: Scenario, tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(scenario_text(qa), encoding="utf-8")
    shown = run("deploy", path).stdout
    assert "# ---- serve.sh" in shown
    assert "chunk_size: 256" in shown
    out = tmp_path / "out"
    assert run("deploy", path, "--out", out).return_value == 0
    assert sorted(each.name for each in out.iterdir()) == ["lmcache.yaml", "serve.sh"]
    (out / "lmcache.yaml").write_text("max_local_cpu_size: 7\nchunk_sise: 3\n", encoding="utf-8")
    words = ("--from-lmcache", out / "lmcache.yaml", "--vllm-args", "--max-model-len 20000")
    assert "vLLM never asks LMCache" in str(run("deploy", path, *words).exception)
    done = run("deploy", path, *words[:2], "--out", tmp_path / "back")
    assert "did you mean 'chunk_size'" in done.stderr
    back = load_scenario(tmp_path / "back" / "scenario.yaml")
    assert back.offload.cpu.capacity == 7 * 2**30
    assert back.offload.remote is None
    assert "--storage: names the store" in str(run("deploy", path, "--storage", STORE).exception)
