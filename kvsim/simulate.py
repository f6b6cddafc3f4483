"""Build the world of a scenario, run it, and hand back the result: the one composition root."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from kvsim.cache.block_oracle import BlockPool
from kvsim.cache.gpu_pool import GpuPool
from kvsim.cache.keys import key_parts, parts_key
from kvsim.cache.make import allowances, make_chunk_tier, make_remote_store
from kvsim.cache.remote_store import RemoteStore
from kvsim.compute.step_time import StepTime
from kvsim.des.clock import Clock
from kvsim.des.link import Link
from kvsim.engine.connectors.base import NoConnector
from kvsim.engine.connectors.lmcache_inproc import LmcacheInproc
from kvsim.engine.engine import Engine
from kvsim.engine.front_end import FrontEnd
from kvsim.engine.ledger import Ledger
from kvsim.engine.schedule import BlockBook, Scheduler
from kvsim.engine.tier_usage import kept_by_tenants
from kvsim.errors import ConfigError
from kvsim.metrics.columns import Columns
from kvsim.metrics.folder import new_result
from kvsim.metrics.recorder import Recorder
from kvsim.metrics.result import RunResult, load_remote_keys
from kvsim.metrics.stream import STREAMED, TableStream
from kvsim.routing.cache_aware import Surroundings
from kvsim.routing.routers import make_router
from kvsim.spec import (
    MultiRoundQaSpec,
    Scenario,
    block_bytes,
    kv_pool_blocks,
    load_scenario,
    step_limits,
)
from kvsim.storage import make_client, make_server
from kvsim.workload.multi_round_qa import MultiRoundQa
from kvsim.workload.request import Request
from kvsim.workload.source import make_replay
from kvsim.workload.tenants import Reception
from kvsim.workload.trace_replay import TraceReplay


def simulate(
    scenario: Scenario, *, coalesce: bool = True, save_to: Path | None = None
) -> RunResult:
    """Run a scenario to its end, the drain included.

    With `save_to` the run is saved in that folder, and its tables are written while it goes on, so
    that memory does not grow with it. `coalesce=False` takes every engine step, every GPU block and
    every poll of the client by itself: the oracle, which gives the same tables, far slower.
    """
    begun_s = time.perf_counter()
    collecting = gc.isenabled()
    gc.disable()  # all of the world lives to the end: to look for garbage costs a tenth of the run
    try:
        if save_to is not None:
            return _simulate_to(save_to, scenario, begun_s, coalesce=coalesce)
        world = World(scenario, coalesce=coalesce)
        world.run()
        return world.result(begun_s)
    finally:
        if collecting:
            gc.enable()


def _simulate_to(folder: Path, scenario: Scenario, begun_s: float, *, coalesce: bool) -> RunResult:
    with new_result(folder) as draft:
        with TableStream(draft, tenants=scenario.tenants is not None) as stream:
            world = World(scenario, coalesce=coalesce, sink=stream)
            world.run()
            stream.finish(world.recorder)
        result = world.result(begun_s)
        result.write_files(draft, but=STREAMED)
    return result.saved_in(folder)


class World:
    """Everything mutable of one run."""

    def __init__(
        self, scenario: Scenario, *, coalesce: bool, sink: TableStream | None = None
    ) -> None:
        self.scenario = scenario
        self.clock = Clock()
        self.recorder = Recorder(sink=sink)
        self.remote: RemoteStore | None = None
        self._server: Link | None = None
        offload = scenario.offload
        if offload.connector != "none" and offload.remote is not None:
            self.remote = make_store(scenario, lambda: self.clock.now)
            self._server = make_server(offload.remote.profile, self.clock)
        self.front_end = FrontEnd(
            self.clock,
            make_router(
                scenario.router,
                scenario.instances,
                scenario.seed,
                scenario.routing,
                Surroundings(
                    now=lambda: self.clock.now,
                    pool_tokens=scenario.num_gpu_blocks * scenario.engine.block_tokens,
                    cpu_tokens=self._cpu_tokens,
                ),
            ),
            scenario.host,
            self.recorder,
            on_finished=lambda request: self.driver.on_finished(request),
            on_failed=lambda request: self.driver.on_failed(request),
        )
        self._ledger = Ledger(scenario.instances)
        self.engines = [
            self._make_engine(index, coalesce=coalesce) for index in range(scenario.instances)
        ]
        for engine in self.engines:
            self.front_end.connect(engine)
        self.driver = self._make_driver(coalesce=coalesce)

    def run(self) -> None:
        """Let time pass until the client has seen its last answer."""
        self.driver.start()
        self.clock.run(self.driver.done)
        for engine in self.engines:
            engine.close()

    def result(self, begun_s: float) -> RunResult:
        """Close the books."""
        start_s, end_s = self.driver.start_s, self.driver.end_s
        assert start_s is not None
        assert end_s is not None, "the run has not ended"
        requests = self.recorder.request_columns()
        return RunResult.from_run(
            self.scenario,
            self.recorder,
            requests,
            self._tier_rows(requests),
            map(key_parts, self.remote) if self.remote is not None else (),
            start_s=start_s,
            end_s=end_s,
            events=self.clock.num_events,
            wall_s=time.perf_counter() - begun_s,
            died=any(engine.is_dead for engine in self.engines),
            kept=self._kept_by_tenants(),
            remarks=self.driver.trace.remarks if isinstance(self.driver, TraceReplay) else (),
        )

    def _kept_by_tenants(self) -> dict[str, dict[str, int | None]] | None:
        if self.scenario.tenants is None:
            return None
        chunk_bytes = _chunk_bytes(self.scenario)
        return kept_by_tenants(
            self.scenario.tenants,
            [engine.lmcache.cpu for engine in self.engines if engine.lmcache is not None],
            self.remote,
            chunk_bytes,
            chunk_bytes * self.scenario.engine.tensor_parallel_size,
        )

    def _cpu_tokens(self, instance: int, request: Request) -> int:
        lmcache = self.engines[instance].lmcache
        return lmcache.prefix_tokens(request) if lmcache is not None else 0

    def _make_driver(self, *, coalesce: bool) -> MultiRoundQa | TraceReplay:
        scenario, work = self.scenario, self.scenario.workload
        submit, reception = self.front_end.submit, None
        if scenario.tenants is not None:
            reception = Reception(scenario.tenants, submit)
            submit = reception.submit
        if isinstance(work, MultiRoundQaSpec):
            return MultiRoundQa(
                work,
                self.clock,
                submit,
                seed=scenario.seed,
                coalesce=coalesce,
                on_live_sessions=self.recorder.live_sessions,
            )
        replay = make_replay(
            work,
            self.clock,
            submit,
            seed=scenario.seed,
            on_live_sessions=self.recorder.live_sessions,
        )
        if reception is not None:
            reception.use_trace(replay.trace, replay.user_of_session)
        offload = scenario.offload
        replay.check(
            max_model_len=scenario.max_model_len,
            chunk_tokens=None if offload.connector == "none" else offload.chunk_tokens,
        )
        return replay

    def _make_engine(self, index: int, *, coalesce: bool) -> Engine:
        scenario = self.scenario
        lmcache = make_lmcache(
            scenario, index, self.clock, self.remote, self._server, self.recorder, coalesce=coalesce
        )
        scheduler = make_scheduler(scenario, lmcache, coalesce=coalesce)
        return Engine(
            self.clock,
            index,
            scheduler=scheduler,
            lmcache=lmcache,
            step_time=StepTime(
                scenario.model,
                scenario.gpu,
                scenario.engine,
                scenario.workload.token_content,
                pcie_bandwidth=scenario.host.pcie_bandwidth,
            ),
            host=scenario.host,
            block_bytes=block_bytes(scenario.model, scenario.engine),
            ledger=self._ledger,
            recorder=self.recorder,
            on_first_token=self.front_end.first_token,
            on_finished=self.front_end.finished,
            on_failed=self.front_end.failed,
            coalesce=coalesce,
        )

    def _tier_rows(self, requests: Columns) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for engine in self.engines:
            rows.extend(engine.usage.rows(requests, self.clock.now))
        if self.remote is not None:
            chunk_bytes = _chunk_bytes(self.scenario) * self.scenario.engine.tensor_parallel_size
            capacity = self.remote.capacity_chunks
            rows.append(
                {
                    "instance": -1,
                    "tier": "remote",
                    "capacity_bytes": None if capacity is None else capacity * chunk_bytes,
                    "mean_used_bytes": None,
                    "peak_used_bytes": self.remote.peak_chunks * chunk_bytes,
                    "lookups": sum(
                        e.lmcache.lookups for e in self.engines if e.lmcache is not None
                    ),
                    "hit_tokens": int(requests["hit_tokens_remote"].sum()),
                    "evicted_bytes": self.remote.evicted_chunks * chunk_bytes,
                }
            )
        return rows


def make_scheduler(
    scenario: Scenario, lmcache: LmcacheInproc | None, *, coalesce: bool = True
) -> Scheduler:
    """Build the scheduler of one instance with an empty pool, of single blocks for the oracle."""
    engine = scenario.engine
    num_blocks = kv_pool_blocks(scenario.model, scenario.gpu, engine) - 1  # vLLM's null block
    max_num_batched_tokens, max_num_seqs = step_limits(scenario.gpu, engine)
    pool: BlockBook = (GpuPool if coalesce else BlockPool)(num_blocks, engine.block_tokens)
    return Scheduler(
        pool,
        lmcache if lmcache is not None else NoConnector(scenario.host),
        max_num_batched_tokens=max_num_batched_tokens,
        max_num_seqs=max_num_seqs,
        prefix_caching=engine.enable_prefix_caching,
        by_priority=engine.scheduling_policy == "priority",
    )


def make_lmcache(
    scenario: Scenario,
    index: int,
    clock: Clock,
    remote: RemoteStore | None,
    server: Link | None,
    recorder: Recorder,
    *,
    coalesce: bool = True,
) -> LmcacheInproc | None:
    """Build LMCache of one instance with an empty CPU tier, or none if nothing is offloaded.

    Ranks of a tensor-parallel instance act alike, each on its share of every chunk: one stands for
    all.
    """
    offload = scenario.offload
    chunk_bytes = _chunk_bytes(scenario)
    if offload.connector == "none" or (
        offload.cpu.capacity < chunk_bytes and offload.remote is None
    ):
        return None
    client = None
    if offload.remote is not None and server is not None:
        client = make_client(
            offload.remote.profile,
            clock,
            server,
            client=index,
            num_cpus=scenario.host.num_cpus,
            ranks=scenario.engine.tensor_parallel_size,
            record=partial(_record_remote, recorder, index, scenario.engine.tensor_parallel_size),
        )
    return LmcacheInproc(
        offload,
        scenario.host,
        cpu=make_chunk_tier(
            offload.cpu.capacity // chunk_bytes,
            offload.cpu.eviction,
            extents=coalesce,
            admission=offload.cpu.admission,
            ttl_s=offload.cpu.ttl,
            now=lambda: clock.now,
            cost=partial(scenario.model.chunk_flops, offload.chunk_tokens),
            allowances=allowances(scenario.tenants, "cpu", offload.cpu.capacity, chunk_bytes),
        ),
        remote=remote,
        client=client,
        chunk_bytes=chunk_bytes,
    )


def make_store(scenario: Scenario, now: Callable[[], float] = float) -> RemoteStore:
    """Build the store that all instances share, with what it holds at the start."""
    offload = scenario.offload
    assert offload.remote is not None, "no remote tier"
    chunk_bytes = _chunk_bytes(scenario) * scenario.engine.tensor_parallel_size
    return make_remote_store(
        offload.remote,
        chunk_bytes,
        remote_start(offload.remote.start_from),
        now=now,
        cost=partial(scenario.model.chunk_flops, offload.chunk_tokens),
        allowances=allowances(scenario.tenants, "remote", offload.remote.capacity, chunk_bytes),
    )


def _record_remote(
    recorder: Recorder,
    instance: int,
    ranks: int,
    direction: str,
    n_bytes: int,
    asked_s: float,
    started_s: float,
    finished_s: float,
    objects: int,
    count: int,
) -> None:
    recorder.transfer(
        instance,
        "remote",
        direction,
        n_bytes * ranks,
        objects * ranks,
        asked_s,
        started_s,
        finished_s,
        count,
    )


def remote_start(start_from: Path | None) -> Iterable[int]:
    """Name the chunks that a remote store holds at the start.

    None, or what another run left when its uploads had ended: `start_from` is a saved run's folder,
    or a scenario file, which is simulated first.
    """
    if start_from is None:
        return ()
    if start_from.is_dir():
        return [parts_key(node, index) for node, index in load_remote_keys(start_from)]
    world = World(load_scenario(start_from), coalesce=True)
    if world.remote is None:
        raise ConfigError(
            f"offload.remote.start_from: {start_from} has no remote tier; "
            "name a scenario that has one"
        )
    world.run()
    while any(engine.puts_in_flight for engine in world.engines):
        world.clock.step()
    return world.remote


def _chunk_bytes(scenario: Scenario) -> int:
    """Give the size of one rank's part of a chunk."""
    degree = scenario.engine.tensor_parallel_size
    return scenario.offload.chunk_tokens * scenario.model.kv_bytes_per_token_per_rank(degree)
