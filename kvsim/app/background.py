"""Long work beside the page: started in a process of its own, watched, and stopped for certain."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from kvsim.errors import SimulationError


class Job:
    """A process that does one job; `cancel` ends it wherever it is."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        self.progress = "starting"
        self.outcome: dict[str, Any] | None = None
        self.error: str | None = None
        self.cancelled = False
        self._begun_s = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kvsim.app.jobs"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._reader = threading.Thread(target=self._talk, args=(json.dumps(job),), daemon=True)
        self._reader.start()

    @property
    def running(self) -> bool:
        """Tell whether the job goes on."""
        return self._reader.is_alive()

    @property
    def elapsed_s(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._begun_s

    def cancel(self) -> None:
        """End the process; whatever it found is dropped."""
        self.cancelled = True
        with contextlib.suppress(OSError):
            self._process.kill()
        self._reader.join(timeout=5)

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end for at most so long; tell whether it came."""
        self._reader.join(timeout_s)
        return not self.running

    def result(self) -> dict[str, Any]:
        """Return what a finished job found; SimulationError if it found nothing."""
        if self.outcome is None:
            raise SimulationError(self.error or "the job was stopped")
        return self.outcome

    def _talk(self, text: str) -> None:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with process:
            with contextlib.suppress(OSError):
                process.stdin.write(text)
                process.stdin.close()
            for line in process.stdout:
                said = json.loads(line)
                self.progress = said.get("progress", self.progress)
                self.outcome = said.get("outcome", self.outcome)
                self.error = said.get("error", self.error)
        if self.outcome is None and self.error is None and not self.cancelled:
            self.error = f"the job ended without a word (exit code {process.returncode})"
