"""Drive the scheduler and the caches by a real run, and compare each decision.

Arrivals and the ends of steps are the measured ones; which requests a step holds, how much of each
prompt, and what the caches hit are kvsim's. A step agrees when its decodes, their summed context
and every prefill chunk equal the engine's. Times that no log tells (how long a put holds CPU
memory) are the model's. A wrong rule does not hide: one wrong hit changes every later batch.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

from kvsim.calibration.readers.engine_steps import ScheduledStep
from kvsim.calibration.readers.run_folder import Arrival, MeasuredRun, arrivals, load_run
from kvsim.des.clock import Clock
from kvsim.engine.connectors.lmcache_inproc import LmcacheInproc
from kvsim.engine.sequence import Sequence, Step
from kvsim.errors import ConfigError
from kvsim.metrics.recorder import Recorder
from kvsim.simulate import make_lmcache, make_scheduler, make_store
from kvsim.spec import MultiRoundQaSpec, Scenario
from kvsim.storage import make_server
from kvsim.workload.multi_round_qa import prompt_path
from kvsim.workload.request import Request


@dataclass(frozen=True)
class Mismatch:
    """One step whose batch differs."""

    step: int
    measured: tuple[int, int, tuple[tuple[int, int], ...]]
    replayed: tuple[int, int, tuple[tuple[int, int], ...]]


@dataclass(frozen=True)
class Replay:
    """How many steps agree."""

    steps: int
    mismatches: list[Mismatch]

    @property
    def share(self) -> float:
        """Give the share of steps with an equal batch."""
        return 1 - len(self.mismatches) / self.steps if self.steps else 0.0


def replay_run(run_dir: Path, scenario: Scenario) -> Replay:
    """Replay a measured run through the scheduler and caches of a scenario."""
    run = load_run(run_dir)
    return _Replayer(run, scenario).replay()


class _Replayer:
    def __init__(self, run: MeasuredRun, scenario: Scenario) -> None:
        self._clock = Clock()
        self._events = run.events
        self._arrivals = deque(enumerate(arrivals(run)))
        if not isinstance(scenario.workload, MultiRoundQaSpec):
            raise ConfigError(
                f"workload.kind: a recorded run is replayed with multi_round_qa, not with "
                f"{scenario.workload.kind}"
            )
        self._workload = scenario.workload
        remote, server = None, None
        if scenario.offload.connector != "none" and scenario.offload.remote is not None:
            remote = make_store(scenario)
            server = make_server(scenario.offload.remote.profile, self._clock)
        self._lmcache = make_lmcache(scenario, 0, self._clock, remote, server, Recorder())
        self._scheduler = make_scheduler(scenario, self._lmcache)
        self._in_flight: dict[int, Step] = {}
        self._mismatches: list[Mismatch] = []

    def replay(self) -> Replay:
        steps = 0
        for event in self._events:
            if event.time_s > self._clock.now:
                self._clock.run(until=event.time_s)
            if isinstance(event, ScheduledStep):
                steps += 1
                self._schedule(event)
            elif event.index in self._in_flight:
                self._scheduler.update(self._in_flight.pop(event.index))
        return Replay(steps, self._mismatches)

    def _schedule(self, event: ScheduledStep) -> None:
        while self._arrivals and self._arrivals[0][1][0] < event.time_s:
            self._scheduler.add(Sequence(self._request(*self._arrivals.popleft())))
        step = self._scheduler.schedule()
        self._scheduler.connector.take_host_s()
        if self._lmcache is not None:
            _move(self._lmcache, step)
        self._in_flight[event.index] = step
        measured = (event.decodes, event.context_tokens, tuple(sorted(event.prefills)))
        replayed = (step.decodes, step.context_tokens, tuple(sorted(step.chunks)))
        if measured != replayed:
            self._mismatches.append(Mismatch(event.index, measured, replayed))

    def _request(self, index: int, arrival: Arrival) -> Request:
        arrival_s, prompt_tokens, output_tokens, user_id, round_index, warmup = arrival
        path = prompt_path(self._workload, user_id)
        return Request(
            index,
            user_id,
            round_index,
            prompt_tokens,
            output_tokens,
            path,
            warmup,
            arrival_s=arrival_s,
        )


def _move(lmcache: LmcacheInproc, step: Step) -> None:
    """Load and store at once: the measured times of the next events contain how long it took."""
    for load in step.loads:
        if load.remote_keys and lmcache.reserve(load):
            lmcache.promote(load)
    for sequence in step.admitted:
        lmcache.release_pins(sequence)
    for sequence in step.stores:
        lmcache.store(lmcache.allocate_store(lmcache.to_store(sequence)))
    lmcache.end_prefill(step.sampled)
