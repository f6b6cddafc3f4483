"""The browser app: pick a scenario, move a few numbers, see what one run does."""

import json
import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from kvsim import Scenario, load_scenario, simulate
from kvsim.calibration.confidence import confidence, confidence_line, measured_basis
from kvsim.errors import KvsimError
from kvsim.report.charts import requests, tokens
from kvsim.report.style import setup_name
from kvsim.report.text import milliseconds, number, percent
from kvsim.spec.offload import CpuTierSpec
from kvsim.spec.workload import MultiRoundQaSpec
from kvsim.sweep.design import load_sweep
from kvsim.units import format_bytes

HERE = Path(__file__).resolve().parent
EXPERIMENTS = HERE / "experiments"
PRESETS = {
    path.stem: path
    for path in (
        EXPERIMENTS / "storagegrid-one.yaml",
        *sorted((EXPERIMENTS / "validation").glob("*.yaml")),
    )
}
AS_IS = "as in the scenario"
PLAIN = {"displayModeBar": False}
# Inputs of the form: label and least value.
FIELDS: dict[str, tuple[str, Any]] = {
    "user_history_prompt": ("user context, tokens", 0),
    "num_users": ("users", 1),
    "qps": ("questions per second", 0.1),
    "time": ("time, s", 10.0),
}


@st.cache_data(show_spinner="Simulating ...", max_entries=32)
def run(scenario_json: str) -> tuple[dict[str, Any], float, dict[str, pd.DataFrame], str]:
    """Simulate one scenario, once for every JSON text."""
    result = simulate(Scenario.from_dict(json.loads(scenario_json)))
    frames = {"requests": result.requests, "sessions": result.sessions, "tiers": result.tiers}
    basis = measured_basis(result.scenario)
    trust = confidence_line(confidence(result, basis), basis.name)
    return result.summary_dict(), result.manifest.wall_s, frames, trust


def inputs(preset: str, base: Scenario) -> dict[str, Any]:
    """Show the form and return what differs from the scenario, by dotted path."""
    about = MultiRoundQaSpec.model_fields
    setups = load_sweep(EXPERIMENTS / "storagegrid.yaml").setups
    given: dict[str, Any] = {f"workload.{field}": getattr(base.workload, field) for field in FIELDS}
    given |= {"offload.cpu.capacity": format_bytes(base.offload.cpu.capacity), "seed": base.seed}
    chosen = dict(given)
    with st.sidebar.form(f"inputs-{preset}"):
        setup = st.selectbox("tiers", [AS_IS, *setups], format_func=setup_name)
        for field, (label, least) in FIELDS.items():
            chosen[f"workload.{field}"] = st.number_input(
                label,
                min_value=least,
                value=given[f"workload.{field}"],
                help=about[field].description,
            )
        chosen["offload.cpu.capacity"] = st.text_input(
            "CPU memory per instance",
            value=given["offload.cpu.capacity"],
            help=CpuTierSpec.model_fields["capacity"].description,
        )
        chosen["seed"] = st.number_input("seed", min_value=0, value=base.seed)
        st.form_submit_button("Run", type="primary", width="stretch")
    changes = {path: value for path, value in chosen.items() if value != given[path]}
    return changes | ({} if setup == AS_IS else setups[setup])


def headline(summary: dict[str, Any], wall_s: float) -> None:
    """Show the figures that people compare, and whether they describe a system at all."""
    for column, (label, value) in zip(
        st.columns(4),
        {
            "processing speed": f"{number(summary['finished_per_s'], 3)} /s",
            "mean time to first token": milliseconds(summary["ttft_s_mean"]),
            "mean decode throughput": (f"{number(summary['decode_tokens_per_s_mean'])} tokens/s"),
            "tokens found in a cache": percent(summary["token_hit_rate"]),
        }.items(),
        strict=True,
    ):
        column.metric(label, value)
    if summary["died"]:
        st.error("The engine stopped serving: the CPU tier is full of chunks held by puts.")
    elif not summary["stable"]:
        st.warning("Not stable: completions fall behind arrivals, so figures depend on the time.")
    st.caption(
        f"{summary['finished']:,} requests, {summary['simulated_s']:,.0f} s in {wall_s:.1f} s"
    )


def main() -> None:
    """Lay out the page."""
    st.set_page_config(page_title="kvsim", layout="wide")
    st.title("kvsim: one run")
    preset = st.sidebar.selectbox("scenario", list(PRESETS))
    try:
        base = load_scenario(PRESETS[preset])
        changes = inputs(preset, base)
        scenario = base.replace(changes)
        summary, wall_s, frames, trust = run(json.dumps(scenario.to_dict()))
    except KvsimError as error:
        st.error(str(error))
        return
    headline(summary, wall_s)
    st.caption(f"How far to trust it: {trust}")
    st.plotly_chart(tokens.tokens_by_source({preset: summary}), width="stretch", config=PLAIN)
    left, right = st.columns(2)
    left.plotly_chart(requests.ttft_over_time(frames["requests"]), width="stretch", config=PLAIN)
    right.plotly_chart(requests.ttft_cdf_by_tier(frames["requests"]), width="stretch", config=PLAIN)
    left.plotly_chart(
        requests.sessions_over_time(frames["sessions"]), width="stretch", config=PLAIN
    )
    right.subheader("Tiers")
    right.dataframe(frames["tiers"], hide_index=True)
    st.subheader("The same on the command line")
    words = ["python", "-m", "kvsim", "run", str(PRESETS[preset].relative_to(HERE))]
    for path, value in changes.items():
        words += ["--set", f"{path}={value if isinstance(value, str) else json.dumps(value)}"]
    st.code(shlex.join(words), language="bash", wrap_lines=True)
    st.download_button(
        "Download the scenario",
        json.dumps(scenario.to_dict(), indent=2),
        file_name=f"{preset}.json",
        mime="application/json",
    )


if __name__ == "__main__":
    main()
