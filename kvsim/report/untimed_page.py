"""The page of a run without time: where prompt tokens come from, and what more room would find."""

from kvsim.plan.untimed_run import UntimedRun
from kvsim.report.charts.tenants import tokens_by_source_per_tenant
from kvsim.report.charts.tokens import SOURCES, tokens_by_source, with_first_computed
from kvsim.report.html import Cell, Page
from kvsim.report.provenance import scenario_text
from kvsim.report.reuse_section import run_reuse
from kvsim.report.run_words import token_sources_sentence
from kvsim.text import percent
from kvsim.units import format_count


def untimed_page(found: UntimedRun) -> Page:
    """Lay out everything that a run without time tells."""
    summary = found.summary
    page = Page(f"Run {found.scenario.name} without time")
    page.paragraph(token_sources_sentence(summary), "lead")
    page.paragraph(
        f"{summary['requests']:,} requests are served at once, one after the other, through the "
        "routers, GPU pools, CPU tiers and store of the scenario: nothing waits, and what runs "
        "holds no memory.",
        "soft",
    )
    page.heading("Where the prompt tokens come from")
    page.charts(tokens_by_source({found.scenario.name: summary}))
    if found.tenants is not None:
        page.charts(tokens_by_source_per_tenant(found.tenants))
        _tenants(page, found)
    run_reuse(page, found.scenario)
    page.heading("Scenario")
    scenario_text(page, found.scenario)
    return page


def _tenants(page: Page, found: UntimedRun) -> None:
    assert found.tenants is not None, "a run with tenants"
    page.table(
        [
            "tenant",
            *(
                Cell(heading, "num")
                for heading in ("requests", "prompt tokens", *(n for n, _, _ in SOURCES.values()))
            ),
        ],
        [
            [
                row["tenant"],
                Cell(f"{row['finished']:,}", "num"),
                Cell(format_count(row["prompt_tokens"]), "num"),
                *(
                    Cell(percent(row[name] / max(1, row["prompt_tokens"])), "num")
                    for name in SOURCES
                ),
            ]
            for row in with_first_computed(found.tenants).to_dict("records")
        ],
    )
