"""A button for long work: progress, a way to stop it, and what it found while nothing changed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import streamlit as st

from kvsim.app import state
from kvsim.app.background import Job
from kvsim.text import number

PEEK_S = 0.5
"""How often the page looks at a job."""
_MOST_FOUND = 12
"""Outcomes that a visit keeps; the oldest goes first."""


def work(place: str, label: str, job: dict[str, Any], about: str = "") -> dict[str, Any] | None:
    """Offer a job at a place of the page; return its outcome once it is there for these inputs."""
    text = json.dumps(job, sort_keys=True)
    key = f"{place}:{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    found: dict[str, Any] = st.session_state.setdefault("found", {})
    if key in found:
        outcome: dict[str, Any] = found[key]
        return outcome
    running = state.jobs().get(place)
    if running is None:
        if about:
            st.caption(state.plain(about))
        st.button(
            label,
            key=f"start {place}",
            type="primary" if about else "secondary",
            icon=":material/play_arrow:",
            disabled=sum(job.running for job in state.jobs().values()) >= state.MAX_JOBS,
            help=f"At most {state.MAX_JOBS} at a time",
            on_click=_start,
            args=(place, key, job),
        )
        _say(place)
    elif running.running:
        _watch(place)
    else:
        _finish(place)
        st.rerun()
    return None


def _start(place: str, key: str, job: dict[str, Any]) -> None:
    st.session_state[f"failed {place}"] = None
    st.session_state[f"wanted {place}"] = key
    state.jobs()[place] = Job(job, state.visit_watcher())


def _cancel(place: str) -> None:
    job = state.jobs().pop(place, None)
    if job is not None:
        job.cancel()
        st.session_state[f"failed {place}"] = "stopped"


def _finish(place: str) -> None:
    job = state.jobs().pop(place)
    if job.outcome is None:
        st.session_state[f"failed {place}"] = job.error or "stopped"
        return
    found: dict[str, Any] = st.session_state["found"]
    found[st.session_state[f"wanted {place}"]] = job.outcome
    while len(found) > _MOST_FOUND:
        del found[next(iter(found))]


def _say(place: str) -> None:
    failed = st.session_state.get(f"failed {place}")
    if failed == "stopped":
        st.info("Stopped; nothing was kept.")
    elif failed:
        st.error(state.plain(failed))


@st.fragment(run_every=PEEK_S)
def _watch(place: str) -> None:
    job = state.jobs().get(place)
    if job is None or not job.running:
        st.rerun()
    left, right = st.columns([4, 1], vertical_alignment="center")
    with left:
        st.markdown(f":material/hourglass_top: {job.progress} · {number(job.elapsed_s, 0)} s")
    right.button("Stop", key=f"stop {place}", on_click=_cancel, args=(place,), width="stretch")
