"""Which runs a sweep holds: setups x grid x zip x points x sample x seeds over one base scenario.

Nothing here runs anything; a point that is no valid scenario is an error before the first run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from kvsim.errors import ConfigError
from kvsim.spec.base import Spec
from kvsim.spec.load import scenario_beside
from kvsim.spec.problems import problem_line
from kvsim.spec.scenario import Scenario
from kvsim.spec.yamlfile import read_mapping
from kvsim.sweep.sample import SampleSpec, draw

BASE_SETUP = "base"
"""The label of the only setup where a sweep names none."""


class SweepSpec(Spec):
    """A sweep file."""

    name: str
    """What the sweep is called; its results go to results/NAME unless said otherwise."""
    scenario: str | dict[str, Any]
    """The base scenario: a file beside the sweep file, or a mapping."""
    changes: dict[str, Any] = Field(default_factory=dict)
    """Changes to the base that hold for every run."""
    setups: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Named sets of changes to compare, e.g. gpu, cpu, s3."""
    grid: dict[str, list[Any]] = Field(default_factory=dict)
    """Values by dotted path; every combination is run."""
    zip: dict[str, list[Any]] = Field(default_factory=dict)
    """Values by dotted path that advance together, e.g. gpu and host."""
    points: list[dict[str, Any]] = Field(default_factory=list)
    """Points one by one, each a mapping of the same dotted paths to values."""
    sample: SampleSpec | None = None
    """Points drawn from ranges; none: nothing is drawn."""
    seeds: list[int] = Field(default=[0], min_length=1)
    """The seeds of each run, or how many (0, 1, ...)."""

    @field_validator("seeds", mode="before")
    @classmethod
    def _count(cls, seeds: object) -> object:
        if isinstance(seeds, int) and not isinstance(seeds, bool):
            if seeds < 1:
                raise ValueError("a sweep needs at least one seed")
            return list(range(seeds))
        return seeds

    @model_validator(mode="after")
    def _shape(self) -> Self:
        for path, values in {**self.grid, **self.zip}.items():
            if not values:
                raise ValueError(f"{path} has no values, so the sweep is empty; list at least one")
        if len({len(values) for values in self.zip.values()}) > 1:
            raise ValueError("the lists under zip must be equally long, for they advance together")
        for number, point in enumerate(self.points, start=1):
            other = sorted(point.keys() ^ self.points[0].keys())
            if other:
                raise ValueError(
                    f"{other[0]} is in some points only (see number {number}); give every point "
                    "the same paths"
                )
        homes: dict[str, str] = {}
        for home, paths in self._paths_by_part.items():
            for path in sorted(paths):
                if path in homes:
                    raise ValueError(f"{path} is in {homes[path]} and in {home}; keep one")
                homes[path] = home
        return self

    @property
    def _paths_by_part(self) -> dict[str, set[str]]:
        return {
            "grid": set(self.grid),
            "zip": set(self.zip),
            "points": set(self.points[0]) if self.points else set(),
            "sample": set(self.sample.ranges) if self.sample else set(),
        }

    @property
    def paths(self) -> set[str]:
        """Everything that takes several values."""
        return set().union(*self._paths_by_part.values())

    def rows(self) -> list[dict[str, Any]]:
        """List what advances together: every row of zip with every point and every sample."""
        zipped = zip(*self.zip.values(), strict=True)
        parts: list[list[dict[str, Any]]] = [
            [dict(zip(self.zip, row, strict=True)) for row in zipped],
            self.points,
            draw(self.sample) if self.sample else [],
        ]
        combined = product(*(part or [{}] for part in parts))
        return [{**row, **point, **drawn} for row, point, drawn in combined]


@dataclass(frozen=True)
class Point:
    """One row of the sweep's table before it has run."""

    setup: str
    values: Mapping[str, Any]
    seed: int
    key: str
    scenario: Mapping[str, Any]

    @property
    def label(self) -> dict[str, Any]:
        """The columns that name this row."""
        return {"setup": self.setup, **self.values, "seed": self.seed}

    @property
    def title(self) -> str:
        """The row named in words, for messages."""
        return ", ".join(f"{name.rpartition('.')[2]} {value}" for name, value in self.label.items())


def load_sweep(path: Path) -> SweepSpec:
    """Read a sweep file."""
    try:
        return SweepSpec.model_validate(read_mapping(path))
    except ValidationError as error:
        raise ConfigError(problem_line(error, SweepSpec, str(path))) from None


def base_scenario(spec: SweepSpec, path: Path, *, profiles: Path | None = None) -> Scenario:
    """Load the scenario that a sweep file builds on, with the changes that hold for all runs."""
    return scenario_beside(spec.scenario, path, changes=spec.changes, profiles=profiles)


def expand(
    base: Scenario,
    *,
    setups: Mapping[str, Mapping[str, Any]] | None = None,
    grid: Mapping[str, Sequence[Any]] | None = None,
    rows: Sequence[Mapping[str, Any]] = ({},),
    seeds: Sequence[int] = (0,),
    profiles: Path | None = None,
) -> list[Point]:
    """List the runs, setups outermost and seeds innermost, each as a whole scenario.

    Every combination of the grid is run with every one of the rows (`SweepSpec.rows`).
    """
    setups, grid = setups or {BASE_SETUP: {}}, grid or {}
    points = []
    for setup, changes in setups.items():
        for combination, row in product(product(*grid.values()), rows):
            values = {**row, **dict(zip(grid, combination, strict=True))}
            at = ", ".join([f"setup {setup}", *(f"{k}={v}" for k, v in values.items())])
            try:
                first = base.replace({**changes, **values}, profiles=profiles)
                scenarios = [first.replace({"seed": seed}) for seed in seeds]
            except ConfigError as error:
                raise ConfigError(f"sweep point ({at}): {error}") from error
            points += [
                Point(setup, values, seed, scenario.hash(), scenario.to_dict())
                for seed, scenario in zip(seeds, scenarios, strict=True)
            ]
    if not points:
        raise ConfigError("the sweep holds no run; give at least one seed and one value a path")
    return points
