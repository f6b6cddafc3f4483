"""Reductions of a sweep's table that charts and words share."""

import pandas as pd


def median_over_seeds(frame: pd.DataFrame, x: str) -> pd.DataFrame:
    """Reduce the seeds of each set-up and x to their median; stable only where most seeds are."""
    numeric = frame.select_dtypes("number").columns.difference([x, "seed"])
    groups = frame.groupby(["setup", x], sort=False)
    medians = groups[list(numeric)].median()
    stable = groups["stable"].mean() > 0.5
    return medians.assign(stable=stable).reset_index()


def by_context(values: pd.Series) -> list[tuple[int, float]]:
    """List a column by context, shortest first."""
    ordered = values.sort_index()
    return list(zip(ordered.index.astype(int).tolist(), ordered.tolist(), strict=True))
