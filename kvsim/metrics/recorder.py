"""The rows that a run appends while it goes on; nothing is computed here.

Rows are plain tuples in the order of the `*_COLUMNS` beside them, so that
recording costs an append and tables can be made after the run, or never. A run
with a sink hands over its rows while it goes on, a row group at a time, and
keeps of its requests only what the summary needs.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Literal, Protocol

from kvsim.metrics.columns import Columns, join_columns, request_columns
from kvsim.workload.request import Request

ROW_GROUP = 1 << 13
"""Rows of a table that are kept, and written, together."""
_LOOK_EVERY = 1 << 10
"""Requests that come in between two looks whether the first ones are over."""

TierName = Literal["hbm", "cpu", "remote"]

StepRow = tuple[int, float, int, float, int, int, int, float, float]
STEP_COLUMNS = (
    "instance",
    "start_s",
    "num_steps",
    "end_s",
    "decodes",
    "context_tokens",
    "prefill_tokens",
    "load_s",
    "store_s",
)
TransferRow = tuple[int, str, str, int, int, float, float, float]
TRANSFER_COLUMNS = (
    "instance",
    "tier",
    "direction",
    "n_bytes",
    "objects",
    "asked_s",
    "started_s",
    "finished_s",
)
SESSION_COLUMNS = ("time_s", "live")


class Sink(Protocol):
    """Where rows go that need not stay in memory."""

    def take(self, name: str, rows: Sequence[Any]) -> None:
        """Take the next rows of a table, a whole row group of them."""


@dataclass(slots=True)
class Recorder:
    """Everything that one run remembers, but for the rows that its sink has taken."""

    requests: list[Request] = field(default_factory=list)
    """Each request that reached the router, in that order, warm-ups included."""
    steps: list[StepRow] = field(default_factory=list)
    transfers: list[TransferRow] = field(default_factory=list)
    sessions: list[tuple[float, int]] = field(default_factory=list)
    """(instant, live sessions from then on), a row a change."""
    sink: Sink | None = None
    _full: int = field(init=False, default=sys.maxsize)
    _look_at: int = field(init=False, default=sys.maxsize)
    _taken: list[Columns] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        if self.sink is not None:
            self._full = self._look_at = ROW_GROUP

    def request(self, request: Request) -> None:
        """Add a request that reaches the router; what becomes of it is read when it is over."""
        self.requests.append(request)
        if len(self.requests) >= self._look_at:
            self._hand_over_requests()

    def request_columns(self) -> Columns:
        """Return what the summary needs of all requests, those that the sink has among them."""
        return join_columns([*self._taken, request_columns(self.requests)])

    def _hand_over_requests(self) -> None:
        assert self.sink is not None
        over = sum(1 for _ in takewhile(_is_over, self.requests))
        while over >= ROW_GROUP:
            group = self.requests[:ROW_GROUP]
            self._taken.append(request_columns(group))
            self.sink.take("requests", group)
            del self.requests[:ROW_GROUP]
            over -= ROW_GROUP
        self._look_at = max(ROW_GROUP, len(self.requests) + _LOOK_EVERY)

    def _hand_over(self, name: str, rows: list[Any]) -> None:
        assert self.sink is not None
        while len(rows) >= ROW_GROUP:
            self.sink.take(name, rows[:ROW_GROUP])
            del rows[:ROW_GROUP]

    def step(
        self,
        instance: int,
        start_s: float,
        num_steps: int,
        end_s: float,
        decodes: int,
        context_tokens: int,
        prefill_tokens: int,
        load_s: float,
        store_s: float,
    ) -> None:
        """Add a run of equal engine steps; `context_tokens` are those of its first step."""
        self.steps.append(
            (
                instance,
                start_s,
                num_steps,
                end_s,
                decodes,
                context_tokens,
                prefill_tokens,
                load_s,
                store_s,
            )
        )
        if len(self.steps) >= self._full:
            self._hand_over("steps", self.steps)

    def transfer(
        self,
        instance: int,
        tier: str,
        direction: str,
        n_bytes: int,
        objects: int,
        asked_s: float,
        started_s: float,
        finished_s: float,
        count: int = 1,
    ) -> None:
        """Add a finished movement between an instance and a tier, or several equal ones."""
        row = (instance, tier, direction, n_bytes, objects, asked_s, started_s, finished_s)
        self.transfers.extend((row,) * count)
        if len(self.transfers) >= self._full:
            self._hand_over("transfers", self.transfers)

    def live_sessions(self, time_s: float, live: int) -> None:
        """Note how many sessions are live from an instant on."""
        self.sessions.append((time_s, live))


def _is_over(request: Request) -> bool:
    return request.outcome not in ("waiting", "running")
