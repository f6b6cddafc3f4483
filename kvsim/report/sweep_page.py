"""The report of any sweep: its metrics over the first swept number, in words, charts and tables."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from kvsim.errors import ConfigError
from kvsim.report.charts import sweeps, tokens
from kvsim.report.charts.metrics import path_title, path_value_text
from kvsim.report.confidence_section import sweep_confidence
from kvsim.report.html import Cell, Page
from kvsim.report.provenance import scenario_text, sources_table
from kvsim.report.style import setup_name
from kvsim.report.sweep_table import median_over_seeds
from kvsim.spec.scenario import Scenario
from kvsim.text import change_text, requests_per_s, value_text

_SHOWN: Final = (
    "finished_per_s",
    "goodput_per_s",
    "slo_attainment",
    "ttft_s_mean",
    "ttft_s_p95",
    "decode_tokens_per_s_mean",
    "token_hit_rate",
    "stable",
)
_HEAT: Final = ("finished_per_s", "ttft_s_mean")
_LOADS: Final = ("qps", "rate", "num_users", "rate_scale", "user_scale")
_MOST_PANELS: Final = 6


def sweep_page(frame: pd.DataFrame, name: str, described: Mapping[str, Any] | None = None) -> Page:
    """Draw what changes over the first swept number; other swept paths become set-ups.

    `described` is what the sweep left beside its table; with it the page has the base scenario and
    the sources of its numbers.
    """
    labels = list(frame.columns[: list(frame.columns).index("seed")])
    paths = [label for label in labels if label != "setup"]
    numeric = [path for path in paths if pd.api.types.is_numeric_dtype(frame[path])]
    if not numeric:
        raise ConfigError(f"{name}: no swept number to draw over; sweep.csv holds the table")
    x = numeric[0]
    drawn = frame.assign(setup=_setups(frame, [label for label in labels if label != x]))
    page = Page(f"Sweep {name}")
    for place, sentence in enumerate(sweep_words(drawn, x)):
        page.paragraph(sentence, "" if place else "lead")
    page.charts(*(sweeps.metric_by_context(drawn, metric, x=x) for metric in sweeps.MAIN))
    page.charts(sweeps.live_sessions(drawn, x=x))
    load = next((path for path in numeric if path.rpartition(".")[2] in _LOADS), None)
    if load is not None:
        rest = _setups(frame, [label for label in labels if label != load])
        page.charts(sweeps.goodput_against_load(frame.assign(setup=rest), load=load))
    if drawn["setup"].nunique() <= _MOST_PANELS:
        page.charts(tokens.token_sources(drawn, x=x, x_title=path_title(x)))
    if len(numeric) > 1:
        both = f"{path_title(x)} and {path_title(numeric[1])} together"
        page.heading(both[0].upper() + both[1:])
        several = frame["setup"].nunique() > 1
        for setup, rows in frame.groupby("setup", sort=False):
            name = setup_name(str(setup)) if several else ""
            maps = (
                sweeps.heatmap(rows, x=numeric[1], y=x, value=value, name=name) for value in _HEAT
            )
            page.charts(*maps)
    base = Scenario.from_dict(described["scenario"]) if described is not None else None
    if base is not None:
        page.heading("Throughput against what a user feels")
        _frontiers(page, drawn, base)
    sweep_confidence(page, frame)
    _all_runs(page, frame, labels)
    if base is not None:
        page.heading("Scenario")
        page.paragraph("The base of all runs; the table above says what each run changes.", "soft")
        scenario_text(page, base)
        page.heading("Where the numbers come from")
        sources_table(page, base)
    return page


def sweep_words(frame: pd.DataFrame, x: str) -> list[str]:
    """Say which set-up is best at the far end, and up to where each keeps up."""
    medians = median_over_seeds(frame, x)
    name, far = path_title(x), medians[x].max()
    last = medians[medians[x] == far].sort_values("finished_per_s", ascending=False)
    best, worst = last.iloc[0], last.iloc[-1]
    first = (
        f"At {path_value_text(x, far)} ({name}) {setup_name(best['setup'])} finishes most: "
        f"{requests_per_s(best['finished_per_s'])}"
    )
    if len(last) > 1 and worst["finished_per_s"] > 0:
        gain = change_text(best["finished_per_s"] / worst["finished_per_s"] - 1)
        first += f", {gain} against {setup_name(worst['setup'])}"
    said = [first + "."]
    if medians["stable"].all():
        return [*said, "Every set-up keeps up at every value."]
    upto = {str(setup): rows for setup, rows in medians.groupby("setup", sort=False)}
    if len(upto) > _MOST_PANELS:
        fine = sum(bool(rows["stable"].all()) for rows in upto.values())
        return [*said, f"{fine} of {len(upto)} set-ups keep up at every value of {name}."]
    for setup, rows in upto.items():
        falls = rows[~rows["stable"]][x]
        at = path_value_text(x, falls.min())
        if falls.empty:
            said.append(f"{setup_name(setup)} keeps up at every value.")
        elif rows[rows[x] >= falls.min()]["stable"].any():
            said.append(f"{setup_name(setup)} first falls behind at {at} ({name}).")
        else:
            said.append(f"{setup_name(setup)} falls behind from {at} on ({name}).")
    return said


def _setups(frame: pd.DataFrame, labels: Sequence[str]) -> "pd.Series[str]":
    """Name what else is swept: the set-up alone, or with the values of the other paths."""
    if list(labels) == ["setup"]:
        return frame["setup"].astype(str)
    shown = [label for label in labels if label != "setup" or frame["setup"].nunique() > 1]
    texts = [
        [
            setup_name(str(value))
            if label == "setup"
            else f"{path_title(label)} {path_value_text(label, value)}"
            for value in frame[label]
        ]
        for label in shown
    ]
    joined = [", ".join(parts) for parts in zip(*texts, strict=True)]
    return pd.Series(joined, index=frame.index, dtype=object)


def _frontiers(page: Page, frame: pd.DataFrame, base: Scenario) -> None:
    """Draw output a GPU against speed and wait of a user, where all runs have the same GPUs."""
    swept = {"instances", "engine.tensor_parallel_size"} & set(frame.columns)
    if swept:
        page.paragraph("The number of GPUs is swept, so output is not given a GPU.", "soft")
        return
    gpus = base.instances * base.engine.tensor_parallel_size
    named = frame.assign(
        tokens_per_s_per_gpu=frame["output_tokens_per_s"] / gpus,
        tokens_per_s_per_user=frame["decode_tokens_per_s_mean"],
        feasible=frame["stable"],
        excluded_reason="does not keep up",
    )
    page.charts(
        *(
            sweeps.pareto(named, x=x, y="tokens_per_s_per_gpu", name="setup")
            for x in ("tokens_per_s_per_user", "ttft_s_p99")
        )
    )


def _all_runs(page: Page, frame: pd.DataFrame, labels: Sequence[str]) -> None:
    shown = [column for column in _SHOWN if column in frame]
    page.heading("All runs")
    page.table(
        [*labels, "seed", *(Cell(column, "num") for column in shown)],
        [
            [*(str(row[label]) for label in [*labels, "seed"]), *(_number(row[c]) for c in shown)]
            for row in frame.to_dict("records")
        ],
    )


def _number(value: object) -> Cell:
    return Cell(value_text(value) if isinstance(value, float) else str(value), "num")
