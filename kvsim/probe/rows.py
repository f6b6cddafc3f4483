"""Turn what the scheduler knows into rows of engine_steps.jsonl, version 1.

A number that this vLLM does not tell is -1, and a warning says so once.
"""

import json
import logging
import os
import time
from collections.abc import Callable
from typing import Any

from .sinks import Sink

FORMAT = "kvsim-engine-steps"
FORMAT_VERSION = 1
UNKNOWN = -1
# vLLM gives only loggers below its own a handler.
LOGGER = logging.getLogger("vllm.kvsim_probe")

_WAITING_QUEUES = ("waiting", "skipped_waiting", "kv_holding")
_MAX_IN_FLIGHT = 64


class Rows:
    """Write the rows of one scheduler."""

    def __init__(self, sink: Sink, *, version: str) -> None:
        self._write = sink.write
        self._index = 0
        self._in_flight: dict[int, int] = {}
        self._arrived: dict[str, float] = {}
        self._started: dict[str, tuple[float, float, int]] = {}
        self._warned: set[str] = set()
        self._free: Callable[[], int] | None = None
        self._queues: tuple[str, ...] | None = None
        head = {
            "k": "h",
            "format": FORMAT,
            "v": FORMAT_VERSION,
            "vllm": version,
            "pid": os.getpid(),
            "t": round(time.time(), 6),
        }
        self._write(json.dumps(head, separators=(",", ":")) + "\n")

    def added(self, request: Any, time_s: float) -> None:
        """Note that the engine took a request from its input queue."""
        self._arrived[request.request_id] = time_s

    def scheduled(self, scheduler: Any, output: Any, begin_s: float, end_s: float) -> None:
        """Write the row of a step that schedule() has just put together."""
        index = self._index
        self._index += 1
        if len(self._in_flight) > _MAX_IN_FLIGHT:
            self._in_flight.clear()
        self._in_flight[id(output)] = index
        decodes = context = 0
        prefills: list[str] = []
        arrived = self._arrived
        try:
            requests = scheduler.requests
            for name, tokens in output.num_scheduled_tokens.items():
                request = requests[name]
                # schedule() has added this step's tokens already.
                before = request.num_computed_tokens - tokens
                if before >= request.num_prompt_tokens and (
                    tokens == 1 or before >= request.num_tokens - 1
                ):
                    decodes += 1
                    context += before
                else:
                    prefills.append(f"[{before},{tokens}]")
                if arrived and name in arrived:
                    self._started[name] = (arrived.pop(name), end_s, before)
        except (AttributeError, KeyError, TypeError) as error:
            self._missing(error, "nd, ctx and pre")
            decodes = context = UNKNOWN
            prefills = []
        self._write(
            f'{{"k":"s","i":{index},"t":{end_s:.6f},"dt":{end_s - begin_s:.6f},"nd":{decodes},'
            f'"ctx":{context},"pre":[{",".join(prefills)}],"run":{self._running(scheduler)},'
            f'"wait":{self._waiting(scheduler)},"free":{self._free_blocks(scheduler)}}}\n'
        )

    def processed(self, output: Any, time_s: float) -> None:
        """Write the row of a step whose output was processed, from `time_s` on."""
        index = self._in_flight.pop(id(output), None)
        if index is not None:
            self._write(f'{{"k":"u","i":{index},"t":{time_s:.6f}}}\n')

    def ended(self, request: Any, time_s: float) -> None:
        """Write the row of a request that ended; one that was never scheduled leaves none."""
        name = request.request_id
        self._arrived.pop(name, None)
        started = self._started.pop(name, None)
        if started is None:
            return
        arrival_s, first_s, hit = started
        external = getattr(request, "num_external_computed_tokens", None)
        self._write(
            f'{{"k":"r","id":{json.dumps(name)},"arr":{arrival_s:.6f},"first":{first_s:.6f},'
            f'"fin":{time_s:.6f},"p":{self._number(request, "num_prompt_tokens")},'
            f'"o":{self._number(request, "num_output_tokens")},"hit":{hit},'
            f'"ext":{UNKNOWN if external is None else int(external)},'
            f'"pre":{self._number(request, "num_preemptions")}}}\n'
        )

    def _running(self, scheduler: Any) -> int:
        try:
            return len(scheduler.running)
        except (AttributeError, TypeError) as error:
            return self._missing(error, "run")

    def _waiting(self, scheduler: Any) -> int:
        """Count every queue of requests that no step holds; later versions have three."""
        if self._queues is None:
            self._queues = tuple(name for name in _WAITING_QUEUES if hasattr(scheduler, name))
        if not self._queues:
            return self._missing(AttributeError("waiting"), "wait")
        try:
            return sum([len(getattr(scheduler, name)) for name in self._queues])
        except (AttributeError, TypeError) as error:
            return self._missing(error, "wait")

    def _free_blocks(self, scheduler: Any) -> int:
        try:
            if self._free is None:
                self._free = scheduler.kv_cache_manager.block_pool.get_num_free_blocks
            return int(self._free())
        except (AttributeError, TypeError) as error:
            self._free = _unknown
            return self._missing(error, "free")

    def _number(self, request: Any, name: str) -> int:
        value = getattr(request, name, None)
        if value is None:
            return self._missing(AttributeError(name), name)
        return int(value)

    def _missing(self, error: Exception, what: str) -> int:
        """Say once that something is unknown, and give the number that stands for it."""
        if what not in self._warned:
            self._warned.add(what)
            LOGGER.warning("this vLLM does not tell %s (%r): written as -1", what, error)
        return UNKNOWN


def _unknown() -> int:
    return UNKNOWN
