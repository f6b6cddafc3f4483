"""The first screen: a verdict in words, headline figures against a baseline, and what is behind."""

from __future__ import annotations

import streamlit as st

from kvsim.app import cards, later, load, state, sure, turns, views
from kvsim.app.inputs import Inputs
from kvsim.app.presets import presets
from kvsim.app.results import (
    Answer,
    answer,
    avoided,
    cost,
    gpu_only,
    is_quick,
    judge,
    prices_of,
    read_answer,
)
from kvsim.app.share import share
from kvsim.app.work import work
from kvsim.errors import KvsimError
from kvsim.metrics.result import RunResult
from kvsim.report.verdict import HEADLINE, Verdict
from kvsim.spec.scenario import Scenario
from kvsim.text import number

_TRUST = {
    "calibrated": ("green", "verified", "Calibrated: inside what was measured"),
    "partly": ("orange", "rule", "Partly calibrated"),
    "extrapolated": ("red", "warning", "Extrapolated: outside what was measured"),
}
_LESS_IS_GOOD = ("ttft_s_mean", "ttft_s_p95")


def page() -> None:
    """Show what the inputs lead to."""
    if state.is_untouched():
        if st.session_state.get("link_error"):
            st.error(state.plain(st.session_state["link_error"]), icon=":material/link_off:")
        # Widgets forget what they showed while another page was open: begin where we left. New
        # inputs change nothing, so that the answer need not wait for them.
        made = state.design()
        state.start(made.preset, made.scenario)
        shown = _first_screen(state.design())
        if not later.words_are_shown():
            st.sidebar.caption("Inputs and charts follow.")
            return
        _inputs()
    else:
        st.session_state.pop("link_error", None)
        scenario = _inputs()
        shown = None if scenario is None else _first_screen(state.remember(scenario))
    if shown is not None:
        _views(*shown)


def _first_screen(design: state.Design) -> tuple[state.Design, Answer, Answer | None] | None:
    """Answer in words and figures; None where there is no answer yet, or none at all."""
    try:
        with st.spinner(f"{_waiting()}Simulating ..."):
            found = _answer(design.scenario)
        if found is None:
            return None
        words, _ = judge(found)
        intervals = _verdict(design, words, found)
        with st.spinner(f"{_waiting()}Simulating the baseline ..."):
            baseline = _baseline(design.scenario)
        _headline(found, baseline, intervals)
        _actions(design, found)
    except KvsimError as error:
        st.error(state.plain(str(error)), icon=":material/error:")
        return None
    return design, found, baseline


def _waiting() -> str:
    ahead = turns.PAGE.ahead
    return f"Waiting for {turns.others(ahead)}. " if ahead else ""


@st.fragment
def _views(design: state.Design, found: Answer, baseline: Answer | None) -> None:
    """Show what is behind the answer; only this part of the page follows the choice of a view."""
    try:
        views.show(design, found, baseline)
    except KvsimError as error:
        st.error(state.plain(str(error)), icon=":material/error:")


def _inputs() -> Scenario | None:
    """Show the cards; None, and a message, where they do not make a scenario."""
    base = state.base()
    inputs = Inputs(base.scenario)
    problem: str | None = None
    with st.sidebar:
        names = list(presets())
        st.selectbox(
            "Start from",
            names,
            index=names.index(base.preset),
            key=f"{state.generation()}|preset",
            on_change=_begin,
            help="The published experiment, workloads, and each measured run that kvsim is "
            "validated on.",
        )
        for card in (cards.model_card, cards.workload_card, cards.tiers_card, cards.promise_card):
            with st.container(border=True):
                try:
                    card(inputs)
                except KvsimError as error:
                    problem = problem or str(error)
                    st.error(state.plain(str(error)), icon=":material/error:")
    if problem is None:
        try:
            return inputs.scenario()
        except KvsimError as error:
            problem = str(error)
    st.error(state.plain(problem), icon=":material/error:")
    st.caption("Change it in the cards, or begin anew with a preset.")
    return None


def _begin() -> None:
    state.start(st.session_state[f"{state.generation()}|preset"])


def _answer(scenario: Scenario) -> Answer | None:
    """Simulate at once what is quick; longer runs in the background, with a way to stop them."""
    if is_quick(scenario):
        return answer(scenario)
    folder = state.folder(f"run-{scenario.hash()}")
    job = {"job": "simulate", "scenario": scenario.to_dict(), "folder": str(folder)}
    done = work("simulate", "Simulate", job, "This run takes longer than a few seconds.")
    return None if done is None else read_answer(RunResult.load(folder))


def _baseline(scenario: Scenario) -> Answer | None:
    """Run what the design is compared with: the first pin, else the same without tiers."""
    pinned = state.pins()
    other = pinned[0].scenario if pinned else gpu_only(scenario)
    other = other.replace({"seed": scenario.seed})
    return answer(other) if is_quick(other) and other != scenario else None


def _verdict(design: state.Design, words: Verdict, found: Answer) -> dict[str, str]:
    """Say what came out; return the intervals of figures if they were asked for."""
    icon, colour = {
        True: (":material/check_circle:", "green"),
        False: (":material/cancel:", "red"),
        None: (":material/info:", "blue"),
    }[words.kept]
    with st.container(border=True):
        st.markdown(f"#### :{colour}[{icon}] {state.plain(words.headline)}")
        _trust(found)
        first, then = ("Binds first", "To go further") if words.kept else ("What binds", "Next")
        st.markdown(f"**{first}:** {words.binding} · **{then}:** {words.next_step}")
        if words.alone:
            st.markdown(f"**Breaks the promise alone:** {words.alone}")
        with st.container(horizontal=True, vertical_alignment="center"):
            load.largest(design)
            intervals = sure.how_sure(design)
            with st.popover("In more words", type="tertiary"):
                for line in found.details:
                    st.markdown(f"- {state.plain(line)}")
    return intervals


def _trust(found: Answer) -> None:
    """Show how far to trust the figures, and on request why."""
    trust = found.trust
    colour, icon, label = _TRUST[trust.verdict]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":{colour}-badge[:material/{icon}: {label}]")
        count = len(trust.outside)
        why = f"{count} {'quantity' if count == 1 else 'quantities'} outside" if count else "Why"
        with st.popover(why, type="tertiary"):
            st.markdown(f"Judged by the runs of calibration **{state.plain(found.basis)}**.")
            if not trust.outside:
                st.markdown("All of the run lies inside what was measured.")
            for one in trust.outside:
                what, value, measured = map(state.plain, (one.quantity, one.value, one.measured))
                st.markdown(f"- **{what}**: {value} (measured: {measured})")
        if not found.summary["stable"]:
            st.badge("unstable: figures depend on the time simulated", color="red")


def _headline(found: Answer, baseline: Answer | None, intervals: dict[str, str]) -> None:
    """Show the figures that people compare, each with its change against the baseline."""
    with st.container(horizontal=True):
        for key, (label, write) in HEADLINE.items():
            value = found.summary[key]
            with st.container(border=True, height="stretch"):
                st.metric(
                    label,
                    write(value),
                    delta=_change(key, found, baseline),
                    delta_color="inverse" if key in _LESS_IS_GOOD else "normal",
                )
                if key in intervals:
                    st.caption(intervals[key])
        spent = cost(found, prices_of(found.result.scenario, *state.price_list()))
        saved = None if baseline is None else avoided(found, baseline)
        st.metric(
            "USD/hour",
            number(spent.usd_per_hour, 2),
            delta=None if saved is None else f"{signed_gpus(saved)} GPUs saved",
            delta_color="off",
            delta_arrow="off",
            border=True,
            height="stretch",
            help="GPUs, host memory beyond what comes with them, storage, requests and traffic.",
        )
    if baseline is None:
        return
    name = state.pins()[0].title if state.pins() else "GPU only"
    wall = found.result.manifest.wall_s
    st.caption(
        f"Changes against **{name}** with the same seed. {found.summary['finished']:,} requests in "
        f"{found.summary['simulated_s']:,.0f} s, simulated in {wall:.1f} s."
    )


def signed_gpus(count: float) -> str:
    """Write how many GPUs a design saves."""
    return f"{count:+.1f}".replace("-", "\N{MINUS SIGN}")


def _change(key: str, found: Answer, baseline: Answer | None) -> str | None:
    if baseline is None:
        return None
    change = views.headline_change(key, baseline.summary[key], found.summary[key])
    # Streamlit reads the direction from an ASCII minus.
    return None if change is None else change.replace("\N{MINUS SIGN}", "-")


def _actions(design: state.Design, found: Answer) -> None:
    with st.container(horizontal=True):
        full = len(state.pins()) >= state.MAX_PINS
        if st.button(
            "Pin this design",
            icon=":material/push_pin:",
            disabled=full,
            help="Up to four designs side by side; the first pin is the baseline.",
        ):
            if state.pin(design):
                st.rerun()
            st.toast("This design is pinned already.")
        if state.pins() and st.button("Unpin all", icon=":material/keep_off:"):
            state.pins().clear()
            st.rerun()
        _share(design, found)


@st.fragment
def _share(design: state.Design, found: Answer) -> None:
    with later.popover("Share and take away", ":material/ios_share:") as is_open:
        if is_open:
            share(design, found)
