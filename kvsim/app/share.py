"""What a visitor takes away: a link, the command, files."""

from __future__ import annotations

import json
from collections.abc import Callable

import streamlit as st

from kvsim.app import link, state, takeaway
from kvsim.app.results import Answer
from kvsim.calibration.confidence import confidence_line
from kvsim.errors import KvsimError
from kvsim.report import run_figures
from kvsim.report.run_page import run_page
from kvsim.report.verdict import Verdict

PARAMETER = "design"


def share(design: state.Design, found: Answer, words: Verdict) -> None:
    """Offer everything that leaves the page."""
    scenario, result = design.scenario, found.result
    st.markdown("**Link to this design**")
    try:
        packed = link.encode(design.preset, scenario)
        address = (st.context.url or "").split("?")[0]
        st.code(f"{address}?{PARAMETER}={packed}", language=None, wrap_lines=True, height=90)
    except KvsimError as error:
        st.caption(str(error))
    st.markdown("**The same on the command line**")
    st.code(takeaway.command(design.preset, scenario), language="bash", wrap_lines=True)
    st.markdown("**Files**")

    def page() -> str:
        figures = [
            run_figures.tokens_bar(found.summary),
            run_figures.ttft_over_time(result.requests),
            run_figures.ttft_distribution(result.requests),
        ]
        trust = confidence_line(found.trust, found.basis)
        return run_page(design.name, found.summary, words, trust, figures).html()

    files: dict[str, tuple[str, Callable[[], str | bytes]]] = {
        "Scenario (YAML)": ("yaml", lambda: takeaway.scenario_yaml(scenario)),
        "Scenario (JSON)": ("json", lambda: json.dumps(scenario.to_dict(), indent=2)),
        "Figures (JSON)": ("summary.json", lambda: json.dumps(found.summary, indent=2)),
        "Requests (CSV)": ("csv", lambda: takeaway.csv_bytes(result.requests)),
        "Requests (Parquet)": ("parquet", lambda: takeaway.parquet_bytes(result.requests)),
        "Report (HTML)": ("html", page),
    }
    with st.container(horizontal=True):
        for label, (suffix, content) in files.items():
            st.download_button(
                label,
                content,
                file_name=f"{scenario.name}.{suffix}",
                key=f"download {suffix}",
                on_click="ignore",
                icon=":material/download:",
            )
    st.caption("Charts are saved as PNG with the camera in their corner.")


def open_link() -> None:
    """Begin with the design of the address, if it carries one."""
    text = st.query_params.get(PARAMETER)
    if text is None:
        return
    del st.query_params[PARAMETER]
    try:
        state.start(*link.decode(text))
    except KvsimError as error:
        st.session_state["link_error"] = str(error)
