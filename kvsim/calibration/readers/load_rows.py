"""Rows that every load generator's file gives: one request as its client saw it.

Time to first token runs from the client's own start of the request, before it connects, in all of
them. Seconds count from the epoch, or from an unknown instant where the tool writes a monotonic
clock; the rows of one file share it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kvsim.calibration.readers.files import read_lines
from kvsim.errors import CalibrationError

Clock = Literal["epoch", "unknown"]


@dataclass(frozen=True, slots=True)
class LoadRow:
    """One request; what a tool does not tell is None."""

    request_id: str | None
    session: str | None
    """Name of the conversation."""
    round_index: int
    """Turn of the conversation, from 1."""
    launch_s: float
    first_token_s: float | None
    finish_s: float | None
    prompt_tokens: int
    output_tokens: int
    cached_tokens: int | None = None
    """Prompt tokens that the server reported as cached, in any tier."""
    due_s: float | None = None
    """When the schedule wanted it sent."""
    error: str | None = None
    """Why it failed; None if it finished."""
    itl_s: tuple[float, ...] = ()
    """Gaps between output chunks."""


@dataclass(frozen=True, slots=True)
class LoadRows:
    """All rows of one file, in order of launch."""

    tool: str
    clock: Clock
    rows: tuple[LoadRow, ...]
    damaged_rows: int
    """Rows that lack their fields."""
    skipped_rows: int = 0
    """Rows that do not count: warm-ups, cancelled requests."""


def sorted_rows(rows: list[LoadRow]) -> tuple[LoadRow, ...]:
    """Return the rows in order of launch."""
    return tuple(sorted(rows, key=lambda row: row.launch_s))


def read_json(path: Path, *, expected: str) -> Mapping[str, Any]:
    """Read a file that is one JSON object; CalibrationError, naming what was expected, if not."""
    try:
        content = json.loads("\n".join(read_lines(path)))
    except (ValueError, RecursionError) as error:
        raise CalibrationError(f"{path}: no JSON ({error}); expected {expected}") from error
    if not isinstance(content, dict):
        raise CalibrationError(f"{path}: no JSON object; expected {expected}")
    return content


def optional_float(value: Any) -> float | None:
    """Return a number, or None for None."""
    return None if value is None else float(value)


def optional_int(value: Any) -> int | None:
    """Return an integer, or None for None."""
    return None if value is None else int(value)
