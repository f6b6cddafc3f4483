"""One measured request, joined from the client's row, the engine's row and LMCache's lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from kvsim.calibration.readers.client_requests import ClientRow
from kvsim.calibration.readers.engine_steps import EndedRequest, ScheduledStep
from kvsim.calibration.readers.lmcache_log import Lookup
from kvsim.calibration.readers.matching import first_chunks, match_client_rows, match_lost_rows

_CHUNK_TOKENS = 256
_STAMP_S = 0.001
_WARMUP_PROMPT_TOKENS = 115


@dataclass(frozen=True, slots=True)
class MeasuredRequest:
    """One request as client, engine and LMCache saw it; seconds since the run's start."""

    request_id: str | None
    """None if the engine's row and log line of a request are lost."""
    user_id: int | None
    """None for warm-ups and for requests that the client has no row of."""
    round_index: int | None
    prompt_tokens: int
    output_tokens: int
    warmup: bool
    arrival_s: float
    """When the engine loop took it from its input queue."""
    arrival_guessed: bool
    """True if the engine's row is lost and arrival_s comes from a log line or the client's row."""
    scheduled_s: float | None
    engine_finished_s: float | None
    launch_s: float | None
    ttft_s: float | None
    generation_s: float | None
    finish_s: float | None
    hbm_tokens: int | None
    """Prompt tokens in the engine's own prefix cache at admission; None if nothing says it."""
    lmcache_tokens: int
    """Prompt tokens that LMCache's last lookup found, counted from token 0."""
    loaded_tokens: int
    """Tokens loaded from any lower tier."""
    remote_tokens: int
    """Of those, from the remote tier."""
    preemptions: int


def measured_requests(
    client: Sequence[ClientRow],
    engine: Sequence[EndedRequest],
    steps: Sequence[ScheduledStep],
    lookups: Sequence[Lookup],
    remote: dict[str, int],
    *,
    start_s: float | None,
) -> list[MeasuredRequest]:
    """Join the rows of one run, all on one clock, in order of engine arrival.

    `remote` is how many chunks of a request's load came from the remote tier.
    """
    partner = match_client_rows(client, engine)
    asked_of = {row.request_id: client[place] for place, row in partner.items()}
    present = first_chunks(steps, engine)
    last = {row.request_id: row for row in lookups}
    requests = [
        _request(
            row,
            asked_of.get(row.request_id),
            last.get(row.request_id),
            present=present.get(row.request_id),
            remote=remote,
            start_s=start_s,
        )
        for row in engine
    ]
    lost = [place for place in range(len(client)) if place not in partner]
    known = {row.request_id for row in engine}
    first: dict[str, Lookup] = {}
    for lookup in lookups:
        if lookup.request_id not in known:
            first.setdefault(lookup.request_id, lookup)
    found = match_lost_rows(client, lost, list(first.values()))
    waits = [row.arrival_s - client[place].launch_s for place, row in partner.items()]
    typical_s = median(waits) if waits else 0.0
    for place in lost:
        fit = found.get(place)
        seen = last.get(fit.request_id) if fit else None
        guess_s = _arrival_before(fit, steps) if fit else client[place].launch_s + typical_s
        requests.append(_lost_request(client[place], seen, guess_s, remote=remote))
    return sorted(requests, key=lambda row: row.arrival_s)


def _arrival_before(lookup: Lookup, steps: Sequence[ScheduledStep]) -> float:
    """Guess the arrival behind a lookup line: the start of the schedule() call that printed it."""
    stamp_end_s = lookup.time_s + _STAMP_S
    for step in steps:
        begin_s = step.time_s - step.schedule_s
        if begin_s <= stamp_end_s and step.time_s >= lookup.time_s:
            return begin_s
    return lookup.time_s


def _hits(seen: Lookup | None, remote: dict[str, int]) -> tuple[int, int, int]:
    """Return tokens found by LMCache, loaded, and loaded from the remote tier."""
    if seen is None:
        return 0, 0, 0
    loaded = max(0, seen.load_tokens)
    return seen.hit_tokens, loaded, min(loaded, remote.get(seen.request_id, 0) * _CHUNK_TOKENS)


def _request(
    row: EndedRequest,
    asked: ClientRow | None,
    seen: Lookup | None,
    *,
    present: int | None,
    remote: dict[str, int],
    start_s: float | None,
) -> MeasuredRequest:
    lmcache, loaded, remote_tokens = _hits(seen, remote)
    hbm = seen.hbm_tokens if seen else present
    if start_s is not None:
        warmup = asked is None and row.arrival_s < start_s
    else:
        warmup = row.prompt_tokens == _WARMUP_PROMPT_TOKENS
    return MeasuredRequest(
        request_id=row.request_id,
        user_id=asked.user_id if asked else None,
        round_index=asked.round_index if asked else None,
        prompt_tokens=row.prompt_tokens,
        output_tokens=row.output_tokens,
        warmup=warmup,
        arrival_s=row.arrival_s,
        arrival_guessed=False,
        scheduled_s=row.scheduled_s,
        engine_finished_s=row.finished_s,
        launch_s=asked.launch_s if asked else None,
        ttft_s=asked.ttft_s if asked else None,
        generation_s=asked.generation_s if asked else None,
        finish_s=asked.finish_s if asked else None,
        hbm_tokens=hbm,
        lmcache_tokens=lmcache,
        loaded_tokens=loaded,
        remote_tokens=remote_tokens,
        preemptions=row.preemptions,
    )


def _lost_request(
    asked: ClientRow, seen: Lookup | None, arrival_s: float, *, remote: dict[str, int]
) -> MeasuredRequest:
    lmcache, loaded, remote_tokens = _hits(seen, remote)
    return MeasuredRequest(
        request_id=seen.request_id if seen else None,
        user_id=asked.user_id,
        round_index=asked.round_index,
        prompt_tokens=asked.prompt_tokens,
        output_tokens=asked.output_tokens,
        warmup=False,
        arrival_s=arrival_s,
        arrival_guessed=True,
        scheduled_s=None,
        engine_finished_s=None,
        launch_s=asked.launch_s,
        ttft_s=asked.ttft_s,
        generation_s=asked.generation_s,
        finish_s=asked.finish_s,
        hbm_tokens=seen.hbm_tokens if seen else None,
        lmcache_tokens=lmcache,
        loaded_tokens=loaded,
        remote_tokens=remote_tokens,
        preemptions=0,
    )
