"""Why: the figures behind a design, a guided look at a disappointing tier, and the words."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from pathlib import Path

import streamlit as st

from kvsim.app import state
from kvsim.app.results import answer, gpu_only, is_quick
from kvsim.app.views import one_of
from kvsim.errors import KvsimError
from kvsim.plan.diagnose import diagnose
from kvsim.plan.formulas import formulas, typical_context


def page() -> None:
    """Show one part at a time, for the design of the first page."""
    design = state.design()
    st.markdown(f"## Explain: {design.title}")
    st.caption("The design is that of the What-if page.")
    parts = {"The arithmetic": _formulas, "Does it help, and why not?": _why, "Words": _words}
    try:
        one_of("Part", parts, "explain")(design)
    except KvsimError as error:
        st.error(state.plain(str(error)), icon=":material/error:")


def _formulas(design: state.Design) -> None:
    context = st.number_input(
        "Cached context, tokens", min_value=1, value=typical_context(design.scenario), step=1_000
    )
    st.caption("Times are those of one request on an idle instance.")
    for one in formulas(design.scenario, context=int(context)):
        with st.container(border=True):
            left, right = st.columns([3, 1], vertical_alignment="center")
            left.markdown(f"**{one.label}** = {state.plain(one.formula)}")
            left.markdown(f":gray[= {state.plain(one.filled)}]")
            left.caption(state.plain(one.source))
            right.metric(one.label, one.shown, label_visibility="collapsed")


def _why(design: state.Design) -> None:
    """Ask the run itself, its gravest cause first, against the same design without tiers."""
    scenario = design.scenario
    if not is_quick(scenario):
        st.caption("This run takes longer than a few seconds; simulate it on the What-if page.")
        return
    base = gpu_only(scenario)
    baseline = answer(base).result if base != scenario and is_quick(base) else None
    causes = diagnose(answer(scenario).result, baseline)
    if not causes:
        st.success("Nothing stands out: no tier is too small, too slow or passed over.")
    for cause in causes:
        with st.container(border=True):
            st.markdown(f"**{state.plain(cause.what[0].upper() + cause.what[1:])}**")
            st.markdown(state.plain(cause.evidence))
            st.markdown(f":material/arrow_forward: {state.plain(cause.way_out)}")
    st.caption("From which context on a load pays at all: Plan, Load or recompute.")


def _words(design: state.Design) -> None:
    st.markdown(glossary())


@lru_cache(maxsize=1)
def glossary() -> str:
    """Read the page of names and units, without its title."""
    package = Path(str(resources.files("kvsim")))
    inside = package / "docs" / "names.md"
    path = inside if inside.is_file() else package.parent / "docs" / "names.md"
    return path.read_text(encoding="utf-8").partition("\n")[2].replace("\n## ", "\n#### ")
