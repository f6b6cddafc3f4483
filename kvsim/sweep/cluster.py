"""Run the points of a sweep on a Dask cluster that is there already.

The scheduler hands runs to whatever workers there are, and again to others when a worker dies. Each
worker must have the code of this process: a run by other code is no result of this sweep.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kvsim.compiled.code import code_fingerprint
from kvsim.errors import ConfigError
from kvsim.sweep.design import Point
from kvsim.sweep.execute import DIED, Outcome, in_order, run_point

_PATIENCE = "30s"


def run_checked(key: str, scenario: Mapping[str, Any], code: str) -> Outcome:
    """Simulate one point, if this process has the code that was asked for."""
    if code_fingerprint() != code:
        return Outcome(
            key, None, 0.0, error="this worker has another version of kvsim; install the same there"
        )
    return run_point(key, scenario)


def execute_on_dask(points: Sequence[Point], *, scheduler: str) -> Iterator[Outcome]:
    """Yield outcomes as they come; points with one key (equal scenarios) run once."""
    if not points:
        return
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise ConfigError(
            f"--executor dask: distributed is not installed ({error}); install kvsim[cluster]"
        ) from None
    try:
        client = Client(scheduler, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--scheduler {scheduler}: no Dask scheduler answers there ({error}); "
            "give the address that `dask scheduler` prints, e.g. tcp://host:8786"
        ) from error
    with client:
        code = code_fingerprint()
        futures = {}
        for rank, point in enumerate(in_order(points)):
            future = client.submit(
                run_checked, point.key, point.scenario, code, pure=False, priority=-rank
            )
            futures[future] = point.key
        try:
            for future in as_completed(futures, loop=client.loop):
                if future.status == "finished":
                    yield future.result()
                else:  # the workers that ran it died, one after another
                    yield Outcome(futures[future], None, 0.0, error=DIED)
        finally:
            client.cancel(list(futures))
