"""A stub server for the tests of the workload driver, and the specs that they run."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest

from kvsim.des.clock import NORMAL, Clock
from kvsim.spec.workload import MultiRoundQaSpec
from kvsim.workload.multi_round_qa import MultiRoundQa
from kvsim.workload.request import Request


def make_spec(**changes: object) -> MultiRoundQaSpec:
    values: dict[str, object] = {
        "num_users": 15,
        "num_rounds": 20,
        "qps": 2,
        "shared_system_prompt": 1000,
        "user_history_prompt": 10_000,
        "answer_len": 100,
        "time": 1200,
        "warmup_requests": 0,
    }
    return MultiRoundQaSpec.model_validate(values | changes)


@dataclass
class Run:
    """One run against a stub server: who was sent when, and who was live."""

    driver: MultiRoundQa
    clock: Clock
    requests: list[Request] = field(default_factory=list)
    live: list[tuple[float, int]] = field(default_factory=list)

    @property
    def launches(self) -> list[tuple[float, int, int, int]]:
        """(instant, user id, round, prompt tokens) of each request, in the order of sending."""
        return [(r.arrival_s, r.session_id, r.round_index, r.prompt_tokens) for r in self.requests]


def run_driver(
    spec: MultiRoundQaSpec,
    service_s: Callable[[Request], float | None],
    *,
    coalesce: bool = True,
    seed: int = 0,
    priority: int = NORMAL,
) -> Run:
    """Run the driver against a server that answers after `service_s`; None: it fails after 1 s."""
    clock = Clock()

    def submit(request: Request) -> None:
        result.requests.append(request)
        duration_s = service_s(request)
        answer = partial(result.driver.on_failed, request)
        if duration_s is not None:
            answer = partial(_finish, result, request)
        clock.call_at(clock.now + (1.0 if duration_s is None else duration_s), answer, priority)

    driver = MultiRoundQa(
        spec,
        clock,
        submit,
        seed=seed,
        coalesce=coalesce,
        on_live_sessions=lambda when_s, live: result.live.append((when_s, live)),
    )
    result = Run(driver, clock)
    driver.start()
    clock.run(driver.done)
    return result


def _finish(result: Run, request: Request) -> None:
    request.finished_s = result.clock.now
    request.outcome = "finished"
    result.driver.on_finished(request)


@pytest.fixture
def qa_spec() -> Callable[..., MultiRoundQaSpec]:
    return make_spec


@pytest.fixture
def run() -> Callable[..., Run]:
    return run_driver
