"""One line of figures for a run, defined as multi-round-qa.py defines those that it prints.

All rates divide by the time from the first poll to the end of the drain, so
overload lowers them in two ways. Warm-up requests do not count. Means and token
counts are over finished requests; without any, means are None.

Processing speed = `finished_per_s`, average TTFT = `ttft_s_mean`, average
generation throughput per request = `decode_tokens_per_s_mean` (the mean of each
request's tokens over the time from its first token to its last).
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kvsim.metrics.columns import TOKEN_SUMS, Columns
from kvsim.metrics.stats import (
    level_max,
    level_mean,
    mean_or_none,
    overlap_mean,
    quantiles_or_none,
)

SummaryValue = float | int | bool | None
Summary = dict[str, SummaryValue]

BACKLOG_REQUESTS = 5
BACKLOG_FRACTION = 0.05
GROWTH = 2.0
GROWTH_FRACTION = 0.05


def summarise(
    everything: Columns,
    sessions: Sequence[tuple[float, int]],
    *,
    start_s: float,
    end_s: float,
    launching_s: float,
    events: int,
    died: bool,
    warmup_cut_s: float = 0.0,
) -> Summary:
    """Return the figures of one run, in the order in which they are shown.

    `everything` are the columns of all requests, `sessions` has (instant, live sessions from then
    on). `launching_s` is how long, from `start_s` on, new requests were sent. Those of the first
    `warmup_cut_s` do not count, nor does that time; whether the run is stable looks at all.
    """
    counted_s = min(start_s + warmup_cut_s, end_s)
    requests = everything
    if warmup_cut_s:
        counts = everything["arrival_s"] >= counted_s
        requests = {name: column[counts] for name, column in everything.items()}
    in_time = requests["finished"] & (requests["finished_s"] <= end_s)
    finished = {name: column[in_time] for name, column in requests.items()}
    num_finished = int(np.count_nonzero(in_time))
    arrival, first, last = (
        finished["arrival_s"],
        finished["first_token_s"],
        finished["finished_s"],
    )
    output = finished["output_tokens"].astype(float)
    several = output > 1
    decode_s = last - first
    moving = decode_s > 0
    ttft = first - arrival
    queue = finished["scheduled_s"] - arrival
    ttft_p50, ttft_p95, ttft_p99 = quantiles_or_none(ttft, (0.5, 0.95, 0.99))
    sums = {name: int(finished[name].sum()) for name in TOKEN_SUMS}
    hits = sums["hit_tokens_hbm"] + sums["hit_tokens_cpu"] + sums["hit_tokens_remote"]

    total_s = end_s - counted_s
    per_s = 1 / total_s if total_s > 0 else 0.0
    launched_end_s = min(start_s + launching_s, end_s)
    return {
        "finished_per_s": num_finished * per_s,
        "ttft_s_mean": mean_or_none(ttft),
        "ttft_s_p50": ttft_p50,
        "ttft_s_p95": ttft_p95,
        "ttft_s_p99": ttft_p99,
        "tpot_s_mean": mean_or_none(decode_s[several] / (output[several] - 1)),
        "decode_tokens_per_s_mean": mean_or_none(output[moving] / decode_s[moving]),
        "input_tokens_per_s": sums["prompt_tokens"] * per_s,
        "output_tokens_per_s": float(output.sum()) * per_s,
        "e2e_s_mean": mean_or_none(last - arrival),
        "queue_s_mean": mean_or_none(queue[~np.isnan(queue)]),
        "load_s_mean": mean_or_none(finished["load_s"]),
        **sums,
        "token_hit_rate": hits / sums["prompt_tokens"] if sums["prompt_tokens"] else 0.0,
        "finished": num_finished,
        "failed": int(np.count_nonzero(requests["failed"])),
        "launched": len(in_time),
        "preemptions": int(requests["preemptions"].sum()),
        "sessions_mean": level_mean(sessions, counted_s, launched_end_s),
        "sessions_max": int(level_max(sessions, counted_s, launched_end_s)),
        "stable": not died
        and is_stable(everything, sessions, start_s=start_s, end_s=launched_end_s),
        "died": died,
        "simulated_s": end_s - start_s,
        "events": events,
    }


def is_stable(
    requests: Columns,
    sessions: Sequence[tuple[float, int]],
    *,
    start_s: float,
    end_s: float,
) -> bool:
    """Tell whether answers keep up with questions between `start_s` and `end_s`.

    The first half of that time is warm-up. In the second half

    1. the requests in flight may not become more, from its begin to its end, by
       more than 5 and 5 % of those launched in it (an open loop that falls behind,
       an engine that has stopped);
    2. live sessions and requests in flight may not *both* be more in its later
       half than in its earlier, as time means, by more than 2 and 5 %. In a closed
       loop each session has one request at most, so an overload shows as users who
       stay longer than the next ones take to come. Sessions alone also grow while
       the first users join, and requests alone by chance.

    So an overload of 10 % shows within a time of several session lengths, and
    a shorter run may pass although it would have collapsed later.
    """
    arrivals = requests["arrival_s"]
    ends = np.where(np.isnan(requests["finished_s"]), math.inf, requests["finished_s"])
    middle_s = (start_s + end_s) / 2
    late_s = (middle_s + end_s) / 2
    if not start_s < middle_s < late_s < end_s:
        return True

    launched = int(np.count_nonzero((arrivals > middle_s) & (arrivals <= end_s)))
    backlog = _in_flight(arrivals, ends, end_s) - _in_flight(arrivals, ends, middle_s)
    if backlog > max(BACKLOG_REQUESTS, BACKLOG_FRACTION * launched):
        return False
    growing = [
        _grows(
            overlap_mean(arrivals, ends, middle_s, late_s),
            overlap_mean(arrivals, ends, late_s, end_s),
        )
    ]
    if sessions:
        growing.append(
            _grows(level_mean(sessions, middle_s, late_s), level_mean(sessions, late_s, end_s))
        )
    return not all(growing)


def _in_flight(arrivals: NDArray[np.float64], ends: NDArray[np.float64], when_s: float) -> int:
    return int(np.count_nonzero((arrivals <= when_s) & (ends > when_s)))


def _grows(earlier: float, later: float) -> bool:
    return later - earlier > max(GROWTH, GROWTH_FRACTION * earlier)
