"""Read the CSV that multi-round-qa.py writes: one row a finished request, as its client saw it."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from kvsim.calibration.readers.files import read_lines
from kvsim.errors import CalibrationError

_COLUMNS = (
    "prompt_tokens",
    "generation_tokens",
    "ttft",
    "generation_time",
    "user_id",
    "question_id",
    "launch_time",
    "finish_time",
)


@dataclass(frozen=True, slots=True)
class ClientRow:
    """One finished request; launch and finish are epoch seconds."""

    user_id: int
    round_index: int
    """The session's how-manieth request in this run (column question_id)."""
    prompt_tokens: int
    output_tokens: int
    launch_s: float
    ttft_s: float
    generation_s: float
    """First token to end of stream."""
    finish_s: float


@dataclass(frozen=True, slots=True)
class ClientRows:
    """All rows of one file, in file order, and how many lines could not be read."""

    rows: tuple[ClientRow, ...]
    damaged_lines: int


def read_client_requests(path: Path) -> ClientRows:
    """Read one CSV; damaged lines are counted, missing columns are an error.

    Columns are found by name, so that later versions of the driver may add some.
    """
    try:
        return _read(path, csv.DictReader(read_lines(path)))
    except csv.Error as error:
        raise CalibrationError(f"{path}: not readable as CSV ({error})") from None


def _read(path: Path, table: "csv.DictReader[str]") -> ClientRows:
    missing = [name for name in _COLUMNS if name not in (table.fieldnames or ())]
    if missing:
        raise CalibrationError(
            f"{path}: column {missing[0]} is missing; expected multi-round-qa's CSV with "
            f"{', '.join(_COLUMNS)}"
        )
    rows: list[ClientRow] = []
    damaged = 0
    for fields in table:
        try:
            values = {name: float(fields[name]) for name in _COLUMNS}
        except (TypeError, ValueError):
            damaged += 1
            continue
        if not all(math.isfinite(value) for value in values.values()):
            damaged += 1
            continue
        rows.append(
            ClientRow(
                user_id=int(values["user_id"]),
                round_index=int(values["question_id"]),
                prompt_tokens=int(values["prompt_tokens"]),
                output_tokens=int(values["generation_tokens"]),
                launch_s=values["launch_time"],
                ttft_s=values["ttft"],
                generation_s=values["generation_time"],
                finish_s=values["finish_time"],
            )
        )
    if not rows:
        raise CalibrationError(f"{path}: no finished request ({damaged} damaged lines)")
    return ClientRows(tuple(rows), damaged)
