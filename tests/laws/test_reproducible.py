"""Same scenario and seed, same bytes: in one process or several, in this run or the next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from kvsim.simulate import simulate
from kvsim.spec import Scenario


def _save(content: dict[str, Any], folder: Path) -> dict[str, bytes]:
    simulate(Scenario.from_dict(content)).save(folder)
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"
    }


def test_equal_bytes_in_every_process(qa: Scenario, tmp_path: Path) -> None:
    content = qa.to_dict()
    here = _save(content, tmp_path / "here")
    assert {"scenario.yaml", "summary.json", "requests.parquet", "steps.parquet"} <= here.keys()
    others = Parallel(n_jobs=2)(delayed(_save)(content, tmp_path / f"{i}") for i in range(2))
    assert all(other == here for other in others)


def test_seeds_change_arrivals_only_within_the_jitter(qa: Scenario) -> None:
    one, two = (simulate(qa.replace({"seed": seed})).requests for seed in (0, 1))
    first = one[~one.warmup].groupby("session_id").arrival_s.first()
    second = two[~two.warmup].groupby("session_id").arrival_s.first()
    apart = (first - second).abs()
    assert 0 < apart.max() < 0.0031
