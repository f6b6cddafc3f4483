"""`kvsim trace`: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kvsim.cli import app
from kvsim.errors import KvsimError
from kvsim.workload.trace_stats import measure_reuse
from kvsim.workload.traces import read_trace

DATA = Path(__file__).parents[2] / "data" / "traces"


def run(*words: object) -> str:
    """Run a command of `kvsim trace` that must succeed and return what it printed to stdout."""
    result = CliRunner().invoke(app, ["trace", *map(str, words)], env={"COLUMNS": "80"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(
    "name", ["mooncake_conversation.jsonl", "azure_code.csv", "kv_cache_tester.parquet"]
)
def test_info_fits_80_columns(name: str) -> None:
    shown = run("info", DATA / name)
    tables = [line for line in shown.splitlines() if line[:1] in "┏┃│└┡"]
    assert tables
    assert max(map(len, tables)) <= 80
    assert "ideal hit rate" in shown


def test_info_as_json() -> None:
    found = json.loads(run("info", DATA / "mooncake_conversation.jsonl", "--json"))
    assert found["requests"] == 120
    assert found["hash_tokens"] == 512
    assert found["damaged"] == []


def test_info_names_damaged_rows_and_strict_stops(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("time,prompt_tokens,output_tokens\n1,5,5\n-2,5,5\n3,5,5\n")
    assert "damaged: line 3: time: '-2' is negative" in run("info", path)
    with pytest.raises(KvsimError, match="line 3"):
        run("info", path, "--strict")


def test_info_in_bytes_of_a_model() -> None:
    assert "GiB" in run("info", DATA / "kv_cache_tester.parquet", "--model", "qwen3-8b")


def test_convert_keeps_what_is_shared(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    run("convert", DATA / "kv_cache_tester.parquet", "--out", out)
    first, again = read_trace(DATA / "kv_cache_tester.parquet"), read_trace(out)
    assert again.hash_tokens == 64
    assert measure_reuse(again).hit_tokens.tolist() == measure_reuse(first).hit_tokens.tolist()
    waits = first.after >= 0
    assert again.think_time_s[waits] == pytest.approx(first.think_time_s[waits])
    assert not list(tmp_path.glob("*.part"))


def test_convert_to_another_grain(tmp_path: Path) -> None:
    source, words = DATA / "mooncake_conversation.jsonl", ["--to-hash-tokens", "128"]
    fine, coarse = tmp_path / "fine.jsonl", tmp_path / "coarse.jsonl"
    said = CliRunner().invoke(app, ["trace", "convert", str(source), "--out", str(fine), *words])
    assert "what parts of an old id share by themselves is not known" in said.stderr
    run("convert", fine, "--out", coarse, "--to-hash-tokens", 512)
    hits = [measure_reuse(read_trace(path)).hit_tokens for path in (source, fine, coarse)]
    assert read_trace(fine).hash_tokens == 128
    assert (hits[1] <= hits[0]).all(), "the tail of a prompt has no id any more"
    assert (hits[0] - hits[1] < 128).all()
    assert ((hits[0] - hits[2]) < 512).all()


def test_convert_a_part_to_csv(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    shown = run("convert", DATA / "azure_code.csv", "--out", out, "--to", "csv", "--window", 0, 2)
    trace = read_trace(out)
    assert f"{len(trace)} requests are in" in shown
    assert trace.span_s < 2
    with pytest.raises(KvsimError, match="write csv"):
        run("convert", DATA / "azure_code.csv", "--out", out)


@pytest.mark.parametrize("kind", ["agentic", "rag", "chat"])
def test_synth_writes_a_trace(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "t.jsonl"
    words = ("synth", kind, "--rate", 0.2, "--duration", "2min", "--out", out)
    shown = run(*words, "--arrivals", "gamma", "--set", "arrivals.cv=2", "--json")
    assert json.loads(shown)["requests"] == len(read_trace(out))
    assert "arrivals" in run(*words, "--seed", 1)


def test_synth_fits_a_trace(tmp_path: Path) -> None:
    out = tmp_path / "t.jsonl"
    source = DATA / "kv_cache_tester.parquet"
    words = ("synth", "agentic", "--fit", source, "--rate", 0.5, "--duration", 60, "--out", out)
    spec = json.loads(run(*words, "--set", "turns.median=3", "--json"))["spec"]
    assert spec["turns"]["median"] == 3
    assert spec["turns"]["sigma"] > 0
    assert spec["answer"]["median"] != 217


def test_refusals_are_one_clear_line(tmp_path: Path) -> None:
    out = tmp_path / "t.jsonl"
    cases = {
        ("synth", "poem", "--out", out): "the kinds are agentic, rag, chat",
        ("synth", "chat", "--out", out): r"arrivals\.rate: missing key .*--rate",
        ("synth", "chat", "--rate", 1, "--set", "round=2", "--out", out): "rounds_mean",
        ("synth", "chat", "--rate", 1, "--to", "xml", "--out", out): "choose mooncake or csv",
        ("info", DATA / "azure_code.csv", "--format", "azur"): "did you mean 'azure'",
        ("info", tmp_path / "none"): "no such file",
        ("synth", "chat", "--rate", 1, "--out", tmp_path / "no" / "t"): "cannot write there",
    }
    for words, expected in cases.items():
        with pytest.raises(KvsimError, match=expected):
            run(*words)
    assert not out.exists()


@pytest.mark.parametrize(
    "name", ["mooncake_conversation.jsonl", "azure_code.csv", "kv_cache_tester.parquet"]
)
def test_info_writes_a_page(name: str, tmp_path: Path) -> None:
    page = tmp_path / "trace.html"
    assert "page:" in run("info", DATA / name, "--html", page)
    assert "Working set over the trace" in page.read_text()


def test_hits_by_size_and_policy(tmp_path: Path) -> None:
    page = tmp_path / "hits.html"
    shown = run(
        "hits", DATA / "mooncake_conversation.jsonl", "--model", "llama-3.1-8b", "--html", page
    )
    assert "lru" in shown
    assert "optimal" in shown
    assert "GiB" in shown
    assert max(len(line) for line in shown.splitlines() if line[:1] in "┏┃│└┡") <= 80
    text = page.read_text()
    assert "Hit rate by size of the cache" in text
    assert "one LRU cache of" in text


def test_hits_as_json() -> None:
    words = ["--model", "llama-3.1-8b", "--capacity", "4GiB", "--capacity", "100000"]
    found = json.loads(
        run("hits", DATA / "mooncake_conversation.jsonl", *words, "--policy", "lru", "--json")
    )
    assert [row["capacity_tokens"] for row in found["rows"]] == [32_768, 99_840]
    assert found["rows"][0]["capacity_bytes"] == 4 << 30
    assert found["rows"][0]["hit_tokens"] <= found["rows"][1]["hit_tokens"]
    more = [row["one_more_tb_hit_tokens"] for row in found["rows"]]
    ceiling = found["rows"][0]["hit_tokens"] + more[0]
    assert ceiling == found["rows"][1]["hit_tokens"] + more[1]


def test_hits_refuses_what_it_cannot_know() -> None:
    with pytest.raises(KvsimError, match=r"bytes \(64GiB\) need --model"):
        run("hits", DATA / "mooncake_conversation.jsonl", "--capacity", "4GiB")
    with pytest.raises(KvsimError, match="--policy lruu: does not exist; did you mean 'lru'"):
        run("hits", DATA / "mooncake_conversation.jsonl", "--policy", "lruu")
    with pytest.raises(KvsimError, match="no hash ids"):
        run("hits", DATA / "azure_code.csv")


def test_a_run_tells_of_damaged_rows(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    good = '{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [1, 2]}\n'
    file.write_text(good + good.replace('"timestamp": 0', '"timestamp": -4') + "nonsense\n")
    scenario = DATA.parents[2] / "experiments" / "mooncake-conversation.yaml"
    words = ["run", str(scenario), "--set", f"workload.file={file}"]
    for more in ([], ["--no-time"], ["--json"]):
        result = CliRunner().invoke(app, [*words, *more], env={"COLUMNS": "80"})
        assert result.exit_code == 0
        assert "2 damaged rows of" in result.stderr
        assert "line 2: timestamp: -4 is negative" in result.stderr
    strict = CliRunner().invoke(app, [*words, "--set", "workload.strict=true"])
    assert isinstance(strict.exception, KvsimError)
    assert "line 2: timestamp: -4 is negative" in str(strict.exception)


def test_a_run_with_tenants_prints_and_saves_their_table(tmp_path: Path) -> None:
    scenario = tmp_path / "shared.yaml"
    scenario.write_text(
        "name: shared\nmodel: qwen3-8b\ngpu: h100-sxm-80gb\nhost: xeon-pcie5\n"
        "engine: {scheduling_policy: priority}\n"
        "tenants: {gold: {weight: 3}, free: {share: 3, priority: 1}}\n"
        "workload: {num_users: 5, num_rounds: 2, qps: 1, shared_system_prompt: 100,\n"
        "  user_history_prompt: 900, answer_len: 10, time: 20}\n"
    )
    words = ["run", str(scenario), "--out", str(tmp_path / "out")]
    shown = CliRunner().invoke(app, words, env={"COLUMNS": "80"}).stdout
    assert "gold" in shown
    assert "Jain's index of service per weight" in shown
    assert max(len(line) for line in shown.splitlines() if line[:1] in "┏┃│└┡") <= 80
    assert (tmp_path / "out" / "tenants.parquet").is_file()
    found = json.loads(CliRunner().invoke(app, ["run", str(scenario), "--json"]).stdout)
    assert [row["tenant"] for row in found["tenants"]] == ["gold", "free"]
    assert 0.5 <= found["fairness"]["jain_service_per_weight"] <= 1
