"""How sure a calibrated design's figures are: the run again, with coefficients drawn."""

from __future__ import annotations

import streamlit as st

from kvsim.app import state
from kvsim.app.work import work
from kvsim.calibration.confidence import SHIPPED
from kvsim.report.verdict import HEADLINE


def how_sure(design: state.Design) -> dict[str, str]:
    """Offer the draws; return the interval of each headline figure in words, once they are run."""
    scenario = design.scenario
    if scenario.calibration is None:
        _offer_calibration(design)
        return {}
    job = {"job": "uncertainty", "scenario": scenario.to_dict()}
    found = work("uncertainty", "How sure?", job)
    if found is None:
        return {}
    judged = f"; the promise is kept in {found['kept']} of them" if found["judged"] else ""
    st.markdown(f"Intervals hold 95 % of {found['draws']} draws of the calibration{judged}.")
    intervals = {}
    for key, (_, write) in HEADLINE.items():
        low, high = (write(found["metrics"][key][end]) for end in ("low", "high"))
        unit = high.partition(" ")[2]
        begin = low.removesuffix(f" {unit}") if unit else low
        intervals[key] = f"{begin} to {high}" if low != high else f"{low} in all"
    return intervals


def _offer_calibration(design: state.Design) -> None:
    with st.popover("How sure?", type="tertiary"):
        st.markdown(
            "Intervals need a calibration, whose coefficients have errors: one of your own (page "
            f"Calibrate), or the shipped **{SHIPPED}**, whose numbers then take the place of those "
            "of the profiles."
        )
        if st.button(f"Take {SHIPPED}"):
            taken = design.scenario.replace({"calibration": SHIPPED})
            state.start(design.preset, taken)
            st.rerun()
