"""fio's JSON, as fio 3.33 wrote it."""

import json
from pathlib import Path

import pytest

from kvsim.calibration.readers.fio import read_fio
from kvsim.errors import CalibrationError

FIO = Path(__file__).parents[2] / "data" / "tools" / "fio.json"


def test_real_output() -> None:
    result = read_fio(FIO)
    read, write = result.jobs
    assert result.version == "fio-3.33"
    assert (read.name, read.direction, read.block_bytes, read.jobs) == ("read_1m", "read", 2**20, 2)
    assert (write.name, write.direction, write.block_bytes) == ("write_36m", "write", 36 * 2**20)
    assert (read.operations, read.n_bytes) == (128, 128 * 2**20)
    assert read.bytes_per_s == pytest.approx(read.n_bytes / read.runtime_s, rel=0.01)
    assert write.n_bytes == 2 * write.block_bytes
    assert not read.direct
    assert read.latency_s_quantiles[0.5] <= read.latency_s_quantiles[0.99]
    assert 1e-6 < read.latency_s_mean < 1


def test_failed_and_damaged_jobs_are_counted(tmp_path: Path) -> None:
    content = json.loads(FIO.read_text())
    failed, damaged = dict(content["jobs"][0], error=5), dict(content["jobs"][0])
    del damaged["read"]
    content["jobs"] += [failed, damaged]
    path = tmp_path / "fio.json"
    path.write_text(json.dumps(content))
    result = read_fio(path)
    assert (len(result.jobs), result.failed_jobs, result.damaged_jobs) == (2, 1, 1)


@pytest.mark.parametrize(
    ("size", "n_bytes"), [("4k", 4096), ("1M", 2**20), ("8192", 8192), ("36MiB", 36 * 2**20)]
)
def test_block_sizes(size: str, n_bytes: int, tmp_path: Path) -> None:
    content = json.loads(FIO.read_text())
    del content["jobs"][0]["job options"]["bs"]
    content["global options"] = {"bs": size}
    path = tmp_path / "fio.json"
    path.write_text(json.dumps(content))
    assert read_fio(path).jobs[0].block_bytes == n_bytes


@pytest.mark.parametrize(
    "text", ["", "fio-3.33\n", '{"benchmarks": []}', '{"fio version": "f", "jobs": []}']
)
def test_the_wrong_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "fio.json"
    path.write_text(text)
    with pytest.raises(CalibrationError, match=r"expected|no job"):
        read_fio(path)
