"""Simulate one request on an idle instance: the check of `first_token`, through real clients.

A first request on instance 0 computes the context and stores it; when its uploads are done, the
request that is timed comes. It runs with the GPU's prefix cache off, on instance 0 to load from
CPU memory, on others, whose CPU memory is empty, to load from the store.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import simpy

from kvsim.errors import SimulationError
from kvsim.plan.first_token import Store
from kvsim.simulate import World
from kvsim.spec.scenario import Scenario
from kvsim.workload.request import NO_END, Request

Way = Literal["recompute", "miss", "cpu", "store"]
_CONTEXT_NODE = 1
_SPARE_CHUNKS = 8


class _Client:
    """Wait for the answers to requests that it sends at once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._left = 0
        self._sent = 0
        self._done: simpy.Event = world.clock.event()
        cast(Any, world).driver = self

    def ask(self, prompts: list[tuple[int, tuple[tuple[int, int], ...]]]) -> list[Request]:
        """Send prompts (tokens, path) and run until all are answered or have failed."""
        clock = self._world.clock
        self._done, self._left = clock.event(), len(prompts)
        requests = []
        for tokens, path in prompts:
            request = Request(self._sent, self._sent, 1, tokens, 1, path, False, clock.now)
            self._sent += 1
            requests.append(request)
            self._world.front_end.submit(request)
        clock.run(self._done)
        return requests

    def on_finished(self, request: Request) -> None:
        self._end()

    on_failed = on_finished

    def _end(self) -> None:
        self._left -= 1
        if not self._left:
            self._done.succeed()


def simulate_first_token(
    scenario: Scenario,
    way: Way,
    *,
    context: int,
    question: int,
    store: Store | None = None,
    concurrency: int = 1,
) -> float:
    """Return the mean time to first token of `concurrency` requests, one an instance."""
    world = World(_alone(scenario, way, context, store, concurrency), coalesce=True)
    client = _Client(world)
    prompt = context + question
    new_nodes = iter(range(_CONTEXT_NODE + 1, _CONTEXT_NODE + 2 + concurrency))
    if way in ("cpu", "store"):
        client.ask([(context + 1, ((_CONTEXT_NODE, context), (next(new_nodes), NO_END)))])
        while any(engine.puts_in_flight for engine in world.engines):
            world.clock.step()
        if way == "cpu":
            world.clock.run(world.clock.now + 1.0)
    timed = client.ask(
        [
            (prompt, ((_CONTEXT_NODE, context), (next(new_nodes), NO_END)))
            for _ in range(concurrency)
        ]
    )
    waits = [r.first_token_s - r.arrival_s for r in timed if r.first_token_s is not None]
    if len(waits) < len(timed):
        raise SimulationError(f"a request of {prompt} tokens got no answer ({way})")
    return sum(waits) / len(waits)


def _alone(
    scenario: Scenario, way: Way, context: int, store: Store | None, concurrency: int
) -> Scenario:
    """Give the scenario in which nothing but the timed request happens."""
    chunks = context // scenario.offload.chunk_tokens + _SPARE_CHUNKS
    changes: dict[str, Any] = {
        "instances": concurrency + 1 if way == "store" else concurrency,
        "router": "round_robin",
        "engine.enable_prefix_caching": False,
        "offload.connector": "none" if way == "recompute" else "lmcache_inproc",
        "offload.min_retrieve_tokens": 0,
        "offload.cpu.capacity": max(
            scenario.offload.cpu.capacity, 2 * chunks * scenario.chunk_bytes
        ),
        "offload.remote": None,
        "workload": {
            "kind": "multi_round_qa",
            "num_users": 1,
            "num_rounds": 1,
            "qps": 1,
            "shared_system_prompt": 0,
            "user_history_prompt": 0,
            "answer_len": 1,
            "time": 1,
            "warmup_requests": 0,
            "token_content": scenario.workload.token_content,
        },
    }
    if store is not None and way in ("store", "miss"):
        changes["offload.remote"] = {"profile": store.model_dump(mode="json")}
        if store.medium == "object":
            changes["offload.remote.profile.client.warmup_first"] = 0.0
    return scenario.replace(changes)
