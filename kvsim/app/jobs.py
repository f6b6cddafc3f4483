"""Long work as plain data in and plain data out, so that it can run in a process of its own.

`python -m kvsim.app.jobs` reads one job from stdin, writes a line of JSON for each step of
progress and one for the outcome, and ends. The dashboard starts it, reads its lines, and stops it
by ending the process, at any point and for certain.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kvsim.errors import ConfigError, KvsimError
from kvsim.spec.scenario import Scenario
from kvsim.text import counted

Progress = Callable[[str], None]
Plain = dict[str, Any]
MAX_MEMORY_BYTES = 8 * 2**30
"""Most that a job may take: a design from a link may ask for more than a machine has."""
MOST_DESIGNS = 48
"""Designs that a search tries; a larger space is sampled."""


def run_job(job: Mapping[str, Any], progress: Progress) -> Plain:
    """Do one job by its name."""
    arguments = dict(job)
    name = arguments.pop("job")
    if name not in JOBS:
        raise ConfigError(f"no job {name!r}")
    return JOBS[name](progress, **arguments)


def _simulate(progress: Progress, *, scenario: Plain, folder: str) -> Plain:
    from kvsim.simulate import simulate

    progress("simulating")
    result = simulate(Scenario.from_dict(scenario), save_to=Path(folder))
    return {"folder": folder, "wall_s": result.manifest.wall_s}


def _size(progress: Progress, *, scenario: Plain, prices: Plain, hit_rate: float | None) -> Plain:
    from kvsim.plan.size import Target
    from kvsim.plan.size_plan import make_size_plan
    from kvsim.spec.cost import Prices

    described = Scenario.from_dict(scenario)
    target = None
    if hit_rate is not None or described.slo is not None:
        target = Target(hit_rate, described.slo if hit_rate is None else None)
    count = 0

    def on_run() -> None:
        nonlocal count
        count += 1
        progress(f"{count} capacities simulated")

    plan = make_size_plan(described, Prices.model_validate(prices), target=target, on_run=on_run)
    return plan.to_dict()


def _breakeven(progress: Progress, *, scenario: Plain, stores: list[str]) -> Plain:
    from kvsim.plan.breakeven_plan import make_breakeven_plan
    from kvsim.spec.load import list_profiles, load_profile

    described = Scenario.from_dict(scenario)
    profiles = [load_profile("storage", name) for name in stores]
    own = described.offload.remote
    if own is not None:
        profiles = [own.profile, *(one for one in profiles if one.name != own.profile.name)]
    done = 0

    def on_tier() -> None:
        nonlocal done
        done += 1
        progress(f"{done} of {1 + len(profiles)} tiers compared")

    progress("comparing tiers")
    return make_breakeven_plan(described, profiles, gpus=list_profiles("gpus"), on_tier=on_tier)


def _contexts(
    progress: Progress, *, setups: dict[str, Plain], path: str, values: list[Any]
) -> Plain:
    """Run each named design at each value of one key; rows as a sweep's table has them."""
    from kvsim.simulate import simulate

    rows: list[Plain] = []
    total = len(setups) * len(values)
    for setup, scenario in setups.items():
        base = Scenario.from_dict(scenario)
        for value in values:
            progress(f"{len(rows) + 1} of {total} runs")
            changed = base.replace({path: value})
            summary = simulate(changed).summary_dict()
            rows.append({"setup": setup, path: value, "seed": changed.seed, **summary})
    return {"rows": rows}


def _largest_load(progress: Progress, *, scenario: Plain, path: str) -> Plain:
    from kvsim.plan.search_load import largest_load

    def on_progress(done: int) -> None:
        progress(f"{done} loads tried")

    answer = largest_load(Scenario.from_dict(scenario), path=path, on_progress=on_progress)
    return answer.to_dict()


def _sensitivity(progress: Progress, *, scenario: Plain, metric: str) -> Plain:
    from kvsim.plan.sensitivity import sensitivities

    described = Scenario.from_dict(scenario)
    rows = sensitivities(described, metric=metric, on_progress=_counting(progress))
    plain = json.loads(rows.to_json(orient="records"))
    return {"scenario": described.name, "metric": metric, "rows": plain}


def _reuse(progress: Progress, *, scenario: Plain) -> Plain:
    """Follow every chunk of a run's prompts, as those of a trace."""
    from kvsim.plan.trial import try_out
    from kvsim.report.trace_page import trace_page, trace_story
    from kvsim.workload.trace_stats import measure_reuse
    from kvsim.workload.trace_summary import summarise_trace
    from kvsim.workload.traces.from_run import trace_of_run

    described = Scenario.from_dict(scenario)
    progress("simulating")
    asked = try_out(described).requests
    progress("following the chunks")
    trace = trace_of_run(asked, described.offload.chunk_tokens, name=described.name)
    reuse = measure_reuse(trace)
    summary, kv_bytes = summarise_trace(trace, reuse), described.model.kv_bytes_per_token
    story = trace_story(trace, reuse, summary, kv_bytes_per_token=kv_bytes)
    return {
        "words": [*story.words, *story.age_words],
        "figures": [figure.to_json() for figure in (*story.figures, *story.age_figures)],
        "html": trace_page(trace, reuse, summary, kv_bytes_per_token=kv_bytes).text(),
    }


def _uncertainty(progress: Progress, *, scenario: Plain) -> Plain:
    from kvsim.sweep.prediction import predict

    found = predict(Scenario.from_dict(scenario), on_run=_counting(progress))
    return {**found.to_dict(), "kept": sum(found.kept), "judged": len(found.kept)}


def _grid(progress: Progress, *, scenario: Plain, grid: dict[str, list[Any]]) -> Plain:
    """Run a design at every combination; rows as a sweep's table has them."""
    from kvsim.sweep.api import run_all
    from kvsim.sweep.design import expand

    described = Scenario.from_dict(scenario)
    points = expand(described, grid=grid, seeds=[described.seed])
    return {"rows": run_all(points, on_run=_counting(progress))}


def _counting(progress: Progress) -> Callable[[int, int], None]:
    return lambda done, total: progress(f"{done} of {total} runs")


def _cheapest(
    progress: Progress, *, scenario: Plain, space: Plain, prices: str, given: Plain
) -> Plain:
    from kvsim.plan.search_design import cheapest_design
    from kvsim.plan.search_words import search_words
    from kvsim.spec.cost import load_prices

    def on_progress(done: int, total: int) -> None:
        progress(f"{done} of {total} designs tried")

    answer = cheapest_design(
        Scenario.from_dict(scenario),
        space,
        prices=load_prices(prices),
        trials=MOST_DESIGNS,
        given=given,
        on_progress=on_progress,
    )
    found = answer.best_scenario
    return {
        "words": search_words(answer),
        "table": json.loads(answer.table.to_json(orient="records")),
        "best": None if found is None else found.to_dict(),
    }


def _calibrate(progress: Progress, *, runs: list[str], scenario: Plain, name: str) -> Plain:
    from kvsim.calibration.fit.calibrate import Basis, calibrate
    from kvsim.calibration.profile_out import calibration_text
    from kvsim.report.calibration import calibration_page, residual_figures

    bench = Scenario.from_dict(scenario)
    remote = bench.offload.remote
    stores = (remote.profile,) if remote is not None else ()
    progress(f"fitting {counted(len(runs), 'run')}")
    basis = Basis(bench.model, bench.gpu, bench.host, bench.engine, stores)
    found = calibrate([Path(run) for run in runs], basis, name=name)
    return {
        "spec": found.spec.model_dump(mode="json"),
        "yaml": calibration_text(found.spec),
        "html": calibration_page(found).text(),
        "notes": list(dict.fromkeys(found.findings.notes)),
        "figures": [figure.to_json() for figure in residual_figures(found.findings)],
    }


def _compare(progress: Progress, *, run: str, scenario: Plain) -> Plain:
    from kvsim.calibration.comparison import compare_in_full
    from kvsim.report.comparison import comparison_figures, comparison_page

    progress("simulating the recorded run")
    found = compare_in_full(Path(run), Scenario.from_dict(scenario))
    return {
        "name": found.name,
        "metrics": found.metrics,
        "figures": [figure.to_json() for figure in comparison_figures(found)],
        "html": comparison_page(found).text(),
    }


JOBS: dict[str, Callable[..., Plain]] = {
    "simulate": _simulate,
    "size": _size,
    "breakeven": _breakeven,
    "contexts": _contexts,
    "largest_load": _largest_load,
    "sensitivity": _sensitivity,
    "reuse": _reuse,
    "uncertainty": _uncertainty,
    "grid": _grid,
    "cheapest": _cheapest,
    "calibrate": _calibrate,
    "compare": _compare,
}


def main() -> int:
    """Do the job that stdin describes."""
    _limit_memory()
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()

    def say(**line: Any) -> None:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    try:
        outcome = run_job(json.loads(sys.stdin.read()), lambda words: say(progress=words))
    except KvsimError as error:
        say(error=" ".join(str(error).split()))
    except MemoryError:
        say(error="needs more memory than a job may take; shorten the workload")
    except Exception as error:  # whatever it is, the page has to say that the job failed
        say(error=f"failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
    else:
        say(outcome=outcome)
    return 0


def _end_with(server: int) -> None:
    """End as soon as the server has: nobody could stop the job any more."""
    while os.getppid() == server:
        time.sleep(1)
    os._exit(1)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # no such limits on Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MAX_MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(hard, MAX_MEMORY_BYTES)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))


if __name__ == "__main__":
    sys.exit(main())
