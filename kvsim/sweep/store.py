"""Finished runs on disk: one small JSON file each, written whole or not at all.

A stored run is taken up again only by the code that made it: its file holds a fingerprint of every
module that can move a result.
"""

import hashlib
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

_NO_RESULT = ("cli", "report", "sweep", "calibration", "plan", "app")


@cache
def code_fingerprint() -> str:
    """Name the code that makes results, so that no table mixes two versions of it."""
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package)
        if inside.parts[0] not in _NO_RESULT:
            digest.update(inside.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


class RunStore:
    """The folder that holds one file per finished run, named by its scenario's hash."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, key: str) -> dict[str, Any] | None:
        """Hand back a finished run, or None where there is none that this code made."""
        try:
            record = json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(record, dict) or record.get("code") != code_fingerprint():
            return None
        return record

    def wall_times(self) -> dict[str, float]:
        """Read how long each stored run took, whatever code made it."""
        times = {}
        for path in sorted(self.folder.glob("*.json")):
            try:
                times[path.stem] = float(json.loads(path.read_text(encoding="utf-8"))["wall_s"])
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return times

    def write(self, key: str, record: dict[str, Any]) -> None:
        """Keep a finished run; a reader sees the old file or the new one, never half of one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.folder / f"{key}.json"
        draft = target.with_suffix(f".{os.getpid()}.tmp")
        draft.write_text(
            json.dumps({"code": code_fingerprint(), **record}, indent=1), encoding="utf-8"
        )
        draft.replace(target)

    def write_failure(self, key: str, trace: str) -> Path:
        """Keep the traceback of a run that crashed, for whoever mends it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{key}.error.txt"
        path.write_text(trace, encoding="utf-8")
        return path
