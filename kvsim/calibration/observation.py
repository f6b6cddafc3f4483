"""Measured data in the very tables of a RunResult, so that charts and comparisons take either.

What nobody measured is 0 in a count (computed_tokens then holds the whole prompt) and missing in an
instant; `Observation.unknown` names those columns, so that a comparison can leave them out.

How measured and simulated rows correspond:

- requests: `arrival_s`, `first_token_s` and `finished_s` are the client's where it has a row.
  Without one (warm-ups, closed requests) they are the engine's; its first token is the processing
  of the step that completes the prompt.
- steps: one row a step, from the begin of schedule() to the processing of its output. Steps overlap
  under async scheduling, as in a simulation.
- transfers: each load to the GPU is a read of tier "cpu", each store a write of it, as LMCache logs
  them: the copy waits for the remote tier where it needs chunks from there. Rows of tier "remote"
  are the HTTP requests that the object store served with a body: parts of chunks, an object each.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kvsim.calibration.readers.engine_steps import ProcessedStep, ScheduledStep
from kvsim.metrics.frames import Frames
from kvsim.metrics.recorder import Recorder
from kvsim.metrics.summary import Summary, summarise
from kvsim.metrics.tables import build_tables
from kvsim.workload.request import Request

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa  # type: ignore[import-untyped]

    from kvsim.calibration.readers.lmcache_log import Copy
    from kvsim.calibration.readers.load_rows import LoadRow, LoadRows
    from kvsim.calibration.readers.measured_request import MeasuredRequest
    from kvsim.calibration.readers.prometheus import Scrapes
    from kvsim.calibration.readers.run_folder import MeasuredRun
    from kvsim.calibration.readers.vllm_log import VllmLog

LOAD_COLUMNS = ("time_s", "instance", "running", "waiting")
LoadLevel = tuple[float, int, int, int]

_CHUNK_TOKENS = 256
_STAMP_SLACK_S = 0.001
_SILENCE_S = 30.0
_RECOMPUTED = ("recomputed_elsewhere_tokens", "recomputed_evicted_tokens")
_HITS = ("computed_tokens", "hit_tokens_hbm", "hit_tokens_cpu", "hit_tokens_remote")
_ENGINE_SIDE = ("engine_s", "scheduled_s", "load_s", "preemptions")


@dataclass(frozen=True, eq=False)
class Observation(Frames):
    """One measured run; instants count from its own time 0."""

    name: str
    start_s: float
    """First launch of a request that counts, or the client's own statement."""
    end_s: float
    """End of the drain."""
    launching_s: float
    """How long, from `start_s` on, new requests were sent."""
    recorder: Recorder
    unknown: frozenset[str] = frozenset()
    """Columns of `requests` that nobody measured."""
    levels: Sequence[LoadLevel] = ()
    """Running and waiting requests as the engine saw them, at the instants it told."""
    died: bool = False
    """The engine stopped serving before all requests had their answers."""
    notes: Mapping[str, int] = field(default_factory=dict)
    """Lines that could not be read and warnings that were printed, by kind."""

    @cached_property
    def _tables(self) -> Mapping[str, pa.Table]:
        return build_tables(self.recorder, [], [])

    @cached_property
    def load(self) -> pd.DataFrame:
        """Running and waiting requests over time: time_s, instance, running, waiting."""
        import pandas as pd

        return pd.DataFrame(list(self.levels), columns=list(LOAD_COLUMNS))

    def summary_dict(self) -> Summary:
        """Return the figures of the run under the names of RunResult.summary_dict.

        Sums over unknown columns are None, as are the figures of the simulation itself.
        """
        figures = summarise(
            self.recorder.request_columns(),
            self.recorder.sessions,
            start_s=self.start_s,
            end_s=self.end_s,
            launching_s=self.launching_s,
            events=0,
            died=self.died,
        )
        nothing = set(self.unknown) | {"events", "sessions_mean", "sessions_max"}
        if self.unknown & set(_HITS):
            nothing.add("token_hit_rate")
        if "scheduled_s" in self.unknown:
            nothing.add("queue_s_mean")
        if "load_s" in self.unknown:
            nothing.add("load_s_mean")
        return {name: None if name in nothing else value for name, value in figures.items()}

    def summary(self) -> pd.Series[Any]:
        """Return the figures of the run as one flat row."""
        import pandas as pd

        return pd.Series(self.summary_dict(), name=self.name, dtype=object)


def observe_run(run: MeasuredRun) -> Observation:
    """Put one measured folder into tables."""
    recorder = Recorder()
    load_s, first_s = _stalls(run.loads), _engine_first_tokens(run)
    unknown = set(_RECOMPUTED)
    died = run.summary is None and _died(run)
    # An engine that dies ends its requests in the middle of their answers, as if they were done.
    whole = max((row.output_tokens for row in run.requests), default=0) if died else 1
    for index, row in enumerate(run.requests):
        if row.hbm_tokens is None:
            unknown |= set(_HITS)
        stalled_s = load_s.get(row.request_id or "", 0.0)
        request = _measured_request(index, row, stalled_s, first_s.get(index), whole)
        recorder.requests.append(request)
    _add_steps(recorder, run)
    _add_transfers(recorder, run)
    counted = [request for request in recorder.requests if not request.warmup]
    start_s, end_s = _span(counted, run.start_s, run.end_s)
    launched = max((request.arrival_s for request in counted), default=end_s)
    return Observation(
        name=run.path.name,
        start_s=start_s,
        end_s=end_s,
        launching_s=launched - start_s,
        recorder=recorder,
        unknown=frozenset(unknown),
        levels=[
            (event.time_s, 0, event.running, event.waiting)
            for event in run.events
            if isinstance(event, ScheduledStep)
        ],
        died=died,
        notes={"damaged_lines": run.damaged_lines, **run.warnings},
    )


def observe_client(rows: LoadRows, *, name: str) -> Observation:
    """Put what a load generator saw into tables: no steps, no transfers, hits only in total.

    `cached_tokens` says that tokens were cached, not where, so all hit columns stay unknown.
    """
    recorder = Recorder()
    zero_s = min(row.launch_s for row in rows.rows)
    sessions: dict[str, int] = {}
    for index, row in enumerate(rows.rows):
        session = sessions.setdefault(row.session or f"request {index}", len(sessions) + 1)
        recorder.requests.append(_client_request(index, session, row, zero_s))
    start_s, end_s = _span(recorder.requests, 0.0, None)
    return Observation(
        name=name,
        start_s=start_s,
        end_s=end_s,
        launching_s=max(request.arrival_s for request in recorder.requests) - start_s,
        recorder=recorder,
        unknown=frozenset((*_RECOMPUTED, *_HITS, *_ENGINE_SIDE)),
        notes={"damaged_rows": rows.damaged_rows, "skipped_rows": rows.skipped_rows},
    )


def scrape_levels(scrapes: Scrapes, *, epoch_s: float) -> list[LoadLevel]:
    """Return running and waiting requests at each dated scrape, in seconds since `epoch_s`."""
    levels: list[LoadLevel] = []
    running = scrapes.values("vllm:num_requests_running")
    waiting = scrapes.values("vllm:num_requests_waiting")
    for scrape, runs, waits in zip(scrapes.scrapes, running, waiting, strict=True):
        if scrape.time_s is not None and runs is not None and waits is not None:
            levels.append((scrape.time_s - epoch_s, 0, int(runs), int(waits)))
    return levels


def log_levels(log: VllmLog, *, epoch_s: float) -> list[LoadLevel]:
    """Return running and waiting requests at each 10 s line, in seconds since `epoch_s`.

    The log's clock must show UTC, or `epoch_s` must be on its clock too.
    """
    return [(row.time_s - epoch_s, row.engine, row.running, row.waiting) for row in log.stats]


def log_steps(log: VllmLog, *, epoch_s: float) -> Recorder:
    """Return a recorder with the steps of `--enable-logging-iteration-details`.

    For servers without the probe. Contexts are not in the log (0), instants are whole seconds, and
    a row's length is the log's "elapsed", which is no step time under async scheduling.
    """
    recorder = Recorder()
    for row in log.iterations:
        end_s = row.time_s - epoch_s
        start_s = end_s - row.elapsed_s
        recorder.step(row.engine, start_s, 1, end_s, row.decodes, 0, row.prefill_tokens, 0.0, 0.0)
    return recorder


def _span(
    requests: Sequence[Request], start_s: float | None, end_s: float | None
) -> tuple[float, float]:
    if start_s is None:
        start_s = min((request.arrival_s for request in requests), default=0.0)
    if end_s is None:
        ends = [request.finished_s for request in requests if request.finished_s is not None]
        end_s = max([*ends, *(request.arrival_s for request in requests)], default=start_s)
    return start_s, end_s


def _measured_request(
    index: int, row: MeasuredRequest, load_s: float, first_s: float | None, whole: int
) -> Request:
    launch_s = row.arrival_s if row.launch_s is None else row.launch_s
    finished_s = row.engine_finished_s if row.finish_s is None else row.finish_s
    hbm = row.hbm_tokens or 0
    answered = row.ttft_s is not None or (first_s is not None and row.output_tokens >= whole)
    return Request(
        request_id=index,
        session_id=-1 - index if row.user_id is None else row.user_id,
        round_index=row.round_index or 1,
        prompt_tokens=row.prompt_tokens,
        output_tokens=row.output_tokens,
        path=(),
        warmup=row.warmup,
        arrival_s=launch_s,
        instance=0,
        engine_s=None if row.arrival_guessed else row.arrival_s,
        scheduled_s=row.scheduled_s,
        first_token_s=first_s if row.ttft_s is None else launch_s + row.ttft_s,
        finished_s=finished_s,
        load_s=load_s,
        computed_tokens=row.prompt_tokens - hbm - row.loaded_tokens,
        hit_tokens_hbm=hbm,
        hit_tokens_cpu=row.loaded_tokens - row.remote_tokens,
        hit_tokens_remote=row.remote_tokens,
        preemptions=max(0, row.preemptions),
        outcome="finished" if answered and finished_s is not None else "failed",
    )


def _client_request(index: int, session: int, row: LoadRow, zero_s: float) -> Request:
    done = row.error is None and row.finish_s is not None and row.first_token_s is not None
    return Request(
        request_id=index,
        session_id=session,
        round_index=row.round_index,
        prompt_tokens=row.prompt_tokens,
        output_tokens=row.output_tokens,
        path=(),
        warmup=False,
        arrival_s=row.launch_s - zero_s,
        first_token_s=None if row.first_token_s is None else row.first_token_s - zero_s,
        finished_s=None if row.finish_s is None else row.finish_s - zero_s,
        computed_tokens=row.prompt_tokens,
        outcome="finished" if done else "failed",
    )


def _stalls(loads: Iterable[Copy]) -> dict[str, float]:
    """Return how long each request's loads took, all together."""
    total: dict[str, float] = {}
    for load in loads:
        if load.request_id is not None:
            total[load.request_id] = total.get(load.request_id, 0.0) + load.duration_s
    return total


def _engine_first_tokens(run: MeasuredRun) -> dict[int, float]:
    """Return, for requests without a client row, when the engine processed their last prompt chunk.

    Chunks have no names: a request's next one starts where its last one ended. Two requests of
    equal lengths at once may take each other's.
    """
    scheduled = [event for event in run.events if isinstance(event, ScheduledStep)]
    processed = {e.index: e.time_s for e in run.events if isinstance(e, ProcessedStep)}
    instants = [event.time_s for event in scheduled]
    found: dict[int, float] = {}
    for index, row in enumerate(run.requests):
        if row.ttft_s is not None or row.scheduled_s is None or row.engine_finished_s is None:
            continue
        reached = None if row.hbm_tokens is None else row.hbm_tokens + row.loaded_tokens
        for event in scheduled[bisect_left(instants, row.scheduled_s) :]:
            if event.time_s > row.engine_finished_s:
                break
            reached = _after(event, reached, row.prompt_tokens)
            if reached == row.prompt_tokens:
                if event.index in processed:
                    found[index] = processed[event.index]
                break
    return found


def _after(event: ScheduledStep, reached: int | None, prompt_tokens: int) -> int | None:
    """Return how far a prompt is after a step, if one of the step's chunks may be its own."""
    ends = [sum(chunk) for chunk in event.prefills if reached in (None, chunk[0])]
    if prompt_tokens in ends:
        return prompt_tokens
    return next((end for end in ends if end < prompt_tokens), reached)


def _died(run: MeasuredRun) -> bool:
    """Tell whether requests were left in the engine and none had ended well for a while."""
    scheduled = [event for event in run.events if isinstance(event, ScheduledStep)]
    if not scheduled or not scheduled[-1].running + scheduled[-1].waiting:
        return False
    served = [
        row.engine_finished_s
        for row in run.requests
        if row.engine_finished_s is not None and row.output_tokens
    ]
    return scheduled[-1].time_s - max(served, default=scheduled[0].time_s) > _SILENCE_S


def _add_steps(recorder: Recorder, run: MeasuredRun) -> None:
    """Add a row for each step that was processed.

    A copy runs in the engine's thread after schedule(), so it belongs to the last step scheduled
    before its end.
    """
    scheduled = [event for event in run.events if isinstance(event, ScheduledStep)]
    processed = {e.index: e.time_s for e in run.events if isinstance(e, ProcessedStep)}
    instants = [event.time_s for event in scheduled]
    loaded, stored = _by_step(run.loads, instants), _by_step(run.stores, instants)
    for place, event in enumerate(scheduled):
        if event.index in processed:
            recorder.step(
                0,
                event.time_s - event.schedule_s,
                1,
                processed[event.index],
                event.decodes,
                event.context_tokens,
                sum(tokens for _, tokens in event.prefills),
                loaded.get(place, 0.0),
                stored.get(place, 0.0),
            )


def _by_step(copies: Iterable[Copy], instants: Sequence[float]) -> dict[int, float]:
    total: dict[int, float] = {}
    for copy in copies:
        place = bisect_right(instants, copy.time_s + _STAMP_SLACK_S) - 1
        total[place] = total.get(place, 0.0) + copy.duration_s
    return total


def _add_transfers(recorder: Recorder, run: MeasuredRun) -> None:
    rows: list[tuple[float, str, str, float, int, float]] = []
    for direction, copies in (("read", run.loads), ("write", run.stores)):
        for copy in copies:
            chunks = -(-copy.tokens // _CHUNK_TOKENS)
            start_s = copy.time_s - copy.duration_s
            rows.append((copy.time_s, "cpu", direction, copy.n_bytes, chunks, start_s))
    for served in run.object_requests:
        if served.method in ("GET", "PUT") and served.n_bytes and served.status < 400:
            direction = "read" if served.method == "GET" else "write"
            end_s = served.start_s + served.duration_s
            rows.append((end_s, "remote", direction, served.n_bytes, 1, served.start_s))
    for end_s, tier, direction, n_bytes, objects, start_s in sorted(rows):
        recorder.transfer(0, tier, direction, round(n_bytes), objects, start_s, start_s, end_s)
