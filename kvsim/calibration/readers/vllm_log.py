"""Read what stock vLLM itself prints: engine steps, 10 s lines, pool size, arguments.

Each line may be coloured and may begin with the process that wrote it, "(EngineCore_DP0 pid=12)".
The same file usually holds LMCache's lines; `read_lmcache_log` reads those.

Stamps have no year and whole seconds only. The year comes from an LMCache stamp of the same log, if
there is one, else it is 2000: differences hold, dates do not. With LMCache in the engine's process,
`elapsed_s` of steps with prefill leaves out what the step waited for; see `Iteration`.
"""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from kvsim.calibration.readers.files import read_lines, strip_ansi, wall_clock_s
from kvsim.errors import CalibrationError

_LINE = re.compile(
    r"^(?:\((?P<process>[A-Za-z]\w*)(?: pid=(?P<pid>\d+))?\)\s*)*"
    r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) (?P<date>\d\d-\d\d) (?P<time>\d\d:\d\d:\d\d)"
    r"(?:\.\d+)? \[[^\]]*\] ?(?P<text>.*)$"
)
_LMCACHE_YEAR = re.compile(r"\[(\d{4})-\d\d-\d\d \d\d:\d\d:\d\d[,.]\d+\] LMCache")
_ENGINE = re.compile(r"^Engine (\d+): ")
_RANK = re.compile(r"_DP(\d+)$")
_ITERATION = re.compile(
    r"Iteration\((?P<index>\d+)\): (?P<prefills>\d+) context requests, "
    r"(?P<prefill_tokens>\d+) context tokens, (?P<decodes>\d+) generation requests, "
    r"(?P<decode_tokens>\d+) generation tokens, "
    r"iteration elapsed time: (?P<elapsed>[\d.]+) ms"
    r"(?:, GPU KV cache usage: (?P<usage>[\d.]+)%)?"
)
_PART = re.compile(
    r"(?P<name>[A-Z][A-Za-z -]*?): (?P<value>[\d.]+|nan)(?P<unit>%| tokens/s| reqs)?"
)
_FETCH = re.compile(r"KV fetch: (\d+) waiting to start, (\d+) in progress, (\d+) completed waiting")
_POOL = re.compile(r"GPU KV cache size: ([\d,]+) tokens")
_MEMORY = re.compile(r"Available KV cache memory: ([\d.]+) GiB")
_WEIGHTS = re.compile(r"Model loading took ([\d.]+) (?:GiB|GB)")
_BATCHED = re.compile(r"Chunked prefill is enabled with max_num_batched_tokens=(\d+)")
_MODEL_LEN = re.compile(r"Using max model len (\d+)")
_VERSION = re.compile(r"(?:vLLM API server version|LLM engine \(v?|\bversion)\s*(\d+\.\d+[\w.+]*)")
_ARGUMENTS = re.compile(r"non-default args: (\{.*)$")
_NO_LITERAL = re.compile(r"[A-Za-z_][\w.]*\((?:[^()]|\([^()]*\))*\)|<[^<>]*>")


@dataclass(frozen=True, slots=True)
class Iteration:
    """One engine step (`--enable-logging-iteration-details`).

    `elapsed_s` is how long the engine waited for the step's result. With async scheduling that is
    the rest of the step, not the whole, and with LMCache in process next to nothing for prefill.
    """

    engine: int
    index: int
    time_s: float
    prefills: int
    prefill_tokens: int
    decodes: int
    decode_tokens: int
    elapsed_s: float
    kv_usage: float | None
    """Used share of the GPU's pool, 0 to 1; vLLM 0.24 does not print it."""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """One 10 s line of one engine; hit rates are over recent requests, in tokens."""

    engine: int
    time_s: float
    prompt_tokens_per_s: float
    """Computed tokens only: cached ones do not count."""
    output_tokens_per_s: float
    running: int
    waiting: int
    deferred: int
    """Of the waiting ones, those set aside (loading KV, for one)."""
    preemptions: int
    """Since the engine's last line."""
    kv_fetch: tuple[int, int, int]
    """Requests whose KV load waits to start, is in progress, is complete."""
    kv_usage: float
    hit_rate: float
    external_hit_rate: float | None


@dataclass(frozen=True, slots=True)
class VllmLog:
    """All of one log, in its order; times as the log's clock shows them."""

    version: str | None
    arguments: Mapping[str, object]
    """The server's non-default arguments; values that are no literals are their text."""
    pool_tokens: int | None
    """Size of the GPU's KV pool of one engine, as it was used."""
    pool_bytes: float | None
    weight_bytes: float | None
    max_num_batched_tokens: int | None
    max_model_len: int | None
    iterations: tuple[Iteration, ...]
    stats: tuple[EngineStats, ...]
    processes: Mapping[str, int] = field(default_factory=dict)
    """Lines by process name; "" for lines without one."""
    errors: int = 0
    """Lines of level ERROR or CRITICAL."""
    damaged_lines: int = 0
    """Lines that begin as a known kind and do not go on as one."""
    other_lines: int = 0
    """Lines that are no vLLM line: LMCache's, progress bars, tracebacks."""


def read_vllm_log(path: Path) -> VllmLog:
    """Read one server log; a file without a single vLLM line is the wrong file, hence an error."""
    reader = _Reader()
    for raw in read_lines(path):
        reader.line(strip_ansi(raw))
    if not reader.processes:
        raise CalibrationError(
            f'{path}: no line such as "INFO 11-24 14:01:40 [core.py:452] ..."; expected the log of '
            "a vLLM server"
        )
    return reader.result()


class _Reader:
    def __init__(self) -> None:
        self.processes: dict[str, int] = {}
        self._year: str | None = None
        self._iterations: list[tuple[str, str, Iteration]] = []
        self._stats: list[tuple[str, str, EngineStats]] = []
        self._arguments: dict[str, object] = {}
        self._version: str | None = None
        self._numbers: dict[str, float] = {}
        self._errors = self._damaged = self._other = 0

    def line(self, line: str) -> None:
        found = _LINE.match(line)
        if found is None:
            self._other += 1
            if self._year is None and (stamp := _LMCACHE_YEAR.search(line)) is not None:
                self._year = stamp[1]
            return
        process = found["process"] or ""
        self.processes[process] = self.processes.get(process, 0) + 1
        self._errors += found["level"] in ("ERROR", "CRITICAL")
        text = found["text"]
        named = _ENGINE.match(text)
        rank = _RANK.search(process)
        engine = int(named[1]) if named else int(rank[1]) if rank else 0
        stamp_parts = (found["date"], found["time"])
        if "Iteration(" in text:
            self._iteration(text, engine, stamp_parts)
        elif "Avg prompt throughput" in text:
            self._engine_stats(text, engine, stamp_parts)
        else:
            self._start_up(text)

    def _iteration(self, text: str, engine: int, stamp: tuple[str, str]) -> None:
        found = _ITERATION.search(text)
        if found is None:
            self._damaged += 1
            return
        usage = found["usage"]
        row = Iteration(
            engine=engine,
            index=int(found["index"]),
            time_s=0.0,
            prefills=int(found["prefills"]),
            prefill_tokens=int(found["prefill_tokens"]),
            decodes=int(found["decodes"]),
            decode_tokens=int(found["decode_tokens"]),
            elapsed_s=float(found["elapsed"]) / 1000,
            kv_usage=float(usage) / 100 if usage else None,
        )
        self._iterations.append((*stamp, row))

    def _engine_stats(self, text: str, engine: int, stamp: tuple[str, str]) -> None:
        parts = {
            part["name"].lower(): float(part["value"])
            for part in _PART.finditer(_ENGINE.sub("", text))
        }
        fetch = _FETCH.search(text)
        external = parts.get("external prefix cache hit rate")
        try:
            row = EngineStats(
                engine=engine,
                time_s=0.0,
                prompt_tokens_per_s=parts["avg prompt throughput"],
                output_tokens_per_s=parts["avg generation throughput"],
                running=int(parts["running"]),
                waiting=int(parts["waiting"]),
                deferred=int(parts.get("deferred", 0)),
                preemptions=int(parts.get("preemptions", 0)),
                kv_fetch=(int(fetch[1]), int(fetch[2]), int(fetch[3])) if fetch else (0, 0, 0),
                kv_usage=parts["gpu kv cache usage"] / 100,
                hit_rate=parts.get("prefix cache hit rate", 0.0) / 100,
                external_hit_rate=None if external is None else external / 100,
            )
        except (KeyError, ValueError):
            self._damaged += 1
            return
        self._stats.append((*stamp, row))

    def _start_up(self, text: str) -> None:
        if (found := _ARGUMENTS.search(text)) is not None:
            arguments = parse_arguments(found[1])
            self._damaged += arguments is None
            self._arguments |= arguments or {}
            return
        if self._version is None and (found := _VERSION.search(text)) is not None:
            self._version = found[1].rstrip(".")
        for name, pattern in _NUMBERS.items():
            if (found := pattern.search(text)) is not None:
                self._numbers[name] = float(found[1].replace(",", ""))

    def result(self) -> VllmLog:
        def at(date: str, time: str) -> float:
            return wall_clock_s(f"{self._year or '2000'}-{date}", f"{time}.0")

        numbers = self._numbers
        return VllmLog(
            version=self._version,
            arguments=self._arguments,
            pool_tokens=_int(numbers.get("pool_tokens")),
            pool_bytes=_gib(numbers.get("pool_gib")),
            weight_bytes=_gib(numbers.get("weight_gib")),
            max_num_batched_tokens=_int(numbers.get("max_num_batched_tokens")),
            max_model_len=_int(numbers.get("max_model_len")),
            iterations=tuple(replace(row, time_s=at(d, t)) for d, t, row in self._iterations),
            stats=tuple(replace(row, time_s=at(d, t)) for d, t, row in self._stats),
            processes=self.processes,
            errors=self._errors,
            damaged_lines=self._damaged,
            other_lines=self._other,
        )


_NUMBERS = {
    "pool_tokens": _POOL,
    "pool_gib": _MEMORY,
    "weight_gib": _WEIGHTS,
    "max_num_batched_tokens": _BATCHED,
    "max_model_len": _MODEL_LEN,
}


def parse_arguments(text: str) -> dict[str, object] | None:
    """Read the printed dict of arguments; objects in it, `KVTransferConfig(...)`, become text."""

    def as_text(found: re.Match[str]) -> str:
        return repr(found[0])

    for candidate in (text, _NO_LITERAL.sub(as_text, text)):
        try:
            value = ast.literal_eval(candidate.strip())
        except (ValueError, SyntaxError):
            continue
        return value if isinstance(value, dict) else None
    return None


def _int(value: float | None) -> int | None:
    return None if value is None else int(value)


def _gib(value: float | None) -> float | None:
    return None if value is None else value * 2**30
