"""LMCache's rules of lookup, load and store, without a clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import simpy

from kvsim.cache.keys import unit_keys
from kvsim.cache.make import make_chunk_tier
from kvsim.cache.remote_store import EndlessStore
from kvsim.engine.connectors.lmcache_inproc import LmcacheInproc
from kvsim.engine.sequence import Sequence as Served
from kvsim.spec import OffloadSpec, load_profile
from kvsim.workload.request import NO_END, Request

CHUNK = 256
PATH = ((0, 1_011), (9, NO_END))


class StubClient:
    """A storage client whose puts end when the test says so, and whose checks take 50 ms."""

    busy_puts = 1
    step_delay_s = 0.0
    puts_in_flight = backlog_bytes = 0

    def __init__(self, *, remembers_checks: bool) -> None:
        self.remembers_checks = remembers_checks
        self.checks: list[int] = []
        self.waiting: list[tuple[int, Callable[[int], None]]] = []

    def handover_s(self, n_puts: int) -> float:
        return 0.0

    def lookup_s(self, n_checks: int) -> float:
        self.checks.append(n_checks)
        return 0.05 * n_checks

    def read(self, keys: Sequence[int], chunk_bytes: int) -> simpy.Event:
        raise AssertionError("the engine reads, not the connector")

    def write(self, key: int, chunk_bytes: int, on_done: Callable[[int], None]) -> None:
        self.waiting.append((key, on_done))

    def end_puts(self) -> None:
        for key, on_done in self.waiting:
            on_done(key)
        self.waiting.clear()


def lmcache(
    chunks: int = 100, *, client: StubClient | None = None, **offload: Any
) -> LmcacheInproc:
    spec = OffloadSpec(connector="lmcache_inproc", **offload)
    host = load_profile("hosts", "xeon-pcie5")
    return LmcacheInproc(
        spec,
        host,  # type: ignore[arg-type]
        cpu=make_chunk_tier(chunks, "lru", extents=True),
        remote=EndlessStore() if client is not None else None,
        client=client,
        chunk_bytes=1,
    )


def served(prompt: int, number: int = 0) -> Served:
    request = Request(number, 1, 1, prompt, 100, PATH, warmup=False, arrival_s=0.0)
    return Served(request)


def admit(connector: LmcacheInproc, sequence: Served, local_tokens: int = 0) -> int:
    external = connector.match(sequence, local_tokens)
    sequence.local_tokens, sequence.external_tokens = local_tokens, external
    connector.allocated(sequence, local_tokens, external)
    connector.release_pins(sequence)
    sequence.num_computed = sequence.prompt_tokens
    return external


def store(connector: LmcacheInproc, sequence: Served) -> int:
    keys = connector.allocate_store(connector.to_store(sequence))
    connector.store(keys)
    return sum(map(len, keys))


def test_only_full_chunks_are_stored_and_found() -> None:
    connector = lmcache()
    first = served(1_000)
    assert admit(connector, first) == 0
    assert store(connector, first) == 3
    assert admit(connector, served(1_000, 1)) == 3 * CHUNK
    assert admit(connector, served(700, 2)) == 2 * CHUNK


def test_the_last_token_is_always_computed() -> None:
    connector = lmcache()
    first = served(1_024)
    admit(connector, first)
    store(connector, first)
    assert admit(connector, served(1_024, 1)) == 1_023


def test_what_the_gpu_has_is_not_loaded_and_a_shorter_hit_stores_again() -> None:
    connector = lmcache()
    first = served(1_000)
    admit(connector, first)
    store(connector, first)
    longer = served(2_000, 1)
    assert admit(connector, longer, local_tokens=800) == 0
    assert store(connector, longer) == 7 - 3, "from the hit of three chunks on, GPU hits included"


def test_a_load_takes_its_first_chunk_whole() -> None:
    connector = lmcache()
    first = served(2_048)
    admit(connector, first)
    store(connector, first)
    again = served(2_100, 1)
    external = connector.match(again, 400)
    load = connector.allocated(again, 400, external)
    assert load is not None
    assert (external, load.cpu_chunks, load.remote_chunks) == (8 * CHUNK - 400, 7, 0)


def test_min_retrieve_tokens() -> None:
    connector = lmcache(min_retrieve_tokens=600)
    first = served(1_000)
    admit(connector, first)
    store(connector, first)
    assert admit(connector, served(1_000, 1), local_tokens=200) == 0
    assert admit(connector, served(1_000, 2), local_tokens=160) == 608


def test_remote_hits_continue_where_cpu_hits_end_and_are_promoted() -> None:
    client = StubClient(remembers_checks=True)
    connector = lmcache(chunks=4, client=client)
    assert connector.remote is not None
    runs = unit_keys(PATH, CHUNK, 0, 6)
    for run in runs:
        connector.remote.add(run)
    connector.cpu.allocate(2)
    connector.cpu.insert(unit_keys(PATH, CHUNK, 0, 2), held=False)
    asked = served(6 * CHUNK + 10)
    external = connector.match(asked, 0)
    asked.external_tokens = external
    load = connector.allocated(asked, 0, external)
    assert load is not None
    assert (load.cpu_chunks, load.remote_chunks) == (2, 4)
    assert connector.cpu_tokens(load) == 2 * CHUNK
    assert client.checks == [4], "no miss: the prompt ends with the hits"
    assert not connector.reserve(load), "two chunks are pinned, two are free: four do not fit"
    connector.release_pins(asked)
    assert connector.reserve(load)
    connector.promote(load)
    assert connector.cpu.num_resident == 4


def test_known_objects_are_not_asked_for_again() -> None:
    client = StubClient(remembers_checks=True)
    connector = lmcache(client=client)
    first = served(1_000)
    admit(connector, first)
    assert client.checks == [1], "one miss ends the walk"
    store(connector, first)
    client.end_puts()
    connector.cpu.allocate(100)  # evicts all
    assert admit(connector, served(1_000, 1)) == 3 * CHUNK
    assert client.checks == [1], "own puts are known, and the prompt has no further full chunk"


def test_files_are_asked_for_every_time() -> None:
    client = StubClient(remembers_checks=False)
    connector = lmcache(client=client)
    first = served(1_100)
    admit(connector, first)
    store(connector, first)
    admit(connector, served(1_300, 1))
    assert client.checks == [1, 1], "even behind a full CPU hit, one check for the next chunk"


def test_a_lookup_that_takes_too_long_finds_nothing() -> None:
    client = StubClient(remembers_checks=True)
    connector = lmcache(client=client)
    assert connector.remote is not None
    for run in unit_keys(PATH, CHUNK, 0, 80):
        connector.remote.add(run)
    connector.take_host_s()
    assert admit(connector, served(80 * CHUNK)) == 0
    assert connector.take_host_s() > 3.0


def test_puts_hold_memory_and_stores_that_find_none_are_dropped() -> None:
    client = StubClient(remembers_checks=True)
    connector = lmcache(chunks=4, client=client)
    first = served(3 * CHUNK)
    admit(connector, first)
    assert store(connector, first) == 3
    second = Served(Request(1, 2, 1, 6 * CHUNK, 1, ((50, NO_END),), warmup=False, arrival_s=0.0))
    admit(connector, second)
    assert store(connector, second) == 1, "three chunks are held by puts, one is free"
    assert connector.dropped_chunks == 5
    client.end_puts()
    assert connector.puts == 0
    assert connector.cpu.busy_chunks == 0
