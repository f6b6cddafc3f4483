"""The largest load that a design carries within its promise, on demand."""

from __future__ import annotations

from typing import Any

import streamlit as st

from kvsim.app import state
from kvsim.app.work import work
from kvsim.spec.scenario import Scenario
from kvsim.spec.trace_workload import TraceSpec
from kvsim.spec.workload import MultiRoundQaSpec


def load_path(scenario: Scenario) -> tuple[str, str]:
    """Name the key that a workload's load goes by, and what it counts."""
    match scenario.workload:
        case MultiRoundQaSpec():
            return "workload.qps", "questions per second"
        case TraceSpec():
            return "workload.rate_scale", "times the trace's rate"
        case _:
            return "workload.arrivals.rate", "sessions begun per second"


def largest(design: state.Design) -> None:
    """Offer the search for the largest load, and say what it found."""
    path, unit = load_path(design.scenario)
    job = {"job": "largest_load", "scenario": design.scenario.to_dict(), "path": path}
    found = work("load", "How much load does it carry?", job)
    if found is not None:
        st.markdown(load_words(found, unit))


def load_words(found: dict[str, Any], unit: str) -> str:
    """Say how far the design goes, and what breaks first beyond that."""
    value = found["value"]
    if value is None:
        return f"Not even {found['low']:.3g} {unit} are within the promise: {found['binding']}."
    shown = f"{value:.3g}"
    if found["reached_bound"]:
        return f"**At least {shown} {unit}**, as far as was looked."
    return f"**Up to {shown} {unit}.** Beyond that: {found['binding']}."
