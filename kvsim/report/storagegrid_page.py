"""The report of the StorageGRID experiment: tables of a sweep in, a page out."""

from collections.abc import Sequence

import pandas as pd

from kvsim.report import words
from kvsim.report.candidates import ROUTER_NAMES, Candidate, judge_candidates
from kvsim.report.charts import sweeps, tokens
from kvsim.report.checks import Check, negative_controls, qualitative_checks
from kvsim.report.confidence_section import sweep_confidence
from kvsim.report.html import Cell, Page
from kvsim.report.provenance import scenario_text, sources_table
from kvsim.report.storagegrid import (
    CONTEXT,
    SimulatedFigure,
    compare_figures,
)
from kvsim.report.style import setup_name
from kvsim.report.sweep_table import median_over_seeds
from kvsim.report.what_if import what_if_rows
from kvsim.spec.scenario import Scenario
from kvsim.spec.workload import MultiRoundQaSpec
from kvsim.text import change_text, counted, number, percent, signed

X_TITLE = "user context, tokens"


def storagegrid_page(
    frame: pd.DataFrame,
    base: Scenario,
    *,
    candidates: pd.DataFrame | None = None,
    what_if: pd.DataFrame | None = None,
) -> Page:
    """Lay out the whole report."""
    compared = compare_figures(frame)
    checks = [*qualitative_checks(frame), *negative_controls(candidates)]
    seeds = frame["seed"].nunique()
    page = Page("A shared KV-cache tier behind two vLLM instances: published and simulated")
    page.paragraph(
        words.verdict(
            sum(each.consistent for each in compared),
            len(compared),
            sum(check.holds is False for check in checks),
        ),
        "lead",
    )
    page.paragraph(words.headline(frame))
    page.paragraph(_configuration(base, seeds), "soft")
    page.charts(
        *(
            sweeps.metric_by_context(frame, metric, x=CONTEXT, x_title=X_TITLE)
            for metric in sweeps.MAIN
        )
    )
    page.heading("The eight published figures")
    _figures_table(page, compared, seeds)
    page.heading("Why the shared tier wins")
    for paragraph in words.explain(
        frame,
        kv_bytes_per_token=base.model.kv_bytes_per_token,
        cpu_capacity_bytes=base.offload.cpu.capacity,
        instances=base.instances,
    ):
        page.paragraph(paragraph)
    page.charts(tokens.token_sources(frame, x=CONTEXT, x_title=X_TITLE))
    page.charts(sweeps.live_sessions(frame, x=CONTEXT, x_title=X_TITLE))
    if what_if is not None:
        page.heading("What takes the advantage away")
        _what_if_table(page, what_if, frame)
    page.heading("Checks and negative controls")
    _checks_table(page, checks)
    page.heading("Which GPUs and routers the figures allow")
    _candidates(page, candidates)
    sweep_confidence(page, frame)
    page.heading("All runs")
    _runs_table(page, frame)
    page.heading("Where the numbers come from")
    sources_table(page, base)
    scenario_text(page, base)
    return page


def _figure_rows(compared: Sequence[SimulatedFigure], *, spread: bool) -> list[list[Cell]]:
    return [
        [
            Cell(each.figure.name, link=each.figure.address),
            Cell(change_text(each.figure.published), "num"),
            Cell(change_text(each.median), "num"),
            *(
                [Cell(f"{signed(each.lowest)} \u2026 {signed(each.highest)} %", "num")]
                if spread
                else []
            ),
            Cell(each.context_words, "num"),
            Cell(each.figure.band_words, "num"),
            Cell("consistent with", "good") if each.consistent else Cell("outside", "bad"),
        ]
        for each in compared
    ]


def _figures_table(page: Page, compared: Sequence[SimulatedFigure], seeds: int) -> None:
    several = f"median and range of {seeds} seeds" if seeds > 1 else "one seed"
    page.table(
        [
            "largest gain over the sweep",
            Cell("published", "num"),
            Cell("simulated", "num"),
            *([Cell("range", "num")] if seeds > 1 else []),
            Cell("at context", "num"),
            Cell("band to meet", "num"),
            "result",
        ],
        _figure_rows(compared, spread=seeds > 1),
        caption=f"Gains are the largest over the contexts, as published; {several}.",
    )
    page.paragraph(
        "GPU, router, versions and contexts of the published runs are not stated. A figure inside "
        "its band says that this configuration could have given it, not that it did.",
        "soft",
    )


def _checks_table(page: Page, checks: Sequence[Check]) -> None:
    results = {
        True: Cell("holds", "good"),
        False: Cell("fails", "bad"),
        None: Cell("not run", "open"),
    }
    page.table(
        ["statement", "result", "seen"],
        [[check.statement, results[check.holds], check.seen] for check in checks],
    )


def _candidates(page: Page, frame: pd.DataFrame | None) -> None:
    if frame is None:
        page.paragraph("Not run yet: make reproduce runs every candidate.", "soft")
        return
    judged = judge_candidates(frame)
    first = judged[0].figures
    header: list[Cell | str] = ["GPU", "router"]
    header += [Cell(each.figure.short_name, "num") for each in first]
    page.table(
        [*header, "verdict", "why"],
        [_candidate_row(candidate) for candidate in judged],
        caption="One seed each; KV pool from the card's memory, batch from its class.",
    )
    page.paragraph(
        "Cannot be: for the reason given, no other store rates or contexts would mend it. Outside: "
        "a figure leaves its band with these store rates, these contexts and this seed; others "
        "might fit. A set-up loses: to the larger ones. Published for comparison: "
        + ", ".join(f"{each.figure.short_name} {signed(each.figure.published)} %" for each in first)
        + ".",
        "soft",
    )


def _candidate_row(candidate: Candidate) -> list[Cell]:
    looks = {"consistent with": "good", "outside": "open", "cannot be": "bad"}
    numbers = [
        Cell(change_text(each.median), "num" if each.consistent else "num bad")
        for each in candidate.figures
    ]
    return [
        Cell(candidate.gpu),
        Cell(ROUTER_NAMES.get(candidate.router, candidate.router)),
        *numbers,
        Cell(candidate.verdict, looks[candidate.verdict]),
        Cell(candidate.why),
    ]


def _what_if_table(page: Page, frame: pd.DataFrame, main: pd.DataFrame) -> None:
    healthy = median_over_seeds(main, CONTEXT)["finished_per_s"].max()
    page.table(
        [
            "context",
            "change",
            Cell("speed, requests/s", "num"),
            Cell("mean TTFT, s", "num"),
            Cell("computed again", "num"),
            Cell("loss repaired", "num"),
        ],
        [
            [Cell(row[0], "num"), Cell(row[1]), *(Cell(text, "num") for text in row[2:])]
            for row in what_if_rows(frame, healthy_per_s=healthy)
        ],
        caption="GPU + CPU with one thing changed, beside GPU + CPU and S3; median over the seeds. "
        "Loss repaired: of the speed that GPU + CPU lacks, 100 % is a service that keeps up.",
    )


def _runs_table(page: Page, frame: pd.DataFrame) -> None:
    medians = median_over_seeds(frame, CONTEXT)
    page.table(
        [
            "set-up",
            Cell("context", "num"),
            Cell("requests/s", "num"),
            Cell("TTFT mean, s", "num"),
            Cell("decode, tokens/s", "num"),
            Cell("found in a cache", "num"),
            Cell("live sessions", "num"),
            "keeps up",
        ],
        [
            [
                Cell(setup_name(row["setup"])),
                Cell(f"{row[CONTEXT]:,.0f}", "num"),
                Cell(number(row["finished_per_s"], 3), "num"),
                Cell(number(row["ttft_s_mean"], 3), "num"),
                Cell(number(row["decode_tokens_per_s_mean"]), "num"),
                Cell(percent(row["token_hit_rate"]), "num"),
                Cell(number(row["sessions_mean"]), "num"),
                Cell("yes") if row["stable"] else Cell("no", "bad"),
            ]
            for row in medians.to_dict("records")
        ],
    )


def _configuration(base: Scenario, seeds: int) -> str:
    work = base.workload
    assert isinstance(work, MultiRoundQaSpec), "the experiment asks multi-round questions"
    return (
        f"{base.instances} instances of {base.model.name}, one {base.gpu.name} each, "
        f"{ROUTER_NAMES.get(base.router, base.router)} router; {work.num_users} users, "
        f"{work.num_rounds} rounds, {work.qps:g} requests/s, {work.shared_system_prompt:,} shared "
        f"tokens, answers of {work.answer_len} tokens, {work.time:,.0f} s; "
        f"{counted(seeds, 'seed')}."
    )
