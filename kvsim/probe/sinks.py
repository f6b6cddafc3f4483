"""Where rows go, so that a killed engine leaves all of them or nearly all.

A plain file gets every row in a write of its own: nothing is lost, whatever ends the process. A
packed file (.gz) is flushed twice a second, also while the engine idles: a kill costs half of one.
"""

import atexit
import contextlib
import os
import threading
import time
import zlib
from multiprocessing import util
from typing import Protocol

FILE_NAME = "engine_steps.jsonl"
FLUSH_S = 0.5
_GZIP_WINDOW = 31


class Sink(Protocol):
    """What rows are written to."""

    path: str

    def write(self, line: str) -> None:
        """Add one line, its newline included."""

    def close(self) -> None:
        """Write out what is left; a second call does nothing."""


def open_sink(target: str) -> Sink:
    """Open a new file: `target` itself, or engine_steps.jsonl in it if it is a folder.

    A file that is there already stays as it is: the process number goes into the new one's name.
    """
    if target.endswith(("/", os.sep)) or os.path.isdir(target):  # noqa: PTH112 (no pathlib in the engine)
        path = os.path.join(target, FILE_NAME)  # noqa: PTH118
    else:
        path = target
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)  # noqa: PTH103, PTH120
    file, path = _create(path)
    return GzipSink(file, path) if path.endswith(".gz") else PlainSink(file, path)


def _create(path: str) -> tuple[int, str]:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND
    folder, name = os.path.split(path)
    stem, dot, ends = name.partition(".")
    names = [name, f"{stem}.{os.getpid()}{dot}{ends}"]
    names += [f"{stem}.{os.getpid()}-{count}{dot}{ends}" for count in range(2, 100)]
    for candidate in names:
        full = os.path.join(folder, candidate)  # noqa: PTH118
        try:
            return os.open(full, flags, 0o644), full
        except FileExistsError:
            continue
    raise FileExistsError(f"{path}: is there already, and 99 more of its kind")


class PlainSink:
    """Hand each row to the operating system at once."""

    def __init__(self, file: int, path: str) -> None:
        self.path = path
        self._file: int | None = file

    def write(self, line: str) -> None:
        """Write one row."""
        if self._file is not None:
            os.write(self._file, line.encode())

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


class GzipSink:
    """Pack the rows; a thread flushes them twice a second."""

    def __init__(self, file: int, path: str) -> None:
        self.path = path
        self._file = file
        self._lock = threading.Lock()
        self._packer: zlib._Compress | None = zlib.compressobj(1, zlib.DEFLATED, _GZIP_WINDOW)
        self._dirty = False
        threading.Thread(target=self._flush_often, name="kvsim-probe", daemon=True).start()
        # A child of multiprocessing, as vLLM's engine core is, may end without atexit's functions.
        util.Finalize(None, self.close, exitpriority=0)
        atexit.register(self.close)

    def write(self, line: str) -> None:
        """Pack one row."""
        with self._lock:
            if self._packer is not None:
                self._send(self._packer.compress(line.encode()))
                self._dirty = True

    def close(self) -> None:
        """Write the end of the packed file."""
        with self._lock:
            packer, self._packer = self._packer, None
            if packer is not None:
                self._send(packer.flush())
                os.close(self._file)

    def _flush_often(self) -> None:
        while self._packer is not None:
            time.sleep(FLUSH_S)
            with self._lock, contextlib.suppress(OSError):
                if self._packer is not None and self._dirty:
                    self._send(self._packer.flush(zlib.Z_SYNC_FLUSH))
                    self._dirty = False

    def _send(self, data: bytes) -> None:
        if data:
            os.write(self._file, data)
