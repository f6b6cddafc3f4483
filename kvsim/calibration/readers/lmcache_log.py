"""Read LMCache's lines in a vLLM server log: lookups, loads (Retrieved) and stores.

LMCache prints binary sizes with the label GB; here they become bytes. Lines of older releases,
which name no request, are read too, with request_id None.

A multiprocess server prints other lines: what it took or gave with the time of *submitting* it, no
sizes and no requests, and how full its memory (L1) is. They are kept apart, for no cost of a copy
can be had from them.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kvsim.calibration.readers.files import read_lines, strip_ansi, wall_clock_s
from kvsim.errors import CalibrationError

_STAMP = re.compile(r"\[(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d[,.]\d+)\] LMCache")
_LOOKUP = re.compile(
    r"Reqid: (?P<id>[^,\s]+), Total tokens (?P<total>\d+)"
    r"(?:, (?:Inference Engine computed|vLLM hit) tokens: (?P<gpu>\d+))?"
    r", LMCache hit tokens: (?P<hit>\d+), (?:but )?need to load: (?P<load>-?\d+)"
)
_RETRIEVED = re.compile(
    r"(?:\[req_id=(?P<id>[^\]]+)\] )?Retrieved (?P<tokens>\d+) out of (?:total )?"
    r"(?P<required>\d+)(?: required)? tokens(?: \(from (?P<total>\d+) total tokens\))?\."
    r".*?size: (?P<size>[\d.]+) gb, cost (?P<cost>[\d.]+) ms",
    re.IGNORECASE,
)
_STORED = re.compile(
    r"(?:\[req_id=(?P<id>[^\]]+)\] )?Stored? (?P<tokens>\d+) out of (?:total )?"
    r"(?P<total>\d+) tokens\..*?size: (?P<size>[\d.]+) gb, cost (?P<cost>[\d.]+) ms"
    r"(?:.*?offload_time: (?P<offload>[\d.]+) ms, put_time: (?P<put>[\d.]+) ms)?",
    re.IGNORECASE,
)
_SUBMITTED = re.compile(
    r"(?P<what>Stored|Retrieved) (?P<tokens>\d+) tokens in (?P<s>[\d.]+) seconds"
)
_PREFETCHED = re.compile(
    r"Prefetch request completed \(L1\+L2\): (?P<hits>\d+)/(?P<keys>\d+) prefix hits"
)
_L1_USED = re.compile(r"L1 memory usage: (?P<used>[\d.]+)/(?P<capacity>[\d.]+) GiB")
_WARNINGS = {
    "store_cut_short": re.compile(r"Local cpu memory under pressure"),
    "no_eviction_candidates": re.compile(r"No eviction candidates found in local cpu backend"),
    "allocation_waited": re.compile(r"Failed to allocate memory block of size"),
    "lookup_timeout": re.compile(r"Timeout occurred for rank"),
    "get_timeout": re.compile(r"get blocking timeout"),
    "s3_disabled": re.compile(r"S3 connection disabled"),
    "l1_above_watermark": re.compile(r"L1 memory usage [\d.]+ above watermark"),
}


@dataclass(frozen=True, slots=True)
class Lookup:
    """One lookup result, printed at every attempt to admit the request: the last one counts."""

    request_id: str
    time_s: float
    prompt_tokens: int
    hbm_tokens: int
    """Tokens the engine had in its own prefix cache."""
    hit_tokens: int
    """Tokens of the same prefix that LMCache has in any tier, counted from token 0."""
    load_tokens: int
    """Tokens to load; zero or less means none."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One load to, or store from, the GPU; time_s is its end."""

    request_id: str | None
    time_s: float
    tokens: int
    n_bytes: float
    duration_s: float
    copy_s: float | None = None
    """Of a store: the copy alone, without handing the chunks on to the tiers."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One store or load as a multiprocess server submitted it; the copy itself comes later."""

    time_s: float
    direction: Literal["read", "write"]
    tokens: int
    submit_s: float


@dataclass(frozen=True, slots=True)
class Prefetch:
    """One finished look-up of a multiprocess server, in its memory and the tiers behind it."""

    time_s: float
    hits: int
    """Keys of the prefix that were found."""
    keys: int


@dataclass(frozen=True, slots=True)
class L1Level:
    """How full a multiprocess server's memory is."""

    time_s: float
    used_bytes: float
    capacity_bytes: float


@dataclass(frozen=True, slots=True)
class LmcacheLog:
    """All LMCache events of one log, in its order; times as the log's clock shows them."""

    lookups: tuple[Lookup, ...]
    loads: tuple[Copy, ...]
    stores: tuple[Copy, ...]
    warnings: dict[str, int]
    """How often each known warning was printed."""
    submissions: tuple[Submission, ...] = ()
    prefetches: tuple[Prefetch, ...] = ()
    l1_levels: tuple[L1Level, ...] = ()


def read_lmcache_log(path: Path) -> LmcacheLog:
    """Read one server log; a log without LMCache lines gives an empty result.

    A file without a single vLLM or LMCache line is the wrong file, hence an error.
    """
    lookups: list[Lookup] = []
    loads: list[Copy] = []
    stores: list[Copy] = []
    submissions: list[Submission] = []
    prefetches: list[Prefetch] = []
    l1_levels: list[L1Level] = []
    warnings = dict.fromkeys(_WARNINGS, 0)
    known = False
    for raw in read_lines(path):
        known = known or "vllm" in raw.lower() or "EngineCore" in raw
        if "LMCache" not in raw:
            continue
        line = strip_ansi(raw)
        stamp = _STAMP.search(line)
        if stamp is None:
            continue
        known = True
        time_s = wall_clock_s(stamp[1], stamp[2])
        if (found := _LOOKUP.search(line)) is not None:
            hit, load = int(found["hit"]), int(found["load"])
            lookups.append(
                Lookup(
                    request_id=found["id"],
                    time_s=time_s,
                    prompt_tokens=int(found["total"]),
                    hbm_tokens=int(found["gpu"]) if found["gpu"] else hit - load,
                    hit_tokens=hit,
                    load_tokens=load,
                )
            )
        elif (found := _RETRIEVED.search(line)) is not None:
            loads.append(_copy(found, time_s))
        elif (found := _STORED.search(line)) is not None:
            stores.append(_copy(found, time_s, copy_ms=found["offload"]))
        elif (found := _SUBMITTED.search(line)) is not None:
            direction: Literal["read", "write"] = "write" if found["what"] == "Stored" else "read"
            submissions.append(
                Submission(time_s, direction, int(found["tokens"]), float(found["s"]))
            )
        elif (found := _PREFETCHED.search(line)) is not None:
            prefetches.append(Prefetch(time_s, int(found["hits"]), int(found["keys"])))
        elif (found := _L1_USED.search(line)) is not None:
            used, capacity = (float(found[name]) * 2**30 for name in ("used", "capacity"))
            l1_levels.append(L1Level(time_s, used, capacity))
        else:
            for name, pattern in _WARNINGS.items():
                if pattern.search(line) is not None:
                    warnings[name] += 1
                    break
    if not known:
        raise CalibrationError(
            f"{path}: no line of vLLM or LMCache; expected the log of a vLLM server"
        )
    return LmcacheLog(
        tuple(lookups),
        tuple(loads),
        tuple(stores),
        warnings,
        tuple(submissions),
        tuple(prefetches),
        tuple(l1_levels),
    )


def _copy(found: re.Match[str], time_s: float, *, copy_ms: str | None = None) -> Copy:
    return Copy(
        request_id=found["id"],
        time_s=time_s,
        tokens=int(found["tokens"]),
        n_bytes=float(found["size"]) * 2**30,
        duration_s=float(found["cost"]) / 1000,
        copy_s=float(copy_ms) / 1000 if copy_ms else None,
    )
