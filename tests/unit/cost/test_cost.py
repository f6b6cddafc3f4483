"""Prices have sources, components and tokens add up, and more of a thing costs more."""

from pathlib import Path

import pytest

from kvsim.errors import ConfigError
from kvsim.metrics.cost import cost_of, gpu_time, gpus_avoided
from kvsim.metrics.result import RunResult
from kvsim.simulate import simulate
from kvsim.spec import Scenario, load_profile
from kvsim.spec.cost import Prices, list_prices, load_prices, parse_prices, resolve_prices


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return Scenario.from_dict(
        {
            "name": "cost",
            "model": "qwen3-8b",
            "gpu": "h100-sxm-80gb",
            "host": "xeon-pcie5",
            "engine": {"num_gpu_blocks": 800, "max_model_len": 8_000},
            "offload": {
                "connector": "lmcache_inproc",
                "cpu": {"capacity": "10GB"},
                "remote": {"profile": "s3-express"},
            },
            "workload": {
                "kind": "multi_round_qa",
                "num_users": 4,
                "num_rounds": 5,
                "qps": 1,
                "shared_system_prompt": 500,
                "user_history_prompt": 6_000,
                "answer_len": 50,
                "time": 40,
            },
        }
    )


@pytest.fixture(scope="module")
def result(scenario: Scenario) -> RunResult:
    return simulate(scenario)


def prices(scenario: Scenario, **given: float) -> Prices:
    store = scenario.offload.remote.profile if scenario.offload.remote else None
    return resolve_prices(load_prices(), scenario.gpu, store, given=given)


@pytest.mark.parametrize("name", list_prices())
def test_every_default_price_has_source_and_date(name: str) -> None:
    listed = load_prices(name)
    for path in ("ram_usd_per_gb_hour", "ram_included"):
        assert listed.source_of(path).date
    for gpu in listed.gpu_usd_per_hour:
        source = listed.source_of(f"gpu_usd_per_hour.{gpu}")
        assert source is not listed.sources["*"]
        assert source.date
        assert load_profile("gpus", gpu).name == gpu
    for store in listed.storage:
        assert listed.source_of(f"storage.{store}").date
        assert load_profile("storage", store).name == store
    for source in listed.sources.values():
        assert source.how


def test_the_users_price_goes_before_the_lists_before_the_profiles(scenario: Scenario) -> None:
    listed = prices(scenario)
    assert listed.gpu_usd_per_hour == load_prices().gpu_usd_per_hour["h100-sxm-80gb"]
    assert listed.usd_per_gb_written == 0.0032
    given = prices(scenario, gpu_usd_per_hour=2.5, usd_per_tb_month=0)
    assert (given.gpu_usd_per_hour, given.usd_per_tb_month) == (2.5, 0)
    assert given.sources["gpu_usd_per_hour"].how == "given by the user"
    other = resolve_prices(load_prices(), load_profile("gpus", "l40"), None)
    assert other.gpu_usd_per_hour == load_profile("gpus", "l40").usd_per_hour
    assert other.usd_per_tb_month == 0


def test_bad_prices(tmp_path: Path, scenario: Scenario) -> None:
    with pytest.raises(ConfigError, match="did you mean 'gpu_usd_per_hour'"):
        prices(scenario, gpu_usd_per_hours=1)
    with pytest.raises(ConfigError, match="at least 0"):
        prices(scenario, gpu_usd_per_hour=-1)
    with pytest.raises(ConfigError, match="no price; write"):
        parse_prices(["gpu_usd_per_hour"])
    assert parse_prices(["ram_included=256GiB"]) == {"ram_included": "256GiB"}
    with pytest.raises(ConfigError, match="did you mean 'cloud-list'"):
        load_prices("cloud-lists")
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "own.yaml").write_text("ram_usd_per_gb_hour: 1\n")
    with pytest.raises(ConfigError, match="sources"):
        load_prices("own", profiles=tmp_path)
    (tmp_path / "prices" / "own.yaml").write_text(
        "ram_usd_per_gb_hour: 1\nsources: {'*': {kind: measured, how: invoice, date: 2026-01-01}}\n"
    )
    assert load_prices("own", profiles=tmp_path).ram_usd_per_gb_hour == 1
    assert "own" in list_prices(profiles=tmp_path)


def test_components_by_hand(result: RunResult, scenario: Scenario) -> None:
    cost = cost_of(result, prices(scenario, gpu_usd_per_hour=3, ram_usd_per_gb_hour=0.01))
    assert cost.gpu_usd_per_hour == 3
    assert cost.ram_usd_per_hour == pytest.approx(0.1)
    stored = cost_of(result, prices(scenario, usd_per_tb_month=730.5), stored_bytes=2 * 10**12)
    assert stored.storage_usd_per_hour == pytest.approx(2)
    hours = result.manifest.end_s - result.manifest.start_s
    writes = result.transfers.query("tier == 'remote' and direction == 'write'")
    puts = 7 * int(writes["objects"].sum())  # create, five parts of 36 MiB, complete
    only_puts = cost_of(
        result,
        prices(
            scenario, usd_per_1000_get=0, usd_per_1000_put=1, usd_per_gb_read=0, usd_per_tb_month=0
        ),
    )
    assert only_puts.requests_usd_per_hour == pytest.approx(puts / 1000 / (hours / 3600))
    written = float(writes["n_bytes"].sum()) / 1e9
    assert only_puts.traffic_usd_per_hour == pytest.approx(written * 0.0032 / (hours / 3600))


def test_tokens_add_up_to_the_hourly_cost(result: RunResult, scenario: Scenario) -> None:
    cost = cost_of(result, prices(scenario))
    summary = result.summary_dict()
    hours = float(summary["simulated_s"] or 0) / 3600
    computed = float(summary["computed_tokens"] or 0)
    prompt = float(summary["prompt_tokens"] or 0)
    output = float(summary["output_tokens_per_s"] or 0) * 3600 * hours
    assert cost.usd_per_million_computed_tokens is not None
    assert cost.usd_per_million_cached_tokens is not None
    assert cost.usd_per_million_output_tokens is not None
    assert cost.usd_per_million_input_tokens is not None
    parts = (
        cost.usd_per_million_computed_tokens * computed
        + cost.usd_per_million_cached_tokens * (prompt - computed)
        + cost.usd_per_million_output_tokens * output
    )
    assert parts / 1e6 / hours == pytest.approx(cost.usd_per_hour)
    inputs = cost.usd_per_million_input_tokens * prompt
    inputs += cost.usd_per_million_output_tokens * output
    assert inputs / 1e6 / hours == pytest.approx(cost.usd_per_hour)
    assert cost.usd_per_million_tokens is not None
    everything = cost.usd_per_million_tokens * (prompt + output)
    assert everything / 1e6 / hours == pytest.approx(cost.usd_per_hour)
    assert cost.to_dict()["usd_per_hour"] == cost.usd_per_hour


def test_gpu_time_is_all_of_the_time(result: RunResult, scenario: Scenario) -> None:
    used = gpu_time(result)
    total_s = (result.manifest.end_s - result.manifest.start_s) * scenario.instances
    assert used.busy_s + used.idle_s == pytest.approx(total_s)
    assert used.load_s == pytest.approx(result.steps["load_s"].sum(), rel=0.05)
    assert min(used.prefill_s, used.store_s, used.load_s, used.decode_s, used.idle_s) > 0


def test_gpus_avoided(result: RunResult, scenario: Scenario) -> None:
    baseline = simulate(scenario.replace({"offload.connector": "none", "offload.remote": None}))
    saved = gpus_avoided(result, result)
    assert saved == pytest.approx(0)
    against = gpus_avoided(result, baseline)
    back = gpus_avoided(baseline, result)
    assert against is not None
    assert back is not None
    assert (1 + against) * (1 + back) == pytest.approx(1)


def test_memory_that_comes_with_the_gpu_is_free(result: RunResult, scenario: Scenario) -> None:
    assert cost_of(result, prices(scenario, ram_included=10**10)).ram_usd_per_hour == 0
    assert cost_of(result, prices(scenario, ram_included=10**9)).ram_usd_per_hour > 0
