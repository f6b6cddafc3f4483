"""Tenants in a run's tables: shares, service, fairness, saved and streamed to the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.errors import ConfigError, TraceError
from kvsim.metrics.result import RunResult
from kvsim.metrics.tenants import fairness, jain_index
from kvsim.report.charts.tenants import tokens_by_source_per_tenant
from kvsim.report.run_page import run_page
from kvsim.report.tenants import fairness_words, tenant_table
from kvsim.simulate import simulate
from kvsim.spec import Scenario
from kvsim.spec.tenants import TenantSpec
from kvsim.workload.tenants import Reception
from kvsim.workload.traces import read_trace
from kvsim.workload.traces.write import WriteFormat, write_trace


def scenario(**more: object) -> Scenario:
    content = {
        "name": "shared",
        "model": "qwen3-8b",
        "gpu": "h100-sxm-80gb",
        "host": "xeon-pcie5",
        "offload": {"connector": "lmcache_inproc", "cpu": {"capacity": "8GiB"}},
        "slo": {"ttft": "500ms"},
        "workload": {
            "num_users": 12,
            "num_rounds": 4,
            "qps": 2,
            "shared_system_prompt": 300,
            "user_history_prompt": 6_000,
            "answer_len": 40,
            "time": 40,
        },
        "tenants": {"gold": {"share": 1, "priority": 0}, "free": {"share": 3, "priority": 1}},
    }
    return Scenario.from_dict({**content, **more})


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=8))
def test_jain_index_lies_between_one_nth_and_one(values: list[float]) -> None:
    index = jain_index(values)
    assert index is not None
    assert 1 / len(values) - 1e-9 <= index <= 1 + 1e-9
    assert jain_index([3 * value for value in values]) == pytest.approx(index)


def test_jain_index_of_known_cases() -> None:
    assert jain_index([5, 5, 5]) == 1
    assert jain_index([7, 0, 0, 0]) == 0.25
    assert jain_index([1, 3]) == 0.8
    assert jain_index([0, 0]) is None


def test_a_tenant_that_asks_for_nothing_does_not_count() -> None:
    rows = [
        {"demand": 100, "service": 100, "weight": 1},
        {"demand": 50, "service": 25, "weight": 0.25},
        {"demand": 0, "service": 0, "weight": 9},
    ]
    assert fairness(rows) == {"jain_service_per_weight": 1, "jain_served_part": pytest.approx(0.9)}


def test_shares_are_kept_from_the_first_users_on() -> None:
    tenants = {"a": TenantSpec(share=1), "b": TenantSpec(share=3)}
    reception = Reception(tenants, lambda request: None)
    mine = [reception.tenant_of(user) for user in range(1, 401)]
    for upto in range(8, 401):
        assert mine[:upto].count("a") == pytest.approx(upto / 4, abs=2.5)
    for step in (2, 3, 8):  # as a round-robin router would see them
        assert mine[::step].count("a") == pytest.approx(100 / step, abs=4)


def test_tenants_add_up_to_the_run() -> None:
    result = simulate(scenario())
    table, summary = result.tenants, result.summary_dict()
    assert table is not None
    assert list(table["tenant"]) == ["gold", "free"]
    for column in ("launched", "finished", "prompt_tokens", "computed_tokens", "hit_tokens_cpu"):
        assert table[column].sum() == summary[column]
    assert table["service_fraction"].sum() == pytest.approx(1)
    service = table["prompt_tokens"] + 2 * table["output_tokens"]
    assert list(table["service"]) == list(service)
    counted = result.requests[~result.requests["warmup"]]
    for row in table.to_dict("records"):
        mine = counted[counted["tenant"] == row["tenant"]]
        assert len(mine) == row["launched"]
        assert row["ttft_s_mean"] == pytest.approx(mine["ttft_s"].mean())
        assert row["good"] == int((mine["ttft_s"] <= 0.5).sum())
    assert result.requests[result.requests["warmup"]]["tenant"].isna().all()


def test_saved_and_streamed_runs_have_the_same_bytes(tmp_path: Path) -> None:
    described = scenario()
    simulate(described).save(tmp_path / "saved")
    streamed = simulate(described, save_to=tmp_path / "streamed")
    for name in ("requests", "tenants", "tiers"):
        one, other = (tmp_path / folder / f"{name}.parquet" for folder in ("saved", "streamed"))
        assert one.read_bytes() == other.read_bytes()
    loaded = RunResult.load(tmp_path / "saved")
    assert loaded.tenants is not None
    assert streamed.tenants is not None
    pd.testing.assert_frame_equal(loaded.tenants, streamed.tenants)
    assert loaded.tenants_dict() == streamed.tenants_dict()


def test_without_tenants_no_table_knows_of_them(tmp_path: Path) -> None:
    result = simulate(scenario(tenants=None), save_to=tmp_path / "run")
    assert result.tenants is None
    assert result.tenants_dict() == {}
    assert "tenant" not in result.requests
    assert not (tmp_path / "run" / "tenants.parquet").exists()


def test_tenants_of_one_kind_change_nothing_but_names() -> None:
    one = simulate(scenario(tenants={"a": {}, "b": {}}))
    none = simulate(scenario(tenants=None))
    pd.testing.assert_frame_equal(one.requests.drop(columns="tenant"), none.requests)
    pd.testing.assert_frame_equal(one.tiers, none.tiers)


def test_a_reserve_helps_who_has_it() -> None:
    def hits(tenants: dict[str, dict[str, object]]) -> float:
        table = simulate(scenario(tenants=tenants, engine={"num_gpu_blocks": 3_000})).tenants
        assert table is not None
        return float(table.set_index("tenant")["token_hit_rate"]["gold"])

    plain = hits({"gold": {}, "free": {"share": 3}})
    reserved = hits({"gold": {"cpu_reserved": 0.6}, "free": {"share": 3}})
    capped = hits({"gold": {}, "free": {"share": 3, "cpu_quota": "20%"}})
    assert reserved > plain
    assert capped > plain


@pytest.mark.parametrize(
    ("tenants", "words"),
    [
        ({}, "names none"),
        ({"a": {"cpu_reserved": 0.7}, "b": {"cpu_reserved": "50%"}}, "more than the tier's"),
        ({"a": {"cpu_quota": 1.5}}, "neither a fraction up to 1 nor a size"),
        ({"a": {"wieght": 2}}, "weight"),
    ],
)
def test_bad_tenants_are_one_line(tenants: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        scenario(tenants=tenants)
    assert "\n" not in str(error.value)


def test_a_part_of_an_endless_store_is_an_error() -> None:
    offload = {"connector": "lmcache_inproc", "remote": {"profile": "ontap-pnfs-rdma"}}
    with pytest.raises(ConfigError, match=r"set offload\.remote\.capacity"):
        scenario(offload=offload, tenants={"a": {"remote_quota": 0.5}})


def test_the_chart_has_a_bar_a_tenant_that_adds_up() -> None:
    table = simulate(scenario()).tenants
    assert table is not None
    figure = tokens_by_source_per_tenant(table)
    assert list(figure.data[0].y)[1].startswith("free (")
    assert sum(trace.x[0] for trace in figure.data) == pytest.approx(100)


def test_the_page_of_a_run_has_a_row_a_tenant() -> None:
    result = simulate(scenario())
    text = run_page(result).text()
    assert "<h2>Tenants</h2>" in text
    rows = tenant_table(result.tenants_dict())
    assert [row["tenant"] for row in rows] == ["gold", "free"]
    for row in rows:
        assert f'<td>{row["tenant"]}</td><td class="num">{row["requests"]}</td>' in text
    assert fairness_words(result.tenants_dict()).startswith("Jain")


def test_a_name_is_only_text_in_the_chart() -> None:
    result = simulate(scenario(tenants={"<a href='https://example.org'>x</a>": {}}))
    assert result.tenants is not None
    assert "<a" not in tokens_by_source_per_tenant(result.tenants).data[0].y[0]


def test_a_trace_says_whose_requests_are(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(
        "time_s,prompt_tokens,output_tokens,tenant\n"
        "0,500,5,gold\n1,600,5,free\n2,700,5,free\n3,800,5,gold\n"
    )
    workload = {"kind": "trace", "file": str(file), "user_scale": 2}
    result = simulate(scenario(workload=workload))
    assert result.tenants is not None
    assert list(result.tenants["prompt_tokens"]) == [2 * 1_300, 2 * 1_300]
    assert list(result.tenants["launched"]) == [4, 4]
    with pytest.raises(ConfigError, match="names 'free', which is not described"):
        simulate(scenario(workload=workload, tenants={"gold": {}}))
    file.write_text("time_s,prompt_tokens,output_tokens,tenant\n0,500,5,gold\n1,600,5,\n")
    with pytest.raises(TraceError, match="1 sessions have no tenant"):
        simulate(scenario(workload=workload))


@pytest.mark.parametrize("form", ["mooncake", "csv"])
def test_a_converted_trace_keeps_its_tenants(tmp_path: Path, form: WriteFormat) -> None:
    file = tmp_path / "trace.jsonl"
    rows = (
        {
            "timestamp": 1_000 * row,
            "input_length": 600,
            "output_length": 5,
            "hash_ids": [0, row],
            "session_id": f"s{row % 2}",
            "tenant": ("gold", "free")[row % 2],
        }
        for row in range(4)
    )
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    trace = read_trace(file)
    assert trace.tenants == ("gold", "free")
    out = tmp_path / ("again.csv" if form == "csv" else "again.jsonl")
    write_trace(trace, out, form)
    again = read_trace(out)
    assert again.tenants == trace.tenants
    assert again.session.tolist() == trace.session.tolist()
    file.write_text(
        file.read_text()
        + json.dumps({**json.loads(file.read_text().split("\n")[0]), "tenant": "free"})
        + "\n"
    )
    assert "tenant 'free': its session belongs to 'gold'" in read_trace(file).damaged[0].why
