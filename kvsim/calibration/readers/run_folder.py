"""Load the folder of one measured run as requests and engine steps on one clock.

A folder holds client_requests.csv, client.log, engine_steps.jsonl, vllm.log and s3_server.csv,
packed or not. Only the engine steps are indispensable: a run whose client never came to its end has
no CSV.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from statistics import median

from kvsim.calibration.readers.client_log import ClientSummary, read_client_log
from kvsim.calibration.readers.client_requests import ClientRow, read_client_requests
from kvsim.calibration.readers.engine_steps import (
    EngineSteps,
    ProcessedStep,
    ScheduledStep,
    read_engine_steps,
)
from kvsim.calibration.readers.files import find_file, read_lines
from kvsim.calibration.readers.lmcache_log import Copy, LmcacheLog, Lookup, read_lmcache_log
from kvsim.calibration.readers.measured_request import MeasuredRequest, measured_requests
from kvsim.calibration.readers.object_server import ObjectRequest, read_object_server
from kvsim.calibration.readers.remote_share import remote_chunks
from kvsim.errors import CalibrationError

_QUARTER_HOUR_S = 900.0

Event = (
    tuple[str, int, float, float, int, int, tuple[tuple[int, int], ...], int, int, int]
    | tuple[str, int, float]
)
Arrival = tuple[float, int, int, int, int, bool]


@dataclass(frozen=True)
class MeasuredRun:
    """One run; every time is seconds since `epoch_s`."""

    path: Path
    epoch_s: float
    """Epoch seconds of time 0: the client's start (t0.txt), else the first event of any file."""
    start_s: float | None
    """First step of the session manager; None if the client printed no final summary."""
    end_s: float | None
    """End of the drain."""
    summary: ClientSummary | None
    requests: tuple[MeasuredRequest, ...]
    """In order of engine arrival."""
    events: tuple[ScheduledStep | ProcessedStep, ...]
    lookups: tuple[Lookup, ...]
    """Every admission attempt, in log order."""
    loads: tuple[Copy, ...]
    stores: tuple[Copy, ...]
    object_requests: tuple[ObjectRequest, ...]
    warnings: dict[str, int] = field(default_factory=dict)
    """How often LMCache printed each known warning."""
    damaged_lines: int = 0
    """Lines of the step file and the CSV that could not be read."""


def load_run(path: Path | str) -> MeasuredRun:
    """Load one folder; the engine-step file must be there, other files are optional."""
    folder = Path(path)
    steps_file = find_file(folder, "engine_steps.jsonl")
    if steps_file is None:
        raise CalibrationError(
            f"{folder}: no engine_steps.jsonl[.gz]; a measured run needs the file that the "
            "engine-step plugin writes"
        )
    steps = read_engine_steps(steps_file)
    csv_file = find_file(folder, "client_requests.csv")
    table = read_client_requests(csv_file) if csv_file else None
    client = table.rows if table else ()
    log_file = find_file(folder, "vllm.log")
    log = read_lmcache_log(log_file) if log_file else LmcacheLog((), (), (), {})
    summary = _client_summary(folder, finished=table is not None)
    object_file = find_file(folder, "s3_server.csv")
    objects = read_object_server(object_file) if object_file else ()

    epoch_s = _epoch_s(folder, steps, client)
    zone_s = _zone_s(log, steps)
    log_shift_s = -zone_s - epoch_s
    lookups = [replace(row, time_s=row.time_s + log_shift_s) for row in log.lookups]
    loads = [replace(row, time_s=row.time_s + log_shift_s) for row in log.loads]
    stores = [replace(row, time_s=row.time_s + log_shift_s) for row in log.stores]
    events = [replace(row, time_s=row.time_s - epoch_s) for row in steps.events]
    ended = [
        replace(
            row,
            arrival_s=row.arrival_s - epoch_s,
            scheduled_s=row.scheduled_s - epoch_s,
            finished_s=row.finished_s - epoch_s,
        )
        for row in steps.requests
    ]
    asked = [
        replace(row, launch_s=row.launch_s - epoch_s, finish_s=row.finish_s - epoch_s)
        for row in client
    ]
    objects = tuple(replace(row, start_s=row.start_s - epoch_s) for row in objects)
    start_s = summary.start_s - epoch_s if summary else None
    requests = measured_requests(
        asked,
        ended,
        [row for row in events if isinstance(row, ScheduledStep)],
        lookups,
        remote_chunks(loads, stores, objects, has_remote=_has_remote(folder)),
        start_s=start_s,
    )
    return MeasuredRun(
        path=folder,
        epoch_s=epoch_s,
        start_s=start_s,
        end_s=summary.end_s - epoch_s if summary else None,
        summary=summary,
        requests=tuple(requests),
        events=tuple(events),
        lookups=tuple(lookups),
        loads=tuple(loads),
        stores=tuple(stores),
        object_requests=objects,
        warnings=log.warnings,
        damaged_lines=steps.damaged_lines + (table.damaged_lines if table else 0),
    )


def arrivals(run: MeasuredRun) -> list[Arrival]:
    """Return (arrival, prompt, output, user, round, warm-up) of each request in engine order.

    Requests that no client row names (warm-ups among them) get users -1, -2, ... and round 1, so
    that none of them shares anything but the system prompt with another.
    """
    unnamed = count(1)
    return [
        (
            row.arrival_s,
            row.prompt_tokens,
            row.output_tokens,
            -next(unnamed) if row.user_id is None else row.user_id,
            row.round_index or 1,
            row.warmup,
        )
        for row in run.requests
    ]


def steps(run: MeasuredRun) -> list[Event]:
    """Return the engine's events in file order as plain tuples.

    ("s", index, end of schedule(), time inside it, decodes, their summed context, prefill chunks,
    running, waiting, free blocks) and ("u", index, time).
    """
    rows: list[Event] = []
    for event in run.events:
        match event:
            case ScheduledStep():
                rows.append(
                    (
                        "s",
                        event.index,
                        event.time_s,
                        event.schedule_s,
                        event.decodes,
                        event.context_tokens,
                        event.prefills,
                        event.running,
                        event.waiting,
                        event.free_blocks,
                    )
                )
            case ProcessedStep():
                rows.append(("u", event.index, event.time_s))
    return rows


def _client_summary(folder: Path, *, finished: bool) -> ClientSummary | None:
    path = find_file(folder, "client.log")
    return read_client_log(path) if path is not None and finished else None


def _has_remote(folder: Path) -> bool:
    path = find_file(folder, "lmcache.yaml")
    if path is None:
        return False
    return any(
        line.strip().startswith(("remote_url:", "remote_storage")) for line in read_lines(path)
    )


def _epoch_s(folder: Path, steps: EngineSteps, client: Sequence[ClientRow]) -> float:
    path = find_file(folder, "t0.txt")
    if path is not None:
        try:
            return float(next(read_lines(path)))
        except (ValueError, StopIteration) as error:
            raise CalibrationError(f"{path}: expected one number, epoch seconds") from error
    return min(
        [row.time_s - getattr(row, "schedule_s", 0.0) for row in steps.events]
        + [row.arrival_s for row in steps.requests]
        + [row.launch_s for row in client]
    )


def _zone_s(log: LmcacheLog, steps: EngineSteps) -> float:
    """Return how far the log's clock is ahead of UTC, in whole quarter hours.

    A request's first lookup line is printed inside the schedule() call after its arrival.
    """
    arrival = {row.request_id: row.arrival_s for row in steps.requests}
    first: dict[str, float] = {}
    for lookup in log.lookups:
        first.setdefault(lookup.request_id, lookup.time_s)
    ahead = [time_s - arrival[name] for name, time_s in first.items() if name in arrival]
    return round(median(ahead) / _QUARTER_HOUR_S) * _QUARTER_HOUR_S if ahead else 0.0
