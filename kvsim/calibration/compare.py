"""Set a measured run beside its simulation, metric by metric.

Measured rates are those that multi-round-qa.py printed at the end of the run; times are of its CSV;
where prompt tokens came from is in LMCache's lines (without LMCache, in the engine's first chunks).
"""

from collections.abc import Mapping

from kvsim.calibration.observation import Observation
from kvsim.calibration.readers.measured_request import MeasuredRequest
from kvsim.calibration.readers.run_folder import MeasuredRun
from kvsim.errors import CalibrationError
from kvsim.metrics.stats import mean_or_none, quantiles_or_none

Metrics = dict[str, dict[str, float | None]]

SHARES = {
    "hbm_token_share": "hit_tokens_hbm",
    "cpu_token_share": "hit_tokens_cpu",
    "remote_token_share": "hit_tokens_remote",
    "computed_token_share": "computed_tokens",
}
"""Shares of prompt tokens by where they came from, and the summary's count of each."""


_OF_NO_RUN = ("events", "stable", "died")
"""Figures that are no measurement, or no number."""


def compare_metrics(
    measured: Mapping[str, float | None], simulated: Mapping[str, float | None]
) -> Metrics:
    """Pair two sets of metrics and give the error where both have a value.

    Errors are relative to the measured value, but for shares of prompt tokens, and where the
    measured value is 0, the plain difference.
    """
    table: Metrics = {}
    for name, real in measured.items():
        model = simulated.get(name)
        error: float | None = None
        if real is not None and model is not None:
            error = model - real if name in SHARES or real == 0 else (model - real) / real
        table[name] = {"measured": real, "simulated": model, "error": error}
    return table


def measured_metrics(run: MeasuredRun) -> dict[str, float | None]:
    """Return the metrics of a measured run whose client came to its end."""
    if run.summary is None:
        raise CalibrationError(
            f"{run.path}: no client_requests.csv, so its client did not come to its end; compare "
            "needs a run that printed its final summary"
        )
    rows = [row for row in run.requests if row.ttft_s is not None]
    ttft = [row.ttft_s for row in rows if row.ttft_s is not None]
    decode = [row.output_tokens / row.generation_s for row in rows if row.generation_s]
    p50, p95, p99 = quantiles_or_none(ttft, (0.5, 0.95, 0.99))
    return {
        "finished_per_s": run.summary.finished_per_s,
        "ttft_s_mean": mean_or_none(ttft),
        "ttft_s_p50": p50,
        "ttft_s_p95": p95,
        "ttft_s_p99": p99,
        "decode_tokens_per_s_mean": mean_or_none(decode),
        "input_tokens_per_s": run.summary.input_tokens_per_s,
        "output_tokens_per_s": run.summary.output_tokens_per_s,
        **_token_shares(rows),
    }


def full_metrics(run: MeasuredRun, observed: Observation) -> dict[str, float | None]:
    """Return, after those metrics, every other figure of the summary that the run tells."""
    metrics = measured_metrics(run)
    for name, value in observed.summary_dict().items():
        if name not in metrics and value is not None and name not in _OF_NO_RUN:
            metrics[name] = float(value)
    return metrics


def simulated_metrics(summary: Mapping[str, float | int | bool | None]) -> dict[str, float | None]:
    """Return the same metrics of a simulated run's summary."""
    metrics = {
        name: None if value is None else float(value)
        for name, value in summary.items()
        if not isinstance(value, str)
    }
    prompt = summary.get("prompt_tokens")
    for share, count in SHARES.items():
        value = summary.get(count)
        metrics[share] = float(value) / float(prompt) if prompt and value is not None else None
    return metrics


def _token_shares(rows: list[MeasuredRequest]) -> dict[str, float | None]:
    """Return the shares, over requests whose hit in the engine's own cache is known."""
    known = [row for row in rows if row.hbm_tokens is not None]
    prompt = sum(row.prompt_tokens for row in known)
    if not prompt:
        return dict.fromkeys(SHARES)
    hbm = sum(row.hbm_tokens for row in known if row.hbm_tokens is not None)
    loaded = sum(row.loaded_tokens for row in known)
    remote = sum(row.remote_tokens for row in known)
    counts = (hbm, loaded - remote, remote, prompt - hbm - loaded)
    return {name: count / prompt for name, count in zip(SHARES, counts, strict=True)}
