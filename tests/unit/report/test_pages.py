"""Pages: whole, offline, and in the words that the numbers allow."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from kvsim.errors import ConfigError
from kvsim.report import words
from kvsim.report.candidates import judge_candidates
from kvsim.report.html import Cell, Page
from kvsim.report.storagegrid_page import storagegrid_page
from kvsim.report.sweep_page import sweep_page
from kvsim.report.what_if import repaired_share, what_if_rows
from kvsim.spec.load import load_scenario

MakeFrame = Callable[..., pd.DataFrame]
ROOT = Path(__file__).parents[3]


def page_text(page: Page, folder: Path) -> str:
    page.write(folder / "page.html")
    return (folder / "page.html").read_text(encoding="utf-8")


def test_page_needs_no_network_and_holds_plotly_once(tmp_path: Path, make_frame: MakeFrame) -> None:
    base = load_scenario(ROOT / "experiments" / "storagegrid-one.yaml")
    text = page_text(storagegrid_page(make_frame(), base), tmp_path)
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", text)
    assert text.count("plotly.js v") == 1
    assert text.count('class="plotly-graph-div"') == 5
    assert "consistent with" in text
    assert "validated" not in text
    assert "not run (make reproduce)" in text


def test_page_with_everything(tmp_path: Path, make_frame: MakeFrame) -> None:
    base = load_scenario(ROOT / "experiments" / "storagegrid-one.yaml")
    frame = make_frame(seeds=2)
    candidates = pd.concat(
        make_frame().assign(gpu=gpu, router=router)
        for gpu in ("a100-40gb", "h100-sxm-80gb")
        for router in ("round_robin", "session")
    )
    what_if = pd.concat([frame, frame[frame["setup"] == "s3"].assign(setup="cpu-unlimited")])
    text = page_text(
        storagegrid_page(frame, base, candidates=candidates, what_if=what_if), tmp_path
    )
    assert "not run" not in text
    assert "sticky sessions" in text
    assert "CPU memory without limit" in text


def test_verdict_never_claims_more_than_consistency() -> None:
    assert "consistent with all 8" in words.verdict(8, 8, 0)
    assert "no validation" in words.verdict(8, 8, 0)
    assert "6 of the 8" in words.verdict(6, 8, 1)
    assert "1 of the checks" in words.verdict(6, 8, 1)


def test_explanation_uses_the_frames_numbers(make_frame: MakeFrame) -> None:
    told = words.explain(
        make_frame(), kv_bytes_per_token=147_456, cpu_capacity_bytes=100 * 2**30, instances=2
    )
    assert "at 20k, 10.0% of all prompt tokens" in told[0]
    assert "With S3 it is 0.2%" in told[0]
    assert "40 sessions are alive on average and 70 at most" in told[1]
    assert "+76%, lies at 25k" in told[2]
    assert told[3].startswith("Up to 10k")


def test_candidates_are_judged_with_reasons(make_frame: MakeFrame) -> None:
    frame = make_frame()
    best = frame[frame["setup"] == "pnfs"]
    even = pd.concat(best.assign(setup=setup) for setup in ("gpu", "cpu", "s3", "pnfs"))
    judged = judge_candidates(
        pd.concat(
            [
                even.assign(gpu="h100-sxm-80gb", router="session", finished_per_s=2.05),
                frame.assign(gpu="a100-40gb", router="round_robin"),
            ]
        )
    )
    sticky = next(each for each in judged if each.router == "session")
    assert sticky.verdict == "cannot be"
    assert "keeps up at every context" in sticky.why


def test_sticky_sessions_are_ruled_out_where_the_gain_over_cpu_is_gone(
    make_frame: MakeFrame,
) -> None:
    frame = make_frame().assign(gpu="l40s", router="session")
    cpu = frame[frame["setup"] == "cpu"]
    kept = frame[frame["setup"].isin(["gpu", "cpu"])]
    same = pd.concat([kept, cpu.assign(setup="s3"), cpu.assign(setup="pnfs")])
    (candidate,) = judge_candidates(same)
    assert candidate.verdict == "cannot be"
    assert "no context is computed twice" in candidate.why
    (blind,) = judge_candidates(same.assign(router="random"))
    assert blind.verdict == "outside"
    assert "GPU + CPU loses too little" in blind.why


def test_a_candidate_in_all_bands_is_consistent(make_frame: MakeFrame) -> None:
    frame = make_frame().assign(gpu="a100-40gb", router="round_robin")
    rows = frame["workload.user_history_prompt"].isin([25_000])
    wanted = {
        "finished_per_s": {"gpu": 1.0, "cpu": 1.55, "s3": 2.73, "pnfs": 2.8},
        "ttft_s_mean": {"gpu": 100.0, "cpu": 2.0, "s3": 0.92, "pnfs": 0.28},
        "decode_tokens_per_s_mean": {"gpu": 10.0, "cpu": 20.7, "s3": 39.0, "pnfs": 40.0},
    }
    only = frame[rows].copy()
    for column, values in wanted.items():
        only[column] = only["setup"].map(values)
    (candidate,) = judge_candidates(only)
    assert candidate.verdict == "consistent with"


def test_repaired_share() -> None:
    assert repaired_share(1.0, 1.5, 2.0) == pytest.approx(0.5)
    assert repaired_share(1.98, 2.0, 2.0) is None


def test_what_if_rows_rate_what_is_changed(make_frame: MakeFrame) -> None:
    frame = make_frame(setups=("cpu", "s3"))
    changed = frame[frame["setup"] == "s3"].assign(setup="cpu-sticky")
    rows = {
        (row[0], row[1]): row
        for row in what_if_rows(pd.concat([frame, changed]), healthy_per_s=2.04)
    }
    assert rows["25k", "sessions stay on one instance"][-1] == "100%"
    assert rows["25k", "GPU + CPU"][-1] == ""


def test_any_sweep_has_a_page(tmp_path: Path, make_frame: MakeFrame) -> None:
    frame = make_frame(setups=("gpu", "cpu")).rename(
        columns={"workload.user_history_prompt": "workload.qps"}
    )
    text = page_text(sweep_page(frame, "load"), tmp_path)
    assert "Sweep load" in text
    with pytest.raises(ConfigError, match="no swept number"):
        sweep_page(frame.astype({"workload.qps": str}), "load")


def test_text_is_escaped(tmp_path: Path) -> None:
    page = Page("<b>")
    page.table(["a"], [[Cell("<script>", link='x"y')]])
    text = page_text(page, tmp_path)
    assert "&lt;script&gt;" in text
    assert 'href="x&quot;y"' in text


def test_unwritable_page_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        Page("x").write(tmp_path / "missing" / "page.html")


def test_pages_of_sweeps_say_how_sure_their_runs_are(tmp_path: Path, make_frame: MakeFrame) -> None:
    frame = make_frame()
    assert "How far to trust it" not in page_text(sweep_page(frame, "old"), tmp_path)
    beyond = frame["setup"] == "s3"
    sure = frame.assign(
        confidence=beyond.map({True: "extrapolated", False: "calibrated"}),
        out_of_range=beyond.map({True: "remote store; context of one request", False: ""}),
    )
    base = load_scenario(ROOT / "experiments" / "storagegrid-one.yaml")
    for page in (sweep_page(sure, "new"), storagegrid_page(sure, base)):
        text = page_text(page, tmp_path)
        assert "How far to trust it" in text
        assert f'outside what was measured</td><td class="num">{beyond.sum()}</td>' in text
        assert f'context of one request</td><td class="num">{beyond.sum()}</td>' in text
