"""How far each input moves a metric: one input at a time, down and up, everything else as it is.

All runs have the scenario's seed, so the draws of the workload are common and differences come from
the input alone. Steps are factors on the scenario's own values: half and double for hardware, a
fifth less and a quarter more for the workload. They say how much the metric hangs on the input, not
how likely a value is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kvsim.errors import ConfigError, KvsimError
from kvsim.metrics.slo import evaluate_run, slo_columns
from kvsim.simulate import simulate
from kvsim.spec.problems import suggest
from kvsim.spec.scenario import Scenario
from kvsim.sweep.design import Point
from kvsim.sweep.execute import Outcome, execute

if TYPE_CHECKING:
    import pandas as pd

HALF_DOUBLE: Final = (0.5, 2.0)
FIFTH: Final = (0.8, 1.25)
STEPS: Final[Mapping[str, tuple[str, tuple[str, ...], tuple[float, float]]]] = {
    "GPU compute": ("peak FLOP/s of the card", ("gpu.peak_flops",), HALF_DOUBLE),
    "HBM bandwidth": ("memory bandwidth of the card", ("gpu.hbm_bandwidth",), HALF_DOUBLE),
    "PCIe bandwidth": (
        "copies between GPU and CPU memory, both ways",
        ("host.load.bandwidth", "host.store.bandwidth"),
        HALF_DOUBLE,
    ),
    "CPU memory": ("capacity of the CPU tier", ("offload.cpu.capacity",), HALF_DOUBLE),
    "store bandwidth": (
        "what store, mount, streams and client move",
        (
            "offload.remote.profile.read.bandwidth",
            "offload.remote.profile.write.bandwidth",
            "offload.remote.profile.read.per_stream",
            "offload.remote.profile.write.per_stream",
            "offload.remote.profile.read.per_connection",
            "offload.remote.profile.write.per_connection",
            "offload.remote.profile.client.mount_bandwidth",
            "offload.remote.profile.client.body_bandwidth",
        ),
        HALF_DOUBLE,
    ),
    "store latency": (
        "fixed time of each read, write and existence check",
        (
            "offload.remote.profile.read.latency",
            "offload.remote.profile.write.latency",
            "offload.remote.profile.stat",
            "offload.remote.profile.read.first_byte",
            "offload.remote.profile.write.first_byte",
            "offload.remote.profile.head",
        ),
        HALF_DOUBLE,
    ),
    "load": (
        "requests or sessions a second",
        ("workload.qps", "workload.rate_scale"),
        FIFTH,
    ),
    "context": ("each user's own context", ("workload.user_history_prompt",), FIFTH),
}
"""Inputs: what they are, the paths that move together, and the factors of the step."""
_ONLY_OFFLOAD: Final = ("offload.", "host.load.", "host.store.")


@dataclass(frozen=True)
class _Case:
    what: str
    end: str
    value: str
    point: Point | None
    problem: str = ""
    """Why there is no such point."""


def sensitivities(
    scenario: Scenario,
    *,
    metric: str = "ttft_s_mean",
    changes: Mapping[str, tuple[float, float]] | None = None,
    jobs: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Return a row an input: what, low and high (the metric at both ends of its step), base, ...

    `changes` maps names of `STEPS`, or dotted paths of numbers, to their factors (down, up); none:
    every input of `STEPS` that the scenario has. Further columns: low_value and high_value (the
    changed input in words), low_stable and high_stable, note (why an end is missing). A failed run
    or an impossible value gives NaN. `on_progress` gets runs done and runs in all.
    """
    import pandas as pd

    cases = [case for step in _steps(scenario, changes) for case in _cases(scenario, *step)]
    # The scenario itself first: a metric that does not exist costs one run.
    own = _measure(scenario.hash(), scenario.to_dict())
    base = own.summary
    if base is None:
        raise ConfigError(f"{scenario.name}: cannot be simulated ({own.error})")
    if metric not in base:
        raise ConfigError(f"metric {metric!r} does not exist; {suggest(metric, base)}")
    points = {case.point.key: case.point for case in cases if case.point is not None}
    found: dict[str, Outcome] = {}
    for outcome in execute([*points.values()], jobs=jobs, run=_measure):
        found[outcome.key] = outcome
        if on_progress is not None:
            on_progress(1 + len(found), 1 + len(points))
    rows: dict[str, dict[str, Any]] = {}
    for case in cases:
        row = rows.setdefault(case.what, {"what": case.what, "base": _number(base[metric])})
        run = None if case.point is None else found[case.point.key]
        summary = (run.summary if run is not None else None) or {}
        row[case.end] = _number(summary.get(metric))
        row[f"{case.end}_value"] = case.value
        row[f"{case.end}_stable"] = bool(summary.get("stable", False))
        problem = run.error if run is not None else case.problem
        row["note"] = "; ".join(filter(None, (row.get("note"), problem)))
    columns = ["what", "low", "high", "base", "low_value", "high_value"]
    columns += ["low_stable", "high_stable", "note"]
    return pd.DataFrame(list(rows.values()), columns=columns)


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _steps(
    scenario: Scenario, changes: Mapping[str, tuple[float, float]] | None
) -> Iterator[tuple[str, dict[str, float], tuple[float, float]]]:
    """Yield the name, the present values by path, and the factors of each input."""
    data = scenario.to_dict()
    offloads = scenario.offload.connector != "none"
    wanted = {name: step for name, (_, _, step) in STEPS.items()} if changes is None else changes
    for name, step in wanted.items():
        if not 0 < step[0] < step[1]:
            raise ConfigError(f"{name}: factors {step[0]:g} and {step[1]:g}; give 0 < low < high")
        paths = STEPS[name][1] if name in STEPS else (name,)
        if not offloads:
            paths = tuple(path for path in paths if not path.startswith(_ONLY_OFFLOAD))
        values = {path: value for path in paths if (value := _value(data, path))}
        if values:
            yield name, values, step
        elif changes is not None:
            known = suggest(name, STEPS)
            raise ConfigError(f"{name}: the scenario has no such number above 0; {known}")


def _value(data: Any, path: str) -> float | None:
    for key in path.split("."):
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, int | float) and not isinstance(data, bool) else None


def _cases(
    scenario: Scenario, what: str, values: Mapping[str, float], step: tuple[float, float]
) -> Iterator[_Case]:
    for end, factor in zip(("low", "high"), step, strict=True):
        changed = {
            path: round(value * factor) if isinstance(value, int) else value * factor
            for path, value in values.items()
        }
        words = f"x {factor:g}"
        try:
            own = scenario.replace(changed)
        except ConfigError as error:
            yield _Case(what, end, words, None, f"{words}: {error}")
            continue
        yield _Case(
            what, end, words, Point(f"{what} {words}", {}, own.seed, own.hash(), own.to_dict())
        )


def _measure(key: str, scenario: Mapping[str, Any]) -> Outcome:
    """Simulate one scenario; what it cannot do becomes the error of its outcome."""
    try:
        result = simulate(Scenario.from_dict(dict(scenario)))
        promise = result.scenario.slo
        judged = {} if promise is None else slo_columns(evaluate_run(promise, result))
    except KvsimError as error:
        return Outcome(key, None, 0.0, error=str(error))
    return Outcome(key, {**result.summary_dict(), **judged}, result.manifest.wall_s)
