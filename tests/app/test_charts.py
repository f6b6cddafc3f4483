"""Views that need a run of their own or a block of YAML: tenants, reuse, two inputs, intervals."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from kvsim.app.presets import load_preset
from kvsim.app.state import Design
from tests.app.test_app import fill, finish, headline, labelled, open_page

TRACE = Path(__file__).parents[1] / "data" / "traces" / "mooncake_conversation.jsonl"
PRESET = "Measured: cpu40GB_131k_pool"


def start_with(app: AppTest, **changes: Any) -> AppTest:
    """Begin with a short run of the quickest preset."""
    short = load_preset(PRESET).replace({"workload.time": 20, "slo": {"ttft": "5s"}} | changes)
    app.session_state["base"] = app.session_state["design"] = Design(PRESET, short)
    app.session_state["generation"] += 1
    return app.run()


def test_tenants_are_described_and_told_apart(app: AppTest) -> None:
    start_with(app)
    before = headline(app)
    text = "paying: {share: 1, weight: 3}\nfree: {share: 2, cpu_quota: 2GiB}\n"
    labelled(app.text_area, "Who shares").set_value(text)
    app.run()
    app.session_state["view"] = "Tenants"
    app.run()
    assert not app.exception
    table = app.dataframe[0].value.set_index("tenant")
    assert set(table.index) == {"paying", "free"}
    assert int(table.loc["free", "requests"]) > int(table.loc["paying", "requests"])
    assert headline(app) != before
    assert any("Jain's index" in each.value for each in app.caption)
    assert app.get("plotly_chart")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("free: {cpu_quota: lots}", "tenants.free.cpu_quota"),
        ("free: {sharee: 2}", "sharee"),
        ("free", "tenants"),
        ("free: {share: 1", "not readable as YAML"),
    ],
)
def test_bad_tenants_are_one_line(app: AppTest, text: str, says: str) -> None:
    labelled(app.text_area, "Who shares").set_value(text)
    app.run()
    assert not app.exception
    said = app.error[0].value.replace("\\", "")
    assert says in said
    assert "\n" not in said
    labelled(app.text_area, "Who shares").set_value("")
    app.run()
    assert app.metric


def test_a_design_without_tenants_has_no_such_view(app: AppTest) -> None:
    app.session_state["view"] = "Tables"
    app.run()
    assert "Tenants" not in app.get("button_group")[0].options


def test_chunks_of_a_run_are_followed(app: AppTest) -> None:
    start_with(app)
    app.session_state["view"] = "Reuse"
    app.run()
    labelled(app.button, "Follow the chunks").click()
    app.run()
    finish(app)
    words = [each.value for each in app.markdown]
    assert any("an endless cache would find" in each for each in words)
    assert any("One more TB" in each for each in words)
    assert any("without use (median)" in each for each in words)
    assert len(app.get("plotly_chart")) == 5


def test_chunks_of_an_uploaded_trace_are_followed(app: AppTest) -> None:
    start_with(app)
    labelled(app.selectbox, "Workload").set_value("trace")
    app.run()
    app.file_uploader[0].set_value((TRACE.name, TRACE.read_bytes(), "application/jsonl"))
    app.run()
    fill(app, "All of the trace")
    labelled(app.checkbox, "split hashes").set_value(True)
    labelled(app.text_input, "max prompt").set_value("30000")
    app.session_state["view"] = "Reuse"
    app.run()
    assert not app.error
    labelled(app.button, "Follow the chunks").click()
    app.run()
    finish(app)
    assert any("an endless cache would find" in each.value for each in app.markdown)


def test_two_inputs_make_a_map(app: AppTest) -> None:
    plan = open_page(start_with(app), "plan")
    plan.session_state["plan"] = "Two inputs"
    plan.run()
    for axis in plan.multiselect:
        axis.set_value(axis.value[:2])
    plan.run()
    labelled(plan.button, "Run all of them").click()
    plan.run()
    finish(plan)
    assert plan.get("plotly_chart")
    table = plan.dataframe[0].value
    assert len(table) == 4
    assert table["Mean time to first token"].nunique() > 1
    labelled(plan.multiselect, "Values").set_value([])
    plan.run()
    assert not plan.exception
    assert "at least one value" in plan.error[0].value


def test_intervals_stand_beside_the_figures(app: AppTest) -> None:
    start_with(app)
    labelled(app.button, "Take h100-qwen3-8b").click()
    app.run()
    assert app.session_state["design"].scenario.calibration is not None
    labelled(app.button, "How sure?").click()
    app.run()
    finish(app)
    assert any("kept in 20 of them" in each.value for each in app.markdown)
    assert (
        len([each for each in app.caption if re.fullmatch(r"[\d.]+ to [\d.]+ ms", each.value)]) == 2
    )
