"""When LMCache's multi-round-qa.py sends which request.

Users join at a fixed rate, whatever the load; each asks its rounds one after the
other, at least a gap apart. The driver looks at its users once a poll, compares
strictly (`>`), and re-bases each gap on the poll at which it acted: intervals
are rounded up to the poll and the error stays.

Time spans count whole polls: the span from poll j to poll k is `(k - j) * poll`,
one multiplication. Differences of absolute instants would let the last bit of a
float decide between two polls where a gap is a multiple of the poll.

Left out: the cost of the driver's own loop (raise `poll` for it), answers that
end early, retries and timeouts of the HTTP client.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np
import simpy

from kvsim.des.clock import PLAN, Clock
from kvsim.spec.workload import MultiRoundQaSpec
from kvsim.workload.chance import stream
from kvsim.workload.request import NO_END, Request

SHARED_NODE = 0
USER_NODES = 1_000
"""A user's own text is the node `USER_NODES + user id`."""
WARMUP_NODES = 500_000_000

# After all that is due at the same instant and before the engines plan.
_POLL_PRIORITY = PLAN - 1


@dataclass(slots=True)
class _Session:
    user_id: int
    path: tuple[tuple[int, int], ...]
    next_prompt_tokens: int
    question_id: int = 0
    rounds_sent: int = 0
    # The last request was launched `age_s` before poll `since_poll`; None: never.
    since_poll: int | None = None
    age_s: float = 0.0
    outstanding: bool = False
    shifts: np.random.Generator | None = None


class MultiRoundQa:
    """The driver of one run: calls `submit` for each request and is told of each answer.

    It wakes only at polls at which something can happen. With `coalesce=False` it
    wakes at every poll and looks at every session, as the real one: the oracle.
    """

    def __init__(
        self,
        spec: MultiRoundQaSpec,
        clock: Clock,
        submit: Callable[[Request], None],
        *,
        seed: int,
        coalesce: bool = True,
        on_live_sessions: Callable[[float, int], None] | None = None,
    ) -> None:
        self.done: simpy.Event = clock.event()
        """Fires when the last answer is there, or the first failure during the drain."""
        self.start_s: float | None = None
        """Time of the first poll; the warm-up is over."""
        self.end_s: float | None = None
        """Time at which `done` fired."""

        self._spec = spec
        self._clock = clock
        self._submit = submit
        self._seed = seed
        self._coalesce = coalesce
        self._on_live_sessions = on_live_sessions

        self._gap_s = spec.num_users / spec.qps
        self._alive_s = self._gap_s * (spec.num_rounds - 1)
        self._join_gap_s = self._alive_s / spec.num_users
        self._last_poll = last_poll(spec.time, spec.poll)

        self._start_s = 0.0
        self._sessions: dict[int, _Session] = {}
        self._next_user_id = spec.init_user_id + 1
        self._joined_poll: int | None = None
        self._due: list[tuple[int, int]] = []
        self._polled = -1
        self._wake_poll = self._last_poll + 1
        self._live_sessions = -1
        self._next_request_id = 0
        self._warmups_left = spec.warmup_requests
        self._outstanding = 0
        self._draining = False

    def start(self) -> None:
        """Send the warm-up requests; the polls begin when all are answered."""
        spec = self._spec
        if not spec.warmup_requests:
            self._begin()
        for i in range(spec.warmup_requests):
            self._send(
                session_id=-1 - i,
                round_index=1,
                prompt_tokens=spec.warmup_prompt,
                output_tokens=spec.warmup_answer,
                path=prompt_path(spec, -1 - i),
                warmup=True,
            )

    def on_finished(self, request: Request) -> None:
        """Take note that the client has the last byte of the answer."""
        if request.warmup:
            self._end_warmup()
            return
        self._outstanding -= 1
        if self._draining:
            if not self._outstanding:
                self._finish()
            return
        session = self._sessions[request.session_id]
        session.outstanding = False
        poll = self._first_poll_from(self._clock.now)
        if self._coalesce:
            if session.question_id < self._spec.num_rounds:
                poll = max(poll, self._due_poll(session))
            heappush(self._due, (poll, session.user_id))
        self._wake_at(poll)

    def on_failed(self, request: Request) -> None:
        """Take note that no answer will come: the session hangs for ever.

        As in the real driver, a failure during the drain ends the drain at once.
        """
        if request.warmup:
            self._end_warmup()
            return
        self._outstanding -= 1
        if self._draining:
            self._finish()

    def _end_warmup(self) -> None:
        self._warmups_left -= 1
        if not self._warmups_left:
            self._begin()

    def _begin(self) -> None:
        spec = self._spec
        self.start_s = self._start_s = self._clock.now
        if not spec.disable_ramp_up:
            self._ramp_up()
        self._wake_at(0)
        self._clock.call_at(
            self._poll_s(self._last_poll + 1), self._stop_launching, priority=_POLL_PRIORITY
        )

    def _ramp_up(self) -> None:
        """Create users who look as if they had joined one by one, but with empty histories."""
        for i in range(self._spec.num_users):
            session = self._create_session()
            offset_s = self._alive_s - i * self._join_gap_s
            # int() cuts float error off too, as in the real driver.
            passed = int(offset_s / self._gap_s) + 1
            session.question_id = passed
            session.since_poll = 0
            session.age_s = offset_s - (passed - 1) * self._gap_s
            over = passed >= self._spec.num_rounds
            heappush(self._due, (0 if over else self._due_poll(session), session.user_id))

    def _create_session(self) -> _Session:
        spec = self._spec
        user_id = self._next_user_id
        self._next_user_id += 1
        session = _Session(
            user_id,
            path=prompt_path(spec, user_id),
            next_prompt_tokens=spec.first_prompt_tokens,
        )
        if spec.arrival_jitter > 0:
            session.shifts = stream(self._seed, "arrival", user_id)
        self._sessions[user_id] = session
        return session

    def _poll_s(self, poll: int) -> float:
        return self._start_s + poll * self._spec.poll

    def _first_poll_from(self, when_s: float) -> int:
        """Return the first poll that is not before an instant."""
        poll = max(0, int((when_s - self._start_s) / self._spec.poll))
        while self._poll_s(poll) < when_s:
            poll += 1
        while poll > 0 and self._poll_s(poll - 1) >= when_s:
            poll -= 1
        return poll

    def _due_poll(self, session: _Session) -> int:
        if session.since_poll is None:
            return 0
        return session.since_poll + polls_until(self._gap_s, self._spec.poll, session.age_s)

    def _is_due(self, session: _Session, poll: int) -> bool:
        if session.since_poll is None:
            return True
        return (poll - session.since_poll) * self._spec.poll + session.age_s > self._gap_s

    def _wake_at(self, poll: int) -> None:
        """Make sure that a poll happens.

        After an answer at the very instant of a poll, the sessions' part of it happens again,
        so that it does not matter which of the two came first.
        """
        if poll < self._wake_poll:
            self._wake_poll = poll
            self._clock.call_at(
                self._poll_s(poll), partial(self._wake, poll), priority=_POLL_PRIORITY
            )

    def _wake(self, poll: int) -> None:
        if poll != self._wake_poll:
            return  # An earlier poll has taken over and arranged for what comes next.
        self._wake_poll = self._last_poll + 1
        if poll > self._polled:
            self._polled = poll
            self._join(poll)
        if self._coalesce:
            while self._due and self._due[0][0] <= poll:
                self._step(self._sessions[heappop(self._due)[1]], poll)
            if self._due:
                self._wake_at(self._due[0][0])
            if not self._is_full():
                self._wake_at(max(poll + 1, self._join_poll()))
        else:
            for session in list(self._sessions.values()):
                self._step(session, poll)
            self._wake_at(poll + 1)
        if self._on_live_sessions and len(self._sessions) != self._live_sessions:
            self._live_sessions = len(self._sessions)
            self._on_live_sessions(self._poll_s(poll), self._live_sessions)

    def _join(self, poll: int) -> None:
        """Let at most one user join; finished sessions count until they have been removed."""
        joined = self._joined_poll
        waited = joined is None or (poll - joined) * self._spec.poll > self._join_gap_s
        if waited and not self._is_full():
            session = self._create_session()
            heappush(self._due, (poll, session.user_id))
            self._joined_poll = poll

    def _is_full(self) -> bool:
        strict = self._spec.enforce_strict_concurrent_users
        return strict and len(self._sessions) >= self._spec.num_users

    def _join_poll(self) -> int:
        if self._joined_poll is None:
            return 0
        return self._joined_poll + polls_until(self._join_gap_s, self._spec.poll)

    def _step(self, session: _Session, poll: int) -> None:
        if session.outstanding:
            return
        if session.question_id >= self._spec.num_rounds:
            del self._sessions[session.user_id]
        elif self._is_due(session, poll):
            self._launch(session, poll)

    def _launch(self, session: _Session, poll: int) -> None:
        spec = self._spec
        session.question_id += 1
        session.rounds_sent += 1
        session.since_poll = poll
        session.age_s = 0.0
        session.outstanding = True
        self._outstanding += 1
        send = partial(
            self._send,
            session_id=session.user_id,
            round_index=session.rounds_sent,
            prompt_tokens=session.next_prompt_tokens,
            output_tokens=spec.answer_len,
            path=session.path,
            warmup=False,
        )
        session.next_prompt_tokens += spec.answer_len + spec.question_tokens
        if session.shifts is None:
            send()
        else:
            shift_s = session.shifts.random() * spec.arrival_jitter
            self._clock.call_at(self._clock.now + shift_s, send)

    def _send(
        self,
        *,
        session_id: int,
        round_index: int,
        prompt_tokens: int,
        output_tokens: int,
        path: tuple[tuple[int, int], ...],
        warmup: bool,
    ) -> None:
        request = Request(
            self._next_request_id,
            session_id,
            round_index,
            prompt_tokens,
            output_tokens,
            path,
            warmup,
            arrival_s=self._clock.now,
        )
        self._next_request_id += 1
        self._submit(request)

    def _stop_launching(self) -> None:
        self._draining = True
        if not self._outstanding:
            self._finish()

    def _finish(self) -> None:
        if self.end_s is None:
            self.end_s = self._clock.now
            self.done.succeed()


def polls_until(gap_s: float, poll_s: float, age_s: float = 0.0) -> int:
    """Return the least n of polls with `n * poll_s + age_s > gap_s`."""
    n = max(0, int((gap_s - age_s) / poll_s))
    while n * poll_s + age_s <= gap_s:
        n += 1
    while n > 0 and (n - 1) * poll_s + age_s > gap_s:
        n -= 1
    return n


def last_poll(time_s: float, poll_s: float) -> int:
    """Return the last poll that still acts: the loop ends once more than `time_s` has passed."""
    return max(0, polls_until(time_s, poll_s) - 1)


def prompt_path(spec: MultiRoundQaSpec, user_id: int) -> tuple[tuple[int, int], ...]:
    """Return what the prompts of a user say; warm-up requests have the ids -1, -2, ..."""
    if user_id < 0:
        return ((WARMUP_NODES - 1 - user_id, NO_END),)
    shared_tokens = spec.shared_system_prompt + spec.shared_overhead
    return ((SHARED_NODE, shared_tokens), (USER_NODES + user_id, NO_END))


class Launch(NamedTuple):
    """One request that the driver sent, seconds after its first poll."""

    at_s: float
    user_id: int
    round_index: int
    prompt_tokens: int


def dry_run(
    spec: MultiRoundQaSpec,
    service_s: float,
    *,
    seed: int = 0,
    coalesce: bool = True,
    on_live_sessions: Callable[[float, int], None] | None = None,
) -> list[Launch]:
    """List the launches of a run in which each answer takes the same time."""
    clock = Clock()
    requests: list[Request] = []

    def submit(request: Request) -> None:
        if not request.warmup:
            requests.append(request)
        clock.call_at(clock.now + service_s, partial(driver.on_finished, request))

    driver = MultiRoundQa(
        spec,
        clock,
        submit,
        seed=seed,
        coalesce=coalesce,
        on_live_sessions=on_live_sessions,
    )
    driver.start()
    clock.run(driver.done)
    start_s = driver.start_s
    assert start_s is not None, "the driver is done, so it has begun"
    return [
        Launch(r.arrival_s - start_s, r.session_id, r.round_index, r.prompt_tokens)
        for r in requests
    ]
