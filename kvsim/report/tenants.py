"""What each tenant got, in words; terminal, page and dashboard write the same table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvsim.text import duration, number, percent


def tenant_table(shared: Mapping[str, Any]) -> list[dict[str, str]]:
    """Write a row a tenant (`RunResult.tenants_dict`), with good requests where some promise is."""
    rows = []
    for row in shared["tenants"]:
        written = {
            "tenant": row["tenant"],
            "requests": f"{row['finished']:,}",
            "TTFT p50": duration(row["ttft_s_p50"]),
            "p95": duration(row["ttft_s_p95"]),
            "hit rate": percent(row["token_hit_rate"]),
            "service": percent(row["service_fraction"]),
            "preempted": f"{row['preemptions']:,}",
        }
        if row["good"] is not None:
            written["good"] = percent(row["good"] / row["launched"] if row["launched"] else None)
        rows.append(written)
    return rows


def fairness_words(shared: Mapping[str, Any]) -> str:
    """Say how fair that was."""
    fair = shared["fairness"]
    return (
        f"Jain's index of service per weight {number(fair['jain_service_per_weight'], 3)}, "
        f"of served demand {number(fair['jain_served_part'], 3)}"
    )
