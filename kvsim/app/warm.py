"""How the server begins, with the first answer known, and how it ends, with nothing left behind."""

from __future__ import annotations

import webbrowser
from asyncio import get_running_loop
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import streamlit as st
from streamlit.starlette import App

from kvsim.app.background import cancel_all
from kvsim.app.state import remove_folders

SCRIPT: Final = Path(__file__).with_name("main.py")
"""What a visit runs."""
_OPEN_AFTER_S = 0.2
"""The server listens that much later than it is warm."""


@asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[dict[str, Any]]:
    """Warm up before the first visit, then show the page, unless told not to; at last clean up."""
    warm()
    if not st.get_option("server.headless"):
        get_running_loop().call_later(_OPEN_AFTER_S, webbrowser.open, address())
    yield {}
    # A signal may end the server before anything that waits for the interpreter's end.
    cancel_all()
    remove_folders()


def warm() -> None:
    """Import the pages, and simulate what a visit shows first."""
    from kvsim.app import calibrate_page, explain_page, plan_page, what_if  # noqa: F401
    from kvsim.app.results import answer, gpu_only
    from kvsim.app.state import begun

    scenario = begun().scenario
    for one in (scenario, gpu_only(scenario)):
        answer(one)


def address() -> str:
    """Return where a browser on this machine finds the page."""
    host = st.get_option("server.address") or "localhost"
    if host in ("0.0.0.0", "::"):
        host = "localhost"
    return f"http://{host}:{st.get_option('server.port')}/{st.get_option('server.baseUrlPath')}"
