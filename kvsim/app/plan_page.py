"""What to buy: sizes, when loading pays, cost. Long work, so each part waits for a click."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import streamlit as st

from kvsim.app import state
from kvsim.app.cards import CPU_STOPS, price_label
from kvsim.app.load import load_path, load_words
from kvsim.app.results import answer, cost, is_quick, prices_of
from kvsim.app.two_inputs import two_inputs
from kvsim.app.views import chart, in_pairs, one_of
from kvsim.app.work import work
from kvsim.errors import KvsimError
from kvsim.plan.search_space import STORE
from kvsim.plan.search_words import design_words
from kvsim.report.charts import capacity, sweeps
from kvsim.report.charts.metrics import METRICS, metric_of
from kvsim.report.plan_page import (
    COST_NAMES,
    TOKEN_COSTS,
    breakeven_maps,
    breakeven_page,
    curve_frame,
    more_memory_figure,
    size_figure,
    size_page,
    size_words,
)
from kvsim.report.search_page import frontier_figures
from kvsim.report.sensitivity_page import sensitivity_words
from kvsim.spec.load import list_profiles
from kvsim.spec.scenario import Scenario
from kvsim.text import number, percent
from kvsim.units import format_bytes


def page() -> None:
    """Show the plans of the design of the first page."""
    design = state.design()
    st.markdown(f"## Plan: {design.title}")
    st.caption("The design is that of the What-if page.")
    parts = {
        "Size the tiers": _size,
        "Load or recompute": _breakeven,
        "Goodput and load": _load,
        "Two inputs": two_inputs,
        "What moves it": _sensitivity,
        "Cheapest design": _cheapest,
        "Cost": _cost,
    }
    try:
        one_of("Plan", parts, "plan")(design)
    except KvsimError as error:
        st.error(state.plain(str(error)), icon=":material/error:")


def _size(design: state.Design) -> None:
    scenario = design.scenario
    targets = {
        "95 % of what can be found": None,
        "the service level": "slo",
        "a hit rate": "rate",
    }
    if scenario.slo is None:
        del targets["the service level"]
    chosen = st.radio("Reach", list(targets), horizontal=True)
    rate = None
    if targets[chosen] == "rate":
        rate = st.slider("Hit rate, %", 1, 99, 80) / 100
    if targets[chosen] is None:
        scenario = scenario.replace({"slo": None})
    prices = prices_of(scenario, *state.price_list())
    job = {
        "job": "size",
        "scenario": scenario.to_dict(),
        "prices": prices.model_dump(mode="json"),
        "hit_rate": rate,
    }
    about = "Simulates ten to twenty capacities of each tier, the same requests in all."
    data = work("size", "Find the smallest sizes", job, about)
    if data is None:
        return
    for line in size_words(data):
        st.markdown(f"- {state.plain(line)}")
    for note in data["notes"]:
        st.caption(f"Note: {state.plain(note)}.")
    figure = size_figure(data)
    if figure is not None:
        in_pairs([figure, more_memory_figure(data)], "size")
    points = [
        {
            "tier": tier["tier"],
            "capacity": format_bytes(point["capacity_bytes"]),
            "hit rate": percent(point["hit_rate"]),
            "mean TTFT, s": point["ttft_s_mean"],
            "requests/s": point["finished_per_s"],
            "stable": point["stable"],
            "reaches": point["meets"],
        }
        for tier in data["tiers"]
        for point in tier["points"]
    ]
    if points:
        st.dataframe(pd.DataFrame(points), hide_index=True)
    _download(lambda: size_page(data).text(), "size.html")


def _breakeven(design: state.Design) -> None:
    own = design.scenario.offload.remote
    mine = own.profile.name if own is not None else None
    others = [name for name in list_profiles("storage") if name != mine]
    stores = st.multiselect("Compare with other stores", others, max_selections=4)
    job = {"job": "breakeven", "scenario": design.scenario.to_dict(), "stores": stores}
    about = "Says from which context on loading beats computing, by closed form and simulation."
    data = work("breakeven", "Find the break-even", job, about)
    if data is None:
        return
    for tier in data["tiers"]:
        first, *rest = tier["words"]
        st.markdown(f"**{state.plain(first)}** {state.plain(' '.join(rest))}")
    points = curve_frame(data)
    lengths = sorted(set(points["context"]))
    context = st.select_slider("Context, tokens", lengths, value=lengths[2 * len(lengths) // 3])
    curves = [capacity.breakeven_curves(points), capacity.waterfall(points, context)]
    in_pairs([*curves, *breakeven_maps(data)], "breakeven")
    st.markdown("**What would move the break-even**")
    changes = pd.DataFrame([row for tier in data["tiers"] for row in tier["what_ifs"]])
    shown = changes[["tier", "changed", "value", "words"]]
    st.dataframe(shown.rename(columns={"words": "loading wins"}), hide_index=True)
    _download(lambda: breakeven_page(data).text(), "breakeven.html")


def _load(design: state.Design) -> None:
    path, unit = load_path(design.scenario)
    job = {"job": "largest_load", "scenario": design.scenario.to_dict(), "path": path}
    about = "Tries loads until it is known up to which one the design keeps its promise."
    data = work("load", "Find the largest load", job, about)
    if data is None:
        return
    st.markdown(load_words(data, unit))
    tried = pd.DataFrame(data["tried"])
    table = tried.rename(columns={"load": path}).assign(setup="as designed", seed=0)
    goodput = sweeps.goodput_against_load(table, load=path)
    in_pairs([goodput, sweeps.metric_by_context(table, "ttft_s_mean", x=path)], "load")
    st.dataframe(tried, hide_index=True)


def _sensitivity(design: state.Design) -> None:
    offered = [key for key in METRICS if key in answer_keys(design)]
    metric = st.selectbox(
        "Figure",
        offered,
        index=offered.index("ttft_s_mean"),
        format_func=lambda k: metric_of(k).title,
    )
    job = {"job": "sensitivity", "scenario": design.scenario.to_dict(), "metric": metric}
    about = "Moves one input at a time down and up, the same requests in all runs."
    data = work("sensitivity", "Find what moves it", job, about)
    if data is None:
        return
    rows = pd.DataFrame(data["rows"])
    st.markdown(sensitivity_words(rows, metric))
    chart(sweeps.tornado(rows, metric), "tornado")
    st.dataframe(rows, hide_index=True)


def answer_keys(design: state.Design) -> set[str]:
    """Name the figures that a run of the design has."""
    return set(answer(design.scenario).summary) if is_quick(design.scenario) else {"ttft_s_mean"}


def _cheapest(design: state.Design) -> None:
    scenario = design.scenario
    own = scenario.offload.remote
    mine = own.profile.name if own is not None else None
    left, right = st.columns(2)
    gpus = left.multiselect("GPUs", list_profiles("gpus"), default=[scenario.gpu.name])
    instances = right.multiselect(
        "Instances", list(range(1, 9)), default=sorted({1, scenario.instances, 4})
    )
    own_size = scenario.offload.cpu.capacity
    sizes = left.multiselect(
        "CPU memory per rank",
        sorted({*CPU_STOPS, own_size}),
        default=sorted({CPU_STOPS[0], own_size}),
        format_func=format_bytes,
    )
    stores = right.multiselect(
        "Stores",
        [None, *list_profiles("storage")],
        default=[None] if mine is None else [None, mine],
        format_func=lambda name: "none" if name is None else name,
    )
    prices, given = state.price_list()
    axes: dict[str, list[Any]] = {
        "gpu": gpus,
        "instances": instances,
        "offload.cpu.capacity": sizes,
        STORE: stores,
    }
    job = {
        "job": "cheapest",
        "scenario": scenario.to_dict(),
        "space": {path: values for path, values in axes.items() if values},
        "prices": prices,
        "given": given,
    }
    count = math.prod(len(values) for values in axes.values() if values)
    about = f"{count} designs; those that keep the promise are ranked by USD an hour."
    data = work("cheapest", "Find the cheapest design", job, about)
    if data is None:
        return
    for line in data["words"]:
        st.markdown(f"- {state.plain(line)}")
    table = pd.DataFrame(data["table"])
    named = table.assign(design=[design_words(_axes(row, axes)) for row in data["table"]])
    in_pairs(frontier_figures(named, ["usd_per_hour"]), "pareto")
    if data["best"] is not None and st.button("Open the cheapest on the What-if page"):
        state.start(design.preset, Scenario.from_dict(data["best"]))
        st.rerun()
    figures = table.columns.drop(["trial", *axes], errors="ignore")
    st.dataframe(named[["design", *figures]], hide_index=True)


def _axes(row: dict[str, Any], axes: dict[str, list[Any]]) -> dict[str, Any]:
    return {path: row[path] for path in axes if path in row}


def _cost(design: state.Design) -> None:
    if not is_quick(design.scenario):
        st.caption("This run takes longer than a few seconds; simulate it on the What-if page.")
        return
    prices = prices_of(design.scenario, *state.price_list())
    spent = cost(answer(design.scenario), prices).to_dict()
    left, right = st.columns(2)
    left.markdown("**USD an hour**")
    left.dataframe(
        {
            "component": [*COST_NAMES.values(), "all"],
            "USD": [number(spent[key], 4) for key in (*COST_NAMES, "usd_per_hour")],
        },
        hide_index=True,
    )
    right.markdown("**USD a million tokens**, at the load of this run")
    right.dataframe(
        {
            "tokens": list(TOKEN_COSTS.values()),
            "USD": [number(spent[key], 4) for key in TOKEN_COSTS],
        },
        hide_index=True,
    )
    st.markdown("**Prices and where they come from**")
    st.dataframe(
        pd.DataFrame(
            [
                {"price": price_label(name), "USD": getattr(prices, name), **_row(source)}
                for name, source in prices.sources.items()
                if name != "ram_included"
            ]
        ),
        hide_index=True,
    )


def _row(source: Any) -> dict[str, Any]:
    return {"source": source.kind, "how": source.how, "date": source.date}


def _download(content: Any, name: str) -> None:
    st.download_button(
        "Report (HTML)", content, file_name=name, on_click="ignore", icon=":material/download:"
    )
