"""Open run files, packed or not, and take terminal colours out of log lines."""

import gzip
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from kvsim.errors import CalibrationError

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def find_file(folder: Path, name: str) -> Path | None:
    """Return `folder/name`, else `folder/name.gz`, else None."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text file, unpacked if it is gzip whatever its name says.

    Bytes that are no UTF-8 are replaced: a server killed in the middle of a write leaves such
    tails. A packed file cut short yields what could be unpacked.
    """
    try:
        with path.open("rb") as probe:
            packed = probe.read(2) == b"\x1f\x8b"
        with path.open("rb") as raw:
            lines: Iterable[bytes] = gzip.GzipFile(fileobj=raw) if packed else raw
            for line in lines:
                yield line.decode("utf-8", errors="replace").rstrip("\r\n")
    except EOFError:
        return
    except (OSError, gzip.BadGzipFile) as error:
        raise CalibrationError(f"{path}: cannot be read ({error})") from error


def strip_ansi(line: str) -> str:
    """Return the line without terminal colour codes."""
    return _ANSI.sub("", line)


def wall_clock_s(date: str, time: str) -> float:
    """Read "2026-11-24" and "14:21:18,010" as epoch seconds, as if the clock showed UTC.

    Logs do not name their time zone; `load_run` finds it from rows that carry epoch seconds.
    """
    stamp = datetime.strptime(f"{date} {time.replace(',', '.')}", "%Y-%m-%d %H:%M:%S.%f")
    return stamp.replace(tzinfo=UTC).timestamp()
