"""Why: the figures behind a design, a guided look at a disappointing tier, and the words."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from pathlib import Path

import streamlit as st

from kvsim.app import state
from kvsim.errors import KvsimError


def page() -> None:
    """Show one part at a time, for the design of the first page."""
    design = state.design()
    st.markdown(f"## Explain: {design.name}")
    st.caption("The design is that of the What-if page.")
    parts = {"Words": _words}
    chosen = st.segmented_control(
        "Part", list(parts), default=next(iter(parts)), key="explain", label_visibility="collapsed"
    )
    try:
        parts[chosen or next(iter(parts))](design)
    except KvsimError as error:
        st.error(str(error), icon=":material/error:")


def _words(design: state.Design) -> None:
    st.markdown(glossary())


@lru_cache(maxsize=1)
def glossary() -> str:
    """Read the page of names and units, without its title."""
    package = Path(str(resources.files("kvsim")))
    inside = package / "docs" / "names.md"
    path = inside if inside.is_file() else package.parent / "docs" / "names.md"
    return path.read_text(encoding="utf-8").partition("\n")[2].replace("\n## ", "\n#### ")
