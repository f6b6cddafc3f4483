"""The part of a page that says how far its numbers rest on measurements."""

from collections import Counter

import pandas as pd

from kvsim.calibration.confidence import Confidence, confidence_line
from kvsim.report.html import Cell, Page

_LOOKS = {"calibrated": "good", "partly": "open", "extrapolated": "bad"}
_WORDS = {
    "calibrated": "inside what was measured",
    "partly": "partly outside (less than 20 % of the time or the transfers)",
    "extrapolated": "outside what was measured",
}
TITLE = "How far to trust it"


def run_confidence(page: Page, trust: Confidence, basis: str) -> None:
    """Add the verdict on one run, and a row for each quantity that left the calibrated range."""
    page.heading(TITLE)
    if not trust.outside:
        page.paragraph(f"{confidence_line(trust, basis).capitalize()}.")
        return
    page.paragraph(
        f"{trust.verdict.capitalize()}. Outside what {basis} was measured on: "
        f"{', '.join(item.quantity for item in trust.outside)}."
    )
    page.table(
        ["quantity", Cell("here", "num"), Cell("measured", "num"), Cell("share of the run", "num")],
        [
            [
                item.quantity,
                Cell(item.value, "num"),
                Cell(item.measured, "num"),
                Cell(f"{item.share:.0%}", "num"),
            ]
            for item in trust.outside
        ],
        caption="Share of the steps' time, of the requests or of the transfers.",
    )


def sweep_confidence(page: Page, frame: pd.DataFrame) -> None:
    """Add how many runs of a sweep's table are sure, and in how many each quantity is outside.

    A table without the column `confidence` was made before there was one, and adds nothing.
    """
    if "confidence" not in frame:
        return
    page.heading(TITLE)
    verdicts = Counter(frame["confidence"].dropna())
    page.table(
        ["runs", Cell("number", "num")],
        [
            [Cell(_WORDS[verdict], _LOOKS[verdict]), Cell(f"{verdicts[verdict]:,}", "num")]
            for verdict in _WORDS
            if verdicts[verdict]
        ],
    )
    outside = Counter(
        name for names in frame["out_of_range"].dropna() for name in names.split("; ") if name
    )
    if outside:
        page.table(
            ["quantity outside the calibrated range", Cell("runs", "num")],
            [[name, Cell(f"{runs:,}", "num")] for name, runs in outside.most_common()],
            caption=f"Of {len(frame):,} runs; the sweep's table names them row by row.",
        )
