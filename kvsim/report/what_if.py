"""What the shared tier repairs, beside what else would repair it."""

from collections.abc import Iterator

import pandas as pd

from kvsim.report.storagegrid import CONTEXT
from kvsim.report.sweep_table import median_over_seeds
from kvsim.text import percent, short, value_text

NAMES = {
    "cpu": "GPU + CPU",
    "cpu-unlimited": "CPU memory without limit",
    "cpu-sticky": "sessions stay on one instance",
    "cpu-no-ramp-up": "no half-way sessions at the start",
    "s3": "GPU + CPU + S3",
    "s3-sticky": "S3, sessions stay on one instance",
    "s3-no-ramp-up": "S3, no half-way sessions at the start",
}


def repaired_share(cpu: float, changed: float, healthy: float) -> float | None:
    """Tell how much of the loss of GPU + CPU a change repairs; None where it is under 5 %."""
    loss = healthy - cpu
    return (changed - cpu) / loss if loss > 0.05 * healthy else None


def what_if_rows(frame: pd.DataFrame, *, healthy_per_s: float) -> Iterator[tuple[str, ...]]:
    """Lay out context, change, speed, TTFT, tokens computed again and repaired share of the loss.

    `healthy_per_s` is the processing speed of a service that keeps up.
    """
    medians = median_over_seeds(frame, CONTEXT)
    for context in sorted(frame[CONTEXT].unique()):
        rows = medians[medians[CONTEXT] == context].to_dict("records")
        cpu = next(row["finished_per_s"] for row in rows if row["setup"] == "cpu")
        for row in rows:
            again = row["recomputed_elsewhere_tokens"] + row["recomputed_evicted_tokens"]
            share = repaired_share(cpu, row["finished_per_s"], healthy_per_s)
            yield (
                short(context),
                NAMES.get(row["setup"], row["setup"]),
                value_text(row["finished_per_s"]),
                value_text(row["ttft_s_mean"]),
                percent(again / row["prompt_tokens"]),
                "" if share is None or row["setup"] == "cpu" else f"{share:.0%}",
            )
