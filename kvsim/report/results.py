"""Find out what a folder or file holds and lay out its page."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from kvsim.errors import ConfigError
from kvsim.metrics.folder import MANIFEST, UNTIMED
from kvsim.metrics.result import RunResult
from kvsim.plan.untimed_run import UntimedRun
from kvsim.report.html import Page
from kvsim.report.plan_page import breakeven_page, size_page
from kvsim.report.run_page import run_page, runs_page
from kvsim.report.search_page import search_page
from kvsim.report.sensitivity_page import sensitivity_page
from kvsim.report.sweep_page import sweep_page
from kvsim.report.untimed_page import untimed_page
from kvsim.sweep.place import Place, place_of
from kvsim.sweep.table import TABLE, read_description, read_table

SEARCH: Final = "trials.parquet"
SEARCH_ANSWER: Final = "search.json"
KNOWN: Final = (
    f"a run (kvsim run --out), a sweep ({TABLE}), a search ({SEARCH}), or what size, breakeven or "
    "sensitivity print with --json"
)


def results_page(places: Sequence[Path]) -> Page:
    """Lay out one result, or several runs side by side."""
    if len(places) == 1:
        return result_page(places[0])
    for place in places:
        if not (place / MANIFEST).is_file():
            raise ConfigError(f"{place}: is no saved run; only runs can stand side by side")
    names = run_names(places)
    return runs_page(
        {name: RunResult.load(place) for name, place in zip(names, places, strict=True)}
    )


def run_names(places: Sequence[Path]) -> list[str]:
    """Name runs by their folders, with as much of the path as tells them apart."""
    resolved = [place.resolve() for place in places]
    for depth in range(1, max(len(path.parts) for path in resolved) + 1):
        names = ["/".join(path.parts[-depth:]) for path in resolved]
        if len(set(names)) == len(names):
            return names
    raise ConfigError(f"{places[0]}: the same run is given twice; name different folders")


def result_page(place: Path) -> Page:
    """Lay out the result in a folder or file."""
    if not place.exists():
        raise ConfigError(f"{place}: does not exist; name {KNOWN}")
    if place.is_file():
        return _file_page(place)
    if (place / UNTIMED).is_file():
        return untimed_page(UntimedRun.load(place))
    if (place / MANIFEST).is_file():
        return run_page(RunResult.load(place))
    if (place / TABLE).is_file():
        return sweep_result(place_of(place))
    if (place / SEARCH).is_file():
        answer = place / SEARCH_ANSWER
        described = _json(answer) if answer.is_file() else {}
        name = str(described.get("name", place.resolve().name))
        return search_page(_parquet(place / SEARCH), name, described)
    raise ConfigError(f"{place}: no result in it; name {KNOWN}")


def sweep_result(place: Place) -> Page:
    """Lay out a sweep in a folder of this machine or at an address."""
    described = read_description(place)
    return sweep_page(read_table(place), str(described["name"]), described)


def _file_page(path: Path) -> Page:
    if path.suffix == ".parquet":
        table = _parquet(path)
        if "feasible" in table:
            return search_page(table, path.stem)
        if "seed" in table and "setup" in table:
            return sweep_page(table, path.stem)
        raise ConfigError(f"{path}: is no table of a sweep or search; name {KNOWN}")
    data = _json(path)
    try:
        if "curve" in data and "demands" in data:
            return size_page(data)
        if "question_tokens" in data:
            return breakeven_page(data)
        if "rows" in data and "metric" in data:
            return sensitivity_page(data)
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{path}: is damaged or of another version ({error!r})") from None
    raise ConfigError(f"{path}: no known result in it; name {KNOWN}")


def _parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as a table ({error})") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON ({error}); name {KNOWN}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: no known result in it; name {KNOWN}")
    return data
