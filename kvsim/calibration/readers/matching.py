"""Say which client row, engine row and log line belong to the same request.

The client's CSV names users but no request ids; engine rows and LMCache lines name ids but no
users. What joins them: equal prompt and output lengths, and the order and distance of launch and
arrival, of engine end and client end.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from kvsim.calibration.readers.client_requests import ClientRow
from kvsim.calibration.readers.engine_steps import EndedRequest, ScheduledStep
from kvsim.calibration.readers.lmcache_log import Lookup

_CLOCK_SLACK_S = 0.002
_IMPOSSIBLE = 1e9


def match_client_rows(
    client: Sequence[ClientRow], engine: Sequence[EndedRequest]
) -> dict[int, EndedRequest]:
    """Return for each client row, by its place in the list, the engine row of the same request.

    A row can lack a partner: the engine's last rows are lost when its process is killed. Within a
    length, squared distances of launch to arrival and of the two ends are least in total. Squares
    make equal distances keep the order, so that requests of one instant pair first with first: the
    API server takes them one by one.
    """
    by_length: dict[tuple[int, int], list[EndedRequest]] = defaultdict(list)
    for row in engine:
        by_length[row.prompt_tokens, row.output_tokens].append(row)
    places: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place, asked in enumerate(client):
        places[asked.prompt_tokens, asked.output_tokens].append(place)
    matched: dict[int, EndedRequest] = {}
    for length, wanted in places.items():
        candidates = by_length.get(length)
        if not candidates:
            continue
        launch = np.array([[client[place].launch_s] for place in wanted])
        finish = np.array([[client[place].finish_s] for place in wanted])
        arrival = np.array([row.arrival_s for row in candidates])
        end = np.array([row.finished_s for row in candidates])
        cost = (arrival - launch) ** 2 + (finish - end) ** 2
        impossible = (arrival < launch - _CLOCK_SLACK_S) | (end > finish + _CLOCK_SLACK_S)
        cost = np.where(impossible, _IMPOSSIBLE, cost)
        for asked_at, row_at in zip(*linear_sum_assignment(cost), strict=True):
            if not impossible[asked_at, row_at]:
                matched[wanted[asked_at]] = candidates[row_at]
    return matched


def first_chunks(steps: Sequence[ScheduledStep], engine: Sequence[EndedRequest]) -> dict[str, int]:
    """Return for each request how many tokens were there already when it was first scheduled.

    A request's first step is the one that ended schedule() at the request's `scheduled_s`. Its
    chunks list running requests first and then the newly admitted, in order of arrival, so the last
    k chunks are those of the k requests that name this step.
    """
    by_instant: dict[float, list[EndedRequest]] = defaultdict(list)
    for row in engine:
        by_instant[row.scheduled_s].append(row)
    present: dict[str, int] = {}
    for step in steps:
        new = by_instant.get(step.time_s)
        if not new or len(new) > len(step.prefills):
            continue
        new = sorted(new, key=lambda row: row.arrival_s)
        for row, (before, _) in zip(new, step.prefills[-len(new) :], strict=True):
            present[row.request_id] = before
    return present


def match_lost_rows(
    client: Sequence[ClientRow], lost: Sequence[int], lookups: Sequence[Lookup]
) -> dict[int, Lookup]:
    """Return for client rows without an engine row the first lookup that fits.

    `lookups` are those of requests without an engine row, one a request, in log order, with times
    on the client's clock. A log line may be stamped a little before the launch it belongs to: its
    clock shows whole milliseconds.
    """
    free = list(lookups)
    matched: dict[int, Lookup] = {}
    for place in sorted(lost, key=lambda at: client[at].launch_s):
        asked = client[place]
        for lookup in free:
            fits = lookup.prompt_tokens == asked.prompt_tokens
            if fits and asked.launch_s - _CLOCK_SLACK_S <= lookup.time_s <= asked.finish_s:
                matched[place] = lookup
                free.remove(lookup)
                break
    return matched
