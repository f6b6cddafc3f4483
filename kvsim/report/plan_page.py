"""The pages of `kvsim size` and `kvsim breakeven`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from kvsim.report.charts import capacity
from kvsim.report.html import Cell, Page
from kvsim.text import duration, number, percent, value_text
from kvsim.units import format_bytes, format_rate, format_seconds

Plain = Mapping[str, Any]

TIER_NAMES = {"hbm": "GPU memory", "cpu": "CPU memory", "remote": "store"}
COST_NAMES = {
    "gpu_usd_per_hour": "GPUs",
    "ram_usd_per_hour": "host memory",
    "storage_usd_per_hour": "storage",
    "requests_usd_per_hour": "storage requests",
    "traffic_usd_per_hour": "storage traffic",
}
TOKEN_COSTS = {
    "usd_per_million_input_tokens": "input tokens",
    "usd_per_million_computed_tokens": "... computed",
    "usd_per_million_cached_tokens": "... cached",
    "usd_per_million_output_tokens": "output tokens",
}


def size_words(data: Plain) -> list[str]:
    """Say what was found, a sentence a tier."""
    lines = []
    for tier in data["tiers"]:
        name = TIER_NAMES[tier["tier"]]
        name = name[0].upper() + name[1:]
        size = tier["capacity_bytes"]
        if not size:
            lines.append(f"{name}: {tier['reason']}.")
            continue
        each = f" on each of {tier['ranks']} ranks" if tier["tier"] != "remote" else ""
        where = f"{each} ({format_bytes(tier['total_bytes'])} in all)" if tier["ranks"] > 1 else ""
        text = f"{name}: {format_bytes(size)}{where} {tier['reason']}"
        if tier["retention_s"] is not None:
            text += (
                f"; chunks that stay for {format_seconds(tier['retention_s'])} give the same hits"
            )
        lines.append(text + ".")
    if data["knee_bytes"]:
        lines.append(
            f"The knee of the curve is at {format_bytes(data['knee_bytes'])} of CPU memory a rank; "
            f"memory without limit would find {percent(data['ceiling_rate'])} of the prompt tokens."
        )
    return lines


def size_figure(data: Plain) -> go.Figure | None:
    """Draw the curve of a size plan, if it has one."""
    if not data["curve"]:
        return None
    cpu = next(tier for tier in data["tiers"] if tier["tier"] == "cpu")
    return capacity.hit_rate_by_capacity(
        pd.DataFrame(data["curve"]),
        pd.DataFrame(cpu["points"]),
        ceiling_rate=data["ceiling_rate"],
        knee_bytes=data["knee_bytes"],
        chosen_bytes=cpu["capacity_bytes"],
    )


def more_memory_figure(data: Plain) -> go.Figure:
    """Draw what a step of memory saves that is small beside the largest size, but no fraction."""
    curve = pd.DataFrame(data["curve"])
    most = float(curve["capacity_bytes"].max())
    step = min(capacity.TB, 10.0 ** (math.floor(math.log10(max(most, 1e10))) - 1))
    return capacity.marginal_saving(curve, rate="lru_rate", more_bytes=step)


def size_page(data: Plain) -> Page:
    """Write the answer to how much memory and storage a scenario needs (`SizePlan.to_dict`)."""
    page = Page(f"Sizes for {data['scenario']}")
    for line in size_words(data):
        page.paragraph(line, "lead")
    for note in data["notes"]:
        page.paragraph(f"Note: {note}.")
    figure = size_figure(data)
    if figure is not None:
        page.charts(figure, more_memory_figure(data))
    _demand_tables(page, data)
    cost_tables(page, data["cost"], data["prices"])
    for tier in data["tiers"]:
        if tier["points"]:
            _points_table(page, tier)
    return page


def _demand_tables(page: Page, data: Plain) -> None:
    if not data["demands"]:
        return
    page.heading("What the tiers have to move")
    demand_table(page, data["demands"])
    for each in data["writes"]:
        page.paragraph(
            f"The store is written {format_bytes(each['bytes_per_day'])} a day at this load; write "
            f"amplification (bytes written / bytes that were new) is "
            f"{number(each['amplification'], 2)}."
        )


def demand_table(page: Page, demands: Sequence[Plain]) -> None:
    """Tabulate what each tier moves (`Demand.to_dict`)."""
    page.table(
        ["tier", *(_num(h) for h in ("mean", "p95", "p99", "most in 1 s", "limit", "objects/s"))],
        [
            [
                f"{TIER_NAMES[d['tier']]}, {d['direction']}",
                *(
                    _num(format_rate(d[f"{key}_bytes_per_s"]))
                    for key in ("mean", "p95", "p99", "peak")
                ),
                _num(
                    "-" if d["limit_bytes_per_s"] is None else format_rate(d["limit_bytes_per_s"])
                ),
                _num(
                    f"{number(d['mean_objects_per_s'])} (most {number(d['peak_objects_per_s'], 0)})"
                ),
            ]
            for d in demands
        ],
        caption="all instances together; rates are means over windows of one second",
    )


def cost_tables(page: Page, cost: Plain, prices: Plain) -> None:
    """Tabulate the cost of a run by component and by token (`Cost.to_dict`, dumped `Prices`)."""
    page.heading("Cost")
    rows: list[Sequence[Cell | str]] = [
        [name, _num(number(cost[key], 4)), _source(prices, key)] for key, name in COST_NAMES.items()
    ]
    rows.append(["all", _num(number(cost["usd_per_hour"], 4)), ""])
    page.table(["component", _num("USD an hour"), "price from"], rows)
    page.table(
        ["", _num("USD a million")],
        [[name, _num(number(cost[key], 4))] for key, name in TOKEN_COSTS.items()],
        caption="at the load of this run; the parts add up to the hourly cost",
    )


def _points_table(page: Page, tier: Plain) -> None:
    page.heading(f"Simulated capacities: {TIER_NAMES[tier['tier']]}")
    page.table(
        [
            _num("capacity"),
            _num("hit rate"),
            _num("from GPU + CPU"),
            _num("mean TTFT"),
            _num("requests/s"),
            "stable",
            "target",
        ],
        [
            [
                _num(format_bytes(p["capacity_bytes"])),
                _num(percent(p["hit_rate"])),
                _num(percent(p["local_hit_rate"])),
                _num(duration(p["ttft_s_mean"])),
                _num(value_text(p["finished_per_s"])),
                _yes(p["stable"]),
                _yes(p["meets"]),
            ]
            for p in tier["points"]
        ],
    )


def breakeven_page(data: Plain) -> Page:
    """Write when loading beats computing, and when offload hurts (the command's JSON)."""
    page = Page(f"Load or recompute: {data['scenario']}")
    for tier in data["tiers"]:
        first, *rest = tier["words"]
        page.paragraph(first, "lead")
        page.paragraph(" ".join(rest))
    points = curve_frame(data)
    page.charts(capacity.breakeven_curves(points), capacity.waterfall(points, _middle(points)))
    page.charts(*breakeven_maps(data))
    page.heading("What would move the break-even")
    page.table(
        ["tier", "changed", "to", "loading wins"],
        [
            [row["tier"], row["changed"], row["value"], row["words"]]
            for tier in data["tiers"]
            for row in tier["what_ifs"]
        ],
        caption="everything else as described; GPUs keep the host of the scenario",
    )
    return page


def curve_frame(data: Plain) -> pd.DataFrame:
    """Join the curves of all tiers."""
    return pd.DataFrame(
        [
            {**point, "medium": tier.get("medium")}
            for tier in data["tiers"]
            for point in tier["curve"]
        ]
    )


def breakeven_maps(data: Plain) -> list[go.Figure]:
    """Draw one map a tier."""
    return [
        capacity.breakeven_map(
            tier["map"]["gains"],
            contexts=tier["map"]["contexts"],
            rates=tier["map"]["rates"],
            own_rate=tier["map"]["own_rate"],
            title="CPU memory" if tier["tier"] == "cpu" else tier["tier"],
        )
        for tier in data["tiers"]
    ]


def _middle(points: pd.DataFrame) -> int:
    lengths: Sequence[int] = sorted({int(value) for value in points["context"]})
    return lengths[2 * len(lengths) // 3]


def _source(prices: Plain, key: str) -> str:
    names = {
        "gpu_usd_per_hour": "gpu_usd_per_hour",
        "ram_usd_per_hour": "ram_usd_per_gb_hour",
        "storage_usd_per_hour": "usd_per_tb_month",
        "requests_usd_per_hour": "usd_per_1000_get",
        "traffic_usd_per_hour": "usd_per_gb_read",
    }
    source = prices["sources"].get(names[key])
    if source is None:
        return ""
    date = f", {source['date']}" if source["date"] else ""
    return f"{source['kind']}: {source['how']}{date}"


def _num(text: str) -> Cell:
    return Cell(text, "num")


def _yes(value: bool) -> Cell:
    return Cell("yes", "good") if value else Cell("no", "bad")
