"""Say a recommendation in short sentences, each with the numbers that it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kvsim.plan.choice import MARGIN, NONE, Choice, Limits, Record, mean
from kvsim.text import change_text, duration, number, percent, requests_per_s
from kvsim.units import format_bytes, format_rate

Titles = Mapping[str, str]
"""Set-up to its name in words."""


@dataclass(frozen=True)
class Relief:
    """What doubling one resource does to the mean time to first token."""

    resource: str
    ttft_s_mean: float
    change: float
    """Relative change: -0.4 is 40 % less."""


def words_of(
    records: Sequence[Record], choice: Choice, limits: Limits, titles: Titles
) -> list[str]:
    """Say what to take, how it compares, and what is out."""
    runs: dict[str, list[Record]] = {}
    for record in records:
        runs.setdefault(record["setup"], []).append(record)
    lines = [_headline(runs, choice, limits, titles)]
    lines += [
        f"Against {titles[other]}: {_compared(runs[choice.leader], runs[other])}."
        for other in runs
        if other != choice.leader
    ]
    lines += [f"Rejected, {titles[name]}: {why}." for name, why in choice.rejected.items()]
    return lines


def binding_words(own: Record, found: Sequence[Relief]) -> str:
    """Name the resource that holds the set-up back, with its use and what more of it brings."""
    helpful = [relief for relief in found if relief.change < -MARGIN]
    if not helpful:
        return (
            "Binding constraint: none; doubling any one resource changes time to first token by "
            f"less than {MARGIN:.0%}."
        )
    first = helpful[0]
    line = (
        f"Binding constraint: {first.resource}. Twice as good, it cuts time to first token from "
        f"{_wait(own['ttft_s_mean'])} to {_wait(first.ttft_s_mean)} ({change_text(first.change)})"
        f"{_use(first.resource, own)}."
    )
    if len(helpful) > 1:
        rest = ", ".join(
            f"{relief.resource} {change_text(relief.change)}" for relief in helpful[1:4]
        )
        line += f" Next: {rest}."
    return line


def change_words(flips: Sequence[str], unchanged: Sequence[str]) -> list[str]:
    """Say what would change the answer, and what would not."""
    lines = [f"The answer changes with {line}" for line in flips]
    if unchanged:
        lines.append(f"The answer stays with {'; '.join(unchanged)}.")
    return lines


def verdict(what: str, records: Sequence[Record], old: Choice, new: Choice, titles: Titles) -> str:
    """Say what is chosen under a what-if, beside the old choice."""
    waits = {record["setup"]: record["ttft_s_mean"] for record in records}
    shown = {name: _wait(waits[name]) for name in (new.leader, old.leader) if name in waits}
    if new.chosen == NONE:
        best = f"nearest is {titles[new.leader]} ({new.rejected[new.leader]})"
        return f"{what}: no set-up does it; {best}."
    line = f"{what}: {titles[new.chosen]} ({shown[new.leader]} to the first token"
    if old.chosen != NONE and old.leader in shown:
        line += f"; {titles[old.leader]} {shown[old.leader]}"
    if old.chosen in new.tied:
        line += ", a tie that goes to the cheaper"
    return line + ")."


def _headline(runs: dict[str, list[Record]], choice: Choice, limits: Limits, titles: Titles) -> str:
    own = runs[choice.leader]
    if choice.chosen == NONE:
        return (
            f"No set-up does it; {titles[choice.leader]} comes nearest, with "
            f"{requests_per_s(mean(own, 'finished_per_s'))}."
        )
    aim = "the cheapest that keeps the SLO" if limits.has_slo else "the fastest to the first token"
    line = (
        f"Take {titles[choice.chosen]}: {aim}, {_wait(mean(own, 'ttft_s_mean'))} on average, at "
        f"{number(mean(own, 'usd_per_hour'), 2)} USD/h."
    )
    if choice.tied:
        names = ", ".join(titles[name] for name in choice.tied)
        line += (
            f" It ties in cost with {names}; it is the faster or the simpler."
            if limits.has_slo
            else f" It ties with {names}; it is the cheaper or the simpler."
        )
    return line


def _compared(own: Sequence[Record], other: Sequence[Record]) -> str:
    mine, theirs = mean(own, "ttft_s_mean"), mean(other, "ttft_s_mean")
    change = change_text(mine / theirs - 1)
    parts = [f"time to first token {_wait(mine)}, there {_wait(theirs)} ({change})"]
    for name, write in (
        ("finished_per_s", requests_per_s),
        ("decode_tokens_per_s_mean", lambda value: f"{number(value)} tokens/s of decode"),
        ("usd_per_hour", lambda value: f"{number(value, 2)} USD/h"),
    ):
        mine, theirs = mean(own, name), mean(other, name)
        change = change_text(mine / theirs - 1) if theirs else "-"
        parts.append(f"{write(mine)} ({change})")
    return ", ".join(parts)


def _use(resource: str, own: Record) -> str:
    """Give the measured use of a resource, as the evidence beside what-if and words."""
    busy = own["prefill_fraction"] + own["decode_fraction"]
    evidence = {
        "GPU compute": f"the GPUs compute {percent(busy)} of the time, prefills "
        f"{percent(own['prefill_fraction'])}",
        "GPU memory": f"{_share(own, 'hit_tokens_hbm')} of the prompt tokens are found in it",
        "CPU memory": f"it is {percent(own['cpu_fill_fraction'])} full on average and evicted "
        f"{format_bytes(own['cpu_evicted_bytes'])}; {_share(own, 'recomputed_evicted_tokens')} of "
        "the prompt tokens are computed again for that",
        "copies between CPU and GPU": "engines stand still for loads "
        f"{percent(own['load_fraction'])} and for stores {percent(own['store_fraction'])} of the "
        "time",
        "reads from the store": _moved(own, "remote_read"),
        "writes to the store": _moved(own, "remote_write"),
        "latency of the store": f"engines stand still for loads {percent(own['load_fraction'])} of "
        "the time, look-ups not counted",
    }
    return f"; {evidence[resource]}"


def _moved(own: Record, name: str) -> str:
    mean_rate, peak = own[f"{name}_bytes_per_s"], own[f"{name}_p99_bytes_per_s"]
    limit = own[f"{name}_limit_bytes_per_s"]
    return (
        f"{format_rate(mean_rate)} on average and {format_rate(peak)} in the busiest 1 % of the "
        f"seconds, of {format_rate(limit)}"
    )


def _share(own: Record, tokens: str) -> str:
    return percent(own[tokens] / own["prompt_tokens"]) if own["prompt_tokens"] else "none"


def _wait(seconds: float | None) -> str:
    return "no answer" if seconds is None or seconds == float("inf") else duration(seconds)
