"""`kvsim replay`: do scheduler and caches decide as the recorded engine did."""

from pathlib import Path
from typing import Annotated

import typer

from kvsim.cli.inputs import ScenarioOption, SetOption, recorded_run

REQUIRED_SHARE = 0.999


def replay(
    run_dir: Annotated[Path, typer.Argument(help="The folder of a recorded run.")],
    scenario: ScenarioOption = None,
    changes: SetOption = None,
) -> int:
    """Replay a recorded run's arrivals and step ends; exit 1 where under 99.9 % of steps agree.

    Example: kvsim replay experiments/validation/runs/cpu60GB_s3_cold__qa10k
    """
    described = recorded_run(run_dir, scenario, changes)

    from kvsim.calibration.replay import replay_run

    found = replay_run(run_dir, described)
    good = found.share >= REQUIRED_SHARE
    typer.echo(
        f"{run_dir.resolve().name}: {found.share:.4%} of {found.steps:,} steps have the same batch "
        f"({'at least' if good else 'below'} {REQUIRED_SHARE:.1%})"
    )
    return 0 if good else 1
