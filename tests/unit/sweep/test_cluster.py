"""A sweep on a real Dask cluster of processes on this machine, and results kept elsewhere."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("distributed")

SWEEP = """
name: cluster
scenario:
  name: small
  model: qwen3-8b
  gpu: a100-40gb
  host: epyc-pcie4
  instances: 2
  offload:
    connector: lmcache_inproc
    cpu: {capacity: 20GiB}
    remote: {profile: storagegrid-s3}
  workload:
    kind: multi_round_qa
    num_users: 6
    num_rounds: 5
    qps: 1
    shared_system_prompt: 500
    user_history_prompt: 3000
    answer_len: 60
    time: 150s
setups:
  cpu: {offload.remote: null}
  s3: {}
grid:
  workload.user_history_prompt: [1000, 2000, 3000, 4000]
seeds: 4
"""


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start Python processes that end with the test."""
    with ExitStack() as stack:

        def run(*words: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, "-m", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        yield run


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(happened: Callable[[], bool], patience_s: float = 60) -> None:
    until_s = time.monotonic() + patience_s
    while not happened():
        assert time.monotonic() < until_s, "waited too long"
        time.sleep(0.05)


def test_a_sweep_survives_a_killed_worker_and_equals_the_local_one(
    tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP, encoding="utf-8")
    address = f"tcp://127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    quiet = ("--no-dashboard",)
    scheduler = start(
        "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port, *quiet
    )
    workers = [
        start("distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", *quiet)
        for _ in range(2)
    ]
    there, here = tmp_path / "there", tmp_path / "here"
    on_dask = ("--executor", "dask", "--scheduler", address, "--out", str(there))
    run = start("kvsim", "sweep", str(file), *on_dask)
    wait_for(lambda: run.poll() is not None or len([*there.glob("runs/*.json")]) >= 4)
    assert run.poll() is None, "the sweep ended before a worker could be killed"
    workers[0].kill()
    assert run.wait(120) == 0
    runs = {path.name: path.stat().st_mtime_ns for path in there.glob("runs/*.json")}
    assert len(runs) == 32

    local = start("kvsim", "sweep", str(file), "--jobs", "2", "--out", str(here))
    assert local.wait(120) == 0
    for name in ("sweep.parquet", "sweep.csv", "replications.parquet", "replications.csv"):
        assert (there / name).read_bytes() == (here / name).read_bytes(), name

    for process in (*workers, scheduler):
        process.kill()
    again = start("kvsim", "sweep", str(file), *on_dask, "--resume")
    assert again.wait(60) == 0, "nothing is left to do, so nobody is asked"
    assert {path.name: path.stat().st_mtime_ns for path in there.glob("runs/*.json")} == runs


def test_no_scheduler_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvsim.cli import entry
    from kvsim.sweep import cluster

    monkeypatch.setattr(cluster, "_PATIENCE", "1s")
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP, encoding="utf-8")
    words = ["kvsim", "sweep", str(file), "--out", str(tmp_path / "out")]
    for more, message in (
        (["--executor", "dask"], "dask with --scheduler"),
        (["--executor", "slurm"], "give local"),
        (["--executor", "dask", "--scheduler", f"tcp://127.0.0.1:{free_port()}"], "no Dask"),
    ):
        monkeypatch.setattr(sys, "argv", [*words, *more])
        with pytest.raises(SystemExit) as ended:
            entry()
        assert ended.value.code not in (0, None)
        assert message in capsys.readouterr().err
