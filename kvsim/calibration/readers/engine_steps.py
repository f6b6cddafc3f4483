"""Read engine_steps.jsonl: what the scheduler of a real vLLM engine did, step by step.

The rows come from a plugin that wraps the scheduler: "s" a step was scheduled, "u" its output was
processed, "r" a request ended. Times are epoch seconds.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvsim.calibration.readers.files import read_lines
from kvsim.errors import CalibrationError


@dataclass(frozen=True, slots=True)
class ScheduledStep:
    """A step left schedule(): time_s is the end of that call, schedule_s the time inside it."""

    index: int
    time_s: float
    schedule_s: float
    decodes: int
    context_tokens: int
    prefills: tuple[tuple[int, int], ...]
    """A pair a prefill chunk: tokens already computed, tokens scheduled now."""
    running: int
    waiting: int
    free_blocks: int


@dataclass(frozen=True, slots=True)
class ProcessedStep:
    """The output of a step was processed, just before its tokens left the engine."""

    index: int
    time_s: float


@dataclass(frozen=True, slots=True)
class EndedRequest:
    """A request ended; arrival_s is when the engine loop took it from its input queue."""

    request_id: str
    arrival_s: float
    scheduled_s: float
    finished_s: float
    prompt_tokens: int
    output_tokens: int
    preemptions: int


@dataclass(frozen=True, slots=True)
class EngineSteps:
    """All rows of one file, and how many lines were no rows."""

    events: tuple[ScheduledStep | ProcessedStep, ...]
    """Steps scheduled and processed, in file order, which is the engine thread's order."""
    requests: tuple[EndedRequest, ...]
    damaged_lines: int
    """Lines that are no JSON, or known rows without their fields (the last line after a kill)."""
    unknown_lines: int
    """Rows of a kind this reader does not know."""


def _row(fields: Mapping[str, Any]) -> ScheduledStep | ProcessedStep | EndedRequest | None:
    match fields["k"]:
        case "s":
            return ScheduledStep(
                index=int(fields["i"]),
                time_s=float(fields["t"]),
                schedule_s=float(fields["dt"]),
                decodes=int(fields["nd"]),
                context_tokens=int(fields["ctx"]),
                prefills=tuple((int(before), int(now)) for before, now in fields["pre"]),
                running=int(fields["run"]),
                waiting=int(fields["wait"]),
                free_blocks=int(fields["free"]),
            )
        case "u":
            return ProcessedStep(index=int(fields["i"]), time_s=float(fields["t"]))
        case "r":
            return EndedRequest(
                request_id=str(fields["id"]),
                arrival_s=float(fields["arr"]),
                scheduled_s=float(fields["first"]),
                finished_s=float(fields["fin"]),
                prompt_tokens=int(fields["p"]),
                output_tokens=int(fields["o"]),
                preemptions=int(fields["pre"]),
            )
        case _:
            return None


def read_engine_steps(path: Path) -> EngineSteps:
    """Read one file; damaged and unknown lines are counted, a file without any row is an error."""
    events: list[ScheduledStep | ProcessedStep] = []
    requests: list[EndedRequest] = []
    damaged = unknown = 0
    for line in read_lines(path):
        if not line.strip():
            continue
        try:
            row = _row(json.loads(line))
        except (ValueError, KeyError, TypeError, RecursionError):
            damaged += 1
            continue
        match row:
            case None:
                unknown += 1
            case EndedRequest():
                requests.append(row)
            case _:
                events.append(row)
    if not events and not requests:
        raise CalibrationError(
            f"{path}: no engine step among {damaged + unknown} lines; expected JSON lines such as "
            '{"k":"u","i":0,"t":1795530074.5} as the engine-step plugin writes them'
        )
    return EngineSteps(tuple(events), tuple(requests), damaged, unknown)
