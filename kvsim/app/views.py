"""What is behind the verdict: one view at a time, so that a moved slider is answered soon."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import streamlit as st

from kvsim.app import state
from kvsim.app.results import Answer, answer, gpu_only, is_quick
from kvsim.app.work import work
from kvsim.report import run_figures
from kvsim.report.charts import designs, timeline
from kvsim.report.run_page import HEADLINE
from kvsim.spec.scenario import Scenario
from kvsim.spec.workload import MultiRoundQaSpec

_MODEBAR = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    "toImageButtonOptions": {"format": "png", "scale": 2},
}


def chart(figure: go.Figure, key: str, where: Any = st) -> None:
    """Show a figure with the page's look."""
    where.plotly_chart(figure, width="stretch", config=_MODEBAR, key=key, theme=None)


def show(design: state.Design, found: Answer, baseline: Answer | None) -> None:
    """Let the visitor choose a view, and show it."""
    options = {
        "Tokens": _tokens,
        "Time to first token": _first_token,
        "Timeline": _timeline,
        "Side by side": _side_by_side,
        "Over context": _contexts,
        "Tables": _tables,
    }
    chosen = st.segmented_control(
        "View", list(options), default="Tokens", key="view", label_visibility="collapsed"
    )
    options[chosen or "Tokens"](design, found, baseline)


def _tokens(design: state.Design, found: Answer, baseline: Answer | None) -> None:
    chart(run_figures.tokens_bar(found.summary), "tokens")
    left, right = st.columns(2)
    chart(run_figures.sessions_over_time(found.result.sessions), "sessions", left)
    chart(run_figures.ttft_over_time(found.result.requests), "ttft over time", right)


def _first_token(design: state.Design, found: Answer, baseline: Answer | None) -> None:
    left, right = st.columns(2)
    chart(run_figures.ttft_distribution(found.result.requests), "ttft", left)
    chart(run_figures.ttft_over_time(found.result.requests), "ttft over time", right)


@st.fragment
def _timeline(design: state.Design, found: Answer, baseline: Answer | None) -> None:
    """Scrub through the run; only this part of the page follows the slider."""
    requests = found.result.requests
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
    chart(timeline.instant(requests, at_s), "instant")
    left, right = st.columns(2)
    chart(timeline.stages_over_time(requests, end_s, at_s), "stages", left)
    chart(timeline.tier_fill(requests, end_s, at_s), "fill", right)


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
                    f"{write(one.summary[key])}{_against(one.summary[key], first[key])}"
                    for key, (_, write) in HEADLINE.items()
                ]
                for name, one in columns.items()
            },
        },
        hide_index=True,
    )
    if not pinned:
        st.caption("Pin designs to see them here; the first pin takes the place of the baseline.")
    with st.container(horizontal=True):
        for place, one in enumerate(pinned, start=1):
            if st.button(f"Open {place}", key=f"open {place}", help=one.name):
                state.start(one.preset, one.scenario)
                st.rerun()


def _against(value: float | None, first: float | None) -> str:
    if not first or value is None or value == first:
        return ""
    return f"  ({value / first - 1:+.0%})"


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
    import pandas as pd

    from kvsim.app.cards import CONTEXT_STOPS
    from kvsim.report import figures
    from kvsim.report.storagegrid import CONTEXT

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
        "path": CONTEXT,
        "values": values,
    }
    about = "Runs the design with and without its tiers at ten context lengths."
    outcome = work("contexts", "Compare the set-ups over context", job, about)
    if outcome is None:
        return
    frame = pd.DataFrame(outcome["rows"])
    for metric in figures.MAIN:
        drawn = figures.lines(frame, metric, x=CONTEXT, x_title="context, tokens")
        chart(drawn, f"contexts {metric.column}")


def _tables(design: state.Design, found: Answer, baseline: Answer | None) -> None:
    st.markdown("**Tiers**")
    tiers = found.result.tiers
    sizes = [name for name in tiers.columns if name.endswith("_bytes")]
    st.dataframe(
        tiers,
        hide_index=True,
        column_config={name: st.column_config.NumberColumn(format="bytes") for name in sizes},
    )
    st.markdown("**Requests**")
    st.dataframe(found.result.requests, hide_index=True, height=320)
