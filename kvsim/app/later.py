"""What a page leaves for later: boxes until they are opened, charts until the words are read.

The first chart makes the browser load all of plotly, and it shows nothing new meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import streamlit as st

from kvsim.app import state

_SHOWN: Final = "shown"
_NOTICE: Final = st.components.v2.component(
    "kvsim_shown",
    js="""export default function ({ setTriggerValue }) {
        const whenIdle = window.requestIdleCallback ?? setTimeout;
        whenIdle(() => setTriggerValue("shown", true), { timeout: 1000 });
    }""",
)
"""Tells the server that the browser has shown all that came before."""
_PATIENCE_S: Final = 3.0
"""Time after which the rest follows without the notice: a browser may forbid scripts of ours."""


def words_are_shown() -> bool:
    """Tell whether the browser shows the words; if not, have it run the page again when it does."""
    if not st.context.headers:  # no browser is there to ask for the rest
        return True
    if not st.session_state.get(_SHOWN):
        _NOTICE(key="notice", on_shown_change=_keep_shown)
        _go_on_anyway(time.monotonic())
    return bool(st.session_state.get(_SHOWN))


def _keep_shown() -> None:
    st.session_state[_SHOWN] = True


@st.fragment(run_every=_PATIENCE_S)
def _go_on_anyway(begun_s: float) -> None:
    """Run the page again after a while; Streamlit's own clock in the browser asks for it."""
    if time.monotonic() - begun_s >= _PATIENCE_S:
        _keep_shown()
        st.rerun()


@contextmanager
def expander(label: str, *, opened: bool = False) -> Iterator[bool]:
    """Offer a box, and tell whether it is to be filled.

    It is from its first opening on, even while it is closed: what inputs hold must not be lost.
    """
    key = f"{state.generation()}|{label}"
    box = st.expander(label, key=key, on_change="rerun")
    filled: set[str] = st.session_state.setdefault("filled", set())
    if box.open or opened:
        filled.add(key)
    with box:
        yield key in filled


@contextmanager
def popover(label: str, icon: str) -> Iterator[bool]:
    """Offer a box that opens above the page, and tell whether it is open."""
    box = st.popover(label, icon=icon, key=f"popover {label}", on_change="rerun")
    with box:
        yield bool(box.open)
