"""What the shared tier repairs, measured by what else would repair it."""

from collections.abc import Iterator

import pandas as pd

from kvsim.report.figures import median_over_seeds
from kvsim.report.storagegrid import CONTEXT
from kvsim.report.text import short

NAMES = {
    "cpu": "GPU + CPU",
    "cpu-unlimited": "CPU memory without limit",
    "cpu-sticky": "sessions stay on one instance",
    "cpu-no-ramp-up": "no half-way sessions at the start",
    "s3": "GPU + CPU + S3",
    "s3-sticky": "S3, sessions stay on one instance",
    "s3-no-ramp-up": "S3, no half-way sessions at the start",
}


def repaired_share(cpu: float, changed: float, s3: float) -> float | None:
    """Tell how much of S3's gain in speed a change brings; None where S3 gains under 5 %."""
    gain = s3 - cpu
    return (changed - cpu) / gain if gain > 0.05 * cpu else None


def what_if_rows(frame: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """Lay out context, change, speed, TTFT, tokens computed again and share of S3's gain."""
    medians = median_over_seeds(frame, CONTEXT).set_index([CONTEXT, "setup"])
    for context in sorted(frame[CONTEXT].unique()):
        speed = medians.loc[context]["finished_per_s"]
        for setup, row in medians.loc[context].iterrows():
            again = row["recomputed_elsewhere_tokens"] + row["recomputed_evicted_tokens"]
            share = repaired_share(speed["cpu"], speed[setup], speed["s3"])
            own = str(setup).startswith("cpu-")
            yield (
                short(context),
                NAMES.get(str(setup), str(setup)),
                f"{row['finished_per_s']:.3f}",
                f"{row['ttft_s_mean']:.2f}",
                f"{again / row['prompt_tokens']:.1%}",
                f"{share:.0%}" if own and share is not None else "",
            )
