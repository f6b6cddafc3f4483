"""Bring your own measurements: fit a calibration, compare recorded runs with simulations."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.io as pio
import streamlit as st

from kvsim.app import state
from kvsim.app.presets import load_preset, presets
from kvsim.app.uploads import MAX_UNPACKED_BYTES, RUN_FILES, unpack_runs
from kvsim.app.views import in_pairs, one_of
from kvsim.app.work import work
from kvsim.errors import KvsimError
from kvsim.report.comparison import error_text
from kvsim.spec.scenario import Scenario
from kvsim.text import coefficient_text, counted, percent, value_text

FOLDERS = "KVSIM_APP_FOLDERS"
"""Environment variable with a folder on the server whose run folders visitors may choose."""


def page() -> None:
    """Show the calibration of uploaded runs."""
    st.markdown("## Calibrate with your own runs")
    st.markdown(
        "Upload what the probe plugin and the load generator recorded. kvsim fits its coefficients "
        "to it, shows how well they fit, and compares each run with its simulation."
    )
    try:
        runs = _runs()
        if not runs:
            return
        bench = _bench()
        parts = {"Fit": _fit, "Measured and simulated": _compare}
        one_of("Part", parts, "calibrate")(runs, bench)
    except KvsimError as error:
        st.error(state.plain(str(error)), icon=":material/error:")


def _runs() -> list[Path]:
    """Return the folders of the runs: uploaded ones, or those of the folder that is opened up."""
    uploads = st.file_uploader(
        "Run folders as zip, or the files of one run",
        type=["zip", "gz", "jsonl", "log", "csv", "txt", "yaml"],
        accept_multiple_files=True,
        help=f"Known files: {', '.join(RUN_FILES)}; each may be packed with gzip. At most "
        f"{MAX_UNPACKED_BYTES >> 20} MiB unpacked. They stay on the server for this visit only.",
    )
    found = _on_server()
    if not uploads:
        return found
    ids = "|".join(sorted(upload.file_id for upload in uploads))
    known: dict[str, Any] = st.session_state.setdefault("uploads", {})
    if ids not in known:
        folder = state.folder("uploads")
        shutil.rmtree(folder, ignore_errors=True)  # one set of runs a visit is enough
        known.clear()
        place = folder / hashlib.sha256(ids.encode()).hexdigest()[:16]
        state.name_place(f"{place}{os.sep}", "")
        known[ids] = unpack_runs(uploads, place)
    uploaded: list[Path] = known[ids]
    names = state.plain(", ".join(path.name for path in uploaded))
    st.success(f"{counted(len(uploaded), 'run')}: {names}")
    return [*uploaded, *found]


def _on_server() -> list[Path]:
    named = os.environ.get(FOLDERS)
    if not named:
        return []
    root = Path(named).resolve()
    state.name_place(f"{root}{os.sep}", "")
    runs = {path.parent.name: path.parent for path in root.glob("*/engine_steps.jsonl*")}
    chosen = st.multiselect("Runs on this server", sorted(runs))
    return [runs[name] for name in chosen]


def _bench() -> Scenario:
    names = {"the design of the What-if page": None} | {name: name for name in presets()}
    chosen = st.selectbox(
        "What the runs ran on",
        list(names),
        help="Model, GPU, host and store whose numbers start the fit, and the scenario that the "
        "run is compared with.",
    )
    name = names[chosen]
    return state.design().scenario if name is None else load_preset(name)


def _fit(runs: list[Path], bench: Scenario) -> None:
    job = {
        "job": "calibrate",
        "runs": [str(run) for run in runs],
        "scenario": bench.to_dict(),
        "name": "my-bench",
    }
    data = work("fit", "Fit", job, f"Fits {counted(len(runs), 'run')} of {bench.model.name}.")
    if data is None:
        return
    spec = data["spec"]
    model, gpu, host = (state.plain(spec[key]) for key in ("model", "gpu", "host"))
    st.markdown(f"**{model} on {gpu}**, host {host}, {spec['date']}")
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "coefficient": name,
                    "value": coefficient_text(one["value"], one["unit"]),
                    "± error": _error(one),
                    "median error": percent(one["residual"]),
                    "n": one["count"],
                    "told apart": one["identified"],
                    "data": one["data"],
                }
                for name, one in spec["coefficients"].items()
            ]
        ),
        hide_index=True,
    )
    with st.expander("What the data cannot tell"):
        for note in data["notes"]:
            st.markdown(f"- {state.plain(note)}")
    with st.container(horizontal=True):
        _download("Profile (YAML)", data["yaml"], "my-bench.yaml")
        _download("Report (HTML)", data["html"], "my-bench.html")
    st.caption("A scenario takes the profile with `calibration: my-bench.yaml`.")
    if st.button("Use it on the What-if page", icon=":material/tune:"):
        path = state.folder("fit") / "my-bench.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data["yaml"], encoding="utf-8")
        state.name_place(str(path), path.name)
        state.start(state.design().preset, bench.replace({"calibration": str(path)}))
        st.toast("The What-if page goes by this profile.")
    _figures(data["figures"], "fit")


def _compare(runs: list[Path], bench: Scenario) -> None:
    names = {run.name: run for run in runs}
    run = names[st.selectbox("Run", list(names))]
    job = {"job": "compare", "run": str(run), "scenario": bench.to_dict()}
    data = work("compare", "Compare", job, f"Simulates {bench.name} and holds it against the run.")
    if data is None:
        return
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "metric": name,
                    "measured": value_text(row["measured"]),
                    "simulated": value_text(row["simulated"]),
                    "error": error_text(name, row),
                }
                for name, row in data["metrics"].items()
            ]
        ),
        hide_index=True,
    )
    _download("Report (HTML)", data["html"], f"{data['name']}.html")
    _figures(data["figures"], "compare")


def _figures(texts: list[str], key: str) -> None:
    in_pairs([pio.from_json(text) for text in texts], key)


def _error(one: dict[str, Any]) -> str:
    error = one["standard_error"]
    return "held" if error is None else coefficient_text(error, one["unit"])


def _download(label: str, content: str, name: str) -> None:
    st.download_button(
        label, content, file_name=name, on_click="ignore", icon=":material/download:"
    )
