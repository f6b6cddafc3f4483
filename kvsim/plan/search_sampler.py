"""Designs of a space that cannot be tried whole, as a sampler proposes them.

The sampler is optuna's TPE (Bergstra et al. 2011) with constraints: it learns from every trial
where good designs lie, also from infeasible ones by how far off they are. One seed gives one order
of proposals.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from kvsim.plan.pareto import Direction
from kvsim.plan.search_space import Design
from kvsim.plan.search_store import Runner
from kvsim.plan.search_trial import value_of
from kvsim.spec.space import AxisSpec

if TYPE_CHECKING:
    import optuna

STARTUP_PART = 0.3
"""Part of the trials that the sampler draws at random before it begins to learn."""
_PROPOSALS_A_TRIAL = 10
_DIRECTIONS: dict[Direction, Literal["minimize", "maximize"]] = {
    "min": "minimize",
    "max": "maximize",
}


def sample(
    axes: Mapping[str, AxisSpec],
    objectives: Mapping[str, Direction],
    run: Runner,
    *,
    seed: int,
    floor: Callable[[Design], float] | None,
) -> None:
    """Try what the sampler proposes; it learns from all, also from what it proposes again.

    With a `floor` (the least that a design can cost) designs that cannot be the cheapest are not
    simulated.
    """
    import optuna

    with _quiet():
        study = optuna.create_study(
            directions=[_DIRECTIONS[way] for way in objectives.values()],
            sampler=optuna.samplers.TPESampler(
                seed=seed,
                n_startup_trials=max(5, round(STARTUP_PART * run.total)),
                multivariate=True,
            ),
        )
    best_usd = math.inf
    for _ in range(_PROPOSALS_A_TRIAL * run.total):
        if run.done >= run.total:
            return
        with _quiet():
            asked = study.ask()
            design = {path: _suggest(asked, path, axis) for path, axis in axes.items()}
        least_usd = floor(design) if floor is not None else 0.0
        if least_usd > best_usd:
            run.leave_out(
                design,
                f"not simulated: GPUs and memory alone cost {least_usd:,.2f} USD an hour, more "
                f"than a design that does it for {best_usd:,.2f}",
            )
            violation, values = 0.0, [least_usd]
        else:
            result = run(design)
            violation = result.violation
            values = [value_of(result, name, way) for name, way in objectives.items()]
            if floor is not None and result.excluded_reason is None:
                best_usd = min(best_usd, values[0])
        with _quiet():
            asked.set_constraint("violation", violation)
            study.tell(asked, values)


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
        if axis.is_whole:
            return trial.suggest_int(path, int(low), int(high), log=log)
        return float(f"{trial.suggest_float(path, low, high, log=log):.6g}")
    numbers = [value for value in values if isinstance(value, int | float)]
    if len(numbers) == len(values) and numbers == sorted(numbers):
        return values[trial.suggest_int(path, 0, len(values) - 1)]
    return values[trial.suggest_categorical(path, range(len(values)))]
