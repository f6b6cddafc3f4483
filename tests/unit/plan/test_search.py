"""Searches find what brute force finds, resume where they were cut off, and say what is out."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from kvsim.errors import ConfigError
from kvsim.metrics.cost import cost_of, gpus_avoided
from kvsim.metrics.slo import evaluate_run
from kvsim.plan import search_design, search_load
from kvsim.plan.search import cheapest_design, default_space, gpus_avoided_by, largest_load
from kvsim.plan.search_space import read_space, scenario_of, size_of
from kvsim.plan.search_store import TRIALS
from kvsim.plan.search_trial import parse_limits
from kvsim.plan.search_words import avoided_words, load_words, search_notes, search_words
from kvsim.plan.trial import Trial, try_out
from kvsim.simulate import simulate
from kvsim.spec import Scenario
from kvsim.spec.cost import load_prices, resolve_prices
from kvsim.spec.profiles import shipped_profiles
from kvsim.spec.slo import SloSpec

PRICES = load_prices("on-premises")
SLO = SloSpec.model_validate("ttft:p95<1500ms")
SPACE: dict[str, Any] = {
    "instances": [1, 2],
    "gpu": ["a100-40gb", "l40s"],
    "offload.cpu.capacity": ["5GiB", "20GiB"],
}


@pytest.fixture
def short(qa: Scenario) -> Scenario:
    return qa.replace({"workload.time": 30, "workload.qps": 1})


def test_a_small_space_equals_brute_force(short: Scenario) -> None:
    answer = cheapest_design(short, SPACE, prices=PRICES, slo=SLO)
    costs = {}
    for row in answer.table.to_dict("records"):
        design = {path: row[path] for path in SPACE}
        result = simulate(scenario_of(short, design))
        assert result.scenario.offload.remote is not None
        priced = resolve_prices(PRICES, result.scenario.gpu, result.scenario.offload.remote.profile)
        usd = cost_of(result, priced).usd_per_hour
        assert row["usd_per_hour"] == pytest.approx(usd, rel=1e-12)
        keeps = evaluate_run(SLO, result).passed and result.summary_dict()["stable"]
        assert row["feasible"] == keeps
        if keeps:
            costs[tuple(design.values())] = usd
    assert answer.exhaustive
    assert len(answer.table) == 8
    assert 0 < len(costs) < 8
    assert answer.best is not None
    assert tuple(answer.best.values()) == min(costs, key=lambda design: costs[design])
    assert answer.table["pareto"].sum() == 1


def test_sampling_finds_the_cheapest_of_a_space_it_cannot_try_whole(short: Scenario) -> None:
    space = {**SPACE, "router": ["round_robin", "session"], "instances": [1, 2, 3]}
    whole = cheapest_design(short, space, prices=PRICES, slo=SLO, trials=24)
    some = cheapest_design(short, space, prices=PRICES, slo=SLO, trials=12)
    assert whole.best_trial is not None
    assert some.best_trial is not None
    assert not some.exhaustive or len(some.table) == 24
    assert sum(bool(trial.figures) for trial in some.trials) <= 12
    least = whole.best_trial.figures["usd_per_hour"]
    assert some.best_trial.figures["usd_per_hour"] == pytest.approx(least, rel=0.02)
    ruled_out = [t for t in some.trials if not t.figures]
    costs = whole.table.set_index([*space])["usd_per_hour"]
    for trial in ruled_out:  # the bound is a bound: none of them is cheaper
        assert "GPUs and memory alone" in str(trial.excluded_reason)
        assert costs[tuple(trial.design.values())] >= least


def test_one_seed_gives_one_search(short: Scenario) -> None:
    space = {"offload.cpu.capacity": {"low": "2GiB", "high": "40GiB", "scale": "log"}}
    first, again = (
        cheapest_design(short, space, prices=PRICES, trials=6, seed=3) for _ in range(2)
    )
    assert first.table.equals(again.table)
    other = cheapest_design(short, space, prices=PRICES, trials=6, seed=4)
    assert not other.table.equals(first.table)


def test_a_search_that_was_cut_off_goes_on(
    short: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = {"offload.cpu.capacity": {"low": "2GiB", "high": "40GiB"}, "instances": [1, 2]}
    arguments: dict[str, Any] = {"prices": PRICES, "slo": SLO, "trials": 7}
    whole = cheapest_design(short, space, **arguments)
    path = tmp_path / TRIALS
    real = search_design.evaluate_design
    runs: list[object] = []

    def four_times(*args: Any, **options: Any) -> Any:
        if len(runs) == 4:
            raise KeyboardInterrupt
        runs.append(args)
        return real(*args, **options)

    monkeypatch.setattr(search_design, "evaluate_design", four_times)
    with pytest.raises(KeyboardInterrupt):
        cheapest_design(short, space, **arguments, resume_from=path)
    assert len(path.read_text().splitlines()) == 1 + 4
    with path.open("a") as file:
        file.write('{"design": {"insta')  # killed in the middle of a line
    monkeypatch.setattr(
        search_design, "evaluate_design", lambda *a, **o: (runs.append(a), real(*a, **o))[1]
    )
    resumed = cheapest_design(short, space, **arguments, resume_from=path)
    assert len(runs) == 7
    assert resumed.table.equals(whole.table)
    cheapest_design(short, space, **arguments, resume_from=path)
    assert len(runs) == 7


def test_trials_of_another_question_are_not_taken(short: Scenario, tmp_path: Path) -> None:
    path = tmp_path / TRIALS
    cheapest_design(short, {"instances": [1]}, prices=PRICES, resume_from=path)
    kept = path.read_text()
    with pytest.raises(ConfigError, match=r"another question \(slo differ\)"):
        cheapest_design(short, {"instances": [1]}, prices=PRICES, slo=SLO, resume_from=path)
    assert path.read_text() == kept


def test_a_frontier_holds_every_trade(short: Scenario) -> None:
    answer = cheapest_design(
        short, SPACE, prices=PRICES, objectives=["usd_per_hour", "ttft_s_mean"]
    )
    front = answer.table[answer.table["pareto"]].sort_values("usd_per_hour")
    assert len(front) >= 1
    assert front["ttft_s_mean"].is_monotonic_decreasing
    assert answer.best is not None
    assert "frontier of USD/h, TTFT mean s" in " ".join(search_words(answer))


def test_excluded_designs_say_why(short: Scenario) -> None:
    space = {"model": ["qwen3-8b", "llama-3.1-70b"], "instances": [1, 2]}
    answer = cheapest_design(
        short,
        space,
        prices=PRICES,
        slo=SloSpec.model_validate("ttft:p95<1ms"),
        constraints=["gpus<2"],
    )
    reasons = answer.table.set_index(["model", "instances"])["excluded_reason"]
    assert "does not fit a100-40gb" in reasons["llama-3.1-70b", 1]
    assert "SLO missed: ttft:p95 is" in reasons["qwen3-8b", 1]
    assert "times the limit" in reasons["qwen3-8b", 1]
    assert "gpus is 2, limit < 2" in reasons["qwen3-8b", 2]
    assert answer.best is None
    assert answer.best_scenario is None
    words = " ".join(search_words(answer))
    assert "No design that was tried keeps the SLO (ttft:p95 < 1 ms) and gpus<2." in words
    assert "The nearest is qwen3-8b" in words or "The nearest is model qwen3-8b" in words
    assert "2 cannot be built or run" in words


def test_words_name_design_cost_margin_and_what_is_cheaper(short: Scenario) -> None:
    answer = cheapest_design(short, SPACE, prices=PRICES, slo=SLO)
    words = search_words(answer)
    assert words[0].startswith("Cheapest design that keeps the SLO (ttft:p95 < 1.5 s): ")
    assert words[0].endswith("USD/h.")
    assert "of it to spare" in words[1]
    assert words[-1] == "8 designs were simulated: the whole space."
    notes = search_notes(answer, {})
    assert "storagegrid-s3 has no price" in notes[0]
    assert "num_gpu_blocks" in notes[1]
    assert not any("price" in note for note in search_notes(answer, {"storagegrid-s3": 8.0}))


def test_gpus_avoided_are_those_of_the_same_design_without_offload(short: Scenario) -> None:
    answer = cheapest_design(short, {"instances": [1]}, prices=PRICES)
    bare = {"offload.connector": "none", "offload.remote": None}
    runs = (
        simulate(short.replace({"instances": 1})),
        simulate(short.replace({"instances": 1, **bare})),
    )
    avoided = gpus_avoided_by(answer)
    assert avoided is not None
    assert avoided == gpus_avoided(*runs)
    assert "Without offload it would take about" in avoided_words(avoided)[0]
    without = cheapest_design(short.replace(bare), {"instances": [1]}, prices=PRICES)
    assert gpus_avoided_by(without) is None


def test_designs_become_scenarios(qa: Scenario) -> None:
    bare = qa.replace({"offload.connector": "none", "offload.remote": None})
    assert scenario_of(bare, {"offload.cpu.capacity": 2**30}).offload.connector == "lmcache_inproc"
    nothing = scenario_of(qa, {"offload.cpu.capacity": 0, "offload.remote.profile": None})
    assert nothing.offload.connector == "none"
    assert nothing.offload.remote is None
    other = scenario_of(qa, {"gpu": "h100-sxm-80gb"})
    assert other.engine.num_gpu_blocks is None
    assert scenario_of(qa, {"gpu": "a100-40gb"}).engine.num_gpu_blocks == 4_000
    assert scenario_of(qa, {"router": "session"}).offload == qa.offload


def test_designs_may_name_own_profiles(short: Scenario, tmp_path: Path) -> None:
    (tmp_path / "gpus").mkdir()
    text = (shipped_profiles() / "gpus" / "l40s.yaml").read_text(encoding="utf-8")
    (tmp_path / "gpus" / "mine.yaml").write_text(
        re.sub("^name: .*$", "name: mine", text, flags=re.MULTILINE), encoding="utf-8"
    )
    space = {"gpu": ["mine"]}
    answer = cheapest_design(short, space, prices=PRICES, profiles=tmp_path)
    assert answer.table["usd_per_hour"].notna().all()
    lost = cheapest_design(short, space, prices=PRICES)
    assert "no GPU profile 'mine'" in lost.table["excluded_reason"][0]


def test_default_space_has_gpus_of_one_price_list(qa: Scenario) -> None:
    space = default_space(qa, load_prices("cloud-list"))
    assert "b200" not in (space["gpu"].values or ())
    assert space["offload.remote.profile"].values == (None, "storagegrid-s3")
    assert size_of(space) == 4 * 5 * 5 * 2
    assert size_of(read_space({"workload.qps": {"low": 0.5, "high": 2}})) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"space": {}}, "space: empty"),
        ({"space": {"instance": [1]}}, "unknown key; did you mean 'instances'"),
        ({"space": {"instances": {"low": 3, "high": 1}}}, "low: 3 is above high 1"),
        ({"space": {"offload.cpu.capacity": ["12 bananas"]}}, "not a size"),
        ({"objectives": ["usd_per_our"]}, "did you mean 'usd_per_hour'"),
        ({"objectives": ["goodput_per_s"]}, "needs a promise"),
        ({"constraints": ["gpus"]}, "'gpus' is none"),
        ({"constraints": ["gpu<1"]}, "did you mean 'gpus'"),
        ({"constraints": ["gpus<x"]}, "'x' is not a number"),
        ({"trials": 0}, "less than 1"),
    ],
)
def test_bad_questions_are_one_line(qa: Scenario, arguments: dict[str, Any], words: str) -> None:
    space = arguments.pop("space", {"instances": [1]})
    with pytest.raises(ConfigError) as caught:
        cheapest_design(qa, space, prices=PRICES, **arguments)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_limits_measure_by_how_much() -> None:
    limits = {limit.words: limit for limit in parse_limits(["gpus<=4", "gpus<4", "ttft_s_p95<2s"])}
    assert limits["gpus<=4"].excess(4) == 0
    assert 0 < limits["gpus<4"].excess(4) < 1e-6
    assert limits["gpus<4"].excess(6) == 0.5
    assert limits["ttft_s_p95<2"].excess(None) == math.inf
    (more,) = parse_limits(["finished_per_s>=2"])
    assert more.excess(1) == 0.5
    assert more.excess(2) == 0


def step(load: float) -> bool:
    """Pass up to 7.3."""
    return load <= 7.3


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, qa: Scenario) -> Any:
    """Let a run be stable as a function of the load says, without simulating it."""
    result = try_out(qa.replace({"workload.time": 5, "workload.num_users": 1}))

    class Fake(Trial):
        verdict = True

        @property
        def stable(self) -> bool:
            return self.verdict

    def use(passes: Any) -> list[float]:
        asked: list[float] = []

        def run(scenario: Scenario, slo: object) -> Trial:
            assert not isinstance(scenario.workload, str)
            load = scenario.workload.qps  # type: ignore[union-attr]
            asked.append(load)
            trial = Fake(result.result, [], None, 0)
            object.__setattr__(trial, "verdict", passes(load))
            return trial

        monkeypatch.setattr(search_load, "try_out", run)
        return asked

    return use


@pytest.mark.parametrize("start", [0.5, 2.0, 7.0, 40.0, 400.0])
def test_the_largest_load_is_found_from_anywhere(qa: Scenario, fake: Any, start: float) -> None:
    asked = fake(step)
    answer = largest_load(qa.replace({"workload.qps": start}), path="workload.qps")
    assert answer.value is not None
    assert 7.3 / 1.021 <= answer.value <= 7.3
    assert answer.monotone
    assert not answer.reached_bound
    assert "do not keep up" in answer.binding
    assert len(asked) == len(set(asked)) == len(answer.tried) < 16


def test_bounds_of_the_load(qa: Scenario, fake: Any) -> None:
    fake(step)
    within = largest_load(qa, path="workload.qps", low=1, high=5)
    assert within.value == 5
    assert within.reached_bound
    assert "more may be carried" in " ".join(load_words(within, None))
    beyond = largest_load(qa, path="workload.qps", low=8, high=16)
    assert beyond.value is None
    assert "Not even workload.qps = 8" in load_words(beyond, None)[0]
    assert beyond.to_dict()["value"] is None


def test_a_load_that_is_not_monotone_is_said(qa: Scenario, fake: Any) -> None:
    for start in (2.1, 2.3):  # comes from below and above the hole
        fake(lambda load: load < 2 or 2.2 < load < 2.6)
        answer = largest_load(qa.replace({"workload.qps": start}), path="workload.qps", high=4)
        assert not answer.monotone
        assert "some larger load passes" in load_words(answer, None)[-1]
        assert answer.tried["load"].is_monotonic_increasing


def test_whole_loads_equal_brute_force(qa: Scenario) -> None:
    scenario = qa.replace({"workload.qps": 1.5, "workload.num_rounds": 20, "instances": 1})
    slo = SloSpec.model_validate("ttft:p95<2s")

    def passes(users: int) -> bool:
        trial = try_out(scenario.replace({"workload.num_users": users}), slo)
        return trial.stable and trial.slo is not None and trial.slo.passed

    answer = largest_load(scenario, path="workload.num_users", slo=slo, low=1, high=16)
    verdicts = [passes(users) for users in range(1, 17)]
    assert verdicts == sorted(verdicts, reverse=True), "the example has to be monotone"
    assert answer.value == sum(verdicts)
    assert 1 < sum(verdicts) < 16
    assert isinstance(answer.value, int)
    assert "ttft:p95 is" in answer.binding or "keep up" in answer.binding


def test_a_looser_promise_carries_no_less(qa: Scenario) -> None:
    scenario = qa.replace({"workload.time": 30})
    found = [
        largest_load(
            scenario, path="workload.qps", slo=SloSpec.model_validate(f"ttft:p95<{limit}"), high=16
        ).value
        or 0
        for limit in ("800ms", "2s", "6s")
    ]
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"path": "workload.qqps"}, "is no number of this scenario"),
        ({"path": "router"}, "is no number of this scenario"),
        ({"path": "workload.qps", "low": 3, "high": 2}, "no load between low 3 and high 2"),
        ({"path": "workload.qps", "low": -1, "high": 2}, "give 0 < low <= high"),
    ],
)
def test_bad_loads_are_one_line(qa: Scenario, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        largest_load(qa, **options)
