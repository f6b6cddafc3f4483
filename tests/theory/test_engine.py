"""The engine as a queue: M/D/1 with one place, and Little's law over a whole run."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from kvsim.simulate import World, simulate
from kvsim.spec import Scenario
from kvsim.workload.request import NO_END, Request

FREE_HOST = {
    "host.request_in": {"fixed": 0, "per_token": 0},
    "host.first_token_out": {"fixed": 0, "per_token": 0},
    "host.end_of_stream": 0,
    "host.update": 0,
    "host.schedule.admit_fixed": 0,
    "host.schedule.admit_per_token": 0,
    "host.schedule.decode": 0,
    "host.launch.eager": 0,
}


def one_place() -> Scenario:
    base = Scenario.from_dict(
        {
            "name": "one-place",
            "model": "qwen3-8b",
            "gpu": "h100-sxm-80gb",
            "host": "xeon-pcie5",
            "engine": {"max_num_seqs": 1},
            "workload": {
                "kind": "multi_round_qa",
                "num_users": 1,
                "num_rounds": 2,
                "qps": 1,
                "shared_system_prompt": 0,
                "user_history_prompt": 2_000,
                "answer_len": 1,
                "time": 1,
            },
        }
    )
    return base.replace(FREE_HOST)


def serve(arrivals_s: list[float]) -> list[Request]:
    """Serve requests of equal length and different text, each alone."""
    world = World(one_place(), coalesce=True)
    finished: list[Request] = []
    world.driver = SimpleNamespace(on_finished=finished.append)  # type: ignore[assignment]
    for i, arrival_s in enumerate(arrivals_s):
        request = Request(i, i, 1, 2_000, 1, ((10 + i, NO_END),), warmup=False, arrival_s=arrival_s)
        world.clock.call_at(arrival_s, lambda request=request: world.front_end.submit(request))
    world.clock.run()
    assert len(finished) == len(arrivals_s)
    return finished


@pytest.mark.parametrize("utilisation", [0.5, 0.8])
def test_one_place_is_m_d_1(utilisation: float) -> None:
    (alone,) = serve([0.0])
    assert alone.finished_s is not None
    service_s = alone.finished_s - alone.arrival_s
    rng = np.random.default_rng(11)
    gaps = rng.exponential(service_s / utilisation, 40_000)
    requests = serve(np.cumsum(gaps).tolist())
    waits = [(r.finished_s or 0.0) - r.arrival_s - service_s for r in requests]
    expected = utilisation / (2 * (1 - utilisation)) * service_s
    assert np.mean(waits) == pytest.approx(expected, rel=0.06)


def test_littles_law_holds_for_live_requests(qa: Scenario) -> None:
    """Mean number in the system, from change points, equals rate times mean stay, from the rows."""
    result = simulate(qa)
    rows = result.requests[~result.requests.warmup]
    start_s, end_s = result.manifest.start_s, result.manifest.end_s
    changes = sorted([(t, 1) for t in rows.arrival_s] + [(t, -1) for t in rows.finished_s])
    area, level, since = 0.0, 0, start_s
    for t, change in changes:
        area += level * (t - since)
        level, since = level + change, t
    mean_number = area / (end_s - start_s)
    rate = len(rows) / (end_s - start_s)
    stay_s = (rows.finished_s - rows.arrival_s).mean()
    assert level == 0
    assert mean_number == pytest.approx(rate * stay_s, rel=1e-9)
