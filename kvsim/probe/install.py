"""Wrap four methods of vLLM's scheduler class.

Whatever goes wrong here stays here: the wrapped method's result, or its own exception, is all that
the engine sees. After a few failures the probe switches itself off.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from .rows import LOGGER, Rows
from .sinks import open_sink

_MARK = "_kvsim_probe"
_MAX_FAILURES = 10

Hook = Callable[..., None]


def install(scheduler_class: type[Any], target: str, *, version: str = "") -> None:
    """Wrap the class, once; each scheduler gets its own file when it first does something."""
    if _MARK in vars(scheduler_class):
        return
    probe = _Probe(target, version)
    _wrap(scheduler_class, "add_request", probe.add_request)
    _wrap(scheduler_class, "schedule", probe.schedule)
    _wrap(scheduler_class, "update_from_output", probe.update_from_output)
    # Inside this one the request still has its numbers, whether it finished or was aborted.
    _wrap(scheduler_class, "_free_request", probe.free_request, before=True)
    setattr(scheduler_class, _MARK, probe)
    LOGGER.info("recording engine steps to %s", target)


def _wrap(owner: type[Any], name: str, hook: Hook, *, before: bool = False) -> None:
    """Call `hook(scheduler, arguments, result, begin_s)` with each call, before or after it."""
    original = getattr(owner, name, None)
    if original is None:
        LOGGER.warning("this vLLM's scheduler has no %s: its rows will be missing", name)
        return
    now = time.time

    @wraps(original)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        begin_s = now()
        if before:
            hook(self, args or tuple(kwargs.values()), None, begin_s)
            return original(self, *args, **kwargs)
        result = original(self, *args, **kwargs)
        hook(self, args or tuple(kwargs.values()), result, begin_s)
        return result

    setattr(owner, name, wrapped)


class _Probe:
    """The hooks; none of them raises."""

    def __init__(self, target: str, version: str) -> None:
        self._target = target
        self._version = version
        self._failures = 0

    def add_request(
        self, scheduler: Any, args: tuple[Any, ...], result: Any, begin_s: float
    ) -> None:
        try:
            rows = self._rows(scheduler)
            if rows is not None:
                rows.added(args[0], begin_s)
        except Exception:
            self._failed()

    def schedule(self, scheduler: Any, args: tuple[Any, ...], result: Any, begin_s: float) -> None:
        try:
            rows = self._rows(scheduler)
            if rows is not None:
                rows.scheduled(scheduler, result, begin_s, time.time())
        except Exception:
            self._failed()

    def update_from_output(
        self, scheduler: Any, args: tuple[Any, ...], result: Any, begin_s: float
    ) -> None:
        try:
            rows = self._rows(scheduler)
            if rows is not None:
                rows.processed(args[0], begin_s)
        except Exception:
            self._failed()

    def free_request(
        self, scheduler: Any, args: tuple[Any, ...], result: Any, begin_s: float
    ) -> None:
        try:
            rows = self._rows(scheduler)
            if rows is not None:
                rows.ended(args[0], begin_s)
        except Exception:
            self._failed()

    def _rows(self, scheduler: Any) -> Rows | None:
        if self._failures >= _MAX_FAILURES:
            return None
        rows: Rows | None = vars(scheduler).get(_MARK)
        if rows is None:
            sink = open_sink(self._target)
            LOGGER.info("engine steps go to %s", sink.path)
            rows = Rows(sink, version=self._version)
            setattr(scheduler, _MARK, rows)
        return rows

    def _failed(self) -> None:
        self._failures += 1
        if self._failures == 1:
            LOGGER.warning("the probe missed a row; the engine goes on", exc_info=True)
        elif self._failures == _MAX_FAILURES:
            LOGGER.warning("the probe failed %d times and is off now", _MAX_FAILURES)
