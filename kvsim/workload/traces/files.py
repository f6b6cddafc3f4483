"""Open trace files: lines, JSON values, CSV rows; every failure is one clear line."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

from kvsim.errors import TraceError
from kvsim.workload.traces.build import DamagedRowError, TraceBuilder

Progress = Callable[[float], None]
"""Told the part of the file that has been read, from 0 to 1."""

_LINES_PER_REPORT = 500
UNREADABLE = (OSError, EOFError, zlib.error)
"""What a file raises that breaks off, or whose packing is damaged."""


def silent(_: float) -> None:
    """Tell nobody how far the reading is."""


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file, unpacking it if it ends in .gz."""
    try:
        if path.suffix == ".gz":
            return cast(IO[bytes], gzip.open(path, "rb"))
        return path.open("rb")
    except FileNotFoundError:
        raise TraceError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise TraceError(f"{path}: is a folder, not a file") from None
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror or error}") from None


def text_lines(path: Path, progress: Progress = silent) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, with their numbers from 1."""
    size = max(1, path.stat().st_size) if path.is_file() else 1
    done = 0
    with open_bytes(path) as file:
        try:
            for place, raw in enumerate(file, start=1):
                done += len(raw)
                if place % _LINES_PER_REPORT == 0:
                    progress(min(1.0, done / size))
                line = raw.decode("utf-8", errors="surrogateescape").lstrip("\ufeff").strip()
                if line:
                    yield place, line
        except UNREADABLE as error:
            raise cut_short(path, error) from None
    progress(1.0)


def cut_short(path: Path, error: BaseException) -> TraceError:
    """Say that a file breaks off, or that its packing is damaged."""
    return TraceError(f"{path}: cannot be read to its end: {error}")


def beginning(path: Path, num_bytes: int) -> bytes:
    """Read the first bytes of a file."""
    with open_bytes(path) as file:
        try:
            return file.read(num_bytes)
        except UNREADABLE as error:
            raise cut_short(path, error) from None


def object_of(line: str) -> dict[str, Any] | None:
    """Read a line that holds one JSON object; None if it does not."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _check_text(line: str) -> None:
    """Refuse bytes that are no UTF-8: two names could become one."""
    if not line.isascii() and any("\udc80" <= letter <= "\udcff" for letter in line):
        raise DamagedRowError("not UTF-8 text")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a JSON object; of two values of one key, which is meant is not known."""
    found = dict(pairs)
    if len(found) < len(pairs):
        times = Counter(key for key, _ in pairs)
        twice = next(key for key in times if times[key] > 1)
        raise TraceError(f"{twice!r:.40} stands twice in one object; leave one out")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def json_rows(
    path: Path, builder: TraceBuilder, progress: Progress = silent
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of a JSONL file; what is no object is a damaged row."""
    for place, line in text_lines(path, progress):
        where = f"line {place}"
        with builder.row(where):
            _check_text(line)
            try:
                row = _DECODER.decode(line)
            except (ValueError, RecursionError) as error:
                raise DamagedRowError(f"not JSON: {error}") from None
            except TraceError as error:
                raise TraceError(f"{path}: {where}: {error}") from None
            if not isinstance(row, dict):
                raise DamagedRowError("not a JSON object")
            yield where, row


def json_value(path: Path) -> Any:
    """Read a file that holds one JSON value."""
    with open_bytes(path) as file:
        try:
            return json.load(file, object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            raise TraceError(f"{path}: not readable as JSON: {error}") from None
        except TraceError as error:
            raise TraceError(f"{path}: {error}") from None
        except UNREADABLE as error:
            raise cut_short(path, error) from None


def csv_rows(
    path: Path, builder: TraceBuilder, progress: Progress = silent
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the rows of a CSV file with a header, keyed by the header's words."""
    lines = text_lines(path, progress)
    first = next(lines, None)
    if first is None:
        raise TraceError(f"{path}: the file is empty")
    try:
        header = _cells(first[1])
    except csv.Error as error:
        raise TraceError(f"{path}: not CSV: {error}") from None
    refuse_doubles(path, [word.lower() for word in header if word])
    for place, line in lines:
        where = f"line {place}"
        with builder.row(where):
            _check_text(line)
            try:
                cells = _cells(line)
            except csv.Error as error:
                raise DamagedRowError(f"not CSV: {error}") from None
            if len(cells) != len(header):
                raise DamagedRowError(f"{len(cells)} cells under {len(header)} headings")
            yield where, dict(zip(header, cells, strict=True))


def refuse_doubles(path: Path, columns: Sequence[str]) -> None:
    """Refuse a table in which two columns have one name: which is meant is not known."""
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise TraceError(f"{path}: has two columns {twice!r}; leave one out")


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line]))]


def field(row: dict[str, Any], *names: str) -> Any:
    """Return the first of some fields that a row has."""
    for name in names:
        if row.get(name) is not None:
            return row[name]
    raise DamagedRowError(f"no {' or '.join(names)}")


def mapping(value: Any, what: str) -> dict[str, Any]:
    """Insist on a JSON object; none at all is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DamagedRowError(f"{what}: {value!r:.40} is not an object")
    return value


def objects(value: Any, where: str, builder: TraceBuilder) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of a list, each with its place; what is none is a damaged row."""
    if value is not None and not isinstance(value, list):
        builder.damage(where, f"{value!r:.40} is not a list")
        return
    for index, item in enumerate(value or ()):
        place = f"{where} {index}"
        with builder.row(place):
            if not isinstance(item, dict):
                raise DamagedRowError(f"{item!r:.40} is not an object")
            yield place, item
