"""Two inputs at once: a figure over a small grid of runs, and where the promise is kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import pandas as pd
import streamlit as st

from kvsim.app import state
from kvsim.app.cards import CONTEXT_STOPS, CPU_STOPS, RATE_STOPS, USER_STOPS
from kvsim.app.load import load_path
from kvsim.app.views import chart
from kvsim.app.work import work
from kvsim.report.charts import sweeps
from kvsim.report.charts.metrics import METRICS, metric_of, path_title, path_value_text
from kvsim.spec.scenario import Scenario
from kvsim.spec.workload import MultiRoundQaSpec

FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0)
"""Loads that are offered, as parts of the design's own."""
SHOWN = 4
"""Values of an input that are chosen at first: sixteen runs."""
MOST_RUNS = 64


def two_inputs(design: state.Design) -> None:
    """Let the visitor choose two inputs and their values, and draw what comes of them."""
    offered = _offered(design.scenario)
    left, right = st.columns(2)
    with left:
        across = _axis("Across", offered)
    with right:
        up = _axis("Up", {path: one for path, one in offered.items() if path != across[0]})
    grid = dict((up, across))
    runs = len(across[1]) * len(up[1])
    if not runs or runs > MOST_RUNS:
        st.error(f"Choose at least one value of each input, and at most {MOST_RUNS} runs in all.")
        return
    job = {"job": "grid", "scenario": design.scenario.to_dict(), "grid": grid}
    about = f"{runs} runs of the design with these values, the same seed in all."
    found = work("grid", "Run all of them", job, about)
    if found is None:
        return
    table = pd.DataFrame(found["rows"])
    metrics = [key for key in METRICS if key in table]
    metric = st.selectbox(
        "Figure",
        metrics,
        index=metrics.index("ttft_s_mean"),
        format_func=lambda key: metric_of(key).title,
    )
    chart(sweeps.heatmap(table, x=across[0], y=up[0], value=metric), "two inputs")
    values = {
        path_title(path): [path_value_text(path, value) for value in table[path]] for path in grid
    }
    figures = {metric_of(key).title: table[key] for key in metrics}
    st.dataframe({**values, **figures, "stable": table["stable"]}, hide_index=True)


def _axis(label: str, offered: dict[str, tuple[Sequence[Any], Any]]) -> tuple[str, list[Any]]:
    path = st.selectbox(label, list(offered), format_func=path_title)
    stops, own = offered[path]
    values = sorted({*stops, own})
    begin = max(0, min(values.index(own) - 1, len(values) - SHOWN))
    chosen = st.multiselect(
        f"Values: {path_title(path)}",
        values,
        default=values[begin : begin + SHOWN],
        format_func=lambda value: path_value_text(path, value),
        key=f"{state.generation()}|grid|{path}",
    )
    return path, sorted(chosen)


def _offered(scenario: Scenario) -> dict[str, tuple[Sequence[Any], Any]]:
    """List the inputs that people vary, each with values to choose from and the design's own."""
    work_spec, offload = scenario.workload, scenario.offload
    load = load_path(scenario)[0]
    own: Any = reduce(getattr, load.split("."), scenario)
    offered: dict[str, tuple[Sequence[Any], Any]] = {}
    if isinstance(work_spec, MultiRoundQaSpec):
        context = work_spec.user_history_prompt
        room = scenario.max_model_len - work_spec.last_prompt_tokens - work_spec.answer_len
        stops = [stop for stop in CONTEXT_STOPS if stop <= context + room]
        offered[sweeps.CONTEXT] = (stops, context)
    if offload.connector != "none":
        offered["offload.cpu.capacity"] = (CPU_STOPS[1:], offload.cpu.capacity)
    offered[load] = ([factor * own for factor in FACTORS], own)
    if isinstance(work_spec, MultiRoundQaSpec):
        offered["workload.num_users"] = (USER_STOPS, work_spec.num_users)
    if offload.connector != "none" and offload.remote is not None:
        path = "offload.remote.profile.read.bandwidth"
        offered[path] = (RATE_STOPS, offload.remote.profile.read.bandwidth)
    offered["instances"] = (range(1, 9), scenario.instances)
    return offered
