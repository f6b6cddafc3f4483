"""A recorded or generated workload in memory: columns, one row a request.

Whatever a file's format, its rows become these columns. A prompt is a list of hash ids, each for
`hash_tokens` tokens: equal ids of equal scope, with equal ids before them, mean equal text. The
last id may stand for a shorter, last block. Some formats give no ids; then only the order of a
session's requests says what a prompt repeats.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvsim.errors import ConfigError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
HashIds = NDArray[np.int32] | NDArray[np.int64]

ClockKind = Literal["trace", "session", "none"]
"""What times count from: the start of the trace, the start of each session, or there are none."""


class Damage(NamedTuple):
    """One row that was left out."""

    where: str
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Rows in the order of their times; columns are as long as there are rows."""

    name: str
    """The file, for messages."""
    format: str
    clock: ClockKind
    time_s: Floats
    """When the request was sent; all 0 where the clock is "none"."""
    session: Ints
    """Index into `session_names`."""
    turn: Ints
    """Which request of its session, from 0."""
    prompt_tokens: Ints
    output_tokens: Ints
    think_time_s: Floats
    """Pause between the end of request `after` and this one; NaN: unknown."""
    after: Ints
    """Row whose answer this one waits for in a closed loop; -1: none."""
    scope: Ints
    """Hash ids mean the same only in rows of the same scope."""
    hash_tokens: int
    """Tokens of one hash id; 0: there are none."""
    hash_starts: Ints
    """Where a row's ids begin in `hash_ids`."""
    hash_counts: Ints
    hash_ids: HashIds
    session_names: tuple[str, ...]
    has_sessions: bool
    """Whether requests are known to belong together; else every row is its own session."""
    tenants: tuple[str, ...] = ()
    """Whose each session is, if the trace says so."""
    damaged: tuple[Damage, ...] = ()
    notes: tuple[str, ...] = ()
    """What was repaired or assumed, for the user."""

    def __len__(self) -> int:
        return int(self.time_s.size)

    @property
    def num_sessions(self) -> int:
        """Count the sessions that have a row."""
        return int(np.unique(self.session).size)

    @property
    def span_s(self) -> float:
        """Return the time from the first row to the last."""
        return float(self.time_s[-1] - self.time_s[0])

    @property
    def longest_prompt_tokens(self) -> int:
        return int(self.prompt_tokens.max())

    @property
    def longest_tokens(self) -> int:
        """Return the longest prompt plus its answer."""
        return int((self.prompt_tokens + self.output_tokens).max())

    @property
    def remarks(self) -> list[str]:
        """Say what was repaired, assumed or left out, a line each."""
        lines = list(self.notes)
        if self.damaged:
            first = self.damaged[0]
            rows = f"{len(self.damaged)} damaged rows" if len(self.damaged) > 1 else "1 damaged row"
            lines.append(f"{rows} of {self.name} left out, e.g. {first.where}: {first.why}")
        return lines

    def hashes(self, row: int) -> HashIds:
        """Return the hash ids of one row's prompt."""
        start = self.hash_starts[row]
        return self.hash_ids[start : start + self.hash_counts[row]]

    def hashed_tokens(self) -> Ints:
        """Return how many leading tokens of each prompt the ids cover."""
        return np.minimum(self.hash_counts * self.hash_tokens, self.prompt_tokens)

    def take(self, rows: Ints, *notes: str) -> Trace:
        """Return some rows, ascending; one whose predecessor is gone begins its session anew."""
        places = np.full(len(self) + 1, -1, dtype=np.int64)
        places[rows] = np.arange(rows.size)
        after = places[self.after[rows]]  # row -1 is the extra place, which stays -1
        return replace(
            self,
            time_s=self.time_s[rows],
            session=self.session[rows],
            turn=self.turn[rows],
            prompt_tokens=self.prompt_tokens[rows],
            output_tokens=self.output_tokens[rows],
            think_time_s=self.think_time_s[rows],
            after=after,
            scope=self.scope[rows],
            hash_starts=self.hash_starts[rows],
            hash_counts=self.hash_counts[rows],
            notes=(*self.notes, *notes),
        )


def next_turns(trace: Trace) -> Ints:
    """Return the row of each row's next turn in its session, -1 for the last."""
    following = np.full(len(trace), -1, dtype=np.int64)
    order = np.lexsort((trace.turn, trace.session))
    same = trace.session[order[1:]] == trace.session[order[:-1]]
    following[order[:-1][same]] = order[1:][same]
    return following


def time_window(trace: Trace, start_s: float, end_s: float) -> Trace:
    """Return the rows sent in `[start_s, end_s)`, with times from `start_s`."""
    if trace.clock == "none":
        raise ConfigError(f"workload.window: {trace.name} has no times to cut a window from")
    rows = np.flatnonzero((trace.time_s >= start_s) & (trace.time_s < end_s))
    if not rows.size:
        last_s = float(trace.time_s[-1])
        raise ConfigError(
            f"workload.window: no request of {trace.name} lies in {start_s:g} s to {end_s:g} s; "
            f"its times go from {float(trace.time_s[0]):g} s to {last_s:g} s"
        )
    part = trace.take(rows)
    return replace(part, time_s=part.time_s - start_s)


def cap_prompts(trace: Trace, max_prompt_tokens: int) -> Trace:
    """End each session before its first longer prompt, with the sub-agents it would still start."""
    long = trace.prompt_tokens > max_prompt_tokens
    if not long.any():
        return trace
    first_long = np.full(int(trace.session.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first_long, trace.session[long], trace.turn[long])
    kept = trace.turn < first_long[trace.session]
    while True:  # what a left-out request would have started is left out as well
        orphans = kept & (trace.after >= 0) & ~kept[trace.after]
        if not orphans.any():
            break
        kept &= ~orphans
    rows = np.flatnonzero(kept)
    if not rows.size:
        raise ConfigError(
            f"workload.max_prompt: every session of {trace.name} begins with more than "
            f"{max_prompt_tokens} tokens; raise it"
        )
    left_out = len(trace) - rows.size
    return trace.take(
        rows, f"{left_out} requests from prompts above {max_prompt_tokens} tokens on left out"
    )


def check_granularity(trace: Trace, chunk_tokens: int, *, split: bool = False) -> None:
    """Refuse chunks finer than the trace's hashes: what two of them share cannot be known.

    With `split`, each hash is cut into equal parts, which is exact for what the hashes show.
    GPU blocks are always cut so.
    """
    if trace.hash_tokens and chunk_tokens < trace.hash_tokens and not split:
        raise ConfigError(
            f"offload.chunk_tokens: {chunk_tokens} is finer than the {trace.hash_tokens}-token "
            f"hashes of {trace.name}, which do not show what shorter chunks share; take "
            f"{trace.hash_tokens} or a multiple, or set workload.split_hashes: true to cut each "
            "hash into equal parts"
        )
