"""How long a run takes relative to others, guessed from all that a scenario has many of.

A weight of one is 40 us of a core of a server of 2023. The factors are measured on the published
experiment, one key changed at a time, and meant to be right within a factor of three.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SECONDS_PER_WEIGHT = 4e-5
_PER_SESSION = 0.8
_PER_WARMUP = 0.6
_PER_INSTANCE = 50.0
_PER_STEP = 0.15
_PER_ANSWER_TOKEN = 0.016
_PER_CHUNK = 0.01
"""Of a prompt, in each tier."""
_PER_SHARED_CHUNK = {"cpu": 0.33, "remote": 0.15}
"""More of that where tenants have quotas: every eviction looks for a chunk that may leave."""
_PER_DOCUMENT = 0.1
_PER_BURST = 0.1
_PER_TURN = 0.13
"""Of made-up sessions, sent or not."""
_PER_HASH = 5e-4
"""Of a made-up prompt, for the memory that it takes."""
_PER_TRACE_BYTE = 4.5e-4
_BYTES_A_ROW = 200.0
_ROWS_A_FOLDER = 10_000.0
_BATCHED_TOKENS = 2_048
_PROMPT_TOKENS = 8_000.0
"""Of a workload that does not say."""


def weight(scenario: Mapping[str, Any]) -> float:
    """Guess how long a run takes relative to others."""
    workload, offload, engine = scenario["workload"], scenario["offload"], scenario["engine"]
    cached = offload["connector"] != "none"
    tiers = int(cached) + bool(offload["remote"])
    sessions, requests = _traffic(workload)
    prompt = min(_prompt_tokens(workload), workload.get("max_prompt") or math.inf)
    steps = prompt / (engine["max_num_batched_tokens"] or _BATCHED_TOKENS)
    each = (2 + tiers) * (1 + prompt / 100_000) + steps * _PER_STEP
    each += _answer_tokens(workload) * _PER_ANSWER_TOKEN
    if cached:
        chunks = prompt / offload["chunk_tokens"]
        each += chunks * (tiers * _PER_CHUNK + _sharing(scenario["tenants"]))
    return (
        requests * each
        + sessions * _PER_SESSION
        + float(workload.get("warmup_requests", 0)) * _PER_WARMUP
        + float(workload.get("documents", 0)) * _PER_DOCUMENT
        + float(scenario["instances"]) * _PER_INSTANCE
        + _trace_bytes(workload) * _PER_TRACE_BYTE
        + _bursts(workload) * _PER_BURST
        + sessions * _turns(workload) * (_PER_TURN + _hashes(workload) * _PER_HASH)
    )


def _traffic(workload: Mapping[str, Any]) -> tuple[float, float]:
    """Guess how many sessions there are, and how many requests they send."""
    if "qps" in workload:
        return _multi_round_qa(workload)
    copies = float(workload["user_scale"])
    if "arrivals" not in workload:
        rows = _trace_bytes(workload) / _BYTES_A_ROW or _ROWS_A_FOLDER
        rows = min(rows, workload["max_requests"] or math.inf)
        return copies * rows, copies * rows
    begun = float(workload["arrivals"]["rate"] * workload["duration"])
    return copies * begun, copies * begun * _turns_sent(workload)


def _multi_round_qa(workload: Mapping[str, Any]) -> tuple[float, float]:
    """Count as the load generator does: users join at a pace, a poll lets one in at most."""
    rounds, time_s = float(workload["num_rounds"]), float(workload["time"])
    pace_s = (rounds - 1) / workload["qps"]
    joined = time_s / max(pace_s, workload["poll"])
    sessions = float(workload["num_users"]) + joined
    return sessions, joined * rounds


def _bursts(workload: Mapping[str, Any]) -> float:
    arrivals = workload.get("arrivals", {})
    if "burst" not in arrivals:
        return 0.0
    return float(workload["duration"] / (arrivals["burst"] + arrivals["calm"]))


def _turns(workload: Mapping[str, Any]) -> float:
    match workload["kind"]:
        case "chat":
            return float(workload["rounds_mean"])
        case "agentic":
            return _mean(workload["turns"])
        case _:
            return 0.0 if "qps" in workload else 1.0


def _hashes(workload: Mapping[str, Any]) -> float:
    grain = workload.get("hash_tokens")
    return _prompt_tokens(workload) / grain if grain else 0.0


def _turns_sent(workload: Mapping[str, Any]) -> float:
    """Guess the turns of a session that its pauses leave time for; they begin all along."""
    match workload["kind"]:
        case "chat":
            pause_s = _mean(workload["pause"])
        case "agentic":
            part = workload["user_pause_chance"]
            pauses_s = _mean(workload["tool_pause"]), _mean(workload["user_pause"])
            pause_s = (1 - part) * pauses_s[0] + part * pauses_s[1]
        case _:
            return 1.0
    longest_s = math.inf if workload["max_think"] is None else workload["max_think"]
    gap_s = min(pause_s * workload["think_scale"], longest_s)
    if workload["time"] is None or not gap_s:
        return _turns(workload)
    return float(min(_turns(workload), 1 + workload["time"] / gap_s / 2))


def _prompt_tokens(workload: Mapping[str, Any]) -> float:
    """Guess the length of a prompt as it is made up, rather too long than too short."""
    if workload["kind"] == "multi_round_qa":
        return float(workload["shared_system_prompt"] + workload["user_history_prompt"])
    shared, found = float(workload.get("shared_prompt", 0)), _PROMPT_TOKENS
    match workload["kind"]:
        case "rag":
            documents = _mean(workload["document"]) * workload["documents_per_prompt"]
            found = shared + documents + _mean(workload["question"])
        case "chat":
            grown = _turns(workload) * _mean(workload["question"])
            found = shared + _mean(workload["first_prompt"]) + grown
        case "agentic":
            grown = _turns(workload) * _mean(workload["growth"])
            found = _mean(workload["resumed_prompt"]) + grown
    return found


def _answer_tokens(workload: Mapping[str, Any]) -> float:
    if "answer_len" in workload:
        return float(workload["answer_len"])
    return _mean(workload["answer"]) if "answer" in workload else 0.0


def _mean(lengths: Mapping[str, float]) -> float:
    """Return the mean of a log-normal distribution, at most what it is cut off at."""
    shift = lengths["sigma"] * lengths["sigma"] / 2
    high = math.log(lengths["most"] / lengths["median"])
    return lengths["median"] * math.exp(shift) if shift < high else float(lengths["most"])


def _sharing(tenants: Mapping[str, Mapping[str, Any]] | None) -> float:
    """Give what a chunk costs more where tenants have quotas."""
    return sum(
        cost
        for tier, cost in _PER_SHARED_CHUNK.items()
        if any(tenant[f"{tier}_quota"] is not None for tenant in (tenants or {}).values())
    )


def _trace_bytes(workload: Mapping[str, Any]) -> float:
    """Say how much there is to read, where a trace is one file."""
    path = Path(workload["file"]) if "file" in workload else None
    return float(path.stat().st_size) if path is not None and path.is_file() else 0.0
