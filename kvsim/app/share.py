"""What a visitor takes away: a link, the command, files."""

from __future__ import annotations

import json
from collections.abc import Callable

import streamlit as st

from kvsim.app import link, state, takeaway
from kvsim.app.results import Answer
from kvsim.deploy.vllm_out import deployment_files
from kvsim.errors import KvsimError
from kvsim.report.run_page import run_page

PARAMETER = "design"


def share(design: state.Design, found: Answer) -> None:
    """Offer everything that leaves the page."""
    scenario, result = design.scenario, found.result
    own = state.own_names()
    st.markdown("**Link to this design**")
    try:
        packed = link.encode(design.preset, scenario)
        address = (st.context.url or "").split("?")[0]
        st.code(f"{address}?{PARAMETER}={packed}", language=None, wrap_lines=True, height=90)
    except KvsimError as error:
        st.caption(state.plain(str(error)))
    st.markdown("**The same on the command line**")
    st.code(own(takeaway.command(design.preset, scenario)), language="bash", wrap_lines=True)
    st.markdown("**Files**")

    files: dict[str, tuple[str, Callable[[], str | bytes]]] = {
        "Scenario (YAML)": ("yaml", lambda: own(takeaway.scenario_yaml(scenario))),
        "Scenario (JSON)": ("json", lambda: own(json.dumps(scenario.to_dict(), indent=2))),
        "Figures (JSON)": ("summary.json", lambda: json.dumps(found.summary, indent=2)),
        "Requests (CSV)": ("csv", lambda: takeaway.csv_bytes(result.requests)),
        "Requests (Parquet)": ("parquet", lambda: takeaway.parquet_bytes(result.requests)),
        "Report (HTML)": ("html", lambda: own(run_page(result).text())),
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
    st.markdown("**Settings of vLLM and LMCache**")
    for name, text in deployment_files(scenario).items():
        with st.expander(name):
            st.code(text, language="bash" if name.endswith(".sh") else "yaml", wrap_lines=True)
            st.download_button(
                "Download", text, file_name=name, key=f"deploy {name}", on_click="ignore"
            )


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
