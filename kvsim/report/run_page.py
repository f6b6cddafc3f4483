"""The page of a run, and of several runs side by side."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from kvsim.calibration.confidence import confidence, measured_basis
from kvsim.metrics.cost import cost_of
from kvsim.metrics.result import RunResult
from kvsim.plan.demand import limit_bytes_per_s, ranks_a_row
from kvsim.report import style
from kvsim.report.charts import requests, tiers, tokens
from kvsim.report.charts.tenants import tokens_by_source_per_tenant
from kvsim.report.charts.timeline import fills_up, tier_fill_over_time
from kvsim.report.confidence_section import run_confidence
from kvsim.report.html import Cell, Page
from kvsim.report.plan_page import TIER_NAMES, cost_tables, demand_table
from kvsim.report.provenance import scenario_text, sources_table
from kvsim.report.reuse_section import run_reuse
from kvsim.report.run_words import Story, promise_rows, tell_run, verdict
from kvsim.report.tenants import fairness_words, tenant_table
from kvsim.spec.cost import load_prices, resolve_prices
from kvsim.text import bytes_text, duration, number, percent, value_text
from kvsim.units import format_bytes

FIGURES: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "processing speed, requests/s": lambda s: value_text(s["finished_per_s"]),
    "time to first token, mean": lambda s: duration(s["ttft_s_mean"]),
    "... p50": lambda s: duration(s["ttft_s_p50"]),
    "... p95": lambda s: duration(s["ttft_s_p95"]),
    "... p99": lambda s: duration(s["ttft_s_p99"]),
    "time per output token, mean": lambda s: duration(s["tpot_s_mean"]),
    "decode throughput per request, tokens/s": lambda s: number(s["decode_tokens_per_s_mean"]),
    "input, tokens/s": lambda s: number(s["input_tokens_per_s"], 0),
    "output, tokens/s": lambda s: number(s["output_tokens_per_s"], 0),
    "requests finished": lambda s: f"{s['finished']:,}",
    "requests failed": lambda s: f"{s['failed']:,}",
    "preemptions": lambda s: f"{s['preemptions']:,}",
    "prompt tokens found in a cache": lambda s: percent(s["token_hit_rate"]),
    "hit tokens a request": lambda s: _hits_a_request(s),
    "live sessions, mean": lambda s: number(s["sessions_mean"]),
    "keeps up": lambda s: "yes" if s["stable"] else "no",
}
"""Rows of the table of figures: name, and how a summary says it."""


def run_page(result: RunResult) -> Page:
    """Lay out everything that one run's tables tell."""
    story = tell_run(result)
    summary = result.summary_dict()
    page = Page(f"Run {result.scenario.name}")
    page.paragraph(story.verdict, "lead")
    for sentence in story.details:
        page.paragraph(sentence)
    page.paragraph(_configuration(result), "soft")
    basis = measured_basis(result.scenario)
    run_confidence(page, confidence(result, basis), basis.name)
    page.heading("Figures")
    _figures(page, {"": summary})
    _promise(page, story)
    _request_charts(page, result)
    page.heading("Where the prompt tokens come from")
    page.charts(_own(tokens.tokens_by_source({result.scenario.name: summary}), result))
    if summary["finished"]:
        page.charts(_own(tokens.tokens_by_source_over_time(result.requests), result))
    if result.tenants is not None:
        _tenants(page, result, result.tenants)
    _tier_parts(page, result, story)
    run_reuse(page, result.scenario)
    _cost(page, result)
    _origins(page, result)
    return page


def runs_page(results: Mapping[str, RunResult]) -> Page:
    """Lay several runs side by side, the first as the one to compare with."""
    page = Page(f"Runs {', '.join(results)}")
    summaries = {name: result.summary_dict() for name, result in results.items()}
    for name, summary in summaries.items():
        page.paragraph(f"{style.setup_name(name)}: {verdict(summary)}", "lead")
    page.heading("Figures")
    _figures(page, summaries)
    page.heading("Time to first token")
    done = {
        name: result.requests for name, result in results.items() if summaries[name]["finished"]
    }
    if done:
        page.charts(requests.ttft_waterfall(done))
        page.charts(
            *(
                _named(_own(requests.ttft_cdf_by_tier(table), results[name]), name)
                for name, table in done.items()
            )
        )
    page.heading("Where the prompt tokens come from")
    page.charts(tokens.tokens_by_source(summaries))
    page.charts(
        *(
            _named(_own(tokens.tokens_by_source_over_time(table), results[name]), name)
            for name, table in done.items()
        )
    )
    page.heading("What the tiers move")
    for name, result in results.items():
        if not result.transfers.empty:
            page.charts(_named(_bandwidth(result), name))
    for name, result in results.items():
        page.heading(f"{style.setup_name(name)}: scenario and sources")
        page.paragraph(_configuration(result), "soft")
        scenario_text(page, result.scenario)
        with page.folded("Where the numbers come from"):
            sources_table(page, result.scenario)
    return page


def _figures(page: Page, summaries: Mapping[str, Mapping[str, Any]]) -> None:
    page.table(
        ["", *(Cell(style.setup_name(name), "num") for name in summaries)],
        [
            [label, *(Cell(write(summary), "num") for summary in summaries.values())]
            for label, write in FIGURES.items()
        ],
    )


def _hits_a_request(summary: Mapping[str, Any]) -> str:
    hits = sum(summary[f"hit_tokens_{tier}"] for tier in ("hbm", "cpu", "remote"))
    return number(hits / summary["finished"] if summary["finished"] else None, 0)


def _promise(page: Page, story: Story) -> None:
    if story.slo is None:
        return
    page.heading("The promise")
    page.table(
        ["limit", Cell("promised", "num"), Cell("is", "num"), ""],
        [
            [
                label,
                Cell(promised, "num"),
                Cell(value, "num"),
                Cell("kept", "good") if passed else Cell("broken", "bad"),
            ]
            for label, promised, value, passed in promise_rows(story.slo)
        ],
    )


def _request_charts(page: Page, result: RunResult) -> None:
    page.heading("Requests")
    if result.summary_dict()["finished"]:
        page.charts(requests.ttft_waterfall({result.scenario.name: result.requests}))
        page.charts(
            _own(requests.ttft_cdf_by_tier(result.requests), result),
            _own(requests.ttft_over_time(result.requests), result),
        )
        page.charts(requests.request_timeline(result.requests))
    if len(result.sessions):
        page.charts(requests.sessions_over_time(result.sessions))


def _tenants(page: Page, result: RunResult, table: pd.DataFrame) -> None:
    page.heading("Tenants")
    page.charts(_own(tokens_by_source_per_tenant(table), result))
    shared = result.tenants_dict()
    rows = tenant_table(shared)
    page.table(
        [name if name == "tenant" else Cell(name, "num") for name in rows[0]],
        [
            [value if name == "tenant" else Cell(value, "num") for name, value in row.items()]
            for row in rows
        ],
        caption=fairness_words(shared),
    )


def _tier_parts(page: Page, result: RunResult, story: Story) -> None:
    page.heading("Tiers")
    charts = [tiers.tier_fill(result.tiers)]
    span_s = result.manifest.end_s - result.manifest.start_s
    if (result.transfers["tier"] == "remote").any():
        charts.append(tiers.storage_bytes_per_day(result.transfers, span_s=span_s))
    if not result.transfers.empty and fills_up(result.scenario):
        fill = tier_fill_over_time(result.transfers, result.tiers, result.manifest.end_s)
        charts.append(fill)
    page.charts(*(_own(figure, result) for figure in charts))
    if not result.transfers.empty:
        page.charts(_bandwidth(result))
        demand_table(page, [each.to_dict() for each in story.demands])
    page.table(
        [
            "tier",
            "instance",
            *(
                Cell(name, "num")
                for name in ("capacity", "mean used", "most used", "hit tokens", "evicted")
            ),
        ],
        [
            [
                TIER_NAMES[row["tier"]],
                "all" if row["instance"] < 0 else str(row["instance"]),
                *(_size(row[key]) for key in ("capacity_bytes", "mean_used_bytes")),
                _size(row["peak_used_bytes"]),
                Cell(f"{row['hit_tokens']:,}", "num"),
                _size(row["evicted_bytes"]),
            ]
            for row in result.tiers.to_dict("records")
        ],
    )


def _bandwidth(result: RunResult) -> go.Figure:
    scenario = result.scenario
    limits = {
        (tier, way): limit_bytes_per_s(scenario, tier, way)
        for tier in ("cpu", "remote")
        for way in ("read", "write")
    }
    moved = tiers.tier_bandwidth(
        result.transfers,
        cpu_ranks=ranks_a_row(scenario, "cpu"),
        limits={key: limit for key, limit in limits.items() if limit},
    )
    return _own(moved, result)


def _own(figure: go.Figure, result: RunResult) -> go.Figure:
    """Give the shared tier the colour of its kind of store."""
    remote = result.scenario.offload.remote
    return style.store_colour(figure, None if remote is None else remote.profile.medium)


def _cost(page: Page, result: RunResult) -> None:
    scenario = result.scenario
    remote = scenario.offload.remote
    store = remote.profile if remote is not None else None
    prices = resolve_prices(load_prices(), scenario.gpu, store)
    cost = cost_of(result, prices)
    cost_tables(page, cost.to_dict(), prices.model_dump(mode="json"))


def _origins(page: Page, result: RunResult) -> None:
    manifest = result.manifest
    page.heading("Scenario")
    page.paragraph(
        f"kvsim {manifest.kvsim_version}, scenario {manifest.scenario_hash}, seed {manifest.seed}; "
        f"{manifest.events:,} events in {manifest.wall_s:.2f} s.",
        "soft",
    )
    scenario_text(page, result.scenario)
    page.heading("Where the numbers come from")
    sources_table(page, result.scenario)


def _configuration(result: RunResult) -> str:
    scenario = result.scenario
    offload = scenario.offload
    parts = [f"{scenario.instances} x {scenario.model.name} on {scenario.gpu.name}"]
    if scenario.engine.tensor_parallel_size > 1:
        parts[0] += f" (tensor parallelism {scenario.engine.tensor_parallel_size})"
    if offload.connector != "none":
        parts.append(f"{format_bytes(offload.cpu.capacity)} of CPU memory a rank")
        if offload.remote is not None:
            parts.append(offload.remote.profile.name)
    length_s = float(result.summary_dict()["simulated_s"] or 0.0)
    words = ", ".join(parts)
    return f"{words}; workload {scenario.workload.kind}, {length_s:,.0f} s simulated."


def _named(figure: go.Figure, name: str) -> go.Figure:
    """Write under a chart's title which run it shows."""
    title = figure.layout.title.text.partition("<br>")[0]
    return style.retitle(figure, title, style.setup_name(name))


def _size(value: float | None) -> Cell:
    return Cell(bytes_text(value), "num")
