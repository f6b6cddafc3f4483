"""Finished runs on disk, or at an address: one small JSON file each, whole or not at all.

A stored run is taken up again only by the code that made it: its file holds a fingerprint of every
module that can move a result.
"""

import json
from pathlib import Path
from typing import Any

from kvsim.compiled.code import code_fingerprint
from kvsim.sweep.place import Place, place_of


class RunStore:
    """Holds one file per finished run, named by its scenario's hash."""

    def __init__(self, place: Place | Path, folder: str = ".") -> None:
        self._place = place_of(place) if isinstance(place, Path) else place
        self._folder = folder

    def read(self, key: str) -> dict[str, Any] | None:
        """Hand back a finished run, or None where there is none that this code made."""
        try:
            record = json.loads(self._place.read(f"{self._folder}/{key}.json") or b"")
        except ValueError:
            return None
        if not isinstance(record, dict) or record.get("code") != code_fingerprint():
            return None
        return record

    def wall_times(self) -> dict[str, float]:
        """Read how long each stored run took, whatever code made it."""
        times = {}
        for name in self._place.names(self._folder, ".json"):
            try:
                record = json.loads(self._place.read(f"{self._folder}/{name}") or b"")
                times[name.removesuffix(".json")] = float(record["wall_s"])
            except (ValueError, KeyError, TypeError):
                continue
        return times

    def write(self, key: str, record: dict[str, Any]) -> None:
        """Keep a finished run; a reader sees the old file or the new one, never half of one."""
        text = json.dumps({"code": code_fingerprint(), **record}, indent=1)
        self._place.write(f"{self._folder}/{key}.json", text.encode())

    def write_failure(self, key: str, trace: str) -> str:
        """Keep the traceback of a run that crashed, for whoever mends it; say where."""
        name = f"{self._folder}/{key}.error.txt"
        self._place.write(name, trace.encode())
        return f"{self._place}/{name}"
