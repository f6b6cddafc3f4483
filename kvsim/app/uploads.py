"""Uploaded files, which nobody trusts: bounded, by known names only, below one temporary folder.

Nothing is executed or unpickled. A name decides at most which of the known files of a run something
is; what is written where never comes from the upload, so no archive can leave the folder. Sizes are
counted while unpacking, since an archive may lie about them.
"""

from __future__ import annotations

import gzip
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from kvsim.errors import KvsimError

RUN_FILES = (
    "client.log",
    "client_args.txt",
    "client_requests.csv",
    "engine_steps.jsonl",
    "lmcache.yaml",
    "prometheus.txt",
    "s3_server.csv",
    "t0.txt",
    "vllm.log",
    "vllm_args.txt",
)
"""Files of a recorded run, as `kvsim calibrate` reads them; each may be packed with gzip."""
TRACE_TYPES = ("jsonl", "json", "csv", "gz")
MAX_UNPACKED_BYTES = 512 * 2**20
MAX_FILES = 500
_BLOCK = 1 << 20
_GZIP = b"\x1f\x8b"
_ENTRY = b"PK\x01\x02"
"""Begins an entry in the directory of a zip archive."""
_LABEL_CHARS = 80
_LABEL = re.compile(r"[^A-Za-z0-9_.-]+")


_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)
"""What the unpackers raise."""


class UploadError(KvsimError):
    """An uploaded file that cannot be used; the message is one line."""


class _Room:
    """What may still be written."""

    def __init__(self, kept: Iterable[Path] = ()) -> None:
        self.left_bytes = MAX_UNPACKED_BYTES - sum(path.stat().st_size for path in kept)
        self.left_files = MAX_FILES

    def copy(self, source: IO[bytes] | gzip.GzipFile, target: Path, name: str) -> None:
        self.left_files -= 1
        if self.left_files < 0:
            raise UploadError(f"{name}: more than {MAX_FILES} files; upload fewer runs at a time")
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            while block := source.read(_BLOCK):
                if not file.tell() and block.startswith(_GZIP):
                    # What reads it would unpack it, and nobody would count.
                    raise UploadError(f"{name}: is packed more than its name says; unpack it once")
                self.left_bytes -= len(block)
                if self.left_bytes < 0:
                    raise UploadError(
                        f"{name}: more than {MAX_UNPACKED_BYTES >> 20} MiB in a visit, unpacked; "
                        "upload less, or reload the page to begin anew"
                    )
                file.write(block)


def unpack_runs(uploads: Sequence[IO[bytes]], folder: Path) -> list[Path]:
    """Write the files of recorded runs, named as on the user's machine, below a folder.

    Returns the folders of the runs. Zip archives give a run for each
    folder inside that has engine steps; loose files are one run.
    """
    room = _Room()
    for upload in uploads:
        upload.seek(0)
        if upload.name.lower().endswith(".zip"):
            _unzip(upload, folder, room)
        else:
            known = _known(upload.name)
            if known is None:
                name = shown_name(upload.name)
                raise UploadError(
                    f"{name}: is no file of a run; upload a zip of run folders, or "
                    f"{', '.join(RUN_FILES)} (.gz too)"
                )
            _write(upload, folder / "uploaded" / known, upload.name, room)
    runs = sorted(path.parent for path in folder.glob("*/engine_steps.jsonl"))
    if not runs:
        raise UploadError(
            "no engine_steps.jsonl among the files; a run needs what the probe plugin records"
        )
    return runs


def save_trace(upload: IO[bytes], folder: Path, kept: Iterable[Path] = ()) -> Path:
    """Write an uploaded trace, unpacked, under a name of our own.

    The limit on sizes is that of a visit: those that it has `kept` count too.
    """
    name = upload.name.lower().removesuffix(".gz")
    kind = PurePosixPath(name).suffix.removeprefix(".")
    if kind not in TRACE_TYPES or kind == "gz":
        raise UploadError(
            f"{shown_name(upload.name)}: is no trace; upload .jsonl, .json or .csv (.gz too)"
        )
    target = folder / f"trace.{kind}"
    upload.seek(0)
    _write(upload, target, upload.name, _Room(kept))
    return target


def _unzip(upload: IO[bytes], folder: Path, room: _Room) -> None:
    _count_entries(upload)
    try:
        with zipfile.ZipFile(upload) as archive:
            for entry in archive.infolist():
                if entry.is_dir():
                    continue
                path = PurePosixPath(entry.filename.replace("\\", "/"))
                known = _known(path.name)
                if known is None:
                    continue
                label = _LABEL.sub("_", path.parent.name).strip(".")[:_LABEL_CHARS] or "uploaded"
                with archive.open(entry) as source:
                    _write(source, folder / label / known, entry.filename, room)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, *_DAMAGED) as error:
        raise UploadError(f"{shown_name(upload.name)}: cannot be unpacked ({error})") from None


def _count_entries(upload: IO[bytes]) -> None:
    """Refuse an archive of too many files before its directory fills memory."""
    count = 0
    while block := upload.read(_BLOCK):
        count += block.count(_ENTRY)
    upload.seek(0)
    if count > MAX_FILES:
        name = shown_name(upload.name)
        raise UploadError(f"{name}: holds more than {MAX_FILES} files; upload fewer runs")


def _write(source: IO[bytes], target: Path, name: str, room: _Room) -> None:
    """Copy a file, unpacked if it is gzip."""
    if not name.lower().endswith(".gz"):
        room.copy(source, target, shown_name(name))
        return
    try:
        with gzip.GzipFile(fileobj=source) as plain:
            room.copy(plain, target, shown_name(name))
    except _DAMAGED as error:
        raise UploadError(f"{shown_name(name)}: cannot be unpacked ({error})") from None


def _known(name: str) -> str | None:
    """Return the known name of a run's file, if it is one."""
    base = PurePosixPath(name.replace("\\", "/")).name.removesuffix(".gz")
    return base if base in RUN_FILES else None


def shown_name(name: str) -> str:
    """Write a stranger's file name without what could confuse a reader."""
    return _LABEL.sub("_", PurePosixPath(name.replace("\\", "/")).name)[:_LABEL_CHARS]
