"""The published StorageGRID figures beside a simulated sweep of the same four set-ups.

The posts give the largest gain over their sweep and not where it lies, so each simulated gain is
the largest over the contexts too, a seed at a time; median and spread are over the seeds.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from statistics import median
from typing import Final

import pandas as pd

from kvsim.report.style import setup_name
from kvsim.text import short, signed

CONTEXT: Final = "workload.user_history_prompt"
METRIC_NAMES: Final = {
    "finished_per_s": "processing speed",
    "ttft_s_mean": "mean TTFT",
    "decode_tokens_per_s_mean": "decode throughput",
}
SHORT_METRICS: Final = {
    "finished_per_s": "speed",
    "ttft_s_mean": "TTFT",
    "decode_tokens_per_s_mean": "decode",
}
LOWER_IS_BETTER: Final = frozenset({"ttft_s_mean"})


@dataclass(frozen=True)
class PublishedFigure:
    """One published gain and the band around it that counts as consistent."""

    setup: str
    baseline: str
    metric: str
    published: float
    """The gain as a fraction: 0.76 is +76 %."""
    low: float
    high: float
    address: str

    @property
    def name(self) -> str:
        """The figure in words."""
        pair = f"{setup_name(self.setup)} against {setup_name(self.baseline)}"
        return f"{pair}: {METRIC_NAMES[self.metric]}"

    @property
    def short_name(self) -> str:
        """The figure in a few letters: s3/cpu speed."""
        return f"{self.setup}/{self.baseline} {SHORT_METRICS[self.metric]}"

    @property
    def band_words(self) -> str:
        """The band: "+61 to +91 %", or "-98 % or less" where it is open at -100 %."""
        if self.low <= -1:
            return f"{signed(self.high)} % or less"
        return f"{signed(self.low)} to {signed(self.high)} %"


@dataclass(frozen=True)
class SimulatedFigure:
    """The simulated counterpart of a published gain."""

    figure: PublishedFigure
    median: float
    lowest: float
    highest: float
    contexts: tuple[int, ...]
    """Where the largest gain lies, a seed each."""

    @property
    def consistent(self) -> bool:
        """Whether the median lies in the band."""
        return self.figure.low <= self.median <= self.figure.high

    @property
    def context_words(self) -> str:
        """The contexts with the seeds that have their largest gain there."""
        counted = Counter(self.contexts).most_common()
        if len(counted) == 1:
            return short(counted[0][0])
        return ", ".join(f"{short(context)} ({seeds}x)" for context, seeds in counted)


def published_figures() -> list[PublishedFigure]:
    """Read the eight published gains with their addresses."""
    text = files("kvsim.report").joinpath("storagegrid_published.csv").read_text(encoding="utf-8")
    return [
        PublishedFigure(
            row["setup"],
            row["baseline"],
            row["metric"],
            float(row["published"]),
            float(row["low"]),
            float(row["high"]),
            row["address"],
        )
        for row in csv.DictReader(text.splitlines())
    ]


def is_storagegrid(frame: pd.DataFrame) -> bool:
    """Tell whether a sweep has the set-ups and the context lengths of the experiment."""
    return CONTEXT in frame.columns and {"gpu", "cpu", "s3", "pnfs"} <= set(frame["setup"])


def gains(frame: pd.DataFrame, *, setup: str, baseline: str, metric: str) -> pd.DataFrame:
    """Relate a set-up to a baseline: change of a metric, a row a context and a column a seed."""
    table = frame.pivot_table(index=CONTEXT, columns=["setup", "seed"], values=metric)
    change: pd.DataFrame = table.loc[:, setup] / table.loc[:, baseline] - 1  # type: ignore[assignment]
    return change


def simulate_figure(frame: pd.DataFrame, figure: PublishedFigure) -> SimulatedFigure:
    """Find the largest gain of each seed."""
    change = gains(
        frame, setup=figure.setup, baseline=figure.baseline, metric=figure.metric
    ).dropna(axis="columns", how="all")
    lower = figure.metric in LOWER_IS_BETTER
    best = change.min() if lower else change.max()
    where = change.idxmin() if lower else change.idxmax()
    values = [float(value) for value in best]
    return SimulatedFigure(
        figure,
        median(values),
        min(values),
        max(values),
        tuple(int(context) for context in where),
    )


def compare_figures(
    frame: pd.DataFrame, figures: Sequence[PublishedFigure] | None = None
) -> list[SimulatedFigure]:
    """Put every published gain beside its simulated counterpart."""
    return [simulate_figure(frame, figure) for figure in figures or published_figures()]
