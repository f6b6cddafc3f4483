"""The best designs of a space: all of a small one, else those that a sampler proposes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from kvsim.compiled.code import code_fingerprint
from kvsim.errors import ConfigError
from kvsim.metrics.cost import gpus_avoided
from kvsim.plan.pareto import Direction, pareto_front
from kvsim.plan.search_sampler import sample
from kvsim.plan.search_space import (
    DEFAULT_TRIALS,
    Design,
    all_designs,
    read_space,
    scenario_of,
    size_of,
)
from kvsim.plan.search_store import Runner, TrialStore, name_of
from kvsim.plan.search_trial import (
    PROMISED,
    Evaluated,
    Limit,
    evaluate_design,
    least_usd_per_hour,
    parse_limits,
    parse_objectives,
    prices_of,
    value_of,
)
from kvsim.plan.trial import try_out
from kvsim.spec.cost import PriceList
from kvsim.spec.scenario import Scenario
from kvsim.spec.slo import SloSpec
from kvsim.spec.space import AxisSpec


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
    best_scenario: Scenario | None
    """The scenario with the best design."""
    size: int | None
    """Designs in the space; none: there is no end of them."""

    @property
    def exhaustive(self) -> bool:
        """Tell whether every design of the space was tried or ruled out."""
        return self.size is not None and len(self.trials) >= self.size

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "scenario": self.scenario.name,
            "slo": None if self.slo is None else self.slo.model_dump(mode="json"),
            "objectives": self.objectives,
            "constraints": list(self.constraints),
            "space": {path: axis.model_dump(mode="json") for path, axis in self.space.items()},
            "designs_in_space": self.size,
            "exhaustive": self.exhaustive,
            "best": None if self.best_trial is None else asdict(self.best_trial),
            "trials": [
                {**asdict(trial), "pareto": bool(pareto)}
                for trial, pareto in zip(self.trials, self.table["pareto"], strict=True)
            ],
        }

    @property
    def best(self) -> dict[str, Any] | None:
        """The design that is first in the first objective, as plain values by dotted path."""
        return None if self.best_trial is None else dict(self.best_trial.design)


def gpus_avoided_by(answer: SearchAnswer) -> float | None:
    """Say how many GPUs more the best design would need without offload, served as busily.

    Takes two runs; None without a best design, or where it has no offload.
    """
    best = answer.best_scenario
    if best is None or best.offload.connector == "none":
        return None
    bare = best.replace({"offload.connector": "none", "offload.remote": None})
    return gpus_avoided(try_out(best).result, try_out(bare).result)


def cheapest_design(
    scenario: Scenario,
    space: Mapping[str, Any],
    *,
    prices: PriceList,
    slo: SloSpec | None = None,
    objectives: Sequence[str] = ("usd_per_hour",),
    constraints: Sequence[str] = (),
    trials: int = DEFAULT_TRIALS,
    seed: int = 0,
    seeds: int = 1,
    given: Mapping[str, Any] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    resume_from: Path | None = None,
    profiles: Path | None = None,
) -> SearchAnswer:
    """Find the designs that keep the promise and are best in the objectives.

    A space of at most `trials` designs is tried whole. Every design has to be stable, alive, and
    keep the promise with each of the seeds 0 to `seeds`-1 (one: the scenario's own). `given` are
    prices that go before the list's. `resume_from` is a file (.jsonl) in which every finished
    trial is kept at once; trials found there are not run again. `on_progress` gets designs done
    and designs in all. `profiles` is a folder of profiles that designs may name.
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
    make = partial(scenario_of, scenario, profiles=profiles)
    _check_paths(make, axes)
    _check_promised(promise, wanted, limits)
    prices_of(scenario, prices, given or {})
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
    run = Runner(
        store,
        partial(
            evaluate_design,
            make,
            slo=promise,
            limits=limits,
            prices=prices,
            given=given or {},
            seeds=range(seeds) if seeds > 1 else [scenario.seed],
        ),
        on_progress,
    )
    size = size_of(axes)
    if size is not None and size <= trials:
        run.total = size
        for design in all_designs(axes):
            run(design)
    else:
        run.total = trials
        floor = None
        if list(wanted) == ["usd_per_hour"]:
            floor = partial(least_usd_per_hour, make, prices=prices, given=given or {})
        sample(axes, wanted, run, seed=seed, floor=floor)
    everything = tuple({**run.tried, **{name_of(t.design): t for t in store.all()}}.values())
    best = _best(everything, wanted)
    return SearchAnswer(
        scenario=scenario,
        slo=promise,
        objectives=wanted,
        constraints=tuple(limit.words for limit in limits),
        space=axes,
        trials=everything,
        table=_tabulate(everything, axes, wanted),
        best_trial=best,
        best_scenario=None if best is None else make(best.design),
        size=size,
    )


def _check_paths(make: Callable[[Design], Scenario], axes: Mapping[str, AxisSpec]) -> None:
    """Refuse a key that no scenario has; a value that does not fit only excludes its designs."""
    for path, axis in axes.items():
        try:
            make({path: axis.at(0.0)})
        except ConfigError as error:
            if "unknown key" in str(error) or "is a single value" in str(error):
                raise ConfigError(f"space: {error}") from None


def _check_promised(
    promise: SloSpec | None, wanted: Mapping[str, Direction], limits: Sequence[Limit]
) -> None:
    if promise is not None:
        return
    for name in [*wanted, *(limit.name for limit in limits)]:
        if name in PROMISED:
            raise ConfigError(f"{name}: needs a promise; give one with --slo")


def _best(trials: Sequence[Evaluated], objectives: Mapping[str, Direction]) -> Evaluated | None:
    """Choose by the objectives in their order, then by the time to the first token."""
    signs = {name: 1.0 if way == "min" else -1.0 for name, way in objectives.items()}

    def rank(trial: Evaluated) -> list[float]:
        own = [signs[name] * value_of(trial, name, way) for name, way in objectives.items()]
        return [*own, value_of(trial, "ttft_s_p95", "min")]

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
