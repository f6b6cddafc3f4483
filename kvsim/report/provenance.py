"""Where the numbers of a scenario come from: a table of sources, and one of every number."""

from collections.abc import Iterator

from kvsim.report.html import Cell, Page
from kvsim.spec.base import Profile, Source, Spec, numeric_leaves
from kvsim.spec.scenario import Scenario
from kvsim.spec.yamlfile import yaml_text


def profiles_of(scenario: Scenario) -> dict[str, Profile]:
    """Name the profiles that a scenario uses by what they describe."""
    used: dict[str, Profile] = {
        "model": scenario.model,
        "GPU": scenario.gpu,
        "host": scenario.host,
    }
    if scenario.offload.remote is not None:
        used["storage"] = scenario.offload.remote.profile
    return used


def sources_table(page: Page, scenario: Scenario) -> None:
    """Tabulate the sources of each profile, and fold away where each single number is from."""
    page.table(
        ["profile", "name", "numbers", "source", "how", "date"],
        [
            [
                kind,
                profile.name,
                "everything else" if prefix == "*" else prefix,
                *_source_cells(source),
            ]
            for kind, profile in profiles_of(scenario).items()
            for prefix, source in profile.sources.items()
        ],
    )
    with page.folded("Every number with its source"):
        page.table(
            ["profile", "number", Cell("value", "num"), "meaning", "source", "how", "date"],
            list(_numbers(scenario)),
        )


def scenario_text(page: Page, scenario: Scenario) -> None:
    """Fold the whole scenario away as the file that runs it again."""
    with page.folded("The scenario as a file (YAML)"):
        page.verbatim(yaml_text(scenario.to_dict()))


def _numbers(scenario: Scenario) -> Iterator[list[Cell | str]]:
    for kind, profile in profiles_of(scenario).items():
        for path, value in numeric_leaves(profile.model_dump(exclude={"sources"})):
            yield [
                kind,
                path,
                Cell(f"{value:,.6g}", "num"),
                _meaning(profile, path),
                *_source_cells(profile.source_of(path)),
            ]


def _source_cells(source: Source) -> list[Cell | str]:
    error = "" if source.fit_error is None else f" (mean error {source.fit_error:.1%})"
    return [
        source.kind,
        Cell(source.how + error, link=source.address),
        Cell(source.date or "", "date"),
    ]


def _meaning(spec: Spec, path: str) -> str:
    """Return the documentation of a dotted field, which tells its unit."""
    key, _, rest = path.partition(".")
    inner = getattr(spec, key)
    if rest and isinstance(inner, Spec):
        return _meaning(inner, rest)
    field = type(spec).model_fields.get(key)
    return " ".join((field.description or "").split()) if field else ""
