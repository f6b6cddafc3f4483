"""Find the numbers of a made-up workload in a recorded one.

The defaults of the generators come from here: `fit_agentic` of the kv-cache-tester set, `fit_rag`
of Mooncake's synthetic trace, `fit_chat` of Mooncake's conversation trace for rounds and pauses and
of LLMServingSim's ShareGPT file for lengths. Lengths are matched at the median and the 90th
percentile and cut off at the 1st and the 99th.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvsim.errors import TraceError
from kvsim.spec.synthetic_workload import (
    DiurnalArrivals,
    GammaArrivals,
    Lengths,
    MarkovArrivals,
)
from kvsim.workload.trace_replay import users_of
from kvsim.workload.traces.trace import Floats, Ints, Trace

_Z90 = 1.2815515655446004
_PER_BIN = 20
"""Mean arrivals of a bin in which calm and burst are told apart."""
_SHRUNK = 0.7
"""A rewritten context below this part of the old one is a compacted one."""
_FRESH_TOKENS = 70_000
"""A session whose first prompt is longer is taken for a resumed one. Of 30,000 to 150,000 it is the
border with which made-up sessions come closest to the prompts of the kv-cache-tester set."""
_OPENING_TURNS = 4
"""Turns after the first whose growth is told apart; from the fifth on it hardly changes."""
_NEAR, _BEYOND = 0.85, 1.07
"""A context from the first to the second part of the window is at it."""
_ENOUGH = 20
"""Compacted contexts that it takes to tell a window."""

Bools = NDArray[np.bool_]


def fit_lengths(values: Floats | Ints) -> Lengths:
    """Match median and 90th percentile of the positive values, cut at the 1st and 99th."""
    positive = np.asarray(values, dtype=np.float64)
    positive = positive[positive > 0]
    if not positive.size:
        raise TraceError("no positive value to fit lengths to")
    low, median, high, most = np.quantile(positive, [0.01, 0.5, 0.9, 0.99]).tolist()
    sigma = max(0.0, math.log(high / median) / _Z90)
    return Lengths(median=_round(median), sigma=_round(sigma), least=_round(low), most=_round(most))


def fit_gamma(trace: Trace) -> GammaArrivals:
    """Match mean and variation of the gaps between sessions."""
    gaps_s = np.diff(_arrivals(trace))
    mean_s = float(gaps_s.mean())
    return GammaArrivals(rate=_round(1 / mean_s), cv=_round(float(gaps_s.std()) / mean_s))


def fit_markov(trace: Trace) -> MarkovArrivals:
    """Count arrivals in bins of 20 on average; bins above the mean are bursts."""
    times_s = _arrivals(trace)
    span_s = float(times_s[-1] - times_s[0])
    bins = max(2, times_s.size // _PER_BIN)
    counts = np.histogram(times_s, bins=bins)[0]
    high = counts > counts.mean()
    edges = np.flatnonzero(np.diff(high)) + 1
    lengths = np.diff(np.r_[0, edges, high.size]) * span_s / bins
    burst = lengths[0 if high[0] else 1 :: 2]
    calm = lengths[1 if high[0] else 0 :: 2]
    if not burst.size or not calm.size:
        raise TraceError(f"{trace.name}: its rate does not change; use poisson arrivals")
    factor = float(counts[high].mean()) / max(float(counts[~high].mean()), 1 / counts.size)
    return MarkovArrivals(
        rate=_round(times_s.size / span_s),
        burst_factor=_round(factor),
        burst=_round(float(burst.mean())),
        calm=_round(float(calm.mean())),
    )


def fit_diurnal(trace: Trace, period_s: float = 86_400.0) -> DiurnalArrivals:
    """Take the first harmonic of the arrivals over whole periods."""
    times_s = _arrivals(trace)
    periods = int((times_s[-1] - times_s[0]) / period_s)
    if not periods:
        raise TraceError(
            f"{trace.name}: spans {times_s[-1] - times_s[0]:g} s, "
            f"less than a period of {period_s:g} s"
        )
    span_s = periods * period_s
    since_s = times_s - times_s[0]
    turns = np.exp(2j * np.pi * since_s[since_s < span_s] / period_s)
    mean = complex(turns.mean())
    return DiurnalArrivals(
        rate=_round(turns.size / span_s),
        amplitude=_round(min(1.0, 2 * abs(mean))),
        period=period_s,
        peak=_round((math.atan2(mean.imag, mean.real) / (2 * math.pi) % 1) * period_s),
    )


def fit_agentic(trace: Trace) -> dict[str, Any]:
    """Describe the main agents of a trace with sessions and hash ids."""
    _need(trace, sessions=True)
    main = users_of(trace) == trace.session
    rows = np.flatnonzero(main & (trace.turn > 0))
    before = trace.after[rows]
    grain = trace.hash_tokens
    kept = _common_blocks(trace, before, rows) * grain
    full = trace.prompt_tokens[before] // grain * grain
    rewritten = kept < full - 2 * grain
    growth = trace.prompt_tokens[rows] - trace.prompt_tokens[before]
    factor = (trace.prompt_tokens[rows] / trace.prompt_tokens[before])[rewritten]
    shrunk = factor < _SHRUNK
    think_s = trace.think_time_s[rows]
    long = think_s > _user_pause_from(think_s)
    first = np.flatnonzero(main & (trace.turn == 0))
    turns = np.bincount(trace.session[main])[trace.session[first]]
    resumed = trace.prompt_tokens[first] > _FRESH_TOKENS
    opening = trace.turn[rows] <= _OPENING_TURNS
    compacted = np.zeros(rows.size, dtype=bool)
    compacted[np.flatnonzero(rewritten)[shrunk]] = True
    found = _fit_window(trace, first, rows, compacted)
    window = found["window"] or math.inf
    by_window = compacted & _is_at(window, trace.prompt_tokens[before])
    others = rewritten & ~by_window
    found["resumed_chance"] = _round(float(resumed.mean()))
    if resumed.any():
        found["resumed_turns"] = fit_lengths(turns[resumed])
        found["resumed_prompt"] = fit_lengths(trace.prompt_tokens[first][resumed])
    if not resumed.all():
        found["turns"] = fit_lengths(turns[~resumed])
        found["first_prompt"] = fit_lengths(trace.prompt_tokens[first][~resumed])
    return found | {
        "opening_growth": fit_lengths(growth[opening & ~rewritten]),
        "growth": fit_lengths(growth[~rewritten & (~opening | opening.all())]),
        "answer": fit_lengths(trace.output_tokens[main]),
        "tool_pause": fit_lengths(think_s[~long]),
        "user_pause": fit_lengths(think_s[long]),
        "user_pause_chance": _round(float(long.mean())),
        "rewrite_chance": _round(float(others.mean())),
        "rewrite_keeps": _round(float(np.median(kept[rewritten])), 3) if rewritten.any() else 0,
        "shrink_chance": _round(float(compacted[others].mean())) if others.any() else 0,
        "shrink_factor": _round(float(np.median(factor[shrunk]))) if shrunk.any() else 1,
    }


def _fit_window(trace: Trace, first: Ints, rows: Ints, compacted: Bools) -> dict[str, Any]:
    """Find the length at which most contexts are compacted, and how many sessions obey it.

    Of the sessions that begin within it, those that were compacted at it against those that went
    beyond; who never came near tells nothing.
    """
    before = trace.prompt_tokens[trace.after[rows]]
    none = {"window": None, "window_chance": 0.0}
    if np.count_nonzero(compacted) < _ENOUGH:
        return none
    window = int(_round(float(np.quantile(before[compacted], 0.75)), 3))
    within = trace.session[first[trace.prompt_tokens[first] <= window]]
    longest = np.zeros(int(trace.session.max()) + 1, dtype=np.int64)
    np.maximum.at(longest, trace.session, trace.prompt_tokens)
    beyond = np.count_nonzero(longest[within] > _BEYOND * window)
    at_window = trace.session[rows[compacted & _is_at(window, before)]]
    obeying = np.intersect1d(within[longest[within] <= _BEYOND * window], at_window).size
    if not obeying:
        return none
    return {"window": window, "window_chance": _round(obeying / (obeying + beyond))}


def _is_at(window: float, tokens: Ints) -> Bools:
    return (tokens >= _NEAR * window) & (tokens <= _BEYOND * window)


def fit_chat(trace: Trace) -> dict[str, Any]:
    """Describe conversations; without sessions, prompts that go on where others end are rounds."""
    before = trace.after if trace.has_sessions else continued_rows(trace)
    rows = np.flatnonzero(before >= 0)
    earlier = before[rows]
    found: dict[str, Any] = {
        "rounds_mean": _round(len(trace) / (len(trace) - rows.size)),
        "first_prompt": fit_lengths(trace.prompt_tokens[before < 0]),
        "answer": fit_lengths(trace.output_tokens),
    }
    if rows.size:
        question = trace.prompt_tokens[rows] - trace.prompt_tokens[earlier]
        question = question - trace.output_tokens[earlier]
        gaps_s = trace.time_s[rows] - trace.time_s[earlier]
        found["question"] = fit_lengths(question)
        found["pause"] = fit_lengths(gaps_s)
    return found


def fit_rag(trace: Trace) -> dict[str, Any]:
    """Describe prompts that share long first parts: documents, their popularity, questions.

    A document is what the first hash of at least two prompts begins; it is as long as what two of
    them share. Popularity is a power of the rank (Zipf), fitted to documents used twice or more.
    """
    _need(trace, sessions=False)
    grain = trace.hash_tokens
    groups: dict[tuple[int, int], list[int]] = {}
    for row in np.flatnonzero(trace.prompt_tokens >= 2 * grain).tolist():
        ids = trace.hashes(row)
        groups.setdefault((int(trace.scope[row]), int(ids[0])), []).append(row)
    counts = np.sort([len(rows) for rows in groups.values()])[::-1]
    pairs = [(rows[0], rows[1]) for rows in groups.values() if len(rows) > 1]
    if len(pairs) < 3:
        raise TraceError(f"{trace.name}: fewer than 3 documents are used twice: nothing to fit")
    first, second = (np.array(column) for column in zip(*pairs, strict=True))
    document = _common_blocks(trace, first, second) * grain
    used = counts[counts > 1]
    ranks = np.log(np.arange(1, used.size + 1))
    return {
        "documents": int(counts.size),
        "popularity": _round(-float(np.polyfit(ranks, np.log(used), 1)[0])),
        "document": fit_lengths(document),
        "question": fit_lengths(trace.prompt_tokens[second] - document),
        "answer": fit_lengths(trace.output_tokens[np.concatenate((first, second))]),
    }


def continued_rows(trace: Trace) -> Ints:
    """Name for each prompt the last earlier one whose full blocks, at least two, it begins with."""
    ends: dict[tuple[int, int, int], int] = {}
    before = np.full(len(trace), -1, dtype=np.int64)
    if not trace.hash_tokens:
        return before
    for row in range(len(trace)):
        ids = trace.hashes(row).tolist()
        scope = int(trace.scope[row])
        full = int(trace.prompt_tokens[row]) // trace.hash_tokens
        for depth in range(full, 1, -1):
            found = ends.get((scope, depth, ids[depth - 1]))
            if found is not None:
                before[row] = found
                break
        if full > 1:
            ends[(scope, full, ids[full - 1])] = row
    return before


def _need(trace: Trace, *, sessions: bool) -> None:
    if not trace.hash_tokens or (sessions and not trace.has_sessions):
        what = "sessions and hash ids" if sessions else "hash ids"
        raise TraceError(f"{trace.name} ({trace.format}): needs {what} to fit this workload")


def _arrivals(trace: Trace) -> Floats:
    """Return when sessions begin."""
    times_s: Floats = trace.time_s[trace.after < 0]
    if trace.clock != "trace" or times_s.size < 3 or times_s[-1] <= times_s[0]:
        raise TraceError(f"{trace.name}: does not say when its sessions begin; nothing to fit")
    return times_s


def _common_blocks(trace: Trace, first: Ints, second: Ints) -> Ints:
    """Count the leading ids that each two rows share."""
    found = np.zeros(first.size, dtype=np.int64)
    for place, (one, other) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        a, b = trace.hashes(one), trace.hashes(other)
        size = min(a.size, b.size)
        differs = a[:size] != b[:size]
        found[place] = int(differs.argmax()) if differs.any() else size
    return found


def _user_pause_from(think_s: Floats) -> float:
    """Return the pause from which on a person is taken to have been waited for: a minute."""
    return 60.0 if (think_s > 60.0).any() else float(think_s.min()) - 1


def _round(value: float, digits: int = 4) -> float:
    return float(f"{value:.{digits}g}")
