"""`kvsim calibrate`: recorded runs in, a calibration file out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvsim.cli.inputs import JsonOption, existing_folder, print_json, recorded_run
from kvsim.errors import ConfigError

if TYPE_CHECKING:
    from kvsim.calibration.fit.calibrate import Basis, Calibration


def calibrate(
    run_dirs: Annotated[list[Path], typer.Argument(help="Folders of recorded runs.")],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", help="The calibration to write, NAME.yaml."),
    ],
    scenario: Annotated[
        list[Path] | None,
        typer.Option(
            "--scenario",
            metavar="FILE",
            help="Scenario that names model, GPU, host and stores (else those of the runs).",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Fit the model to recorded runs; write the coefficients, and a report beside them.

    Example: kvsim calibrate experiments/validation/runs/*/ --out results/my-bench.yaml
    """
    if out.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--out {out}: name a YAML file, e.g. profiles/calibrated/my-bench.yaml")
    basis = _basis(run_dirs, scenario or [])

    from kvsim.calibration.fit.calibrate import calibrate as fit
    from kvsim.calibration.profile_out import write_calibration
    from kvsim.report.calibration import write_calibration_report

    found = fit(run_dirs, basis, name=out.stem)
    write_calibration(found.spec, out)
    report = out.with_suffix(".html")
    write_calibration_report(found, report)
    if as_json:
        print_json(found.spec.model_dump(mode="json"))
    else:
        _print(found)
    typer.echo(f"{out} and {report} written", err=True)
    return 0


def _basis(run_dirs: list[Path], scenarios: list[Path]) -> "Basis":
    """Take the bench from the scenarios; all must name the same model, GPU and host."""
    from kvsim.calibration.fit.calibrate import Basis

    for run_dir in run_dirs:
        existing_folder(run_dir, "the recorded run")
    found = [recorded_run(run_dirs[0], path, None) for path in scenarios]
    if not scenarios:
        for run_dir in run_dirs:
            try:
                found.append(recorded_run(run_dir, None, None))
            except ConfigError:
                continue  # a run without a scenario of its own ran on the same bench
    if not found:
        raise ConfigError(
            f"{run_dirs[0]}: no scenario says what the runs ran on; name one with --scenario FILE"
        )
    first = found[0]
    for other in found[1:]:
        for part in ("model", "gpu", "host"):
            mine, its = getattr(first, part).name, getattr(other, part).name
            if mine != its:
                raise ConfigError(
                    f"{other.name}: {part} {its!r}, but {first.name} has {mine!r}; calibrate runs "
                    "of one bench"
                )
    stores = {
        one.offload.remote.profile.medium: one.offload.remote.profile
        for one in found
        if one.offload.remote is not None
    }
    return Basis(first.model, first.gpu, first.host, first.engine, tuple(stores.values()))


def _print(found: "Calibration") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console

    from kvsim.cli.tables import plain_table
    from kvsim.text import coefficient_text, percent

    table = plain_table(f"{found.spec.name}: coefficients")
    table.box, table.pad_edge, table.padding = SIMPLE_HEAD, False, (0, 0, 0, 1)
    table.add_column("coefficient", no_wrap=True)
    for column in ("value", "± error", "median", "n"):
        table.add_column(column, justify="right", no_wrap=True)
    parts = dict.fromkeys(_part(name) for name in found.spec.coefficients)
    for part in parts:
        table.add_row(f"[bold]{part}[/]")
        for name, one in found.spec.coefficients.items():
            if _part(name) != part:
                continue
            own, error = name.removeprefix(f"{part}."), one.standard_error
            table.add_row(
                f" {own}" if one.identified else f" [dim]{own} *[/]",
                coefficient_text(one.value, one.unit),
                "held" if error is None else coefficient_text(error, one.unit),
                percent(one.residual),
                f"{one.count:,}",
            )
    console = Console()
    console.print(table)
    console.print("median: of the absolute relative errors; -: a mean, which has none", style="dim")
    console.print("* not told apart from another coefficient by these data", style="dim")
    for note in dict.fromkeys(found.findings.notes):
        console.print(f"- {note}", soft_wrap=True, highlight=False)


def _part(name: str) -> str:
    """Give what a coefficient belongs to: gpu, host or a store."""
    root, _, rest = name.partition(".")
    return f"{root}.{rest.partition('.')[0]}" if root == "storage" else root
