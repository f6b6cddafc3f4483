"""Say why a run is as it is, above all why offload did not help, each rule with its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from kvsim.metrics.cost import gpu_time
from kvsim.metrics.result import RunResult
from kvsim.metrics.summary import Summary
from kvsim.plan.demand import Demand, demands
from kvsim.plan.first_token import FirstToken, Store
from kvsim.plan.formulas import QUESTION_TOKENS
from kvsim.plan.judged_run import use_of
from kvsim.plan.stall import stall_risk
from kvsim.spec.scenario import Scenario
from kvsim.text import change_text, duration, percent, requests_per_s, value_text
from kvsim.units import format_bytes, format_rate

SHARE = 0.05
"""Part of the prompt tokens from which a cause is named."""
STANDSTILL = 0.15
"""Part of the engines' time from which loads or stores are named."""
HELD = 0.25
"""Part of the CPU tier from which waiting uploads are named."""
BUSY = 0.9
"""Part of a store's bandwidth, in the busiest 1 % of the seconds, from which it counts as full."""


@dataclass(frozen=True)
class Finding:
    """One cause."""

    what: str
    evidence: str
    """The numbers that show it."""
    way_out: str


@dataclass(frozen=True)
class _Run:
    """A run and what several rules look at."""

    result: RunResult

    @property
    def scenario(self) -> Scenario:
        return self.result.scenario

    @cached_property
    def summary(self) -> Summary:
        return self.result.summary_dict()

    @cached_property
    def use(self) -> dict[str, float]:
        return use_of(self.result, gpu_time(self.result))

    @property
    def offloads(self) -> bool:
        return self.scenario.offload.connector != "none"

    @property
    def store(self) -> Store | None:
        remote = self.scenario.offload.remote
        return remote.profile if remote is not None and self.offloads else None

    def number(self, name: str) -> float:
        return float(self.summary[name] or 0)

    def share(self, name: str) -> float:
        """Give tokens as a part of all prompt tokens."""
        prompt = self.number("prompt_tokens")
        return self.number(name) / prompt if prompt else 0.0

    @cached_property
    def mean_prompt(self) -> float:
        finished = self.number("finished")
        return self.number("prompt_tokens") / finished if finished else 0.0

    @cached_property
    def live_bytes(self) -> float:
        """KV of the sessions that one instance sees alive, on one rank."""
        scenario = self.scenario
        each = scenario.model.kv_bytes_per_token_per_rank(scenario.engine.tensor_parallel_size)
        seen = self.number("sessions_mean")
        if scenario.router == "session":
            seen /= scenario.instances
        return seen * self.mean_prompt * each


def diagnose(result: RunResult, baseline: RunResult | None = None) -> list[Finding]:
    """List what a run's figures show, the gravest first; `baseline` is the run without offload."""
    run = _Run(result)
    found = [] if baseline is None else [_against(run, _Run(baseline))]
    # What few requests found before an engine stopped says nothing about the tiers.
    for rule in _OF_THE_DEAD if run.summary["died"] else _RULES:
        found += rule(run)
    return found


def _against(run: _Run, base: _Run) -> Finding:
    mine, its = run.number("ttft_s_mean"), base.number("ttft_s_mean")
    relative = mine / its - 1 if its else 0.0
    helped = relative < -SHARE
    what = "offload helps" if helped else "offload does not help"
    if relative > SHARE or (run.summary["died"] and not base.summary["died"]):
        what, helped = "offload hurts", False
    evidence = (
        f"time to first token {duration(mine)} with it, {duration(its)} without "
        f"({change_text(relative)}); {value_text(run.number('finished_per_s'))} and "
        f"{requests_per_s(base.number('finished_per_s'))}"
    )
    way_out = "keep it" if helped else "see the causes below"
    return Finding(what, evidence, way_out)


def _dead(run: _Run) -> Iterator[Finding]:
    if run.summary["died"]:
        yield Finding(
            "an engine stopped for good",
            f"uploads hold the whole CPU tier and a read from the store waits for memory; "
            f"{run.number('failed'):,.0f} requests failed",
            "enlarge offload.cpu.capacity, or take a store that is written faster",
        )
        return
    risk = stall_risk(run.scenario)
    if risk is not None and risk.backlog_bytes > HELD * run.scenario.offload.cpu.capacity:
        yield Finding(
            "uploads hold the CPU tier",
            f"new users write {format_rate(risk.write_bytes_per_s)}, uploads drain "
            f"{format_rate(risk.upload_bytes_per_s)}: {format_bytes(risk.backlog_bytes)} wait in "
            f"{format_bytes(run.scenario.offload.cpu.capacity)}",
            "a store that is written faster, or more CPU memory",
        )


def _unstable(run: _Run) -> Iterator[Finding]:
    if run.summary["stable"]:
        return
    busy = run.use["prefill_fraction"] + run.use["decode_fraction"]
    yield Finding(
        "answers fall behind questions",
        f"{requests_per_s(run.number('finished_per_s'))}; sessions alive: "
        f"{run.number('sessions_mean'):.0f} on average, {run.number('sessions_max'):.0f} at most; "
        f"GPUs compute {percent(busy)} of the time",
        "latencies grow with the length of the run: lower the load, add instances, or find more "
        "tokens in a cache (see below)",
    )


def _no_offload(run: _Run) -> Iterator[Finding]:
    again = run.share("recomputed_evicted_tokens") + run.share("recomputed_elsewhere_tokens")
    if run.offloads or again < SHARE:
        return
    pool = (run.scenario.num_gpu_blocks - 1) * run.scenario.engine.block_tokens
    need = run.number("sessions_mean") * run.mean_prompt
    yield Finding(
        "GPU memory is too small for the sessions alive",
        f"{percent(again)} of the prompt tokens are computed again; the pool of an instance holds "
        f"{pool:,} tokens, live sessions have {need:,.0f}",
        f"a tier below: {format_bytes(run.live_bytes)} a rank hold them (kvsim size)",
    )


def _pool_is_enough(run: _Run) -> Iterator[Finding]:
    hits = [run.number(f"hit_tokens_{tier}") for tier in ("hbm", "cpu", "remote")]
    again = run.share("recomputed_evicted_tokens") + run.share("recomputed_elsewhere_tokens")
    if not run.offloads or again >= SHARE or hits[0] < (1 - SHARE) * sum(hits) or not hits[0]:
        return
    yield Finding(
        "GPU memory already holds what comes back",
        f"{percent(hits[0] / sum(hits))} of the tokens found are in it, {percent(again)} of the "
        "prompt tokens are computed again",
        "no tier below is needed for this load; longer contexts or more users change that",
    )


def _short_prompts(run: _Run) -> Iterator[Finding]:
    if not run.offloads:
        return
    chunk = run.scenario.offload.chunk_tokens
    prompts = run.result.columns("requests", "prompt_tokens")["prompt_tokens"]
    short = float((prompts < chunk).mean()) if len(prompts) else 0.0
    if short < 0.5:
        return
    yield Finding(
        "prompts are shorter than a chunk",
        f"{percent(short)} of them have fewer than {chunk} tokens, of which nothing is stored",
        "a smaller offload.chunk_tokens, or no offload for this load",
    )


def _first_time(run: _Run) -> Iterator[Finding]:
    again = run.number("recomputed_evicted_tokens") + run.number("recomputed_elsewhere_tokens")
    first = run.number("computed_tokens") - again
    share = first / run.number("prompt_tokens") if run.number("prompt_tokens") else 0.0
    if not run.offloads or share < 0.5:
        return
    remote = run.scenario.offload.remote
    cold = remote is not None and remote.start_from is None
    yield Finding(
        "most tokens are seen for the first time",
        f"{percent(share)} of the prompt tokens"
        + ("; the store is empty at the start" if cold else ""),
        "no cache finds them; "
        + (
            "a store that is filled already may (offload.remote.start_from)"
            if cold
            else "look at a load with more reuse"
        ),
    )


def _evicted(run: _Run) -> Iterator[Finding]:
    share = run.share("recomputed_evicted_tokens")
    if not run.offloads or share < SHARE:
        return
    capacity = run.scenario.offload.cpu.capacity
    yield Finding(
        "the CPU tier is smaller than the sessions alive",
        f"{percent(share)} of the prompt tokens are computed again after eviction; sessions alive "
        f"have {format_bytes(run.live_bytes)} a rank, the tier {format_bytes(capacity)}: users who "
        "come in turn always find that theirs has just left (least recent use)",
        f"at least {format_bytes(run.live_bytes)} of CPU memory a rank, a store below it, or "
        "sessions that stay on one instance",
    )


def _elsewhere(run: _Run) -> Iterator[Finding]:
    share = run.share("recomputed_elsewhere_tokens")
    if run.scenario.instances == 1 or share < SHARE:
        return
    yield Finding(
        "requests go to instances that do not have their context",
        f"{percent(share)} of the prompt tokens are computed although another instance has them "
        f"(router: {run.scenario.router})",
        "a router that keeps sessions (router: session), or a store that all instances share",
    )


def _imbalance(run: _Run) -> Iterator[Finding]:
    if run.scenario.instances == 1:
        return
    steps = run.result.columns("steps", "instance", "start_s", "end_s")
    busy = [
        float((steps["end_s"] - steps["start_s"])[steps["instance"] == number].sum())
        for number in range(run.scenario.instances)
    ]
    mean = sum(busy) / len(busy)
    if not mean or max(busy) < 1.25 * mean:
        return
    yield Finding(
        "one instance does more than its part",
        f"it is busy {max(busy):,.0f} s, the mean is {mean:,.0f} s (router: {run.scenario.router})",
        "router: least_loaded or power_of_two, with a store that all instances share",
    )


def _slow_loads(run: _Run) -> Iterator[Finding]:
    if not run.offloads:
        return
    model = FirstToken(run.scenario)
    context = min(int(run.mean_prompt), model.longest_prompt - QUESTION_TOKENS)
    if context < run.scenario.offload.chunk_tokens:
        return
    compute_s = model.recompute(context + QUESTION_TOKENS).total_s
    for store in (None, run.store) if run.store is not None else (None,):
        parts = model.load(context, QUESTION_TOKENS, store)
        name = "CPU memory" if store is None else store.name
        if parts.outcome == "lookup_timeout":
            yield Finding(
                f"look-ups in {name} take too long",
                f"{context:,} tokens take more than {run.scenario.offload.lookup_timeout:g} s of "
                "existence checks, and then nothing is found",
                "larger chunks (offload.chunk_tokens), a longer lookup_timeout, a faster store",
            )
        elif parts.outcome == "load_timeout":
            yield Finding(
                f"loads from {name} take too long",
                f"{context:,} tokens take more than {run.scenario.offload.blocking_timeout:g} s, "
                "and the request fails",
                "more bandwidth, or a longer offload.blocking_timeout",
            )
        elif parts.total_s >= compute_s:
            yield Finding(
                f"a load from {name} is slower than computing",
                f"{context:,} tokens: {duration(parts.total_s)} to load, "
                f"{duration(compute_s)} to compute (one request, idle instance)",
                "offload.min_retrieve_tokens above the break-even (kvsim breakeven), or a faster "
                "store",
            )


def _full_store(run: _Run) -> Iterator[Finding]:
    if run.store is None:
        return
    for demand in demands(run.result):
        limit = demand.limit_bytes_per_s
        if demand.tier == "remote" and limit and demand.p99_bytes_per_s >= BUSY * limit:
            yield _full(demand, limit, run.store.name)


def _full(demand: Demand, limit: float, store: str) -> Finding:
    verb = "read" if demand.direction == "read" else "written"
    return Finding(
        f"{store} is {verb} at its limit",
        f"{format_rate(demand.p99_bytes_per_s)} in the busiest 1 % of the seconds, "
        f"{format_rate(demand.mean_bytes_per_s)} on average, of {format_rate(limit)}",
        f"more {demand.direction} bandwidth, or more CPU memory above the store",
    )


def _standstill(run: _Run) -> Iterator[Finding]:
    if not run.offloads:
        return
    for kind, words in (("load", "loads"), ("store", "copies of new chunks")):
        share = run.use[f"{kind}_fraction"]
        if share >= STANDSTILL:
            yield Finding(
                f"engines stand still for {words}",
                f"{percent(share)} of the time; no request of the instance gets a token meanwhile",
                "faster copies (host), a faster store, or fewer requests an instance",
            )


_RULES: tuple[Callable[[_Run], Iterator[Finding]], ...] = (
    _dead,
    _unstable,
    _no_offload,
    _pool_is_enough,
    _short_prompts,
    _first_time,
    _evicted,
    _elsewhere,
    _imbalance,
    _slow_loads,
    _full_store,
    _standstill,
)
_OF_THE_DEAD = (_dead, _full_store)
