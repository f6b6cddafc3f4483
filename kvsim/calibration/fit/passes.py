"""A measured run as the passes of its engine loop, each with its loads, stores and disturbances.

One pass: schedule() -> loads -> launch -> stores -> the older step's output is processed. The file
order of the engine's rows is the order of its thread, so what lies between two "s" rows belongs to
the first of them. LMCache's lines carry whole milliseconds, cut off: half a millisecond is added.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from kvsim.calibration.fit.contexts import follow_contexts
from kvsim.calibration.readers.engine_steps import ScheduledStep
from kvsim.calibration.readers.files import find_file, read_lines
from kvsim.calibration.readers.lmcache_log import Copy
from kvsim.calibration.readers.object_server import ObjectRequest
from kvsim.calibration.readers.run_folder import MeasuredRun

UPLOADS = 4
"""LMCache's s3 connector moves so many puts at a time."""
_CHUNK_TOKENS = 256
_STAMP_S = 0.0005
_AFTER_STORE_S = 0.5


@dataclass(slots=True, eq=False)
class Pass:
    """One pass of the engine loop; instants are seconds since the run's time 0."""

    index: int
    begin_s: float
    """schedule() began."""
    scheduled_s: float
    """schedule() ended."""
    decodes: int
    context_tokens: int
    chunks: tuple[tuple[int, int], ...]
    waiting: int
    contexts: tuple[int, ...] | None = None
    """Tokens before each decode, where they are known."""
    loads: tuple[Copy, ...] = ()
    stores: tuple[Copy, ...] = ()
    handed_s: float | None = None
    """Its own output was processed."""
    older_s: float | None = None
    """The output of the step before it was processed, while this one was in flight."""
    next_begin_s: float | None = None
    """The next pass began, at once after the output was processed."""
    busy_uploads: bool = False
    """As many puts as the object client moves at a time were pending."""
    after_store: bool = False
    """A store with remote puts was within the last half second."""
    gpu_s: float = 0.0
    """GPU time after the present idea of it."""
    older_end_s: float = float("-inf")
    """When the GPU was done with the step before: seen, or after the present idea."""

    @property
    def is_undisturbed(self) -> bool:
        """Say whether no remote put had a hand in the pass."""
        return not (self.busy_uploads or self.after_store)

    @property
    def tokens(self) -> int:
        """Count the tokens of the step."""
        return self.decodes + sum(n for _, n in self.chunks)

    @property
    def pairs(self) -> float:
        """Count the (query, key) pairs of the prefill chunks."""
        return sum(n * (before + n / 2) for before, n in self.chunks)

    @property
    def load_begin_s(self) -> float | None:
        """When its first load began."""
        return self.loads[0].time_s + _STAMP_S - self.loads[0].duration_s if self.loads else None

    @property
    def loaded_s(self) -> float | None:
        """When its last load ended."""
        return self.loads[-1].time_s + _STAMP_S if self.loads else None

    @property
    def store_begin_s(self) -> float | None:
        """When its first store began to copy."""
        if not self.stores:
            return None
        return self.stores[0].time_s + _STAMP_S - self.stores[0].duration_s


@dataclass(frozen=True, eq=False)
class RunTrace:
    """The passes of one run, and what the fit must know of the bench."""

    run: MeasuredRun
    passes: tuple[Pass, ...]
    remote: str
    """Kind of remote tier: "", "file" or "object"."""
    diverse: bool
    """Whether prompts are diverse tokens; multi-round QA repeats one word."""
    chunk_tokens: int
    """LMCache's chunk_size."""

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return self.run.path.resolve().name

    def pairs_of_passes(self) -> Iterator[tuple[Pass, Pass]]:
        """Yield each pass with the one before it, where their numbers follow each other."""
        for before, now in zip(self.passes, self.passes[1:], strict=False):
            if now.index == before.index + 1:
                yield before, now


def trace_run(run: MeasuredRun) -> RunTrace:
    """Put the rows of a run together."""
    passes = _passes(run)
    settings = _lmcache_settings(run.path)
    address = settings.get("remote_url", "")
    remote = ("object" if address.startswith("s3") else "file") if address else ""
    size = settings.get("chunk_size", "")
    chunk_tokens = int(size) if size.isdigit() else _CHUNK_TOKENS
    _attach(passes, run.loads, run.stores)
    if remote:
        stores = sorted(store.time_s for store in run.stores)
        pending = None
        if remote == "object":
            pending = _PendingPuts(run.stores, run.object_requests, chunk_tokens)
        for row in passes:
            at = bisect_right(stores, row.scheduled_s)
            row.after_store = at > 0 and row.scheduled_s - stores[at - 1] < _AFTER_STORE_S
            row.busy_uploads = pending is not None and pending.at(row.scheduled_s) >= UPLOADS
    return RunTrace(run, tuple(passes), remote, _is_diverse(run.path), chunk_tokens)


def _passes(run: MeasuredRun) -> list[Pass]:
    passes: list[Pass] = []
    by_index: dict[int, Pass] = {}
    for event in run.events:
        if isinstance(event, ScheduledStep):
            row = Pass(
                event.index,
                event.time_s - event.schedule_s,
                event.time_s,
                event.decodes,
                event.context_tokens,
                event.prefills,
                event.waiting,
            )
            if passes:
                passes[-1].next_begin_s = row.begin_s
            passes.append(row)
            by_index[event.index] = row
        elif event.index in by_index:
            by_index[event.index].handed_s = event.time_s
            if passes[-1].index == event.index + 1:
                passes[-1].older_s = event.time_s
    known = follow_contexts((row.decodes, row.context_tokens, row.chunks) for row in passes)
    for row, contexts in zip(passes, known, strict=True):
        row.contexts = contexts
    return passes


def _attach(passes: Sequence[Pass], loads: Sequence[Copy], stores: Sequence[Copy]) -> None:
    """Give each load and store to the pass during which its line was printed."""
    begins = [row.scheduled_s for row in passes]
    for copies, name in ((loads, "loads"), (stores, "stores")):
        for copy in copies:
            at = bisect_right(begins, copy.time_s + 2 * _STAMP_S) - 1
            if at >= 0:
                row = passes[at]
                setattr(row, name, (*getattr(row, name), copy))


class _PendingPuts:
    """How many stored chunks the object store does not have yet."""

    def __init__(
        self, stores: Sequence[Copy], objects: Sequence[ObjectRequest], chunk_tokens: int
    ) -> None:
        self._stored = sorted((store.time_s, store.tokens // chunk_tokens) for store in stores)
        puts = sorted((r.start_s + r.duration_s, r.n_bytes) for r in objects if r.method == "PUT")
        self._put_ends = [end_s for end_s, _ in puts]
        self._put_bytes = [0]
        for _, n_bytes in puts:
            self._put_bytes.append(self._put_bytes[-1] + n_bytes)
        sizes = [s.n_bytes * chunk_tokens / s.tokens for s in stores if s.tokens >= chunk_tokens]
        self._chunk_bytes = median(sizes) if sizes else 1.0
        self._stored_at = [time_s for time_s, _ in self._stored]
        self._count = [0]
        for _, chunks in self._stored:
            self._count.append(self._count[-1] + chunks)

    def at(self, time_s: float) -> float:
        """Give the number at one instant."""
        stored = self._count[bisect_right(self._stored_at, time_s)]
        done = self._put_bytes[bisect_left(self._put_ends, time_s)] / self._chunk_bytes
        return stored - done


def _lmcache_settings(folder: Path) -> dict[str, str]:
    """Read the plain keys of lmcache.yaml; nested blocks do not matter here."""
    path = find_file(folder, "lmcache.yaml")
    if path is None:
        return {}
    pairs = (line.partition(":") for line in read_lines(path))
    return {key.strip(): value.strip().strip("\"'") for key, colon, value in pairs if colon}


def _is_diverse(folder: Path) -> bool:
    arguments = find_file(folder, "client_args.txt") or find_file(folder, "client_requests.csv")
    return arguments is None
