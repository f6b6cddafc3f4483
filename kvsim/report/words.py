"""Why the shared tier wins, in sentences whose numbers come from the sweep itself."""

import pandas as pd

from kvsim.report.checks import collapse_context
from kvsim.report.storagegrid import CONTEXT
from kvsim.report.sweep_table import by_context, median_over_seeds
from kvsim.text import bytes_text, percent, short


def verdict(consistent: int, total: int, checks_failed: int) -> str:
    """Say in one sentence what the comparison shows, and no more than that."""
    if consistent == total and not checks_failed:
        return (
            f"The declared configuration is consistent with all {total} published figures. "
            "It was chosen to match them, so this is no validation."
        )
    failed = f"; {checks_failed} of the checks below fail" if checks_failed else ""
    return (
        f"The declared configuration is consistent with {consistent} of the {total} published "
        f"figures{failed}."
    )


def explain(
    frame: pd.DataFrame, *, kv_bytes_per_token: int, cpu_capacity_bytes: int, instances: int
) -> list[str]:
    """Explain the gain of the shared tier over CPU memory, a paragraph an element."""
    medians = median_over_seeds(frame, CONTEXT)
    speed = medians.pivot_table(index=CONTEXT, columns="setup", values="finished_per_s")
    gain = by_context(speed["s3"] / speed["cpu"] - 1)
    best = max(gain, key=lambda pair: pair[1])[0]
    cpu, s3 = (_row(medians, setup, best) for setup in ("cpu", "s3"))
    return [
        _twice(medians, speed, instances),
        _overflow(cpu, s3, best, kv_bytes_per_token, cpu_capacity_bytes),
        _collapsed(cpu, s3, best),
        _short_contexts(speed),
    ]


def _twice(medians: pd.DataFrame, speed: pd.DataFrame, instances: int) -> str:
    at = _last_healthy(speed)
    cpu, s3 = (_row(medians, setup, at) for setup in ("cpu", "s3"))
    return (
        f"The router does not know who holds what, so with CPU memory only each of the {instances} "
        f"instances computes a session's context for itself: at {short(at)}, "
        f"{_share(cpu, 'recomputed_elsewhere_tokens')} of all prompt tokens are computed although "
        f"another instance has them. With S3 it is {_share(s3, 'recomputed_elsewhere_tokens')}."
    )


def _overflow(cpu: pd.Series, s3: pd.Series, at: int, kv_bytes: int, capacity_bytes: int) -> str:
    tokens_a_session = cpu["prompt_tokens"] / max(1.0, cpu["finished"])
    session_bytes = tokens_a_session * kv_bytes
    room = int(capacity_bytes / session_bytes)
    return (
        f"New users join whatever the load. At {short(at)} a session's KV is about "
        f"{bytes_text(session_bytes)}, so the CPU memory of one instance holds about {room} of "
        f"them, but with CPU memory only {cpu['sessions_mean']:.0f} sessions are alive on average "
        f"and {cpu['sessions_max']:.0f} at most (with S3 {s3['sessions_mean']:.0f} and "
        f"{s3['sessions_max']:.0f}). Once they outgrow it, least-recently-used eviction drops each "
        f"context just before it is asked for again: "
        f"{_share(cpu, 'recomputed_evicted_tokens')} of the prompt tokens are computed again after "
        f"eviction, which makes answers slower and sessions more. With S3 it is "
        f"{_share(s3, 'recomputed_evicted_tokens')}, because what CPU memory drops is still there."
    )


def _collapsed(cpu: pd.Series, s3: pd.Series, at: int) -> str:
    gain = s3["finished_per_s"] / cpu["finished_per_s"] - 1
    who = {
        (True, True): "both keep up",
        (False, True): "S3 keeps up and GPU + CPU does not keep up",
        (True, False): "GPU + CPU keeps up and S3 does not keep up",
        (False, False): "neither keeps up",
    }[bool(cpu["stable"]), bool(s3["stable"])]
    return (
        f"The largest gain in processing speed over GPU + CPU, {gain:+.0%}, lies at {short(at)}, "
        f"where {who} with the arrivals. Numbers of a run that does not keep up depend on how "
        f"long it lasts; hollow markers show them."
    )


def headline(frame: pd.DataFrame) -> str:
    """Say in two sentences from which context on which tier matters, and how much."""
    medians = median_over_seeds(frame, CONTEXT)
    speed = medians.pivot_table(index=CONTEXT, columns="setup", values="finished_per_s")
    gpu, cpu = collapse_context(speed["gpu"]), collapse_context(speed["cpu"])
    if gpu is None:
        return "The GPUs alone keep up at every context, so no tier below them is needed."
    if cpu is None:
        return f"GPU only falls behind from {short(gpu)} on; with CPU memory no context does."
    overloaded = speed[speed.index >= cpu]
    ratios = {
        name: overloaded[setup] / overloaded["cpu"]
        for setup, name in (("s3", "S3"), ("pnfs", "pNFS"))
    }
    serves = " and ".join(
        f"{ratio.min():.1f} to {ratio.max():.1f} times with {name}"
        for name, ratio in ratios.items()
    )
    return (
        f"GPU only falls behind the arrivals from {short(gpu)} tokens of context on; CPU memory "
        f"puts that off to {short(cpu)}. From there on a shared tier serves more requests a second "
        f"than CPU memory alone: {serves}."
    )


def _short_contexts(speed: pd.DataFrame) -> str:
    spread = by_context(speed.min(axis="columns") / speed.max(axis="columns"))
    even = [context for context, ratio in spread if ratio >= 0.99]
    if not even:
        return "At no context are all set-ups equally fast."
    return (
        f"Up to {short(max(even))} the set-ups are equally fast: whoever needs no more than these "
        "contexts gains nothing from a shared tier at this load."
    )


def _last_healthy(speed: pd.DataFrame) -> int:
    """Find the longest context at which GPU + CPU still has its speed."""
    contexts = sorted(speed.index)
    collapsed = collapse_context(speed["cpu"])
    healthy = [context for context in contexts if collapsed is None or context < collapsed]
    return int((healthy or contexts)[-1])


def _row(medians: pd.DataFrame, setup: str, context: int) -> pd.Series:
    rows = medians[(medians["setup"] == setup) & (medians[CONTEXT] == context)]
    return rows.iloc[0]


def _share(row: pd.Series, column: str) -> str:
    return percent(row[column] / row["prompt_tokens"])
