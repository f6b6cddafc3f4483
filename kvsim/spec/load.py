"""Read scenarios from files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvsim.spec.changes import apply_changes
from kvsim.spec.profiles import Roots, list_profiles, load_profile
from kvsim.spec.scenario import Scenario
from kvsim.spec.yamlfile import read_mapping

__all__ = ["list_profiles", "load_profile", "load_scenario", "scenario_beside"]


def load_scenario(
    path: str | Path,
    *,
    changes: Mapping[str, Any] | None = None,
    profiles: Path | None = None,
) -> Scenario:
    """Read a scenario file, make the changes (dotted paths) and validate the result.

    Changes are made before validation, so they may supply what the file lacks. Relative paths
    inside the file are looked up beside it, then where we run.
    """
    file = Path(path)
    data = read_mapping(file)
    if changes:
        data = apply_changes(data, changes, Roots(profiles, file.parent))
    return Scenario.from_dict(data, profiles=profiles, base=file.parent, where=str(file))


def scenario_beside(
    scenario: str | Mapping[str, Any],
    file: Path,
    *,
    changes: Mapping[str, Any] | None = None,
    profiles: Path | None = None,
) -> Scenario:
    """Read the scenario that another file holds: a file beside it, or the mapping itself."""
    if isinstance(scenario, str):
        return load_scenario(file.parent / scenario, changes=changes, profiles=profiles)
    inline = Scenario.from_dict(
        scenario, profiles=profiles, base=file.parent, where=f"{file}: scenario"
    )
    return inline.replace(changes or {}, profiles=profiles)
