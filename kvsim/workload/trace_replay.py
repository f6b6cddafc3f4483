"""Send the requests of a trace: at their times, or each after the answer it waited for.

Open loop: the trace says when, whatever the load. Closed loop: only the first turns of sessions
have times; each later turn follows the answer before it and its think time, and a sub-agent follows
the request of its parent that came before it. A failed request ends what waits for it.

A *user* is a session with the sub-agents that it starts. Further copies of all users are sent with
nodes of their own: they share nothing with the first ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import simpy

from kvsim.des.clock import Clock
from kvsim.errors import ConfigError
from kvsim.spec.trace_workload import ReplaySpec
from kvsim.workload.chance import stream
from kvsim.workload.prefix_tree import build_paths, shift_path
from kvsim.workload.request import Request
from kvsim.workload.traces.trace import Floats, Ints, Trace, cap_prompts, check_granularity

MOST_REQUESTS = 50_000_000
"""Requests of one run: each takes some hundred bytes."""


class _Launch(NamedTuple):
    at_s: float
    copy: int
    row: int


class TraceReplay:
    """The driver of one run: calls `submit` for each request and is told of each answer."""

    def __init__(
        self,
        trace: Trace,
        spec: ReplaySpec,
        clock: Clock,
        submit: Callable[[Request], None],
        *,
        seed: int,
        session_rate: float | None = None,
        unknown_think_s: float = 0.0,
        on_live_sessions: Callable[[float, int], None] | None = None,
    ) -> None:
        self.done: simpy.Event = clock.event()
        """Fires when every answer is there that will come."""
        self.start_s: float | None = None
        """Time 0 of the trace."""
        self.end_s: float | None = None
        """Time at which `done` fired."""

        if spec.max_prompt is not None:
            trace = cap_prompts(trace, spec.max_prompt)
        self.trace = trace
        self.last_prompt_tokens = trace.longest_prompt_tokens
        self.longest_tokens = trace.longest_tokens
        """Longest prompt with its answer."""
        self._spec = spec
        self._clock = clock
        self._submit = submit
        self._on_live_sessions = on_live_sessions
        self._paths, self._num_nodes = build_paths(trace, answers=spec.answers)
        self._user = users_of(trace)
        self.user_of_session = dict(zip(trace.session.tolist(), self._user.tolist(), strict=True))
        """The user that each session belongs to."""
        self._prompts = trace.prompt_tokens.tolist()
        self._outputs = trace.output_tokens.tolist()
        self._session = trace.session.tolist()
        self._turn = _turns_from_zero(trace)
        self._open = spec.mode == "open"
        self._think_s = _think_times(trace, spec, unknown_think_s)
        self._children: dict[int, list[int]] = {}
        if not self._open:
            for row, before in enumerate(trace.after.tolist()):
                if before >= 0:
                    self._children.setdefault(before, []).append(row)
        self._launches = _first_launches(trace, spec, self._user, seed, session_rate)
        self._stride = len(trace.session_names)
        self._rows_of_user = np.bincount(self._user)

        self._waiting: deque[_Launch] = deque()
        self._pending: dict[tuple[int, int], int] = {}
        self._scheduled = 0
        self._outstanding = 0
        self._next_request_id = 0
        self._sent_of: dict[int, tuple[int, int]] = {}
        self._arrivals: Iterator[_Launch] = iter(())

    def check(self, *, max_model_len: int, chunk_tokens: int | None) -> None:
        """Refuse a trace that the scenario cannot serve; `chunk_tokens` is None without chunks."""
        if self.longest_tokens > max_model_len:
            longest = int(np.argmax(self.trace.prompt_tokens + self.trace.output_tokens))
            raise ConfigError(
                f"workload: request {longest} of {self.trace.name} has "
                f"{self.trace.prompt_tokens[longest]} prompt and "
                f"{self.trace.output_tokens[longest]} answer tokens, more than max_model_len "
                f"{max_model_len}; set workload.max_prompt or take a model with a longer context"
            )
        if chunk_tokens is not None:
            check_granularity(self.trace, chunk_tokens, split=self._spec.split_hashes)

    def start(self) -> None:
        """Begin: the present is time 0 of the trace."""
        self.start_s = self._clock.now
        limit = self._spec.sessions
        if limit is None:
            self._arrivals = iter(self._launches)
            self._next_arrival()
        else:
            self._waiting.extend(self._launches)
            for _ in range(min(limit, len(self._waiting))):
                self._admit()
        self._end_if_over()

    def on_finished(self, request: Request) -> None:
        """Take note that the client has the last byte of the answer."""
        copy, row = self._sent_of.pop(request.request_id)
        self._outstanding -= 1
        children = self._children.get(row, ())
        user = (copy, int(self._user[row]))
        for child in children:
            due_s = self._clock.now + self._think_s[child]
            if not self._too_late(due_s):
                self._pending[user] += 1
                self._schedule(due_s, copy, child)
        self._end_part(user)

    def on_failed(self, request: Request) -> None:
        """Take note that no answer will come: what waits for it is never sent."""
        copy, row = self._sent_of.pop(request.request_id)
        self._outstanding -= 1
        self._end_part((copy, int(self._user[row])))

    def _too_late(self, when_s: float) -> bool:
        assert self.start_s is not None, "nothing is sent before the start"
        limit_s = self._spec.time
        return limit_s is not None and when_s - self.start_s > limit_s

    def _next_arrival(self) -> None:
        """Arrange for the next request that has a time of its own; only one at a time is known."""
        assert self.start_s is not None
        launch = next(self._arrivals, None)
        if launch is None or self._too_late(self.start_s + launch.at_s):
            return
        self._scheduled += 1
        self._clock.call_at(self.start_s + launch.at_s, partial(self._arrive, launch))

    def _arrive(self, launch: _Launch) -> None:
        self._scheduled -= 1
        self._begin_user(launch)
        self._next_arrival()
        self._send(launch.copy, launch.row)

    def _admit(self) -> None:
        """Begin the next user of a limited number, not before its time."""
        assert self.start_s is not None
        if not self._waiting:
            return
        launch = self._waiting.popleft()
        due_s = max(self._clock.now, self.start_s + launch.at_s)
        if self._too_late(due_s):
            self._waiting.clear()
            return
        self._begin_user(launch)
        self._schedule(due_s, launch.copy, launch.row)

    def _begin_user(self, launch: _Launch) -> None:
        user = (launch.copy, int(self._user[launch.row]))
        if user in self._pending:
            return
        # In an open loop all rows of a user come anyway; in a closed one each brings the next.
        self._pending[user] = int(self._rows_of_user[user[1]]) if self._open else 1
        self._tell_live()

    def _schedule(self, due_s: float, copy: int, row: int) -> None:
        self._scheduled += 1
        self._clock.call_at(due_s, partial(self._send_scheduled, copy, row))

    def _send_scheduled(self, copy: int, row: int) -> None:
        self._scheduled -= 1
        self._send(copy, row)

    def _send(self, copy: int, row: int) -> None:
        path = self._paths[row]
        request = Request(
            self._next_request_id,
            copy * self._stride + self._session[row],
            self._turn[row] + 1,
            self._prompts[row],
            self._outputs[row],
            shift_path(path, copy * self._num_nodes) if copy else path,
            False,
            arrival_s=self._clock.now,
        )
        self._sent_of[request.request_id] = (copy, row)
        self._next_request_id += 1
        self._outstanding += 1
        self._submit(request)

    def _end_part(self, user: tuple[int, int]) -> None:
        self._pending[user] -= 1
        if not self._pending[user]:
            del self._pending[user]
            self._tell_live()
            if self._spec.sessions is not None:
                self._admit()
        self._end_if_over()

    def _tell_live(self) -> None:
        if self._on_live_sessions is not None:
            self._on_live_sessions(self._clock.now, len(self._pending))

    def _end_if_over(self) -> None:
        if not self._outstanding and not self._scheduled and self.end_s is None:
            self.end_s = self._clock.now
            self.done.succeed()


def users_of(trace: Trace) -> Ints:
    """Return the user of each row: the session at the beginning of the chain that started it."""
    order = np.lexsort((trace.turn, trace.session))
    sessions, places = np.unique(trace.session[order], return_index=True)
    owner = np.arange(int(trace.session.max()) + 1, dtype=np.int64)
    before = trace.after[order[places]]
    owner[sessions[before >= 0]] = trace.session[before[before >= 0]]
    while True:
        further = owner[owner]
        if np.array_equal(further, owner):
            found: Ints = owner[trace.session]
            return found
        owner = further


def _turns_from_zero(trace: Trace) -> list[int]:
    """Count the turns of each session anew: a part of a trace may begin in mid-session."""
    first = np.full(int(trace.session.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, trace.session, trace.turn)
    turns: list[int] = (trace.turn - first[trace.session]).tolist()
    return turns


def _think_times(trace: Trace, spec: ReplaySpec, unknown_s: float) -> list[float]:
    think_s = np.where(np.isnan(trace.think_time_s), unknown_s, trace.think_time_s)
    think_s = think_s * spec.think_scale
    if spec.max_think is not None:
        think_s = np.minimum(think_s, spec.max_think)
    times: list[float] = think_s.tolist()
    return times


def _first_launches(
    trace: Trace, spec: ReplaySpec, user: Ints, seed: int, session_rate: float | None
) -> list[_Launch]:
    """List what has a time of its own, in order: every row, or the first of each user."""
    _check_mode(trace, spec, session_rate)
    rows = np.arange(len(trace)) if spec.mode == "open" else np.flatnonzero(trace.after < 0)
    launches: list[_Launch] = []
    copies = int(np.ceil(spec.user_scale))
    if copies * len(trace) > MOST_REQUESTS:
        raise ConfigError(
            f"workload.user_scale: {spec.user_scale:g} times {len(trace):,} requests are more than "
            f"{MOST_REQUESTS:,}; lower it"
        )
    for copy in range(copies):
        kept = rows
        part = spec.user_scale - copy
        if part < 1:
            draws = stream(seed, "users").random(int(user.max()) + 1)
            kept = rows[draws[user[rows]] < part]
        at_s = trace.time_s[kept]
        if session_rate is not None and trace.clock != "trace":
            at_s = at_s + _starts(user, seed, copy, session_rate)[user[kept]]
        at_s = at_s / spec.rate_scale + copy * spec.user_shift
        launches.extend(map(_Launch, at_s.tolist(), [copy] * kept.size, kept.tolist()))
    if not launches:
        raise ConfigError(
            f"workload.user_scale: {spec.user_scale:g} of {np.unique(user).size} sessions leaves "
            "none; raise it"
        )
    launches.sort()
    return launches


def _check_mode(trace: Trace, spec: ReplaySpec, session_rate: float | None) -> None:
    if spec.mode == "closed" and not trace.has_sessions:
        raise ConfigError(
            f"workload.mode: closed needs sessions, and {trace.name} ({trace.format}) has none; "
            "use mode: open"
        )
    if trace.clock == "trace":
        return
    if session_rate is None and spec.sessions is None:
        raise ConfigError(
            f"workload: {trace.name} does not say when its sessions begin; give session_rate, or "
            "mode: closed with sessions (how many are alive at a time)"
        )
    if trace.clock == "none" and spec.mode == "open" and int(trace.turn.max()) > 0:
        raise ConfigError(
            f"workload.mode: {trace.name} does not say when the turns of a session come; "
            "use mode: closed"
        )


def _starts(user: Ints, seed: int, copy: int, session_rate: float) -> Floats:
    """Draw when each user begins: gaps of a Poisson process, in the order of the file."""
    users = np.unique(user)
    gaps_s = stream(seed, "session starts", copy).exponential(1 / session_rate, users.size)
    starts_s = np.zeros(int(users[-1]) + 1)
    starts_s[users] = np.cumsum(gaps_s)
    return starts_s
