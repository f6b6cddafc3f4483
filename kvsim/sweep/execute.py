"""Run the points of a sweep, here on this machine's cores, each isolated from the others.

Workers get plain dictionaries and send plain dictionaries back; the pool is warmed once. Longest
runs go first, so that no core idles at the end; the table does not depend on the order.
"""

import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, Protocol

from kvsim.errors import SimulationError
from kvsim.sweep.design import Point
from kvsim.sweep.weight import SECONDS_PER_WEIGHT, weight

_START_S = 2.0
"""Time to start the workers."""
DIED = "the process died (killed, or out of memory)"


@dataclass(frozen=True)
class Outcome:
    """What came of one run: a summary, or the error that ended it."""

    key: str
    summary: dict[str, Any] | None
    wall_s: float
    error: str | None = None
    trace: str | None = None


class Executor(Protocol):
    """Whatever runs points: the cores of this machine, or a cluster."""

    def __call__(self, points: Sequence[Point]) -> Iterator[Outcome]:
        """Yield outcomes as they come; points with one key (equal scenarios) run once."""


def run_point(key: str, scenario: Mapping[str, Any]) -> Outcome:
    """Simulate one point; a crash becomes an outcome, for the other runs go on."""
    from kvsim.calibration.confidence import confidence_columns
    from kvsim.metrics.slo import evaluate_run, slo_columns
    from kvsim.simulate import simulate
    from kvsim.spec.scenario import Scenario

    try:
        result = simulate(Scenario.from_dict(dict(scenario)))
        summary: dict[str, Any] = result.summary_dict()
        promise = result.scenario.slo
        if promise is not None:
            summary |= slo_columns(evaluate_run(promise, result))
        summary |= confidence_columns(result)
        return Outcome(key, summary, result.manifest.wall_s)
    except Exception as error:  # the one place that must survive whatever a run does
        words = f"{type(error).__name__}: {error}"
        return Outcome(key, None, 0.0, error=words, trace=traceback.format_exc())


def estimate_s(
    points: Sequence[Point], *, jobs: int, measured: Mapping[str, float] | None = None
) -> float:
    """Estimate the wall time of a sweep: from its own earlier runs where there are any."""
    weights = {point.key: weight(point.scenario) for point in points}
    known = {key: s for key, s in (measured or {}).items() if key in weights}
    each = sum(known.values()) / sum(weights[key] for key in known) if known else SECONDS_PER_WEIGHT
    longest = max(weights.values(), default=0.0) * each
    return float(max(longest, sum(weights.values()) * each / max(1, jobs)) + _START_S)


def in_order(points: Sequence[Point]) -> list[Point]:
    """Return what has to run, the longest first."""
    unique = {point.key: point for point in points}
    return sorted(unique.values(), key=lambda point: -weight(point.scenario))


def execute(
    points: Sequence[Point], *, jobs: int, run: Callable[..., Outcome] = run_point
) -> Iterator[Outcome]:
    """Yield outcomes as they come; points with one key (equal scenarios) run once.

    A run that kills its process takes down the pool and with it the runs beside it, so those are
    run again one at a time: the culprit fails, the others do not.
    """
    unique = in_order(points)
    jobs = max(1, min(jobs, len(unique)))
    if jobs == 1:
        for point in unique:
            yield run(point.key, point.scenario)
        return
    suspects: list[Point] = []
    yield from _in_pool(unique, jobs=jobs, in_flight=jobs + 1, run=run, died=suspects)
    for point in suspects:
        culprits: list[Point] = []
        yield from _in_pool([point], jobs=jobs, in_flight=1, run=run, died=culprits)
        if culprits:
            yield Outcome(point.key, None, 0.0, error=DIED)


def execute_or_raise(
    points: Sequence[Point], *, jobs: int, run: Callable[..., Outcome] = run_point
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield key and summary of each run as it ends; the first that fails ends the others."""
    titles = {point.key: point.title for point in points}
    for outcome in execute(points, jobs=jobs, run=run):
        if outcome.summary is None:
            raise SimulationError(f"a run failed ({titles[outcome.key]}): {outcome.error}")
        yield outcome.key, outcome.summary


def _in_pool(
    points: Sequence[Point],
    *,
    jobs: int,
    in_flight: int,
    run: Callable[..., Outcome],
    died: list[Point],
) -> Iterator[Outcome]:
    """Run points in the pool, few at a time, so that an interrupt finds no queue to clear."""
    from joblib.executor import get_memmapping_executor
    from joblib.externals.loky import BrokenProcessPool

    waiting = deque(points)
    running: dict[Future[Outcome], Point] = {}
    try:
        while waiting or running:
            # Ctrl-C reaches every process of the terminal; this one alone answers it.
            # joblib's own pool: one beside it would break a caller's joblib.Parallel.
            pool = get_memmapping_executor(
                jobs,
                initializer=signal.signal,
                initargs=(signal.SIGINT, signal.SIG_IGN),
            )
            while waiting and len(running) < in_flight:
                point = waiting.popleft()
                running[pool.submit(run, point.key, point.scenario)] = point
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                point = running.pop(future)
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    died.append(point)
                else:
                    yield outcome
    finally:
        if running:
            pool.shutdown(wait=True, kill_workers=True)
