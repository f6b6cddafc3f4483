"""What several commands read from the command line and from disk."""

import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvsim.errors import ConfigError
from kvsim.metrics.folder import check_place

if TYPE_CHECKING:
    from kvsim.spec.scenario import Scenario

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change one key, e.g. workload.qps=3."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value and nothing else.")]
ProfilesOption = Annotated[
    Path | None,
    typer.Option("--profiles", metavar="DIR", help="A folder of profiles that goes first."),
]
HtmlOption = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write a page with the charts, too.")
]
ScenarioOption = Annotated[
    Path | None,
    typer.Option("--scenario", metavar="FILE", help="Scenario of the recorded run (else by name)."),
]
VALIDATION = Path("experiments") / "validation"


def parse_changes(pairs: Sequence[str] | None) -> dict[str, Any]:
    """Read `path=value` words; a value is YAML, so null, 3, 80GiB and {a: 1} mean what they say."""
    from kvsim.spec.changes import parse_assignment

    try:
        return dict(parse_assignment(pair) for pair in pairs or ())
    except ConfigError as error:
        raise ConfigError(f"--set {error}") from error


def read_scenario(
    path: Path,
    pairs: Sequence[str] | None,
    *,
    seed: int | None = None,
    profiles: Path | None = None,
) -> "Scenario":
    """Load a scenario file with the changes of the command line."""
    from kvsim.spec.load import load_scenario

    changes = parse_changes(pairs)
    if seed is not None:
        changes["seed"] = seed
    return load_scenario(path, changes=changes, profiles=profiles)


def writable_folder(folder: Path) -> Path:
    """Make the folder and prove that files can be written there, before any work is done."""
    _check_writable(folder, named=folder)
    return folder


def run_folder(folder: Path) -> Path:
    """Insist that a run can be saved as this folder: it is new, empty or an earlier run."""
    check_place(folder)
    _check_writable(folder.resolve().parent, named=folder)
    return folder


def _check_writable(folder: Path, *, named: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"--out {named}: cannot write there ({reason}); name a folder you may write to"
        ) from error


def check_html(path: Path | None, *, option: str = "--html") -> None:
    """Prove that the page can be written, before any work is done."""
    if path is None:
        return
    if path.is_dir():
        raise ConfigError(f"{option} {path}: is a folder; name a file, e.g. {path / 'page.html'}")
    if not path.resolve().parent.is_dir():
        raise ConfigError(f"{option} {path}: its folder does not exist; make it or name another")


def existing_folder(folder: Path, what: str) -> Path:
    """Insist that a folder to read is there."""
    if not folder.is_dir():
        state = "is not a folder" if folder.exists() else "does not exist"
        raise ConfigError(f"{folder}: {what} {state}; name the folder of one")
    return folder


def shipped_folder(name: str, option: str) -> Path:
    """Find measured data that ships with the source: here, else in the checkout of this code."""
    checkout = Path(__file__).resolve().parents[2]
    for root in (Path(), checkout):
        if (root / VALIDATION / name).is_dir():
            return root / VALIDATION / name
    raise ConfigError(
        f"no {VALIDATION / name} here: measured data ship with the source, not with the "
        f"installed package; name their folder with {option} DIR"
    )


def recorded_run(run_dir: Path, scenario: Path | None, pairs: Sequence[str] | None) -> "Scenario":
    """Load the scenario of a recorded run: the given file, else the one named like its folder."""
    existing_folder(run_dir, "the recorded run")
    if scenario is None:
        name = f"{run_dir.resolve().name}.yaml"
        checkout = Path(__file__).resolve().parents[2]
        homes = [root / VALIDATION / name for root in (Path(), checkout)]
        scenario = next((path for path in homes if path.is_file()), None)
        if scenario is None:
            raise ConfigError(f"{run_dir}: no {VALIDATION / name}; name one with --scenario FILE")
    return read_scenario(scenario, pairs)


def print_json(value: object) -> None:
    """Print one JSON value on stdout."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False))


def print_remarks(remarks: Iterable[str]) -> None:
    """Tell a person on stderr what was repaired or left out of the workload."""
    for remark in remarks:
        typer.echo(f"kvsim: {remark}", err=True)
