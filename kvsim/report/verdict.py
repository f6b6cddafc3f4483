"""One run in a sentence: does the design keep its promise, what binds it, what to try next.

What binds follows from the mean time to first token. Its largest part (queue, load, prefill)
leads to the resource behind it: a queue to what the engines' time went into, a load to the tier
that gave most of the loaded tokens, a prefill to the reason why tokens had to be computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from kvsim.metrics.cost import GpuTime
from kvsim.metrics.slo import SloReport, TargetOutcome
from kvsim.plan.demand import Demand
from kvsim.plan.promise import limit_words, value_words
from kvsim.spec.scenario import Scenario
from kvsim.spec.storage import FileStorageSpec
from kvsim.text import duration, number, percent, requests_per_s, value_text

if TYPE_CHECKING:
    import pandas as pd

HEADLINE: Final[Mapping[str, tuple[str, Callable[[Any], str]]]] = {
    "finished_per_s": ("Requests/s", value_text),
    "ttft_s_mean": ("TTFT, mean", duration),
    "ttft_s_p95": ("TTFT, p95", duration),
    "decode_tokens_per_s_mean": ("Decode, tokens/s", number),
    "token_hit_rate": ("Tokens cached", percent),
}
"""Figure of a summary: how people call it, and how it is written."""

Binding = Literal["engine", "prefill", "evicted", "elsewhere", "store", "client", "pcie", "decode"]

SATURATED = 0.8
"""Part of its bandwidth from which a store, in its busiest second, counts as what limits loads."""
RECOMPUTED = 0.25
"""Part of the computed tokens from which computing again counts as what prefills are for."""

_PARTS: Mapping[str, str] = {"queue_s": "waiting", "load_s": "loads", "prefill_s": "prefill"}
"""Parts of the time to first token in a table of requests, and what people call them."""

_NAMES: Mapping[Binding, str] = {
    "engine": "the engine has stopped",
    "prefill": "GPU time for prefill of new tokens",
    "evicted": "memory: evicted tokens are computed again",
    "elsewhere": "sharing: tokens are computed that another instance has",
    "store": "read bandwidth of the store",
    "client": "latency and streams of the store's client",
    "pcie": "copies from CPU memory over PCIe",
    "decode": "GPU time for decoding",
}
_NEXT: Mapping[Binding, str] = {
    "engine": "enlarge CPU memory, or add uploads to the store's client",
    "prefill": "a faster GPU or another instance; no cache has these tokens",
    "evicted": "more CPU memory, or a store that all instances share",
    "elsewhere": "a store that all instances share, or a router that keeps sessions together",
    "store": "a store with more read bandwidth, or more CPU memory in front of it",
    "client": "more connections or threads, or a store with less latency",
    "pcie": "a host with a faster PCIe, or more GPU memory",
    "decode": "another instance, or a GPU with more memory bandwidth",
}


@dataclass(frozen=True)
class Verdict:
    """What to tell somebody who reads one sentence."""

    kept: bool | None
    """Whether the promise is kept; None: nothing was promised."""
    headline: str
    binding: str
    next_step: str
    alone: str = ""
    """Which part of the time to first token breaks the promise by itself, if one does."""


def verdict(
    scenario: Scenario,
    summary: Mapping[str, Any],
    *,
    slo: SloReport | None,
    gpu_time: GpuTime,
    demands: Iterable[Demand],
    requests: pd.DataFrame | None = None,
) -> Verdict:
    """Judge a run; with its table of requests also say which part alone breaks the promise."""
    found = binding(summary, gpu_time, list(demands))
    return Verdict(
        kept=None if slo is None else slo.passed and bool(summary["stable"]),
        headline=_headline(scenario, summary, slo),
        binding=_NAMES[found],
        next_step=_NEXT[found],
        alone="" if slo is None or requests is None else alone(slo, requests),
    )


def alone(slo: SloReport, requests: pd.DataFrame) -> str:
    """Name the parts whose own mean or quantile breaks a limit on the time to first token.

    Where such a part is prefill, neither fewer requests nor a faster tier keeps the promise.
    Empty where no limit is missed, or only the parts together miss it.
    """
    rows = requests[~requests["warmup"].astype(bool) & requests["ttft_s"].notna()]
    for outcome in slo.outcomes:
        target = outcome.target
        if outcome.passed or target.metric != "ttft" or target.stat not in ("mean", "quantile"):
            continue
        found = {}
        for column, name in _PARTS.items():
            times = rows[column]
            at = times.mean() if target.quantile is None else times.quantile(target.quantile)
            if math.isfinite(at) and not target.is_met(float(at)):
                found[name] = f"{name} ({duration(float(at))})"
        if found:
            stat = target.label.partition(":")[2]
            return f"{' and '.join(found.values())}, {stat} of each part by itself"
    return ""


def binding(summary: Mapping[str, Any], gpu_time: GpuTime, demands: Iterable[Demand]) -> Binding:
    """Name the resource behind the largest part of the mean time to first token."""
    if summary["died"] or summary["ttft_s_mean"] is None:
        return "engine"
    queue, load = summary["queue_s_mean"] or 0.0, summary["load_s_mean"] or 0.0
    rest = max(0.0, summary["ttft_s_mean"] - queue - load)
    if queue >= max(load, rest):
        # Who waits, waits for whatever keeps the engines busy.
        spent = {
            "prefill": gpu_time.prefill_s + gpu_time.store_s,
            "load": gpu_time.load_s,
            "decode": gpu_time.decode_s,
        }
        largest = max(spent, key=lambda name: spent[name])
        if largest == "decode":
            return "decode"
        return _loading(summary, demands) if largest == "load" else _computing(summary)
    return _loading(summary, demands) if load >= rest else _computing(summary)


def _computing(summary: Mapping[str, Any]) -> Binding:
    computed = max(1, summary["computed_tokens"])
    again: dict[Binding, int] = {
        "evicted": summary["recomputed_evicted_tokens"],
        "elsewhere": summary["recomputed_elsewhere_tokens"],
    }
    worst = max(again, key=lambda name: again[name])
    return worst if again[worst] / computed >= RECOMPUTED else "prefill"


def _loading(summary: Mapping[str, Any], demands: Iterable[Demand]) -> Binding:
    reads = {one.tier: one for one in demands if one.direction == "read"}
    remote = reads.get("remote")
    if remote is None or summary["hit_tokens_remote"] < summary["hit_tokens_cpu"]:
        return "pcie"
    limit = remote.limit_bytes_per_s
    full = limit is not None and remote.p99_bytes_per_s >= SATURATED * limit
    return "store" if full else "client"


def design_name(scenario: Scenario) -> str:
    """Name a design by its tiers and GPUs: 2 x a100-40gb + CPU 100GiB + storagegrid-s3."""
    gpus = scenario.instances * scenario.engine.tensor_parallel_size
    offload = scenario.offload
    words = [f"{gpus} x {scenario.gpu.name}"]
    if offload.connector != "none":
        if offload.cpu.capacity:
            words.append("CPU")
        if offload.remote is not None:
            kind = "files" if isinstance(offload.remote.profile, FileStorageSpec) else "S3"
            words.append(f"{offload.remote.profile.name} ({kind})")
    return " + ".join(words)


def _headline(scenario: Scenario, summary: Mapping[str, Any], slo: SloReport | None) -> str:
    name = design_name(scenario)
    if summary["died"]:
        return f"{name} stops serving: chunks held by uploads fill its CPU memory"
    if not summary["stable"]:
        return f"{name} falls behind: answers do not keep up with questions"
    if slo is None:
        speed = requests_per_s(summary["finished_per_s"])
        wait = duration(summary["ttft_s_mean"])
        return f"{name} serves {speed} with a first token after {wait} on average"
    verb = "meets" if slo.passed else "misses"
    worst = [outcome for outcome in slo.outcomes if outcome.passed == slo.passed]
    return f"{name} {verb} {', '.join(_outcome(one, summary) for one in worst or slo.outcomes)}"


def _outcome(outcome: TargetOutcome, summary: Mapping[str, Any]) -> str:
    target, value = outcome.target, outcome.value
    # A promise counts requests, the summary interpolates between them: show the number that is
    # shown elsewhere, unless the two lie on different sides of the limit or no answer came.
    known = summary.get(target.label.replace(":", "_s_"))
    if known is not None and math.isfinite(value) and target.is_met(known) == outcome.passed:
        value = known
    name, _, stat = target.label.partition(":")
    label = (
        f"{' '.join(filter(None, (name.upper(), stat)))} {target.relation} {limit_words(target)}"
    )
    if target.stat == "each":
        return f"{label} for {percent(value)} of the requests"
    if not math.isfinite(value):
        return f"{label} (some requests got no answer)"
    return f"{label}: it is {value_words(target, value)}"
