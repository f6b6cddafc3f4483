"""What leaves the page is the design: the command runs it, the files read back."""

from __future__ import annotations

import io
import shlex
from typing import Any

import pandas as pd
import pytest

from kvsim.app import takeaway
from kvsim.app.presets import DEFAULT, load_preset, presets
from kvsim.cli.inputs import parse_changes
from kvsim.spec import Scenario
from kvsim.spec.load import load_scenario
from kvsim.spec.yamlfile import parse_value


def run_by(words: list[str]) -> Scenario:
    """Load what a command line would run."""
    assert words[:2] == ["kvsim", "run"]
    pairs = [word for word in words[3:] if word != "--set"]
    path = next(path for path in presets().values() if words[2].endswith(path.name))
    return load_scenario(path, changes=parse_changes(pairs))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"workload.qps": 3, "offload.cpu.capacity": "200GiB", "slo": {"ttft": "2s"}},
        {"gpu": "h100-sxm-80gb", "host": "xeon-pcie5"},
        {"offload.remote": None},
        {"offload.remote.profile": "ontap-pnfs-rdma", "router": "session"},
        {"offload.remote.profile.read.bandwidth": "3GB/s"},
    ],
)
def test_the_command_runs_the_design(changes: dict[str, Any]) -> None:
    design = load_preset(DEFAULT).replace(changes)
    words = shlex.split(takeaway.command(DEFAULT, design))
    assert takeaway._plain(run_by(words)) == takeaway._plain(design)


def test_a_design_beyond_a_command_goes_by_its_file() -> None:
    design = load_preset(DEFAULT).replace({"workload": load_preset("Chat").workload.model_dump()})
    design = design.replace({"model.name": "mine"})
    assert takeaway.command(DEFAULT, design) == f"kvsim run {design.name}.yaml"


def test_the_yaml_reads_back() -> None:
    design = load_preset(DEFAULT).replace({"workload.qps": 3})
    assert Scenario.from_dict(parse_value(takeaway.scenario_yaml(design), "design")) == design


def test_tables_read_back() -> None:
    table = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    assert pd.read_csv(io.BytesIO(takeaway.csv_bytes(table))).equals(table)
    assert pd.read_parquet(io.BytesIO(takeaway.parquet_bytes(table))).equals(table)


def test_differences_are_named() -> None:
    base = load_preset(DEFAULT)
    other = base.replace({"gpu": "h100-sxm-80gb", "workload.qps": 3, "offload.remote": None})
    assert takeaway.differences(base, other) == [
        "gpu h100-sxm-80gb",
        "offload.remote None",
        "workload.qps 3.0",
    ]
    assert takeaway.differences(base, base) == []
