"""Runs behind the page: each scenario is simulated once, whoever asks for it.

Results are shared between sessions, keyed by the scenario alone. That leaks nothing, for a result
is a function of its scenario; nobody changes one, for charts only read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import streamlit as st

from kvsim.app import turns
from kvsim.app.limit import at_most
from kvsim.calibration.confidence import Confidence, confidence, measured_basis
from kvsim.errors import KvsimError, SimulationError
from kvsim.metrics.cost import Cost, GpuTime, cost_of, gpu_time, gpus_avoided
from kvsim.metrics.result import RunResult
from kvsim.metrics.slo import SloReport, evaluate_run
from kvsim.plan.demand import Demand, demands
from kvsim.report.run_words import tell_run
from kvsim.report.verdict import Verdict, verdict
from kvsim.simulate import simulate
from kvsim.spec.cost import PriceList, Prices, load_prices, resolve_prices
from kvsim.spec.scenario import Scenario
from kvsim.sweep.weight import SECONDS_PER_WEIGHT, weight

QUICK_S = 2.0
"""Estimated run time up to which the page simulates at once; longer runs wait for a click."""
MOST_S = 30.0
"""Time after which such a run is stopped: extreme numbers may mislead the estimate."""
_MOST = 24


@dataclass(frozen=True, eq=False)
class Answer:
    """A run and all that the first screen says about it."""

    result: RunResult
    summary: dict[str, Any]
    trust: Confidence
    basis: str
    """Name of the calibration that it is judged by."""
    gpu_time: GpuTime
    demands: tuple[Demand, ...]
    details: tuple[str, ...]
    """The run in more words."""


def scenario_text(scenario: Scenario) -> str:
    """Write a scenario as the text that caches go by."""
    return json.dumps(scenario.to_dict(), sort_keys=True)


def is_quick(scenario: Scenario) -> bool:
    """Tell whether a run is short enough to do while somebody waits, whatever a link asks for."""
    return weight(scenario.to_dict()) * SECONDS_PER_WEIGHT <= QUICK_S


def answer(scenario: Scenario) -> Answer:
    """Simulate a scenario, or take what is known of it."""
    return _answer(scenario_text(scenario))


@st.cache_resource(show_spinner=False, max_entries=_MOST)
def _answer(text: str) -> Answer:
    scenario = Scenario.from_dict(json.loads(text))
    try:
        with turns.PAGE.turn(), at_most(MOST_S):
            result = simulate(scenario)
    except KvsimError:
        raise
    except Exception as error:  # whatever it is, the page has to say that the run failed
        words = " ".join(str(error).split())[:300]
        raise SimulationError(f"the run failed: {type(error).__name__}: {words}") from error
    return read_answer(result)


def read_answer(result: RunResult) -> Answer:
    """Look at a run from all sides."""
    basis = measured_basis(result.scenario)
    return Answer(
        result,
        result.summary_dict(),
        confidence(result, basis),
        basis.name,
        gpu_time(result),
        tuple(demands(result)),
        tell_run(result).details,
    )


def judge(found: Answer) -> tuple[Verdict, SloReport | None]:
    """Hold a run against its scenario's promise."""
    scenario = found.result.scenario
    report = evaluate_run(scenario.slo, found.result) if scenario.slo is not None else None
    words = verdict(
        scenario,
        found.summary,
        slo=report,
        gpu_time=found.gpu_time,
        demands=found.demands,
        requests=found.result.requests,
    )
    return words, report


def prices_of(scenario: Scenario, price_list: str, given: dict[str, float]) -> Prices:
    """Choose the prices that hold for a scenario."""
    remote = scenario.offload.remote
    store = remote.profile if remote is not None else None
    return resolve_prices(_price_list(price_list), scenario.gpu, store, given=given)


@lru_cache(maxsize=32)
def _price_list(name: str) -> PriceList:
    return load_prices(name)


def cost(found: Answer, prices: Prices) -> Cost:
    """Price a run."""
    return cost_of(found.result, prices, used=found.gpu_time)


def avoided(found: Answer, baseline: Answer) -> float | None:
    """Say how many GPUs the design saves against the baseline."""
    used = (found.gpu_time, baseline.gpu_time)
    return gpus_avoided(found.result, baseline.result, used=used)


def gpu_only(scenario: Scenario) -> Scenario:
    """Return the same design without tiers below the GPU."""
    return scenario.replace({"offload.connector": "none", "offload.remote": None})
