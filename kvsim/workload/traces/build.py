"""Collect the rows of a file into a `Trace`: check each, count and name the damaged, sort."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from kvsim.errors import TraceError
from kvsim.workload.traces.trace import ClockKind, Damage, Floats, HashIds, Ints, Trace

MAX_TOKENS = 1 << 30
"""Longer than any prompt: such a number is damage."""
MAX_S = 1e11
"""Later than any clock in seconds (the year 5138): such a time is damage, or has another unit."""
_WHOLE = frozenset((int,))


def all_whole(values: Iterable[Any]) -> bool:
    """Tell whether all values are whole numbers: no truth values, no 1.0."""
    return _WHOLE.issuperset(map(type, values))


class DamagedRowError(ValueError):
    """Say what is wrong with one row."""


def whole(value: Any, name: str, *, least: int = 0) -> int:
    """Read a count of tokens or the like."""
    if isinstance(value, str):
        try:
            _plain(value)
            value = float(value) if "." in value or "e" in value else int(value)
        except ValueError:
            raise DamagedRowError(f"{name}: {value!r:.40} is not a number") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DamagedRowError(f"{name}: {value!r:.40} is not a number")
    if not least <= value <= MAX_TOKENS or value != int(value):  # NaN is in no range
        raise DamagedRowError(f"{name}: {value!r:.40} is not a whole number from {least} on")
    return int(value)


def number(value: Any, name: str) -> float:
    """Read a number that is finite and not negative."""
    try:
        _plain(value)
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        raise DamagedRowError(f"{name}: {value!r:.40} is not a number") from None
    if not math.isfinite(found):
        raise DamagedRowError(f"{name}: {value!r:.40} is not a finite number")
    if found < 0:
        raise DamagedRowError(f"{name}: {value!r:.40} is negative")
    return found


def _plain(value: Any) -> None:
    """Refuse what only Python takes for a number: 6_00."""
    if isinstance(value, str) and "_" in value:
        raise ValueError(value)


def seconds(value: Any, name: str, *, per_second: float = 1.0) -> float:
    """Read an instant or a duration of a unit of which a second has so many."""
    found = number(value, name) / per_second
    if found > MAX_S:
        raise DamagedRowError(f"{name}: {value!r:.40} is more than {MAX_S:g} s: another unit?")
    return found


class Guard:
    """Turn a `DamagedRowError` of its block into a counted row, or into the end where strict."""

    def __init__(self, builder: TraceBuilder, where: str) -> None:
        self._builder = builder
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        if isinstance(error, DamagedRowError):
            self._builder.damage(self._where, str(error))
            return True
        return False


class TraceBuilder:
    """Rows on their way into a trace."""

    def __init__(
        self,
        name: str,
        form: str,
        *,
        clock: ClockKind = "trace",
        hash_tokens: int = 0,
        strict: bool = False,
        from_zero: bool = False,
    ) -> None:
        self.name = name
        self.notes: list[str] = []
        self.hash_tokens = hash_tokens
        self._form = form
        self._clock = clock
        self._strict = strict
        self._from_zero = from_zero  # times are those of a wall clock: count from the first
        self._damaged: list[Damage] = []
        self._numbers = array("d")  # time, end, think time of each row
        self._counts = array("q")  # prompt, output, session, scope, first id, ids of each row
        self._sessions: dict[str, int] = {}
        self._scopes: dict[str, int] = {"": 0}
        self._parents: dict[int, str] = {}
        self._known: dict[Any, int] = {}
        self._ids = array("q")
        self._flat: HashIds | None = None
        self._named = False
        self._tenants: dict[int, str] = {}
        self._empty_answers = 0

    def __len__(self) -> int:
        """Count the rows that were added."""
        return len(self._counts) // 6

    def row(self, where: str) -> Guard:
        """Guard the reading of one row."""
        return Guard(self, where)

    def damage(self, where: str, why: str) -> None:
        """Leave a row out."""
        if self._strict:
            raise TraceError(f"{self.name}: {where}: {why} (strict stops here)")
        self._damaged.append(Damage(where, why))

    def use_ids(self, flat: HashIds) -> None:
        """Take the hash ids of all rows from one array; rows then name their span of it."""
        self._flat = flat

    def known(self, hash_text: Any) -> int:
        """Return the number of a hash, in the order of first sight."""
        return self._known.setdefault(hash_text, len(self._known))

    def set_parent(self, session: str, parent: str) -> None:
        """Let a session be started by another one, as an agent starts a sub-agent."""
        self._parents[self._index(session)] = parent

    def _index(self, session: str) -> int:
        return self._sessions.setdefault(session, len(self._sessions))

    def add(
        self,
        *,
        time_s: Any,
        prompt_tokens: Any,
        output_tokens: Any,
        session: str | None = None,
        scope: str = "",
        think_time_s: float = math.nan,
        end_s: float = math.nan,
        hash_ids: Sequence[int] = (),
        hash_span: tuple[int, int] | None = None,
        tenant: str | None = None,
    ) -> None:
        """Check and append one row."""
        when_s = seconds(time_s, "time")
        prompt = whole(prompt_tokens, "prompt tokens", least=1)
        output = whole(output_tokens, "output tokens")
        if not output:
            self._empty_answers += 1
            output = 1
        start, count = hash_span if hash_span is not None else (len(self._ids), len(hash_ids))
        if self.hash_tokens:
            full = prompt // self.hash_tokens
            if count not in (full, -(-prompt // self.hash_tokens)):
                raise DamagedRowError(
                    f"{count} hash ids do not fit {prompt} tokens at {self.hash_tokens} tokens each"
                )
        if hash_span is None and not all_whole(hash_ids):
            raise DamagedRowError("the hash ids are not whole numbers")
        if session is not None:
            self._named = True
        index = self._index(session if session is not None else f"#{len(self._sessions)}")
        if tenant is not None and self._tenants.setdefault(index, tenant) != tenant:
            raise DamagedRowError(
                f"tenant {tenant!r:.40}: its session belongs to {self._tenants[index]!r:.40}"
            )
        self._numbers.extend((when_s, end_s, think_time_s))
        scope_index = self._scopes.setdefault(scope, len(self._scopes))
        self._counts.extend((prompt, output, index, scope_index, start, count))
        if hash_span is None:
            try:
                self._ids.extend(hash_ids)
            except OverflowError:
                del self._numbers[-3:], self._counts[-6:]
                del self._ids[start:]
                raise DamagedRowError("a hash id has more than 64 bits") from None

    def build(self) -> Trace:
        """Sort the rows by time and link the turns of each session."""
        counts = np.array(self._counts, dtype=np.int64).reshape(-1, 6)
        numbers = np.array(self._numbers, dtype=np.float64).reshape(-1, 3)
        if not counts.size:
            hint = "; ".join(f"{d.where}: {d.why}" for d in self._damaged[:1])
            rows = f"all {len(self._damaged)} rows are damaged, e.g. {hint}"
            raise TraceError(f"{self.name}: no request in it: {rows if hint else 'it is empty'}")
        time_s = numbers[:, 0]
        if self._from_zero:
            numbers[:, :2] -= time_s.min()
        order: Ints = np.arange(len(counts))
        if self._clock != "none":
            order = np.argsort(time_s, kind="stable")
            self._note_disorder(time_s, counts[:, 2])
        counts, numbers = counts[order], numbers[order]
        session = counts[:, 2]
        turn, after = _turns(session)
        think_s = self._think_times(numbers, after, session)
        if self._empty_answers:
            self.notes.append(
                f"{self._empty_answers} empty answers read as one token: engines make at least one"
            )
        flat = self._flat if self._flat is not None else np.array(self._ids, dtype=np.int64)
        return Trace(
            self.name,
            self._form,
            self._clock,
            time_s=numbers[:, 0].copy(),
            session=session.copy(),
            turn=turn,
            prompt_tokens=counts[:, 0].copy(),
            output_tokens=counts[:, 1].copy(),
            think_time_s=think_s,
            after=after,
            scope=counts[:, 3].copy(),
            hash_tokens=self.hash_tokens,
            hash_starts=counts[:, 4].copy(),
            hash_counts=counts[:, 5].copy(),
            hash_ids=flat,
            session_names=tuple(self._sessions),
            has_sessions=self._named,
            tenants=self._tenant_names(),
            damaged=tuple(self._damaged),
            notes=tuple(self.notes),
        )

    def _tenant_names(self) -> tuple[str, ...]:
        """Name the tenant of each session; a trace that names some must name all."""
        missing = len(self._sessions) - len(self._tenants)
        if self._tenants and missing:
            raise TraceError(f"{self.name}: {missing} sessions have no tenant, the others have one")
        return tuple(self._tenants[index] for index in range(len(self._sessions) * (not missing)))

    def _note_disorder(self, time_s: Floats, session: Ints) -> None:
        if self._clock == "session":
            order = np.argsort(session, kind="stable")
            behind = np.diff(time_s[order])[np.diff(session[order]) == 0] < 0
        else:
            behind = np.diff(time_s) < 0
        if behind.any():
            self.notes.append(f"{int(behind.sum())} rows were earlier than the row before: sorted")

    def _think_times(self, numbers: Floats, after: Ints, session: Ints) -> Floats:
        """Fill in the pauses that the file does not name, and start sub-agents from their parents.

        Without the end of the answer before, the whole time between the two requests counts.
        """
        time_s, end_s, think_s = numbers[:, 0], numbers[:, 1], numbers[:, 2].copy()
        names = list(self._sessions)
        for child, parent in self._parents.items():
            rows = np.flatnonzero(session == child)
            parents = np.flatnonzero(session == self._sessions.get(parent, -1))
            earlier = parents[time_s[parents] <= time_s[rows[0]]] if rows.size else parents
            if rows.size and earlier.size:
                after[rows[0]] = earlier[-1]
                think_s[rows[0]] = math.nan
            elif rows.size:
                self.notes.append(f"{names[child]} has no request of {parent} before it")
        if self._clock == "none":
            return think_s
        rows = np.flatnonzero((after >= 0) & np.isnan(think_s))
        ends_s = np.where(np.isnan(end_s[after[rows]]), time_s[after[rows]], end_s[after[rows]])
        think_s[rows] = np.maximum(0.0, time_s[rows] - ends_s)
        return think_s


def _turns(session: Ints) -> tuple[Ints, Ints]:
    """Count the rows of each session, and name the row before each."""
    order = np.argsort(session, kind="stable")
    ordered = session[order]
    begins = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    lengths = np.diff(np.r_[begins, ordered.size])
    places = np.arange(ordered.size) - np.repeat(begins, lengths)
    turn = np.empty(session.size, dtype=np.int64)
    turn[order] = places
    after = np.full(session.size, -1, dtype=np.int64)
    later = np.flatnonzero(places > 0)
    after[order[later]] = order[later - 1]
    return turn, after
