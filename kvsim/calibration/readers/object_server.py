"""Read s3_server.csv: one row a request at the object store, as the store saw it."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kvsim.calibration.readers.files import read_lines
from kvsim.errors import CalibrationError

_FIELDS = 5


@dataclass(frozen=True, slots=True)
class ObjectRequest:
    """One HTTP request; start_s is epoch seconds."""

    start_s: float
    duration_s: float
    method: str
    status: int
    n_bytes: int


def read_object_server(path: Path) -> tuple[ObjectRequest, ...]:
    """Read one file in order of start; other lines are skipped, a file of only such is wrong."""
    rows: list[ObjectRequest] = []
    for fields in _cells(path):
        if len(fields) != _FIELDS:
            continue
        try:
            row = ObjectRequest(
                start_s=float(fields[0]),
                duration_s=float(fields[1]),
                method=fields[2],
                status=int(fields[3]),
                n_bytes=int(fields[4]),
            )
        except ValueError:
            continue
        rows.append(row)
    if not rows:
        raise CalibrationError(
            f"{path}: no request; expected lines of start, duration, method, status, bytes"
        )
    return tuple(sorted(rows, key=lambda row: row.start_s))


def _cells(path: Path) -> Iterator[list[str]]:
    try:
        yield from csv.reader(read_lines(path))
    except csv.Error as error:
        raise CalibrationError(f"{path}: not readable as CSV ({error})") from None
