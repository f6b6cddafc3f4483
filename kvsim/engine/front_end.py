"""The API servers in front of the engines, and the router before them.

Each instance has one API server: taking in a request (HTTP, template, tokeniser) is serial in it,
handing out a token is not. The client sees its first token and its end of stream a little after
the engine has them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from kvsim.des.clock import Clock
from kvsim.engine.sequence import Sequence
from kvsim.metrics.recorder import Recorder
from kvsim.routing.routers import Router
from kvsim.spec import HostSpec
from kvsim.workload.request import Request


class Server(Protocol):
    """What the front end needs of an engine."""

    @property
    def is_disturbed(self) -> bool:
        """Say whether remote puts slow the host down, the API server included."""

    def submit(self, sequence: Sequence) -> None:
        """Put a request into the engine's input."""


class FrontEnd:
    """Route requests to the engines' API servers, and tell the client what comes back."""

    def __init__(
        self,
        clock: Clock,
        router: Router,
        host: HostSpec,
        recorder: Recorder,
        *,
        on_finished: Callable[[Request], None],
        on_failed: Callable[[Request], None],
    ) -> None:
        self._clock = clock
        self._router = router
        self._host = host
        self._recorder = recorder
        self._on_finished = on_finished
        self._on_failed = on_failed
        self._servers: list[Server] = []
        self._free_s: list[float] = []

    def connect(self, server: Server) -> None:
        """Add an instance, behind an API server of its own."""
        self._servers.append(server)
        self._free_s.append(0.0)

    def submit(self, request: Request) -> None:
        """Route a request from the client at once, and tokenise it when its API server is free."""
        self._recorder.request(request)
        request.instance = instance = self._router.route(request)
        server = self._servers[instance]
        cost = self._host.request_in
        factor = self._host.put_interference.request_in if server.is_disturbed else 1.0
        begin_s = max(self._clock.now, self._free_s[instance])
        ready_s = begin_s + (cost.fixed + cost.per_token * request.prompt_tokens) * factor
        self._free_s[instance] = ready_s
        self._clock.call_at(ready_s, partial(server.submit, Sequence(request)))

    def first_token(self, sequence: Sequence, now_s: float) -> None:
        """Send the first token of an answer, which the engine has at `now_s`, to the client."""
        cost = self._host.first_token_out
        request = sequence.request
        request.first_token_s = now_s + cost.fixed + cost.per_token * request.prompt_tokens

    def finished(self, sequence: Sequence) -> None:
        """Send the end of an answer to the client."""
        request = sequence.request
        assert request.first_token_s is not None, "an end without a beginning"
        finished_s = max(self._clock.now + self._host.end_of_stream, request.first_token_s)
        self._clock.call_at(finished_s, partial(self._end, request))

    def failed(self, sequence: Sequence) -> None:
        """Send an error to the client."""
        request = sequence.request
        request.outcome = "failed"
        self._router.ended(request)
        self._on_failed(request)

    def _end(self, request: Request) -> None:
        request.finished_s = self._clock.now
        request.outcome = "finished"
        self._router.ended(request)
        self._on_finished(request)
