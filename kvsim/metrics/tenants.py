"""What each tenant asked for and got, and how fair that was.

*Service* is what a tenant's finished requests cost, counted as in "Fairness in serving large
language models" (Sheng et al., OSDI 2024): a prompt token 1, an answer token 2. The fairness index
is that of Jain, Chiu and Hawe (DEC-TR-301, 1984), (sum x)^2 / (n sum x^2), over the service for
each tenant's weight: 1 if all get what they are entitled to, 1/n if one of n gets all. Tenants that
ask for less than their part lower it as well; the index over the served part of each tenant's
demand tells the two apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kvsim.metrics.columns import TOKEN_SUMS
from kvsim.metrics.slo import latencies_of_columns, meets_limits
from kvsim.metrics.stats import mean_or_none, quantiles_or_none

if TYPE_CHECKING:
    from kvsim.metrics.columns import Columns
    from kvsim.spec.slo import SloSpec
    from kvsim.spec.tenants import TenantSpec

ANSWER_TOKEN_COST = 2
"""Service of an answer token where a prompt token counts 1 (Sheng et al.)."""

TENANT_FIELDS = {
    "tenant": "string",
    "weight": "float64",
    "priority": "int64",
    "launched": "int64",
    "finished": "int64",
    "failed": "int64",
    "preemptions": "int64",
    "ttft_s_mean": "float64",
    "ttft_s_p50": "float64",
    "ttft_s_p95": "float64",
    "ttft_s_p99": "float64",
    "queue_s_mean": "float64",
    "good": "int64",
    "goodput_per_s": "float64",
    **dict.fromkeys(TOKEN_SUMS, "int64"),
    "output_tokens": "int64",
    "token_hit_rate": "float64",
    "demand": "int64",
    "service": "int64",
    "service_fraction": "float64",
    "cpu_peak_bytes": "int64",
    "cpu_evicted_bytes": "int64",
    "remote_peak_bytes": "int64",
    "remote_evicted_bytes": "int64",
}
"""Columns of the table of tenants; good and goodput_per_s are null without a promise (slo), bytes
where the account of that tier is not kept. Peaks of several CPU tiers are added up."""


def tenant_rows(
    tenants: Mapping[str, TenantSpec],
    columns: Columns,
    kept: Mapping[str, Mapping[str, int | None]],
    *,
    start_s: float,
    end_s: float,
    slo: SloSpec | None,
) -> list[dict[str, Any]]:
    """Return a row a tenant, of the requests that arrived from `start_s` on.

    `kept` has what each tenant took of the tiers, `end_s` is when the last answer was there.
    """
    counts = columns["arrival_s"] >= start_s
    columns = {name: column[counts] for name, column in columns.items()}
    in_time = columns["finished"] & (columns["finished_s"] <= end_s)
    good = None
    if slo is not None:
        good = meets_limits(slo, latencies_of_columns(columns, end_s))
    span_s = end_s - start_s
    rows: list[dict[str, Any]] = []
    for name, tenant in tenants.items():
        mine = columns["tenant"] == name
        done = mine & in_time
        ttft_s = (columns["first_token_s"] - columns["arrival_s"])[done]
        queue_s = (columns["scheduled_s"] - columns["arrival_s"])[done]
        p50, p95, p99 = quantiles_or_none(ttft_s, (0.5, 0.95, 0.99))
        sums = {key: int(columns[key][done].sum()) for key in (*TOKEN_SUMS, "output_tokens")}
        hits = sums["hit_tokens_hbm"] + sums["hit_tokens_cpu"] + sums["hit_tokens_remote"]
        num_good = None if good is None else int(np.count_nonzero(good & mine))
        rows.append(
            {
                "tenant": name,
                "weight": tenant.weight,
                "priority": tenant.priority,
                "launched": int(np.count_nonzero(mine)),
                "finished": int(np.count_nonzero(done)),
                "failed": int(np.count_nonzero(columns["failed"] & mine)),
                "preemptions": int(columns["preemptions"][mine].sum()),
                "ttft_s_mean": mean_or_none(ttft_s),
                "ttft_s_p50": p50,
                "ttft_s_p95": p95,
                "ttft_s_p99": p99,
                "queue_s_mean": mean_or_none(queue_s[~np.isnan(queue_s)]),
                "good": num_good,
                "goodput_per_s": None if num_good is None or span_s <= 0 else num_good / span_s,
                **sums,
                "token_hit_rate": hits / sums["prompt_tokens"] if sums["prompt_tokens"] else 0.0,
                "demand": _service(columns, mine),
                "service": _service(columns, done),
                **kept[name],
            }
        )
    total = sum(row["service"] for row in rows)
    for row in rows:
        row["service_fraction"] = row["service"] / total if total else 0.0
    return rows


def _service(columns: Columns, chosen: np.ndarray[Any, np.dtype[np.bool_]]) -> int:
    prompt, output = columns["prompt_tokens"][chosen], columns["output_tokens"][chosen]
    return int(prompt.sum()) + ANSWER_TOKEN_COST * int(output.sum())


def jain_index(values: Iterable[float]) -> float | None:
    """Return Jain's fairness index; None where nobody got anything."""
    x = np.array(list(values), dtype=float)
    squares = float(np.square(x).sum())
    return float(x.sum()) ** 2 / (x.size * squares) if squares else None


def fairness(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return both indices of a table of tenants; those who asked for nothing do not count."""
    asked = [row for row in rows if row["demand"]]
    return {
        "jain_service_per_weight": jain_index(row["service"] / row["weight"] for row in asked),
        "jain_served_part": jain_index(row["service"] / row["demand"] for row in asked),
    }
