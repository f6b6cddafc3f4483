"""When the replay sends which request, against a stub server."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kvsim.des.clock import Clock
from kvsim.errors import ConfigError
from kvsim.spec.synthetic_workload import AgenticSpec, PoissonArrivals
from kvsim.spec.trace_workload import ReplaySpec, TraceSpec
from kvsim.workload.request import Request
from kvsim.workload.source import load_trace, make_replay
from kvsim.workload.trace_replay import TraceReplay, users_of
from kvsim.workload.traces import Trace, read_trace
from kvsim.workload.traces.build import TraceBuilder

DATA = Path(__file__).parents[2] / "data" / "traces"


class Served:
    """What a stub server saw, which answers after `service_s`; None: it fails after a second."""

    def __init__(self, service_s: Callable[[Request], float | None] | float) -> None:
        self.clock = Clock()
        self.clock.run(until=100.0)
        self.requests: list[Request] = []
        self.live: list[tuple[float, int]] = []
        self._service_s = service_s
        self.driver: TraceReplay

    def submit(self, request: Request) -> None:
        self.requests.append(request)
        service_s = self._service_s(request) if callable(self._service_s) else self._service_s
        answer = self.driver.on_finished if service_s is not None else self.driver.on_failed
        wait_s = 1.0 if service_s is None else service_s
        self.clock.call_at(self.clock.now + wait_s, partial(answer, request))

    def run(self) -> Served:
        self.driver.start()
        self.clock.run(self.driver.done)
        assert self.driver.start_s == 100.0
        return self

    @property
    def launches(self) -> list[tuple[float, int, int]]:
        """(seconds since the start, session, round) in the order of sending."""
        return [(r.arrival_s - 100.0, r.session_id, r.round_index) for r in self.requests]


def serve(
    trace: Trace,
    service_s: Callable[[Request], float | None] | float = 1.0,
    *,
    seed: int = 0,
    session_rate: float | None = None,
    **spec: Any,
) -> Served:
    served = Served(service_s)
    served.driver = TraceReplay(
        trace,
        ReplaySpec(**spec),
        served.clock,
        served.submit,
        seed=seed,
        session_rate=session_rate,
        on_live_sessions=lambda when_s, live: served.live.append((when_s, live)),
    )
    return served.run()


def make(*rows: tuple[float, str | None], clock: Any = "trace", **more: Any) -> Trace:
    """Build a trace of 100-token prompts at times and of sessions."""
    builder = TraceBuilder("drawn", "drawn", clock=clock)
    for time_s, session in rows:
        builder.add(time_s=time_s, prompt_tokens=100, output_tokens=5, session=session, **more)
    return builder.build()


def test_open_loop_keeps_the_times_whatever_the_load() -> None:
    served = serve(make((0.0, None), (2.5, None), (2.5, None), (7.0, None)), 50.0)
    assert [launch[0] for launch in served.launches] == [0.0, 2.5, 2.5, 7.0]
    assert served.driver.end_s == 157.0
    assert [request.request_id for request in served.requests] == [0, 1, 2, 3]


def test_rate_scale_divides_the_times() -> None:
    served = serve(make((1.0, None), (3.0, None)), rate_scale=2)
    assert [launch[0] for launch in served.launches] == [0.5, 1.5]


def test_closed_loop_waits_for_answers_and_thinks() -> None:
    trace = make((0.0, "a"), (1.0, "b"), (10.0, "a"), (30.0, "a"), think_time_s=4.0)
    served = serve(trace, 3.0, mode="closed")
    assert served.launches == [(0.0, 0, 1), (1.0, 1, 1), (7.0, 0, 2), (14.0, 0, 3)]
    assert served.driver.end_s == 117.0
    assert served.live == [(100.0, 1), (101.0, 2), (104.0, 1), (117.0, 0)]


def test_think_times_can_be_scaled_and_capped() -> None:
    trace = make((0.0, "a"), (10.0, "a"), think_time_s=40.0)
    assert serve(trace, mode="closed", think_scale=0.5).launches[1][0] == 21.0
    assert serve(trace, mode="closed", think_scale=0.5, max_think=2).launches[1][0] == 3.0


def test_a_failure_ends_what_waits_for_it() -> None:
    trace = make((0.0, "a"), (5.0, "a"), (9.0, "a"), (1.0, "b"), (6.0, "b"))
    fails = serve(trace, lambda r: None if (r.session_id, r.round_index) == (0, 2) else 1.0,
                  mode="closed")  # fmt: skip
    assert [(session, turn) for _, session, turn in fails.launches] == [
        (0, 1),
        (1, 1),
        (0, 2),
        (1, 2),
    ]
    assert fails.live[-1][1] == 0


def test_the_time_limit_stops_launches_but_not_answers() -> None:
    trace = make((0.0, "a"), (5.0, "b"), (6.0, "a"), (20.0, "b"), think_time_s=3.0)
    served = serve(trace, 30.0, mode="closed", time=10)
    assert served.launches == [(0.0, 0, 1), (5.0, 1, 1)]
    assert served.driver.end_s == 135.0
    assert len(serve(trace, time=10).launches) == 3


def test_a_limited_number_of_sessions_replaces_each_that_ends() -> None:
    trace = make(*[(0.0, name) for name in "abcde"], clock="session")
    served = serve(trace, 2.0, mode="closed", sessions=2)
    assert [at_s for at_s, *_ in served.launches] == [0.0, 0.0, 2.0, 2.0, 4.0]
    assert max(live for _, live in served.live) == 2


def test_sessions_without_times_begin_at_random() -> None:
    trace = make(*[(float(t), name) for name in "abcde" for t in (0, 1)], clock="session")
    first = serve(trace, mode="closed", session_rate=0.1)
    assert [launch[0] for launch in first.launches] == sorted(
        launch[0] for launch in first.launches
    )
    assert serve(trace, mode="closed", session_rate=0.1).launches == first.launches
    assert serve(trace, mode="closed", session_rate=0.1, seed=1).launches != first.launches
    opened = serve(trace, session_rate=0.1)
    starts = {session: at_s for at_s, session, turn in opened.launches if turn == 1}
    for at_s, session, turn in opened.launches:
        assert at_s == pytest.approx(starts[session] + turn - 1)


def test_more_users_have_prefixes_of_their_own_and_come_later() -> None:
    trace = read_trace(DATA / "mooncake_conversation.jsonl")
    served = serve(trace, user_scale=2, user_shift=0.25)
    assert len(served.requests) == 240
    copies = [
        [r for r in served.requests if (r.session_id >= 120) == second] for second in (False, True)
    ]
    nodes = [{node for r in requests for node, _ in r.path} for requests in copies]
    assert not nodes[0] & nodes[1]
    assert [r.prompt_tokens for r in copies[0]] == [r.prompt_tokens for r in copies[1]]
    shifts = [b.arrival_s - a.arrival_s for a, b in zip(*copies, strict=True)]
    assert shifts == pytest.approx([0.25] * 120)


def test_fewer_users_are_whole_sessions_drawn_by_the_seed() -> None:
    trace = make(*[(float(t), f"s{n}") for n in range(40) for t in (0, 5)])
    half = serve(trace, mode="closed", user_scale=0.5)
    sessions = [session for _, session, _ in half.launches]
    assert 10 < len(set(sessions)) < 30
    assert all(sessions.count(session) == 2 for session in sessions)
    assert serve(trace, mode="closed", user_scale=0.5).launches == half.launches
    more = serve(trace, mode="closed", user_scale=1.5)
    assert len(more.launches) == 80 + len(half.launches)
    with pytest.raises(ConfigError, match="leaves none"):
        serve(make((0.0, None)), user_scale=1e-9)


def test_sub_agents_follow_the_request_of_their_parent() -> None:
    trace = read_trace(DATA / "kv_cache_tester.parquet")
    assert len(set(users_of(trace).tolist())) == 3
    served = serve(trace, 2.0, mode="closed", sessions=3)
    assert len(served.requests) == 45
    names = trace.session_names
    sent = {(names[r.session_id], r.round_index): r.arrival_s for r in served.requests}
    wait_s = 1148.013 - 1085.0 - 15.64
    assert sent["trace_0291/agent_001", 1] == pytest.approx(
        sent["trace_0291/main", 16] + 2 + wait_s
    )
    assert served.live[-1][1] == 0


def test_what_a_trace_cannot_do_is_a_clear_error() -> None:
    with pytest.raises(ConfigError, match="closed needs sessions"):
        serve(make((0.0, None)), mode="closed")
    with pytest.raises(ConfigError, match="give session_rate"):
        serve(make((0.0, "a"), clock="session"))
    with pytest.raises(ConfigError, match="use mode: closed"):
        serve(make((0.0, "a"), (0.0, "a"), clock="none"), session_rate=1.0)
    assert len(serve(make((0.0, "a"), (0.0, "a"), clock="none"), mode="closed", session_rate=1.0)
               .launches) == 2  # fmt: skip


def test_lengths_and_grain_are_checked_against_the_scenario() -> None:
    driver = serve(read_trace(DATA / "mooncake_conversation.jsonl")).driver
    driver.check(max_model_len=40_000, chunk_tokens=512)
    driver.check(max_model_len=40_000, chunk_tokens=None)
    with pytest.raises(ConfigError, match="max_model_len 3000"):
        driver.check(max_model_len=3_000, chunk_tokens=512)
    with pytest.raises(ConfigError, match="split_hashes"):
        driver.check(max_model_len=40_000, chunk_tokens=256)
    assert driver.last_prompt_tokens == driver.trace.prompt_tokens.max()


def test_a_part_of_the_trace() -> None:
    spec = TraceSpec(file=DATA / "azure_code.csv", window=(1, 10), max_requests=3)
    part = load_trace(spec, 0)
    assert len(part) == 3
    assert 0 <= part.time_s.min() < 9
    served = Served(1.0)
    served.driver = make_replay(spec, served.clock, served.submit, seed=0)
    assert len(served.run().requests) == 3


def test_a_made_up_workload_is_replayed_to_its_end() -> None:
    spec = AgenticSpec(arrivals=PoissonArrivals(rate=0.1), duration=100)
    served = Served(1.0)
    served.driver = make_replay(spec, served.clock, served.submit, seed=3)
    assert len(served.run().requests) == len(load_trace(spec, 3))
    rounds: dict[int, int] = {}
    for request in served.requests:
        assert request.round_index == rounds.get(request.session_id, 0) + 1
        rounds[request.session_id] = request.round_index


def test_specs_refuse_what_has_no_meaning() -> None:
    with pytest.raises(ValueError, match="mode: closed"):
        ReplaySpec(sessions=3)
    with pytest.raises(ValueError, match="is empty"):
        TraceSpec(file=DATA / "azure_code.csv", window=(5, 5))
