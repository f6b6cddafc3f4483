"""Whatever a command has left becomes a page that holds its parts and needs no network."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from kvsim.errors import ConfigError
from kvsim.metrics.result import RunResult
from kvsim.plan.untimed import untimed_hits
from kvsim.report.html import Page
from kvsim.report.results import result_page, results_page, run_names
from kvsim.report.run_words import tell_run, verdict
from kvsim.simulate import simulate
from kvsim.spec.base import numeric_leaves
from kvsim.spec.load import load_scenario

MakeFrame = Callable[..., pd.DataFrame]
ROOT = Path(__file__).parents[3]


def written(page: Page, folder: Path) -> str:
    page.write(folder / "page.html")
    return (folder / "page.html").read_text(encoding="utf-8")


def titles(page: Page) -> list[str]:
    return [figure.layout.title.text.partition("<br>")[0] for figure in page.figures]


@pytest.fixture(scope="module")
def saved(short_run: RunResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "s3"
    short_run.save(folder)
    return folder


def test_page_of_a_run_has_all_parts(saved: Path, short_run: RunResult, tmp_path: Path) -> None:
    page = result_page(saved)
    text = written(page, tmp_path)
    for heading in (
        "How far to trust it",
        "The promise",
        "Requests",
        "Where the prompt tokens come from",
        "Tiers",
        "Cost",
        "Scenario",
        "Where the numbers come from",
    ):
        assert f"<h2>{heading}</h2>" in text
    assert "ttft:p95" in text
    assert '<td class="bad">broken</td>' in text  # no token comes within a millisecond
    assert "Where the time to first token goes, mean" in titles(page)
    assert "What the tiers move" in titles(page)
    assert f"scenario {short_run.manifest.scenario_hash}" in text


def test_runs_of_a_trace_tell_what_other_caches_would_find(tmp_path: Path) -> None:
    tenants = {"paying": {"share": 1}, "free": {"share": 2}}
    scenario = load_scenario(
        ROOT / "experiments" / "mooncake-conversation.yaml", changes={"tenants": tenants}
    )
    simulate(scenario, save_to=tmp_path / "timed")
    untimed_hits(scenario).save(tmp_path / "untimed")
    for kind in ("timed", "untimed"):
        page = result_page(tmp_path / kind)
        assert {
            "Where each tenant's prompt tokens come from",
            "Reuse distance",
            "Working set over the trace",
            "What 1 TB more would save",
            "Age of chunks, hit and evicted",
        } <= set(titles(page))
        text = written(page, tmp_path)
        assert "The CPU memory of all instances, 800GiB in all, would find" in text
        assert "One more TB there would save computing 0 tokens" in text  # all fits


def test_a_run_whose_trace_is_gone_leaves_reuse_out(tmp_path: Path) -> None:
    trace = tmp_path / "t.jsonl"
    shutil.copy(ROOT / "tests" / "data" / "traces" / "mooncake_conversation.jsonl", trace)
    changes = {"workload.file": str(trace), "workload.max_requests": 10}
    scenario = load_scenario(ROOT / "experiments" / "mooncake-conversation.yaml", changes=changes)
    untimed_hits(scenario).save(tmp_path / "run")
    trace.unlink()
    page = result_page(tmp_path / "run")
    assert titles(page) == ["Where the prompt tokens come from"]
    assert "Reuse is left out: " in written(page, tmp_path)


def test_pages_load_nothing(saved: Path, tmp_path: Path) -> None:
    text = written(result_page(saved), tmp_path)
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", text)
    assert text.count("plotly.js v") == 1


def test_every_number_of_every_profile_has_its_source(saved: Path, tmp_path: Path) -> None:
    text = written(result_page(saved), tmp_path)
    scenario = RunResult.load(saved).scenario
    folded = text.split("Every number with its source")[1]
    for path, _ in numeric_leaves(scenario.gpu.model_dump(exclude={"sources"})):
        assert f"<td>GPU</td><td>{path}</td>" in folded
    assert "Peak bf16 tensor speed without sparsity (FLOP/s)." in folded
    assert "datasheet" in folded


def test_the_folded_scenario_runs_again(saved: Path, tmp_path: Path) -> None:
    from html import unescape

    text = written(result_page(saved), tmp_path)
    (again,) = re.findall(r"<pre>(.*?)</pre>", text, flags=re.DOTALL)
    path = tmp_path / "again.yaml"
    path.write_text(unescape(again), encoding="utf-8")
    assert load_scenario(path).hash() == RunResult.load(saved).scenario.hash()


def test_runs_stand_side_by_side(saved: Path, short_run: RunResult, tmp_path: Path) -> None:
    short_run.save(tmp_path / "gpu")
    page = results_page([saved, tmp_path / "gpu"])
    text = written(page, tmp_path)
    assert "GPU + CPU + S3" in text
    assert "GPU only" in text
    (waterfall,) = [f for f in page.figures if f.layout.title.text.startswith("Where the time")]
    assert list(waterfall.data[0].y) == ["GPU + CPU + S3", "GPU only"]


def test_run_names_tell_runs_apart(tmp_path: Path) -> None:
    assert run_names([tmp_path / "a" / "x", tmp_path / "b" / "x"]) == ["a/x", "b/x"]
    with pytest.raises(ConfigError, match="given twice"):
        run_names([tmp_path / "x", tmp_path / "x"])


def test_words_follow_the_summary(short_run: RunResult) -> None:
    story = tell_run(short_run)
    summary = short_run.summary_dict()
    assert story.verdict == verdict(summary, story.slo)
    assert "not its promise" in story.verdict
    assert any("The engines are busy" in each for each in story.details)
    slow = verdict({**summary, "stable": False})
    assert slow.startswith("The service does not keep up")
    assert "stops serving" in verdict({**summary, "died": True})
    assert verdict({**summary, "ttft_s_mean": None}) == "No request was finished."


def trials() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "trial": [0, 1, 2],
            "instances": [1, 2, 4],
            "offload.cpu.capacity": [2**30, 2**31, 0],
            "usd_per_hour": [1.0, 2.0, 4.0],
            "feasible": [False, True, True],
            "excluded_reason": ["ttft p95 is 9 s", None, None],
            "pareto": [False, True, False],
            "ttft_s_p99": [9.0, 0.5, 0.6],
            "usd_per_million_tokens": [0.3, 0.2, 0.4],
        }
    )


def test_page_of_a_search_names_best_and_excluded(tmp_path: Path) -> None:
    folder = tmp_path / "cheap"
    folder.mkdir()
    trials().to_parquet(folder / "trials.parquet")
    page = result_page(folder)
    text = written(page, tmp_path)
    assert "Best in cost: 2 USD an hour with instances 2, cpu.capacity 2GiB." in text
    assert "2 of 3 designs do it" in text
    assert "ttft p95 is 9 s" in text
    assert "<td>4</td><td>none</td>" in text
    assert len(page.figures) == 1


def test_page_of_a_search_takes_the_words_of_its_answer(tmp_path: Path) -> None:
    trials().assign(
        gpus=2, output_tokens_per_s=10.0, decode_tokens_per_s_mean=[1, 2, 3]
    ).to_parquet(tmp_path / "trials.parquet")
    answer = {"name": "mine", "verdict": ["Take two."], "notes": ["a note"]}
    (tmp_path / "search.json").write_text(json.dumps(answer))
    page = result_page(tmp_path)
    text = written(page, tmp_path)
    assert '<p class="lead">Take two.</p>' in text
    assert "Note: a note." in text
    assert page.title == "Search mine"
    users, waits = page.figures[1:]
    assert list(users.data[-1].x) == [2, 3]
    assert list(waits.data[-1].y) == [5.0, 5.0]


@pytest.mark.parametrize("dropped", ["feasible", "pareto", "excluded_reason", "ttft_s_p99"])
def test_a_search_may_lack_a_column(tmp_path: Path, dropped: str) -> None:
    trials().drop(columns=dropped).to_parquet(tmp_path / "trials.parquet")
    assert result_page(tmp_path).title.startswith("Search")


def test_page_of_a_sweep_has_two_parameters_together(make_frame: MakeFrame, tmp_path: Path) -> None:
    frame = pd.concat(
        make_frame(setups=("gpu", "cpu")).assign(**{"workload.qps": qps}) for qps in (1.0, 2.0)
    )
    front = ["setup", "workload.user_history_prompt", "workload.qps", "seed"]
    frame = frame[[*front, *frame.columns.difference(front, sort=False)]]
    frame.to_parquet(tmp_path / "table.parquet")
    page = result_page(tmp_path / "table.parquet")
    heat = [figure for figure in page.figures if figure.data[0].type == "heatmap"]
    assert len(heat) == 4
    assert "Processing speed against load" in titles(page)


def test_saved_json_becomes_the_page_of_its_command(tmp_path: Path) -> None:
    rows = [
        {
            "what": "load",
            "low": 1.0,
            "high": 3.0,
            "base": 2.0,
            "low_value": "x 0.8",
            "high_value": "x 1.25",
            "low_stable": True,
            "high_stable": False,
            "note": "",
        }
    ]
    path = tmp_path / "answer.json"
    path.write_text(json.dumps({"scenario": "one", "metric": "ttft_s_mean", "rows": rows}))
    text = written(result_page(path), tmp_path)
    assert "What moves mean time to first token (2 seconds) most is load" in text
    assert "x 1.25 does not keep up" in text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", "[]", "no known result"),
        ("a.json", "{", "cannot be read as JSON"),
        ("a.json", '{"question_tokens": 1}', "damaged"),
        ("a.parquet", "x", "cannot be read as a table"),
        ("a.txt", "x", "cannot be read as JSON"),
    ],
)
def test_other_files_are_refused_in_one_line(
    tmp_path: Path, name: str, content: str, words: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=words):
        result_page(tmp_path / name)


def test_other_places_are_refused(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(ConfigError, match="no result in it"):
        result_page(tmp_path)
    with pytest.raises(ConfigError, match="does not exist"):
        result_page(tmp_path / "none")
    with pytest.raises(ConfigError, match="only runs can stand side by side"):
        results_page([saved, tmp_path])
