"""A limit of time on work inside the page, whatever was estimated for it."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from kvsim.errors import SimulationError


class _OutOfTimeError(Exception):
    """Raised in a thread from outside."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Interrupt what this thread does after a time; SimulationError if it comes to that."""
    thread, ended, lock = threading.get_ident(), False, threading.Lock()

    def interrupt() -> None:
        with lock:
            if not ended:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread), ctypes.py_object(_OutOfTimeError)
                )

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except _OutOfTimeError:
        raise SimulationError(
            f"the run takes more than {seconds:g} s, far longer than estimated; change what is "
            "extreme in the design, or take it to the command line (kvsim run)"
        ) from None
    finally:
        with lock:
            ended = True
        timer.cancel()
