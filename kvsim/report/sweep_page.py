"""The report of any sweep: its main metrics over the first numeric grid path."""

import pandas as pd

from kvsim.errors import ConfigError
from kvsim.report.charts import sweeps, tokens
from kvsim.report.html import Cell, Page

_SHOWN = (
    "finished_per_s",
    "ttft_s_mean",
    "ttft_s_p95",
    "decode_tokens_per_s_mean",
    "token_hit_rate",
    "stable",
)


def sweep_page(frame: pd.DataFrame, name: str) -> Page:
    """Draw what changes over the first swept number; other swept paths become set-ups."""
    labels = list(frame.columns[: list(frame.columns).index("seed")])
    paths = [label for label in labels if label != "setup"]
    numeric = [path for path in paths if pd.api.types.is_numeric_dtype(frame[path])]
    if not numeric:
        raise ConfigError(f"{name}: no swept number to draw over; sweep.csv holds the table")
    x = numeric[0]
    others = [label for label in labels if label != x]
    drawn = frame.assign(setup=frame[others].astype(str).agg(", ".join, axis="columns"))
    page = Page(f"Sweep {name}")
    title = x.rpartition(".")[2].replace("_", " ")
    page.charts(
        *(sweeps.metric_by_context(drawn, metric, x=x, x_title=title) for metric in sweeps.MAIN)
    )
    page.charts(sweeps.live_sessions(drawn, x=x, x_title=title))
    if drawn["setup"].nunique() <= 6:
        page.charts(tokens.token_sources(drawn, x=x, x_title=title))
    page.heading("All runs")
    page.table(
        [*labels, "seed", *(Cell(column, "num") for column in _SHOWN)],
        [
            [*(str(row[label]) for label in [*labels, "seed"]), *(_number(row[c]) for c in _SHOWN)]
            for row in frame.to_dict("records")
        ],
    )
    return page


def _number(value: object) -> Cell:
    return Cell(f"{value:,.4g}" if isinstance(value, float) else str(value), "num")
