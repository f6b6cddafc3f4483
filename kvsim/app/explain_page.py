"""Why: the figures behind a design, a guided look at a disappointing tier, and the words."""

from __future__ import annotations

import streamlit as st

from kvsim.app import state
from kvsim.app.presets import experiments
from kvsim.errors import KvsimError
from kvsim.units import format_bytes, format_count


def page() -> None:
    """Show the parts, each for the design of the first page."""
    design = state.design()
    st.markdown(f"## Explain: {design.name}")
    try:
        _numbers(design)
    except KvsimError as error:
        st.error(str(error), icon=":material/error:")


def _numbers(design: state.Design) -> None:
    scenario = design.scenario
    ranks = scenario.engine.tensor_parallel_size
    st.metric(
        "KV of a token, per rank", format_bytes(scenario.model.kv_bytes_per_token_per_rank(ranks))
    )
    st.metric("Blocks", format_count(scenario.num_gpu_blocks))
    assert experiments()
