"""Which instance serves the next request; each rule is named after its real counterpart.

`round_robin` is production-stack's: the next instance in strict turn, in true arrival order.
`least_loaded` is nginx's `least_conn`: fewest open streams, ties in turn. `session` is
production-stack's consistent hash ring over the user id. `power_of_two` is Envoy's least-request:
two draws, the one with fewer open streams. `random` draws from its own stream of the run's seed.
Routers that look at prompts are in `cache_aware`.
"""

from __future__ import annotations

import hashlib
from bisect import bisect
from typing import Protocol, assert_never

from kvsim.routing.cache_aware import KvAware, LlmD, PrefixAware, Surroundings
from kvsim.spec.routing import RouterName, RoutingSpec
from kvsim.workload.chance import stream
from kvsim.workload.request import Request

_POINTS_PER_INSTANCE = 160


class Router(Protocol):
    """Choose an instance for a request, and hear when a stream ends."""

    def route(self, request: Request) -> int:
        """Choose the instance."""

    def ended(self, request: Request) -> None:
        """Note that the stream of a request ended."""


class RoundRobin:
    """Take the instances in turn."""

    def __init__(self, instances: int) -> None:
        self._instances = instances
        self._next = 0

    def route(self, request: Request) -> int:
        chosen = self._next
        self._next = (chosen + 1) % self._instances
        return chosen

    def ended(self, request: Request) -> None:
        """Ignore it: turns do not look at load."""


class Random(RoundRobin):
    """Draw an instance, each with equal chance."""

    def __init__(self, instances: int, seed: int) -> None:
        super().__init__(instances)
        self._rng = stream(seed, "router")

    def route(self, request: Request) -> int:
        return int(self._rng.integers(self._instances))


class LeastLoaded(RoundRobin):
    """Take the instance with the fewest open streams; among equals, the next in turn."""

    def __init__(self, instances: int) -> None:
        super().__init__(instances)
        self._open = [0] * instances

    def route(self, request: Request) -> int:
        turn = [(self._next + i) % self._instances for i in range(self._instances)]
        chosen = min(turn, key=self._open.__getitem__)
        self._next = (chosen + 1) % self._instances
        self._open[chosen] += 1
        return chosen

    def ended(self, request: Request) -> None:
        assert request.instance is not None, "a stream without an instance"
        self._open[request.instance] -= 1


class PowerOfTwoChoices(LeastLoaded):
    """Draw two instances, maybe the same one twice, and take the one with fewer open streams."""

    def __init__(self, instances: int, seed: int) -> None:
        super().__init__(instances)
        self._rng = stream(seed, "router")

    def route(self, request: Request) -> int:
        chosen = min(
            self._rng.integers(self._instances, size=2).tolist(), key=self._open.__getitem__
        )
        self._open[chosen] += 1
        return int(chosen)


class SessionSticky(RoundRobin):
    """Send all requests of a user to one instance, by a consistent hash ring."""

    def __init__(self, instances: int) -> None:
        super().__init__(instances)
        points = (
            (_ring_hash(f"instance-{i}-{p}"), i)
            for i in range(instances)
            for p in range(_POINTS_PER_INSTANCE)
        )
        self._ring = sorted(points)
        self._chosen: dict[int, int] = {}

    def route(self, request: Request) -> int:
        session = request.session_id
        chosen = self._chosen.get(session)
        if chosen is None:
            place = bisect(self._ring, (_ring_hash(str(session)), self._instances))
            chosen = self._chosen[session] = self._ring[place % len(self._ring)][1]
        return chosen


def _ring_hash(text: str) -> int:
    return int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()[:8], "big")


def make_router(
    name: RouterName,
    instances: int,
    seed: int,
    spec: RoutingSpec | None = None,
    around: Surroundings | None = None,
) -> Router:
    """Build the router of that name."""
    spec = spec or RoutingSpec()
    around = around or Surroundings()
    match name:
        case "round_robin":
            return RoundRobin(instances)
        case "random":
            return Random(instances, seed)
        case "least_loaded":
            return LeastLoaded(instances)
        case "power_of_two":
            return PowerOfTwoChoices(instances, seed)
        case "session":
            return SessionSticky(instances)
        case "prefix_aware":
            return PrefixAware(instances, seed)
        case "kv_aware":
            return KvAware(SessionSticky(instances).route, instances, spec, around)
        case "llm_d":
            return LlmD(instances, seed, spec, around)
        case _:
            assert_never(name)
