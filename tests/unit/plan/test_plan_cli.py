"""`kvsim size`, `kvsim breakeven` and the gate of promises, as a shell sees them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

from kvsim.cli.breakeven import breakeven
from kvsim.cli.size import size
from kvsim.cli.slo import SLO_FAILED, gate, judge, read_slo, slo_table
from kvsim.errors import ConfigError
from kvsim.simulate import simulate
from kvsim.spec import Scenario

app = typer.Typer()
app.command()(size)
app.command()(breakeven)


@pytest.fixture
def scenario_file(qa: Scenario, tmp_path: Path) -> Path:
    path = tmp_path / "scenario.yaml"
    short = qa.replace({"workload.time": 30})
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(short.to_dict(), file)
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], standalone_mode=False)


def test_size(scenario_file: Path, tmp_path: Path) -> None:
    page = tmp_path / "size.html"
    done = run("size", scenario_file, "--json", "--html", page, "--price", "usd_per_tb_month=20")
    assert done.exception is None
    data = json.loads(done.stdout)
    assert data["reached"]
    assert data["prices"]["usd_per_tb_month"] == 20
    text = page.read_text(encoding="utf-8")
    assert "Hit rate against CPU memory" in text
    assert "given by the user" in text
    assert done.return_value == 0


def test_size_out_of_reach(scenario_file: Path) -> None:
    done = run("size", scenario_file, "--slo", "ttft:p95<1ms", "--tier", "cpu")
    assert done.return_value == SLO_FAILED
    assert "out of reach" in done.stdout
    assert "SLO broken" in done.stdout


def test_breakeven(scenario_file: Path, tmp_path: Path) -> None:
    page = tmp_path / "breakeven.html"
    words = ("breakeven", scenario_file, "--gpu", "h100-sxm-80gb", "--concurrency", "1,4")
    done = run(*words, "--json", "--html", page)
    assert done.exception is None
    data = json.loads(done.stdout)
    assert [tier["tier"] for tier in data["tiers"]] == ["cpu", "storagegrid-s3"]
    points = [point for tier in data["tiers"] for point in tier["curve"]]
    checked = [point for point in points if point["simulated_load_s"]]
    assert len(checked) == 10
    for point in checked:
        assert point["load_s"] == pytest.approx(point["simulated_load_s"], rel=0.1)
    assert "Load or recompute" in page.read_text(encoding="utf-8")
    done = run(*words, "--no-simulate", "--storage", "nfs-tcp")
    assert done.exception is None
    assert "nfs-tcp: loading wins" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["size", "--tier", "ssd"], "choose hbm, cpu, remote"),
        (["size", "--set", "offload.remote=null", "--tier", "remote"], "no offload.remote"),
        (["size", "--hit-rate", "90"], "hit rate 90"),
        (["size", "--slo", "ttft:p99<2"], "no unit"),
        (["size", "--prices", "cloudlist"], "did you mean 'cloud-list'"),
        (["size", "--price", "gpu=1"], "unknown key 'gpu'"),
        (["size", "--html", "no/such/page.html"], "does not exist"),
        (["breakeven", "--concurrency", "0"], "no counts"),
        (["breakeven", "--gpu", "moon"], "no GPU profile"),
        (["breakeven", "--model", "moon"], "no model profile"),
        (["breakeven", "--storage", "ontap"], "no storage profile"),
        (["breakeven", "--question", "1000000"], "do not fit the longest prompt"),
    ],
)
def test_bad_words_are_one_line(scenario_file: Path, words: list[str], message: str) -> None:
    done = run(words[0], scenario_file, *words[1:])
    assert isinstance(done.exception, ConfigError)
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)


def test_gate(qa: Scenario, tmp_path: Path) -> None:
    result = simulate(qa.replace({"workload.time": 20}))
    assert gate(judge(result, None)) == 0
    assert gate(judge(result, read_slo("ttft:p99<100s"))) == 0
    broken = judge(result, read_slo("ttft:p99<1ms;ttft<1s"))
    assert broken is not None
    assert gate(broken) == SLO_FAILED == 3
    assert slo_table(broken).row_count == 2
    own = simulate(qa.replace({"workload.time": 20, "slo": "ttft:p99<1ms"}))
    assert gate(judge(own, None)) == SLO_FAILED
    path = tmp_path / "sla.json"
    path.write_text('[{"p99_ttft_ms": "<=100000"}]')
    assert gate(judge(result, read_slo(str(path)))) == 0
    with pytest.raises(ConfigError, match="cannot be read"):
        read_slo(str(tmp_path / "none.json"))
