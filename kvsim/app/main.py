"""What a visit runs: look, navigation, and the link that somebody may have followed."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from kvsim import __version__
from kvsim.app import what_if
from kvsim.app.share import open_link

_LOOK = """<style>
.stMainBlockContainer { padding: 4.2rem 2rem 3rem; }
[data-testid="stSidebarUserContent"] { padding-bottom: 2rem; }
.st-key-notice { display: none; }
[data-testid="stSidebarHeader"] { height: 2.6rem; }
@media (max-width: 640px) {
    .stMainBlockContainer { padding: 4.2rem .8rem 3rem; }
    [data-testid=stHorizontalBlock] > :has(> [data-testid=stMetric]) { flex: 1 1 128px; }
    [data-testid=stMarkdownContainer]:has(> table) { overflow-x: auto; }
    [data-testid=stButtonGroup] [aria-checked=false] {
        border-color: rgba(128, 128, 128, .4) !important;
    }
    [data-testid=stButtonGroup] [aria-checked=true] { position: relative; z-index: 1; }
}
@media (hover: none) {
    [data-testid=stElementContainer]:has([data-testid=stPlotlyChart], [data-testid=stDataFrame]) {
        box-sizing: content-box;
        padding-top: 2.2rem;
        overflow: visible;
    }
    .js-plotly-plot { overflow: visible !important; }
    .modebar-container { top: -2rem !important; }
}
</style>"""
"""Less empty space around the page than Streamlit leaves.

Where no pointer hovers, the icons of charts and tables are always there: they get their own room.
"""


def main() -> None:
    """Show the page that the visitor is on."""
    st.set_page_config(
        page_title="kvsim",
        page_icon=str(Path(__file__).with_name("icon.svg")),
        layout="wide",
        initial_sidebar_state="auto",
        menu_items={"About": f"kvsim {__version__}: what a tiered KV cache is worth."},
    )
    st.html(_LOOK)
    open_link()
    pages = [
        st.Page(what_if.page, title="What if", icon=":material/tune:", url_path="", default=True),
        st.Page(_plan, title="Plan", icon=":material/shopping_cart:", url_path="plan"),
        st.Page(
            _calibrate,
            title="Calibrate",
            icon=":material/straighten:",
            url_path="calibrate",
        ),
        st.Page(_explain, title="Explain", icon=":material/menu_book:", url_path="explain"),
    ]
    st.navigation(pages, position="top").run()


# The first answer does not wait for what only the other pages need.
def _plan() -> None:
    from kvsim.app import plan_page

    plan_page.page()


def _calibrate() -> None:
    from kvsim.app import calibrate_page

    calibrate_page.page()


def _explain() -> None:
    from kvsim.app import explain_page

    explain_page.page()


if __name__ == "__main__":
    main()
