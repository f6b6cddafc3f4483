"""What a run says, in sentences whose numbers come from the run itself."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kvsim.metrics.cost import GpuTime, gpu_time
from kvsim.metrics.result import RunResult
from kvsim.metrics.slo import SloReport, evaluate_run
from kvsim.plan.demand import Demand, demands
from kvsim.plan.promise import limit_words, value_words
from kvsim.report.charts.requests import TTFT_PARTS, ttft_parts
from kvsim.text import duration, percent, requests_per_s
from kvsim.units import format_rate

SATURATED: Final = 0.9
"""Part of what a link can move from which its busiest second counts as full."""
_WAYS: Final = {"read": "reads from", "write": "writes to"}
_TIERS: Final = {"cpu": "CPU memory", "remote": "the shared tier"}


@dataclass(frozen=True)
class Story:
    """A run in words, with the reports that its words and tables are made of."""

    verdict: str
    details: tuple[str, ...]
    slo: SloReport | None
    demands: tuple[Demand, ...]


def tell_run(result: RunResult) -> Story:
    """Say whether the service keeps up and keeps its promise, and what holds it back."""
    summary = result.summary_dict()
    slo = None
    if result.scenario.slo is not None:
        slo = evaluate_run(result.scenario.slo, result)
    moved = tuple(demands(result))
    details = [
        *(_promise(slo) if slo is not None else ()),
        token_sources_sentence(summary),
        *_first_token(result),
        *_limits(gpu_time(result), moved),
    ]
    return Story(verdict(summary, slo), tuple(details), slo, moved)


def verdict(summary: Mapping[str, Any], slo: SloReport | None = None) -> str:
    """Say in one sentence what the service does under this load."""
    if summary["died"]:
        return (
            "An engine stops serving: chunks held by uploads fill the CPU tier, and a read from "
            f"the shared tier waits for memory that none of them gives back; {summary['failed']:,} "
            "requests failed."
        )
    speed = f"{requests_per_s(summary['finished_per_s'])} are finished"
    if summary["ttft_s_mean"] is None:
        return "No request was finished."
    wait = (
        f"the first token comes after {duration(summary['ttft_s_mean'])} on average and "
        f"{duration(summary['ttft_s_p99'])} at p99"
    )
    if not summary["stable"]:
        return (
            f"The service does not keep up: {speed}, and {wait}, which grows with the length of "
            "the run."
        )
    kept = "" if slo is None else " and keeps its promise" if slo.passed else ", not its promise"
    return f"The service keeps up{kept}: {speed}, and {wait}."


def _promise(slo: SloReport) -> Iterator[str]:
    broken = [each.target.label for each in slo.outcomes if not each.passed]
    words = f"broken: {', '.join(broken)}" if broken else "every limit is kept"
    yield (
        f"{percent(slo.attainment)} of the requests keep the promise, "
        f"{requests_per_s(slo.goodput_per_s)}; "
        f"{words}."
    )


def token_sources_sentence(summary: Mapping[str, Any]) -> str:
    """Say how many prompt tokens are found, where, and how many are computed again."""
    total = max(1, summary["prompt_tokens"])
    parts = {
        "CPU memory": summary["hit_tokens_cpu"],
        "HBM": summary["hit_tokens_hbm"],
        "the shared tier": summary["hit_tokens_remote"],
    }
    found = ", ".join(
        f"{percent(tokens / total)} in {name}"
        for name, tokens in sorted(parts.items(), key=lambda pair: -pair[1])
        if tokens
    )
    again = summary["recomputed_elsewhere_tokens"] + summary["recomputed_evicted_tokens"]
    return (
        f"Of the prompt tokens {percent(sum(parts.values()) / total)} are found in a cache"
        f"{f' ({found})' if found else ''}; {percent(again / total)} are computed again although "
        "some tier had them before."
    )


def _first_token(result: RunResult) -> Iterator[str]:
    means = ttft_parts(result.requests).mean()
    total = float(means.sum())
    if not total > 0:
        return
    largest = str(means.idxmax())
    name = TTFT_PARTS[largest][0]
    yield (
        f"The largest part of the time to first token is {name}: "
        f"{percent(float(means[largest]) / total)}."
    )


def _limits(used: GpuTime, moved: tuple[Demand, ...]) -> Iterator[str]:
    """Name what is full: the engines, or a link in its busiest second."""
    total = used.busy_s + used.idle_s
    if total > 0:
        parts = {
            "decodes": used.decode_s,
            "prefills": used.prefill_s,
            "loads, for which they stand still": used.load_s,
            "copies to CPU memory": used.store_s,
        }
        busy = ", ".join(
            f"{percent(seconds / total)} {name}"
            for name, seconds in sorted(parts.items(), key=lambda pair: -pair[1])
            if seconds > 0.001 * total
        )
        yield f"The engines are busy {percent(used.busy_s / total)} of the time: {busy}."
    known = [each for each in moved if each.peak_utilisation is not None]
    if known:
        fullest = max(known, key=lambda each: each.peak_utilisation or 0.0)
        share = fullest.peak_utilisation or 0.0
        full = "full" if share >= SATURATED else f"at {percent(share)} of what it can move"
        yield (
            f"The fullest link is {_WAYS[fullest.direction]} {_TIERS[fullest.tier]}: "
            f"{full} in its busiest second ({format_rate(fullest.peak_bytes_per_s)}), "
            f"{format_rate(fullest.mean_bytes_per_s)} on average."
        )


def promise_rows(report: SloReport) -> list[tuple[str, str, str, bool]]:
    """Write each limit of a promise: its name, what is promised, what is, and whether it holds."""
    rows = []
    for outcome in report.outcomes:
        target = outcome.target
        promised = f"{target.relation} {limit_words(target)}"
        value = value_words(target, outcome.value)
        if target.stat == "each":
            promised += f" for {percent(report.required)}"
            value = f"for {percent(outcome.value)}"
        rows.append((target.label, promised, value, outcome.passed))
    return rows
