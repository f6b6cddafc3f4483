"""Long work beside the page: started in a process of its own, watched, and stopped for certain."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kvsim.app import turns
from kvsim.errors import SimulationError

GONE_S = 150.0
"""Time after which a visit that has no page open is over; a reload takes less."""
_LOOK_S = 1.0
_JOBS: weakref.WeakSet[Job] = weakref.WeakSet()


@dataclass
class _Said:
    """What a process has told so far."""

    progress: str = "starting"
    outcome: dict[str, Any] | None = None
    error: str | None = None
    cancelled: bool = False


class Job:
    """A process that does one job once a core is free; `cancel` ends it wherever it is.

    It ends too when nobody holds the job any more, as after a visit, or when the server stops.
    """

    def __init__(
        self, job: Mapping[str, Any], is_wanted: Callable[[], bool] = lambda: True
    ) -> None:
        self._said = _Said()
        self._begun_s = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kvsim.app.jobs"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        # The thread must not hold the job, which would then never be let go.
        self._reader = threading.Thread(
            target=_talk, args=(self._process, json.dumps(job), self._said), daemon=True
        )
        self._reader.start()
        weakref.finalize(self, _kill, self._process)
        threading.Thread(target=_guard, args=(self._process, is_wanted), daemon=True).start()
        _JOBS.add(self)

    @property
    def progress(self) -> str:
        """What the job does now."""
        return self._said.progress

    @property
    def outcome(self) -> dict[str, Any] | None:
        """What it found."""
        return self._said.outcome

    @property
    def error(self) -> str | None:
        """Why it found nothing."""
        return self._said.error

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
        self._said.cancelled = True
        _kill(self._process)
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


def cancel_all() -> None:
    """End every job of every visit."""
    for job in list(_JOBS):
        job.cancel()


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(OSError):
        process.kill()


def _guard(process: subprocess.Popen[str], is_wanted: Callable[[], bool]) -> None:
    """End a process whose visit has gone; Streamlit may keep what the visit held for hours."""
    wanted_s = time.monotonic()
    while process.returncode is None:
        if is_wanted():
            wanted_s = time.monotonic()
        elif time.monotonic() - wanted_s > GONE_S:
            _kill(process)
            return
        time.sleep(_LOOK_S)


def _talk(process: subprocess.Popen[str], text: str, said: _Said) -> None:
    """Hand the job over when its turn comes, and note what the process says until it ends."""

    def on_wait(ahead: int) -> bool:
        said.progress = f"waiting for {turns.others(ahead)}"
        return process.poll() is None

    assert process.stdin is not None
    assert process.stdout is not None
    with turns.JOBS.turn(on_wait), process:
        said.progress = "starting"
        with contextlib.suppress(OSError):
            process.stdin.write(text)
            process.stdin.close()
        for line in process.stdout:
            told = json.loads(line)
            said.progress = told.get("progress", said.progress)
            said.outcome = told.get("outcome", said.outcome)
            said.error = told.get("error", said.error)
    if said.outcome is None and said.error is None and not said.cancelled:
        said.error = f"the job ended without a word (exit code {process.returncode})"
