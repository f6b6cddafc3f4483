"""The pages load, follow their inputs, and say what is wrong in one line."""

from __future__ import annotations

import base64
import json
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from streamlit.runtime.context import ContextProxy
from streamlit.testing.v1 import AppTest

from kvsim.app import link, results, state
from kvsim.app.presets import DEFAULT, load_preset, presets
from kvsim.app.results import answer, is_quick
from kvsim.app.state import Design
from kvsim.calibration.confidence import SHIPPED
from kvsim.errors import SimulationError
from kvsim.spec import CalibrationSpec, Roots
from kvsim.spec.profiles import find_calibration

GIB = 2**30
STORE = "Store: capacity, writes, latency, streams, client"
BURSTS = {"kind": "markov", "rate": 1, "burst_factor": 2, "burst": 1e-5, "calm": 1e-5}
BOXES = (
    "Data types, router, vLLM, host",
    "All of the workload",
    "LMCache settings",
    STORE,
    "Prices",
)
ROOT = Path(__file__).parents[2]


def labelled(widgets: Any, words: str) -> Any:
    return next(widget for widget in widgets if words in widget.label)


def headline(app: AppTest) -> list[str]:
    return [metric.value for metric in app.metric]


def verdict(app: AppTest) -> str:
    return next(each.value for each in app.markdown if each.value.startswith("#### :"))


def fill(app: AppTest, *labels: str) -> AppTest:
    """Open boxes of inputs."""
    generation = app.session_state["generation"]
    app.session_state["filled"] = {f"{generation}|{label}" for label in labels}
    return app.run()


def share(app: AppTest) -> AppTest:
    """Open what a visitor takes away."""
    app.session_state["popover Share and take away"] = True
    return app.run()


def open_page(app: AppTest, name: str) -> AppTest:
    """Go to another page; AppTest knows pages by their script, ours are functions."""
    from kvsim.app import calibrate_page, explain_page, plan_page

    page = {"plan": plan_page, "calibrate": calibrate_page, "explain": explain_page}[name]
    script = f"from kvsim.app import {page.__name__.rpartition('.')[2]} as page\npage.page()"
    other = AppTest.from_string(script, default_timeout=120)
    for key in ("base", "design", "generation"):
        other.session_state[key] = app.session_state[key]
    other.run()
    assert not other.exception
    return other


def finish(app: AppTest, seconds: float = 90) -> AppTest:
    """Wait for the work in the background."""
    end = time.monotonic() + seconds
    while app.session_state["jobs"]:
        for job in app.session_state["jobs"].values():
            job.wait(max(0.0, end - time.monotonic()))
        app.run()
        assert time.monotonic() < end
    assert not app.exception
    return app


def test_the_first_screen_answers_in_words(app: AppTest) -> None:
    assert "meets TTFT mean < 2 s: it is 1.742 s" in verdict(app)
    assert any("Binds first:" in each.value for each in app.markdown)
    assert len(app.metric) == 6
    assert app.metric[0].delta
    assert any("**gpu**: a100-40gb" in each.value for each in app.markdown)


def test_inputs_and_charts_wait_until_the_answer_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ContextProxy, "headers", {"Host": "localhost"})
    app = AppTest.from_file("../../app.py", default_timeout=120).run()
    assert "meets TTFT mean" in verdict(app)
    figures = headline(app)
    assert not app.select_slider
    assert not app.get("plotly_chart")
    app.session_state["shown"] = True  # as the browser's notice does
    app.run()
    assert not app.exception
    assert headline(app) == figures
    assert app.select_slider
    assert app.get("plotly_chart")


@pytest.mark.parametrize("name", list(presets()))
def test_untouched_inputs_change_nothing(name: str) -> None:
    def inputs_of(name: str) -> None:
        from kvsim.app import state, what_if

        state.start(name)
        assert what_if._inputs() == state.design().scenario

    app = AppTest.from_function(inputs_of, args=(name,), default_timeout=120)
    app.session_state["filled"] = {f"1|{box}" for box in BOXES}
    assert not app.run().exception
    assert app.number_input


def test_prices_outlive_another_page(app: AppTest) -> None:
    fill(app, "Prices")
    labelled(app.number_input, "GPU USD per hour").set_value(9.0)
    app.run()
    costs = headline(app)[-1]
    app.session_state["generation"] += 1  # what widgets showed is forgotten
    app.run()
    assert headline(app)[-1] == costs
    assert labelled(app.number_input, "GPU USD per hour").value == 9.0


def test_a_promise_that_prefill_alone_breaks_is_told(app: AppTest) -> None:
    labelled(app.text_input, "Service level").set_value("ttft:p95<2s")
    app.run()
    shown = next(each.value for each in app.metric if each.label == "TTFT, p95")
    assert verdict(app).endswith(f"misses TTFT p95 < 2 s: it is {shown}")
    alone = next(each.value for each in app.markdown if "alone:**" in each.value)
    assert "prefill (2.768 s)" in alone
    assert "loads" not in alone


def test_a_moved_slider_changes_numbers_and_verdict(app: AppTest) -> None:
    before = headline(app)
    context = labelled(app.select_slider, "Context")
    assert context.value == 20_000
    assert "own context" in context.help
    context.set_value(2_000)
    share(app)
    assert not app.exception
    assert headline(app) != before
    assert "meets TTFT mean" in verdict(app)
    assert "--set workload.user_history_prompt=2000" in app.code[1].value


def test_every_number_of_a_profile_shows_its_source(app: AppTest) -> None:
    rate = labelled(app.select_slider, "Store: read bandwidth")
    assert "-badge[assumed]" in rate.label
    assert "Source: **assumed**" in rate.help
    fill(app, STORE)
    latency = next(each for each in app.text_input if each.label.startswith("first byte"))
    assert "Source:" in latency.help


def test_bad_input_is_one_line_and_can_be_repaired(app: AppTest) -> None:
    fill(app, STORE)
    latency = next(each for each in app.text_input if each.label.startswith("first byte"))
    good = latency.value
    latency.set_value("12 bananas")
    app.run()
    assert not app.exception
    assert "'12 bananas' is not a time" in app.error[0].value
    assert not app.metric
    next(each for each in app.text_input if each.label.startswith("first byte")).set_value(good)
    app.run()
    assert not app.error
    assert app.metric


def test_a_model_that_does_not_fit_is_told(app: AppTest) -> None:
    labelled(app.selectbox, "Model").set_value("llama-3.1-70b")
    app.run()
    assert not app.exception
    assert "does not fit" in app.error[0].value


@pytest.mark.parametrize(
    ("text", "says"),
    [("{not json", "not readable as JSON"), ("[1]", "must hold a mapping"), ("{}", "model_type")],
)
def test_a_pasted_config_is_checked(app: AppTest, text: str, says: str) -> None:
    app.text_area[0].set_value(text)
    app.run()
    assert not app.exception
    assert state.plain(says) in app.error[0].value


def test_a_pasted_config_is_used(app: AppTest) -> None:
    app.text_area[0].set_value(
        '{"model_type": "llama", "num_hidden_layers": 16, "hidden_size": 2048,'
        '"num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 8192,'
        '"vocab_size": 128256, "max_position_embeddings": 131072}'
    )
    app.run()
    assert not app.exception
    assert app.session_state["design"].scenario.model.num_hidden_layers == 16


def test_tiers_can_be_taken_away(app: AppTest) -> None:
    app.toggle[0].set_value(False)
    share(app)
    assert not app.exception
    assert "2 x a100-40gb falls behind" in verdict(app)
    assert "offload.connector=none" in app.code[1].value


def test_a_store_can_be_added_and_limited(app: AppTest) -> None:
    app.selectbox[0].set_value("Chat")
    app.run()
    labelled(app.selectbox, "Store that all").set_value("storagegrid-s3")
    fill(app, STORE)
    labelled(app.text_input, "capacity").set_value("1TiB")
    app.run()
    assert not app.exception
    assert not app.error
    remote = app.session_state["design"].scenario.offload.remote
    assert remote.profile.name == "storagegrid-s3"
    assert remote.capacity == 1024 * GIB


@pytest.mark.parametrize("name", list(presets()))
def test_every_preset_opens(app: AppTest, name: str) -> None:
    app.selectbox[0].set_value(name)
    app.run()
    assert not app.exception
    assert not app.error
    assert len(app.metric) == 6
    if not name.startswith("Measured:"):
        assert "falls behind" not in verdict(app)


@pytest.mark.parametrize("kind", ["agentic", "rag", "chat"])
def test_workloads_can_be_exchanged(app: AppTest, kind: str) -> None:
    labelled(app.selectbox, "GPU").set_value("h100-sxm-80gb")
    app.selectbox[0].set_value("Agentic coding")
    app.run()
    labelled(app.selectbox, "Workload").set_value(kind)
    app.run()
    assert not app.exception
    assert not app.error
    assert app.session_state["design"].scenario.workload.kind == kind


@pytest.mark.parametrize(
    "view", ["Tokens", "Time to first token", "Timeline", "Side by side", "Tables"]
)
def test_views_draw(app: AppTest, view: str) -> None:
    app.session_state["view"] = view
    app.run()
    assert not app.exception
    assert app.get("plotly_chart") or app.dataframe


def test_pins_stand_side_by_side(app: AppTest) -> None:
    labelled(app.button, "Pin this design").click()
    app.run()
    labelled(app.select_slider, "CPU memory").set_value(40 * GIB)
    app.run()
    labelled(app.button, "Pin this design").click()
    app.session_state["view"] = "Side by side"
    app.run()
    assert not app.exception
    assert len(app.session_state["pins"]) == 2
    assert app.dataframe[0].value.shape[1] == 4
    labelled(app.button, "Open 1").click()
    app.run()
    assert app.session_state["design"].scenario.offload.cpu.capacity == 100 * GIB


def test_a_link_is_followed_and_a_bad_one_told() -> None:
    made = load_preset("Chat").replace({"workload.arrivals.rate": 0.5})
    for text, says in ((link.encode("Chat", made), None), ("!!!", "damaged")):
        app = AppTest.from_file("../../app.py", default_timeout=120)
        app.query_params["design"] = text
        app.run()
        assert not app.exception
        if says is None:
            assert app.session_state["design"].scenario == made
            assert "design" not in app.query_params
        else:
            assert says in app.error[0].value
            assert app.metric


def test_names_from_a_link_are_only_text() -> None:
    made = load_preset("Chat")
    evil = "x![](https://example.org/pixel.png)<b>:material/home:"
    sources = {"*": {"kind": "assumed", "how": evil, "address": "javascript:alert(1)"}}
    gpu = made.gpu.model_dump(mode="json") | {"name": evil, "sources": sources}
    app = AppTest.from_file("../../app.py", default_timeout=120)
    app.query_params["design"] = link.encode("Chat", made.replace({"gpu": gpu}))
    app.run()
    assert not app.exception
    assert app.metric
    shown = [each.value for each in (*app.markdown, *app.caption)]
    shown += [each.help or "" for each in (*app.number_input, *app.text_input, *app.select_slider)]
    assert not [text for text in shown if "![](" in text or "javascript" in text]


def test_errors_and_pins_from_a_link_are_only_text() -> None:
    made = load_preset("Chat")
    evil = "![](https://example.org/pixel.png)"
    shipped = find_calibration(SHIPPED, Roots()).model_dump(mode="json") | {"name": f"x{evil}"}
    gpu = made.gpu.model_dump(mode="json") | {"name": f"x{evil}"}
    app = AppTest.from_file("../../app.py", default_timeout=120)
    named = made.replace({"gpu": gpu}).model_copy(
        update={"calibration": CalibrationSpec.model_validate(shipped)}
    )
    app.query_params["design"] = link.encode("Chat", named)
    app.run()
    labelled(app.button, "Pin this design").click()
    app.session_state["view"] = "Side by side"
    app.run()
    assert not app.exception
    assert any("x!" in each.value.replace("\\", "") for each in app.markdown)
    bad = AppTest.from_file("../../app.py", default_timeout=120)
    content = {"preset": "Chat", "diff": {"workload": {"=": {evil: 1}}}}
    bad.query_params["design"] = (
        base64.urlsafe_b64encode(zlib.compress(json.dumps(content).encode())).decode().rstrip("=")
    )
    bad.run()
    assert bad.error
    for page in (app, bad):
        shown = [each.value for each in (*page.markdown, *page.caption, *page.error)]
        shown += [each.help or "" for each in page.button]
        assert not [text for text in shown if "![](" in text]


def test_a_link_for_too_much_waits_for_a_click() -> None:
    changes = {"workload.qps": 1e6, "workload.time": 9_000}
    made = load_preset("StorageGRID experiment").replace(changes)
    app = AppTest.from_file("../../app.py", default_timeout=120)
    app.query_params["design"] = link.encode("StorageGRID experiment", made)
    app.run()
    assert not app.exception
    assert not app.metric
    assert labelled(app.button, "Simulate")


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        (DEFAULT, {"tenants": {"a": {"cpu_quota": "20GiB"}, "b": {}}}),
        (DEFAULT, {"tenants": {"a": {"remote_quota": "50GiB"}, "b": {}}}),
        (DEFAULT, {"offload.chunk_tokens": 16}),
        (DEFAULT, {"workload.answer_len": 2_000, "workload.num_rounds": 2}),
        (DEFAULT, {"workload.num_users": 100_000}),
        (DEFAULT, {"workload.num_rounds": 1, "workload.qps": 0.001, "workload.time": 3_000}),
        (DEFAULT, {"workload.warmup_requests": 100_000}),
        (DEFAULT, {"instances": 100_000}),
        (DEFAULT, {"engine.max_num_batched_tokens": 1, "engine.max_num_seqs": 1}),
        ("Questions on documents (RAG)", {"workload.documents": 10**9}),
        ("Chat", {"workload.user_scale": 50}),
        ("Chat", {"workload.rounds_mean": 1_000}),
        ("Chat", {"workload.first_prompt.most": 1e12, "workload.first_prompt.sigma": 99}),
        ("Chat", {"workload.arrivals": BURSTS}),
    ],
)
def test_what_takes_long_is_not_quick(preset: str, changes: dict[str, Any]) -> None:
    made = load_preset(preset)
    assert is_quick(made)
    assert not is_quick(made.replace(changes))


def test_a_large_trace_is_not_quick(tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    file.write_bytes(b" " * 100_000)
    made = load_preset("Chat").replace({"workload": {"kind": "trace", "file": str(file)}})
    assert is_quick(made)
    file.write_bytes(b" " * 5_000_000)
    assert not is_quick(made)


def test_a_run_that_breaks_is_told() -> None:
    lengths = {"median": 1e300, "sigma": 0, "most": 1e308}
    broken = load_preset("Chat").replace({"workload.first_prompt": lengths})
    with pytest.raises(SimulationError, match="the run failed: ") as told:
        answer(broken)
    assert "\n" not in str(told.value)


def test_a_run_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MOST_S", 0.5)
    endless = load_preset(DEFAULT).replace({"gpu.efficiency.memory": 1e-308})
    assert is_quick(endless)
    with pytest.raises(SimulationError, match=r"the run takes more than 0\.5 s"):
        answer(endless)


def test_visitors_do_not_see_each_other(app: AppTest) -> None:
    other = AppTest.from_file("../../app.py", default_timeout=120).run()
    labelled(app.button, "Pin this design").click()
    labelled(app.select_slider, "Context").set_value(2_000)
    app.run()
    other.run()
    assert not other.session_state["pins"]
    assert other.session_state["design"].scenario.workload.user_history_prompt == 20_000


def test_the_design_survives_another_page(app: AppTest) -> None:
    labelled(app.select_slider, "Context").set_value(2_000)
    app.run()
    plan = open_page(app, "plan")
    assert plan.session_state["design"].scenario.workload.user_history_prompt == 2_000


def test_a_plan_runs_in_the_background_and_can_be_stopped(app: AppTest) -> None:
    plan = open_page(app, "plan")
    labelled(plan.button, "Find the smallest sizes").click()
    plan.run()
    assert not plan.exception
    job = plan.session_state["jobs"]["size"]
    assert job.running
    labelled(plan.button, "Stop").click()
    plan.run()
    assert not job.running
    assert job.outcome is None
    assert any("Stopped" in each.value for each in plan.info)


def test_breakeven_is_found(app: AppTest) -> None:
    app.selectbox[0].set_value("Measured: cpu40GB_131k_pool")
    app.run()
    plan = open_page(app, "plan")
    plan.session_state["plan"] = "Load or recompute"
    plan.run()
    labelled(plan.button, "Find the break-even").click()
    plan.run()
    finish(plan)
    assert any("CPU memory: loading wins" in each.value for each in plan.markdown)
    assert plan.get("plotly_chart")


def test_cost_names_its_sources(app: AppTest) -> None:
    plan = open_page(app, "plan")
    plan.session_state["plan"] = "Cost"
    plan.run()
    assert not plan.exception
    assert "assumed" in set(plan.dataframe[2].value["source"])


@pytest.mark.parametrize(
    ("part", "button", "says"),
    [
        ("Goodput and load", "Find the largest load", "questions per second"),
        ("What moves it", "Find what moves it", "What moves mean time to first token"),
        ("Cheapest design", "Find the cheapest design", "Cheapest design that keeps"),
        ("Size the tiers", "Find the smallest sizes", "CPU memory:"),
    ],
)
def test_plans_are_made(app: AppTest, part: str, button: str, says: str) -> None:
    short = load_preset("Measured: cpu40GB_131k_pool").replace(
        {"workload.time": 20, "slo": {"ttft": "5s"}}
    )
    app.session_state["design"] = Design("Measured: cpu40GB_131k_pool", short)
    plan = open_page(app, "plan")
    plan.session_state["plan"] = part
    plan.run()
    labelled(plan.button, button).click()
    plan.run()
    finish(plan)
    assert any(says in each.value for each in plan.markdown)
    assert plan.get("plotly_chart")


def test_setups_are_compared_over_context(app: AppTest) -> None:
    short = load_preset("Measured: cpu40GB_131k_pool").replace({"workload.time": 10})
    app.session_state["base"] = app.session_state["design"] = Design(
        "Measured: cpu40GB_131k_pool", short
    )
    app.session_state["generation"] += 1
    app.session_state["view"] = "Over context"
    app.run()
    labelled(app.button, "Compare the set-ups").click()
    app.run()
    finish(app)
    assert len(app.get("plotly_chart")) == 3


def test_largest_load_is_part_of_the_verdict(app: AppTest) -> None:
    app.selectbox[0].set_value("Measured: gpu_only_131k_pool")
    app.run()
    labelled(app.select_slider, "Context").set_value(1_000)
    app.run()
    labelled(app.button, "How much load").click()
    app.run()
    finish(app)
    assert any("questions per second" in each.value for each in app.markdown)


def test_a_long_run_waits_for_a_click(app: AppTest) -> None:
    long = load_preset("Chat").replace({"workload.duration": 100_000, "workload.time": 100_000})
    app.session_state["base"] = app.session_state["design"] = Design("Chat", long)
    app.session_state["generation"] += 1
    app.run()
    assert not app.exception
    assert not app.metric
    labelled(app.button, "Simulate").click()
    app.run()
    labelled(app.button, "Stop").click()
    app.run()
    assert not app.session_state["jobs"]


def test_a_bad_upload_is_one_line(app: AppTest) -> None:
    page = open_page(app, "calibrate")
    page.file_uploader[0].set_value(("runs.zip", b"no zip", "application/zip"))
    page.run()
    assert not page.exception
    assert "cannot be unpacked" in page.error[0].value


def test_a_bad_trace_goes_by_the_name_that_it_was_uploaded_with(app: AppTest) -> None:
    labelled(app.selectbox, "Workload").set_value("trace")
    app.run()
    content = b"TIMESTAMP,ContextTokens,GeneratedTokens\nnever,1,2\n"
    labelled(app.file_uploader, "Trace").set_value(("my trace.csv", content, "text/csv"))
    app.run()
    assert app.error[0].value.startswith("my\\_trace.csv: no request in it")


def test_a_bad_run_goes_by_its_own_name(app: AppTest) -> None:
    page = open_page(app, "calibrate")
    page.file_uploader[0].set_value(("engine_steps.jsonl", b"nonsense\n", "text/plain"))
    page.run()
    labelled(page.button, "Fit").click()
    page.run()
    finish(page)
    assert page.error[0].value.startswith("uploaded/engine\\_steps.jsonl")


def test_an_uploaded_run_is_compared(app: AppTest) -> None:
    folder = ROOT / "experiments" / "validation" / "runs" / "gpu_only_131k_pool__qa10k"
    page = open_page(app, "calibrate")
    page.file_uploader[0].set_value(
        [(path.name, path.read_bytes(), "text/plain") for path in folder.iterdir()]
    )
    page.run()
    assert not page.exception
    labelled(page.selectbox, "What the runs ran on").set_value("Measured: gpu_only_131k_pool")
    page.session_state["calibrate"] = "Measured and simulated"
    page.run()
    labelled(page.button, "Compare").click()
    page.run()
    finish(page)
    errors = page.dataframe[0].value.set_index("metric")["error"]
    assert abs(float(errors["ttft_s_mean"].rstrip("%"))) < 5


def test_the_arithmetic_is_filled_in(app: AppTest) -> None:
    page = open_page(app, "explain")
    assert any("= 2 · 36 · 8 · 128 · 2" in each.value for each in page.markdown)
    assert page.metric[0].value == "144KiB"


def test_causes_are_named(app: AppTest) -> None:
    labelled(app.select_slider, "CPU memory").set_value(20 * GIB)
    app.run()
    page = open_page(app, "explain")
    page.session_state["explain"] = "Does it help, and why not?"
    page.run()
    assert not page.exception
    assert any("CPU" in each.value for each in page.markdown)


def test_words_are_explained(app: AppTest) -> None:
    page = open_page(app, "explain")
    page.session_state["explain"] = "Words"
    page.run()
    assert any("`chunk_tokens`" in each.value for each in page.markdown)
