"""The best designs of a space: all of a small one, else those that a sampler proposes.

The sampler is optuna's TPE (Bergstra et al. 2011) with constraints: it learns from every trial where
good designs lie, infeasible ones by how far off they are. One seed gives one order of proposals.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from kvsim.errors import ConfigError
from kvsim.metrics.code import code_fingerprint
from kvsim.plan.pareto import Direction, pareto_front
from kvsim.plan.search_space import Design, all_designs, read_space, scenario_of, size_of
from kvsim.plan.search_store import TrialStore
from kvsim.plan.search_trial import (
    Evaluated,
    Limit,
    evaluate_design,
    parse_limits,
    parse_objectives,
)
from kvsim.spec.cost import PriceList
from kvsim.spec.scenario import Scenario
from kvsim.spec.slo import SloSpec
from kvsim.spec.space import AxisSpec

if TYPE_CHECKING:
    import optuna

STARTUP_PART = 0.3
"""Part of the trials that the sampler draws at random before it begins to learn."""
_PROPOSALS_A_TRIAL = 10
_NO_VALUE = 1e12
_MAX_WHOLE = 2**62


@dataclass(frozen=True)
class SearchAnswer:
    """What a search found."""

    scenario: Scenario
    """What was asked about, before any design."""
    slo: SloSpec | None
    objectives: dict[str, Direction]
    constraints: tuple[str, ...]
    space: dict[str, AxisSpec]
    trials: tuple[Evaluated, ...]
    table: pd.DataFrame
    """A row a design: trial, the design, the objectives, `feasible`, `excluded_reason`, `pareto`
    (among feasible designs), `slo_room`, then all other figures."""
    best_trial: Evaluated | None
    exhaustive: bool
    """Whether every design of the space was tried."""

    @property
    def best(self) -> dict[str, Any] | None:
        """The design that is first in the first objective, as plain values by dotted path."""
        return None if self.best_trial is None else dict(self.best_trial.design)

    @property
    def best_scenario(self) -> Scenario | None:
        """The scenario with the best design."""
        return None if self.best is None else scenario_of(self.scenario, self.best)


def cheapest_design(
    scenario: Scenario,
    space: Mapping[str, Any],
    *,
    prices: PriceList,
    slo: SloSpec | None = None,
    objectives: Sequence[str] = ("usd_per_hour",),
    constraints: Sequence[str] = (),
    trials: int = 32,
    seed: int = 0,
    seeds: int = 1,
    given: Mapping[str, Any] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    resume_from: Path | None = None,
) -> SearchAnswer:
    """Find the designs that keep the promise and are best in the objectives.

    A space of at most `trials` designs is tried whole. Every design has to be stable, alive, and
    keep the promise with each of the seeds 0 to `seeds`-1 (one: the scenario's own). `given` are
    prices that go before the list's. `resume_from` is a file (.jsonl) in which every finished
    trial is kept at once; trials found there are not run again. `on_progress` gets designs done
    and designs in all.
    """
    axes = {
        path: axis if isinstance(axis, AxisSpec) else read_space({path: axis})[path]
        for path, axis in space.items()
    }
    if not axes:
        raise ConfigError("space: empty; give at least one key with its values")
    if trials < 1:
        raise ConfigError(f"trials: {trials} is less than 1")
    wanted = parse_objectives(objectives)
    limits = parse_limits(constraints)
    promise = slo or scenario.slo
    _check_paths(scenario, axes)
    _check_promised(promise, wanted, limits)
    question = {
        "scenario": scenario.hash(),
        "space": {path: axis.model_dump(mode="json") for path, axis in axes.items()},
        "slo": None if promise is None else promise.model_dump(mode="json"),
        "objectives": list(objectives),
        "constraints": [limit.words for limit in limits],
        "seed": seed,
        "seeds": seeds,
        "prices": prices.model_dump(mode="json"),
        "given prices": dict(given or {}),
        "code": code_fingerprint(),
    }
    store = TrialStore(resume_from, question)
    evaluate = partial(
        evaluate_design,
        scenario,
        slo=promise,
        limits=limits,
        prices=prices,
        given=given or {},
        seeds=range(seeds) if seeds > 1 else [scenario.seed],
    )
    size = size_of(axes)
    total = trials if size is None else min(trials, size)

    def try_design(design: Design) -> Evaluated:
        found = store.find(design)
        if found is None:
            found = evaluate(design)
            store.keep(found)
        return found

    tried: dict[str, Evaluated] = {}
    proposals = (
        all_designs(axes)
        if size is not None and size <= trials
        else None
    )
    if proposals is not None:
        for design in proposals:
            tried[json.dumps(design)] = try_design(design)
            if on_progress is not None:
                on_progress(len(tried), total)
    else:
        for trial in _propose(axes, wanted, seed=seed, trials=trials, try_design=try_design):
            tried.setdefault(json.dumps(trial.design), trial)
            if on_progress is not None:
                on_progress(len(tried), total)
            if len(tried) >= total:
                break
    everything = tuple({**tried, **{json.dumps(t.design): t for t in store.all()}}.values())
    table = _tabulate(everything, axes, wanted)
    return SearchAnswer(
        scenario=scenario,
        slo=promise,
        objectives=wanted,
        constraints=tuple(limit.words for limit in limits),
        space=axes,
        trials=everything,
        table=table,
        best_trial=_best(everything, wanted),
        exhaustive=size is not None and len(everything) >= size,
    )


def _check_paths(scenario: Scenario, axes: Mapping[str, AxisSpec]) -> None:
    """Refuse a key that no scenario has; a value that does not fit only excludes its designs."""
    for path, axis in axes.items():
        try:
            scenario_of(scenario, {path: axis.at(0.0)})
        except ConfigError as error:
            if "unknown key" in str(error) or "is a single value" in str(error):
                raise ConfigError(f"space: {error}") from None


def _check_promised(
    promise: SloSpec | None, wanted: Mapping[str, Direction], limits: Sequence[Limit]
) -> None:
    if promise is not None:
        return
    for name in [*wanted, *(limit.name for limit in limits)]:
        if name in ("slo_attainment", "goodput_per_s"):
            raise ConfigError(f"{name}: needs a promise; give one with --slo")


def _propose(
    axes: Mapping[str, AxisSpec],
    objectives: Mapping[str, Direction],
    *,
    seed: int,
    trials: int,
    try_design: Callable[[Design], Evaluated],
) -> Iterator[Evaluated]:
    """Yield trials that the sampler proposes, some of them again; it learns from all."""
    import optuna

    with _quiet():
        study = optuna.create_study(
            directions=[f"{way}imize" for way in objectives.values()],
            sampler=optuna.samplers.TPESampler(
                seed=seed,
                n_startup_trials=max(5, round(STARTUP_PART * trials)),
                multivariate=True,
            ),
        )
    for _ in range(_PROPOSALS_A_TRIAL * trials):
        with _quiet():
            asked = study.ask()
            design = {path: _suggest(asked, path, axis) for path, axis in axes.items()}
        result = try_design(design)
        asked.set_user_attr("violation", result.violation)
        with _quiet():
            study.tell(asked, [_value(result, name, way) for name, way in objectives.items()])
        yield result


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep optuna's log and its notes on experimental parts off the terminal."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


def _suggest(trial: optuna.Trial, path: str, axis: AxisSpec) -> Any:
    """Let the sampler choose: numbers by their size, other choices by name."""
    values = axis.values
    if values is None:
        low, high = axis.bounds
        log = axis.scale == "log"
        if axis.is_whole and high < _MAX_WHOLE:
            return trial.suggest_int(path, int(low), int(high), log=log)
        return float(f"{trial.suggest_float(path, low, high, log=log):.6g}")
    numbers = [value for value in values if isinstance(value, int | float)]
    if len(numbers) == len(values) and numbers == sorted(numbers):
        return values[trial.suggest_int(path, 0, len(values) - 1)]
    return values[trial.suggest_categorical(path, range(len(values)))]


def _value(trial: Evaluated, name: str, direction: Direction) -> float:
    value = trial.figures.get(name)
    if value is None:
        return _NO_VALUE if direction == "min" else -_NO_VALUE
    return float(value)


def _best(trials: Sequence[Evaluated], objectives: Mapping[str, Direction]) -> Evaluated | None:
    """Choose by the objectives in their order, then by the time to the first token."""
    signs = {name: 1.0 if way == "min" else -1.0 for name, way in objectives.items()}

    def rank(trial: Evaluated) -> list[float]:
        own = [signs[name] * _value(trial, name, way) for name, way in objectives.items()]
        return [*own, _value(trial, "ttft_s_p95", "min")]

    return min((t for t in trials if t.excluded_reason is None), key=rank, default=None)


def _tabulate(
    trials: Sequence[Evaluated],
    axes: Mapping[str, AxisSpec],
    objectives: Mapping[str, Direction],
) -> pd.DataFrame:
    rows = []
    for number, trial in enumerate(trials):
        mine = {name: trial.figures.get(name) for name in objectives}
        rest = {name: value for name, value in trial.figures.items() if name not in mine}
        rows.append(
            {
                "trial": number,
                **{path: _cell(value) for path, value in trial.design.items()},
                **mine,
                "feasible": trial.excluded_reason is None,
                "excluded_reason": trial.excluded_reason,
                "pareto": False,
                "slo_room": trial.room,
                **rest,
            }
        )
    table = pd.DataFrame(rows)
    for path in axes:
        kinds = {type(value) for value in table[path] if value is not None}
        if str in kinds and len(kinds) > 1:
            table[path] = table[path].astype(str)
    for name in objectives:
        table[name] = table[name].astype(float)
    feasible = table[table["feasible"]]
    table.loc[feasible.index, "pareto"] = pareto_front(feasible, objectives)
    empty = [name for name in table if table[name].isna().all() and name != "excluded_reason"]
    return table.astype(dict.fromkeys(empty, float))


def _cell(value: object) -> object:
    return json.dumps(value) if isinstance(value, dict | list) else value
