"""Hit rates of a scenario without time: each request is served at once, in the trace's order.

Routers, GPU pools, CPU tiers and the store are those of a run. What time does is left out: requests
under way hold nothing, loads and puts are done at once, queues are empty, and TTLs never pass.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable, Sequence
from math import inf

from kvsim.cache.chunk_tier import ChunkTier
from kvsim.cache.gpu_pool import GpuPool
from kvsim.cache.keys import cut, split, unit_keys
from kvsim.cache.make import allowances, make_chunk_tier
from kvsim.cache.remote_store import RemoteStore
from kvsim.des.clock import Clock
from kvsim.engine.ledger import Ledger
from kvsim.engine.tier_usage import kept_by_tenants
from kvsim.errors import ConfigError
from kvsim.metrics.columns import TOKEN_SUMS, request_columns
from kvsim.metrics.tenants import tenant_rows
from kvsim.plan.untimed_run import UntimedRun, untimed_tables
from kvsim.routing.cache_aware import Surroundings
from kvsim.routing.routers import make_router
from kvsim.simulate import make_store
from kvsim.spec import MultiRoundQaSpec, Scenario
from kvsim.workload.request import Request
from kvsim.workload.source import make_replay
from kvsim.workload.tenants import Reception


def untimed_hits(scenario: Scenario) -> UntimedRun:
    """Return the prompt tokens by source, for all, each request and each tenant."""
    requests, remarks = _requests(scenario)
    begun_s = time.perf_counter()
    caches = _Caches(scenario)
    collecting = gc.isenabled()
    gc.disable()  # as simulate(): nothing of it is garbage before the end
    try:
        for request in requests:
            caches.serve(request)
    finally:
        if collecting:
            gc.enable()
    wall_s = time.perf_counter() - begun_s
    _tell_causes(requests, scenario.instances)
    sums = {name: sum(getattr(request, name) for request in requests) for name in TOKEN_SUMS}
    summary = {
        "requests": len(requests),
        **sums,
        "token_hit_rate": 1 - sums["computed_tokens"] / sums["prompt_tokens"],
        "chunk_references": sum(
            request.prompt_tokens // scenario.offload.chunk_tokens for request in requests
        ),
    }
    tenants_rows = None
    if scenario.tenants is not None:
        tenants_rows = tenant_rows(
            scenario.tenants,
            request_columns(requests),
            caches.kept_by_tenants(scenario.tenants),
            start_s=0.0,
            end_s=inf,
            slo=None,
        )
    return UntimedRun(scenario, summary, wall_s, untimed_tables(requests, tenants_rows), remarks)


def _tell_causes(requests: Sequence[Request], instances: int) -> None:
    """Tell of computed tokens whether this or another instance had computed them before."""
    ledger = Ledger(instances)
    for request in requests:
        assert request.instance is not None, "a request that was not served"
        ledger.admit(request, request.instance, request.prompt_tokens - request.computed_tokens)
        ledger.finish(request, request.instance)


def _requests(scenario: Scenario) -> tuple[list[Request], list[str]]:
    """Let the driver send everything, each answer coming at once; say what the trace lacks."""
    work = scenario.workload
    if isinstance(work, MultiRoundQaSpec):
        raise ConfigError(
            "workload.kind: multi_round_qa has no order without time; "
            "run it with time, or take a trace, agentic, rag or chat"
        )
    clock = Clock()
    sent: list[Request] = []

    def answer(request: Request) -> None:
        request.scheduled_s = request.first_token_s = request.finished_s = clock.now
        request.outcome = "finished"
        sent.append(request)
        clock.call_at(clock.now, lambda: replay.on_finished(request))

    reception = None if scenario.tenants is None else Reception(scenario.tenants, answer)
    submit = answer if reception is None else reception.submit
    replay = make_replay(work, clock, submit, seed=scenario.seed)
    if reception is not None:
        reception.use_trace(replay.trace, replay.user_of_session)
    offload = scenario.offload
    replay.check(
        max_model_len=scenario.max_model_len,
        chunk_tokens=None if offload.connector == "none" else offload.chunk_tokens,
    )
    replay.start()
    clock.run(replay.done)
    return sent, replay.trace.remarks


class _Caches:
    def __init__(self, scenario: Scenario) -> None:
        offload = scenario.offload
        self._scenario = scenario
        self._size = offload.chunk_tokens
        self._block = scenario.engine.block_tokens
        self._keeps_answers = offload.save_decode_cache
        self._shares_blocks = scenario.engine.enable_prefix_caching
        self._pools = [
            GpuPool(scenario.num_gpu_blocks - 1, self._block) for _ in range(scenario.instances)
        ]
        self._tiers: list[ChunkTier] = []
        self._store: RemoteStore | None = None
        if offload.connector != "none":
            self._tiers = [
                make_chunk_tier(
                    offload.cpu.capacity // scenario.chunk_bytes,
                    offload.cpu.eviction,
                    extents=True,
                    admission=offload.cpu.admission,
                    cost=lambda place: scenario.model.chunk_flops(self._size, place),
                    allowances=allowances(
                        scenario.tenants, "cpu", offload.cpu.capacity, scenario.chunk_bytes
                    ),
                )
                for _ in range(scenario.instances)
            ]
            if offload.remote is not None:
                self._store = make_store(scenario)
        self._router = make_router(
            scenario.router,
            scenario.instances,
            scenario.seed,
            scenario.routing,
            Surroundings(
                pool_tokens=scenario.num_gpu_blocks * self._block, cpu_tokens=self._cpu_tokens
            ),
        )

    def serve(self, request: Request) -> None:
        """Look a prompt up, fill in where its tokens come from, and keep it."""
        request.instance = instance = self._router.route(request)
        most = request.prompt_tokens - 1  # the last token is always computed
        end = request.prompt_tokens + request.output_tokens - 1
        blocks = 0
        if self._shares_blocks:
            blocks = self._pools[instance].serve(request.path, most // self._block, end)
        hbm = cpu = remote = blocks * self._block
        if self._tiers:
            cpu, remote = self._load(request, self._tiers[instance], end)
            cpu = max(hbm, min(cpu, most))
            remote = max(cpu, min(remote, most))
        request.hit_tokens_hbm = hbm
        request.hit_tokens_cpu = cpu - hbm
        request.hit_tokens_remote = remote - cpu
        request.computed_tokens = request.prompt_tokens - remote
        self._router.ended(request)

    def kept_by_tenants(self, tenants: Iterable[str]) -> dict[str, dict[str, int | None]]:
        """Give the most that each tenant took of the tiers and what of it was evicted."""
        chunk_bytes = self._scenario.chunk_bytes
        ranks = self._scenario.engine.tensor_parallel_size
        return kept_by_tenants(tenants, self._tiers, self._store, chunk_bytes, chunk_bytes * ranks)

    def _load(self, request: Request, tier: ChunkTier, end: int) -> tuple[int, int]:
        """Return the ends of what CPU memory and the store have; then keep all of the prompt."""
        chunks = request.prompt_tokens // self._size
        kept = max(chunks, end // self._size) if self._keeps_answers else chunks
        keys = unit_keys(request.path, self._size, 0, kept)
        tier.charge_to(request.tenant)
        in_cpu = found = tier.serve(keys, chunks)
        store = self._store
        if store is not None:
            found += store.look_up(cut(keys, in_cpu, chunks))
            for run in split(keys, found)[1]:
                if request.tenant is not None:
                    store.claim(run, request.tenant)
                store.add(run)
        return in_cpu * self._size, found * self._size

    def _cpu_tokens(self, instance: int, request: Request) -> int:
        if not self._tiers:
            return 0
        chunks = request.prompt_tokens // self._size
        keys = unit_keys(request.path, self._size, 0, chunks)
        return self._tiers[instance].prefix(keys) * self._size
