"""What is behind the verdict: one view at a time, so that a moved slider is answered soon."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
import streamlit as st

from kvsim.app import state, takeaway
from kvsim.app.cards import CONTEXT_STOPS
from kvsim.app.results import Answer, answer, gpu_only, is_quick
from kvsim.app.work import work
from kvsim.plan.demand import ranks_a_row
from kvsim.report import style
from kvsim.report.charts import designs, requests, sweeps, tiers, timeline, tokens
from kvsim.report.charts.tenants import tokens_by_source_per_tenant
from kvsim.report.tenants import fairness_words, tenant_table
from kvsim.report.verdict import HEADLINE
from kvsim.spec.scenario import Scenario
from kvsim.spec.workload import MultiRoundQaSpec
from kvsim.text import change_text, signed

_MODEBAR = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    "toImageButtonOptions": {"format": "png", "scale": 2},
}


def chart(figure: go.Figure, key: str, where: Any = st) -> None:
    """Show a figure with the page's look."""
    icons = {"bgcolor": "rgba(0,0,0,0)", "color": style.TEXT, "activecolor": style.HBM}
    figure.update_layout(modebar=icons)
    figure.update_xaxes(title_standoff=4, automargin=True)
    if st.context.theme.type == "dark":
        figure.update_layout(font_color=style.TEXT_ON_DARK)
    where.plotly_chart(figure, width="stretch", config=_MODEBAR, key=key, theme=None)


def in_pairs(figures: Sequence[go.Figure], key: str) -> None:
    """Show figures two in a row; one under the other, in their order, where the page is narrow."""
    for place, figure in enumerate(figures):
        if place % 2 == 0:
            columns = st.columns(2)
        chart(figure, f"{key} {place}", columns[place % 2])


def tier_chart(figure: go.Figure, key: str, design: state.Design, where: Any = st) -> None:
    """Show a figure whose shared tier has the colour of its kind of store."""
    remote = design.scenario.offload.remote
    chart(style.store_colour(figure, None if remote is None else remote.profile.medium), key, where)


def one_of(label: str, parts: Mapping[str, Callable[..., None]], key: str) -> Callable[..., None]:
    """Let the visitor choose one part of a page; the first to begin with."""
    first = next(iter(parts))
    chosen = st.segmented_control(
        label, list(parts), default=first, required=True, key=key, label_visibility="collapsed"
    )
    return parts[chosen]


def show(design: state.Design, found: Answer, baseline: Answer | None) -> None:
    """Let the visitor choose a view, and show it."""
    options = {
        "Tokens": _tokens,
        "Time to first token": _first_token,
        "Tiers": _tiers,
        "Reuse": _reuse,
        "Tenants": _tenants,
        "Timeline": _timeline,
        "Side by side": _side_by_side,
        "Over context": _contexts,
        "Tables": _tables,
    }
    if found.result.tenants is None:
        del options["Tenants"]
    one_of("View", options, "view")(design, found, baseline)


def _tokens(design: state.Design, found: Answer, baseline: Answer | None) -> None:
    summaries = {"as designed": found.summary}
    if baseline is not None:
        summaries = {_baseline_name(): baseline.summary} | summaries
    tier_chart(tokens.tokens_by_source(summaries), "tokens", design)
    left, right = st.columns(2)
    over_time = tokens.tokens_by_source_over_time(found.result.requests)
    tier_chart(over_time, "tokens over time", design, left)
    chart(requests.sessions_over_time(found.result.sessions), "sessions", right)


def _first_token(design: state.Design, found: Answer, baseline: Answer | None) -> None:
    tables = {"as designed": found.result.requests}
    if baseline is not None:
        tables = {_baseline_name(): baseline.result.requests} | tables
    finished = {name: rows for name, rows in tables.items() if rows["ttft_s"].notna().any()}
    chart(requests.ttft_waterfall(finished), "waterfall")
    left, right = st.columns(2)
    rows = found.result.requests
    tier_chart(requests.ttft_cdf_by_tier(rows), "ttft", design, left)
    tier_chart(requests.ttft_over_time(rows), "ttft over time", design, right)


def _tiers(design: state.Design, found: Answer, baseline: Answer | None) -> None:
    result = found.result
    limits = {
        (one.tier, one.direction): one.limit_bytes_per_s
        for one in found.demands
        if one.limit_bytes_per_s
    }
    tier_chart(tiers.tier_fill(result.tiers), "fill of the tiers", design)
    if found.demands:
        ranks = ranks_a_row(design.scenario, "cpu")
        moved = tiers.tier_bandwidth(result.transfers, cpu_ranks=ranks, limits=limits)
        tier_chart(moved, "bandwidth", design)
    if (result.transfers["tier"] == "remote").any():
        span_s = result.manifest.end_s - result.manifest.start_s
        a_day = tiers.storage_bytes_per_day(result.transfers, span_s=span_s)
        tier_chart(a_day, "bytes a day", design)


def _reuse(design: state.Design, found: Answer, baseline: Answer | None) -> None:
    about = (
        "Follows every chunk of the run's prompts, those of all instances in one cache: how far "
        "apart its uses are, what more capacity would save, how old chunks are when they go."
    )
    job = {"job": "reuse", "scenario": design.scenario.to_dict()}
    outcome = work("reuse", "Follow the chunks", job, about)
    if outcome is None:
        return
    for sentence in outcome["words"]:
        st.markdown(f"- {state.plain(sentence)}")
    in_pairs([pio.from_json(text) for text in outcome["figures"]], "reuse")
    st.download_button(
        "Report (HTML)",
        outcome["html"],
        file_name=f"{design.scenario.name}-reuse.html",
        on_click="ignore",
        icon=":material/download:",
    )


def _tenants(design: state.Design, found: Answer, baseline: Answer | None) -> None:
    assert found.result.tenants is not None
    tier_chart(tokens_by_source_per_tenant(found.result.tenants), "tenants", design)
    shared = found.result.tenants_dict()
    st.dataframe(pd.DataFrame(tenant_table(shared)), hide_index=True)
    st.caption(f"{fairness_words(shared)}. 1 is fair, one over their number is one taking all.")


def _baseline_name() -> str:
    return "first pin" if state.pins() else "GPU only"


@st.fragment
def _timeline(design: state.Design, found: Answer, baseline: Answer | None) -> None:
    """Scrub through the run; only this part of the page follows the slider."""
    rows = found.result.requests
    start_s, end_s = found.result.manifest.start_s, found.result.manifest.end_s
    at_s = st.slider(
        "Time, s",
        min_value=0.0,
        max_value=float(end_s),
        value=(start_s + end_s) / 2,
        step=0.1,
        format="%.1f s",
        key=f"time|{design.scenario.hash()}",
    )
    chart(timeline.instant(rows, at_s), "instant")
    left, right = st.columns(2)
    chart(timeline.stages_over_time(rows, end_s, at_s), "stages", left)
    tier_chart(timeline.tokens_so_far(rows, end_s, at_s), "tokens so far", design, right)
    result = found.result
    if not result.transfers.empty and timeline.fills_up(design.scenario):
        fill = timeline.tier_fill_over_time(result.transfers, result.tiers, end_s, at_s)
        tier_chart(fill, "fill", design)
    chart(requests.request_timeline(rows), "lanes")


def _side_by_side(design: state.Design, found: Answer, baseline: Answer | None) -> None:
    pinned = state.pins()
    columns: dict[str, Answer] = {}
    if not pinned and baseline is not None:
        columns["GPU only"] = baseline
    for place, one in enumerate(pinned, start=1):
        same_seed = one.scenario.replace({"seed": design.scenario.seed})
        if is_quick(same_seed):
            columns[f"{place}: {one.name}"] = answer(same_seed)
    columns["now"] = found
    summaries = [one.summary for one in columns.values()]
    chart(designs.side_by_side(list(columns), summaries), "side by side")
    first = summaries[0]
    st.dataframe(
        {
            "": [label for label, _ in HEADLINE.values()],
            **{
                name: [
                    f"{write(one.summary[key])}{_against(key, one.summary[key], first[key])}"
                    for key, (_, write) in HEADLINE.items()
                ]
                for name, one in columns.items()
            },
        },
        hide_index=True,
    )
    scenarios = [one.result.scenario for one in columns.values()]
    for name, scenario in zip(list(columns)[1:], scenarios[1:], strict=True):
        changed = takeaway.differences(scenarios[0], scenario)
        words = state.plain(", ".join(changed)) or "nothing"
        st.caption(f"**{state.plain(name)}** differs from the first in: {words}.")
    if not pinned:
        st.caption("Pin designs to see them here; the first pin takes the place of the baseline.")
    with st.container(horizontal=True):
        for place, one in enumerate(pinned, start=1):
            if st.button(f"Open {place}", key=f"open {place}", help=one.title):
                state.start(one.preset, one.scenario)
                st.rerun()


def _against(key: str, value: float | None, first: float | None) -> str:
    change = None if value == first else headline_change(key, first, value)
    return "" if change is None else f"  ({change})"


def headline_change(key: str, old: float | None, new: float | None) -> str | None:
    """Write how a figure of the headline changes; None where no number says it."""
    if not old or new is None:
        return None
    if key.endswith("_rate"):
        return f"{signed(new - old)} points"
    return change_text(new / old - 1)


def setups(scenario: Scenario) -> dict[str, dict[str, Any]]:
    """Make the set-ups of a comparison out of a design: what it has, tier by tier."""
    found = {"gpu": gpu_only(scenario).to_dict()}
    if scenario.offload.connector != "none":
        found["cpu"] = scenario.replace({"offload.remote": None}).to_dict()
        remote = scenario.offload.remote
        if remote is not None:
            found["pnfs" if remote.profile.medium == "file" else "s3"] = scenario.to_dict()
    return found


def _contexts(design: state.Design, found: Answer, baseline: Answer | None) -> None:

    work_spec = design.scenario.workload
    if not isinstance(work_spec, MultiRoundQaSpec):
        st.caption("Only multi-round QA has a context length to vary.")
        return
    room = design.scenario.max_model_len - work_spec.last_prompt_tokens - work_spec.answer_len
    longest = work_spec.user_history_prompt + room
    values = [stop for stop in CONTEXT_STOPS if stop <= longest][-10:]
    job = {
        "job": "contexts",
        "setups": setups(design.scenario),
        "path": sweeps.CONTEXT,
        "values": values,
    }
    about = "Runs the design with and without its tiers at ten context lengths."
    outcome = work("contexts", "Compare the set-ups over context", job, about)
    if outcome is None:
        return
    frame = pd.DataFrame(outcome["rows"])
    for metric in sweeps.MAIN:
        chart(sweeps.metric_by_context(frame, metric), f"contexts {metric}")


def _tables(design: state.Design, found: Answer, baseline: Answer | None) -> None:
    st.markdown("**Tiers**")
    table = found.result.tiers
    sizes = [name for name in table.columns if name.endswith("_bytes")]
    st.dataframe(
        table,
        hide_index=True,
        column_config={name: st.column_config.NumberColumn(format="bytes") for name in sizes},
    )
    st.markdown("**Requests**")
    st.dataframe(found.result.requests, hide_index=True, height=320)
