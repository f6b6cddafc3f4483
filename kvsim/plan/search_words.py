"""The answers of a search in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvsim.plan.promise import limit_words
from kvsim.plan.search_design import SearchAnswer
from kvsim.plan.search_load import LoadAnswer
from kvsim.plan.search_space import STORE
from kvsim.plan.search_trial import Evaluated
from kvsim.spec.slo import SloSpec
from kvsim.spec.space import reads_bytes
from kvsim.text import counted, percent, value_text
from kvsim.units import format_bytes

_NAMES = {
    "offload.cpu.capacity": "CPU memory",
    "offload.cpu.eviction": "eviction",
    "offload.chunk_tokens": "chunk",
    STORE: "store",
    "engine.tensor_parallel_size": "TP",
    "instances": "inst.",
}
OBJECTIVE_NAMES = {
    "usd_per_hour": "USD/h",
    "usd_per_million_tokens": "USD/M tokens",
    "usd_per_million_input_tokens": "USD/M input",
    "usd_per_million_cached_tokens": "USD/M cached",
    "usd_per_million_output_tokens": "USD/M output",
    "usd_per_1000_requests": "USD/1000 requests",
    "gpus": "GPUs",
    "finished_per_s": "requests/s",
    "goodput_per_s": "good/s",
    "decode_tokens_per_s_mean": "decode tokens/s",
    "output_tokens_per_s": "output tokens/s",
    "input_tokens_per_s": "input tokens/s",
    "token_hit_rate": "hit rate",
    "slo_attainment": "attainment",
    "recomputed_evicted_tokens": "recomputed tokens",
}


def axis_name(path: str) -> str:
    """Name a key of a scenario for a table."""
    return _NAMES.get(path, path.rpartition(".")[2].replace("_", " "))


def axis_value(path: str, value: Any) -> str:
    """Write a value of that key: sizes with a prefix, numbers short."""
    if value is None or value != value:
        return "none"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if reads_bytes(path):
            return format_bytes(value) if value else "none"
        return value_text(value) if isinstance(value, float) else str(value)
    return str(value)


def objective_name(name: str) -> str:
    """Name a figure for a table."""
    if name in OBJECTIVE_NAMES:
        return OBJECTIVE_NAMES[name]
    metric, _, stat = name.partition("_s_")
    return f"{metric.upper() if metric in ('ttft', 'tpot', 'e2e') else metric} {stat} s"


def design_words(design: Mapping[str, Any]) -> str:
    """Write a design in one line."""
    return ", ".join(
        f"{counted(value, 'instance')}"
        if path == "instances"
        else f"{axis_name(path)} {axis_value(path, value)}"
        for path, value in design.items()
    )


def promise_words(slo: SloSpec | None) -> str:
    """Say what a design has to keep."""
    if slo is None:
        return "answers that keep up with questions"
    limits = [f"{t.label} {t.relation} {limit_words(t)}" for t in slo.all_targets]
    return "the SLO (" + ", ".join(limits) + ")"


def search_words(answer: SearchAnswer) -> list[str]:
    """Say which design is best, what it costs, how close it is, and what was not looked at."""
    first = next(iter(answer.objectives))
    best = answer.best_trial
    asked = promise_words(answer.slo)
    if answer.constraints:
        asked += " and " + ", ".join(answer.constraints)
    lines = []
    if best is None:
        lines.append(f"No design that was tried keeps {asked}.")
        nearest = _nearest(answer, [t for t in answer.trials if t.figures])
        if nearest is not None:
            lines.append(
                f"The nearest is {design_words(nearest.design)}: {nearest.excluded_reason}."
            )
    else:
        adjective = "Cheapest" if first.startswith("usd") else "Best"
        lines.append(
            f"{adjective} design that keeps {asked}: {design_words(best.design)}; "
            f"{value_text(best.figures[first])} {objective_name(first)}."
        )
        if best.binding is not None and best.room is not None:
            lines.append(f"Its nearest limit: {best.binding}, {percent(best.room)} of it to spare.")
        lines += _better_but_excluded(answer, best, first)
    if len(answer.objectives) > 1:
        names = ", ".join(map(objective_name, answer.objectives))
        lines.append(f"{int(answer.table['pareto'].sum())} designs are on the frontier of {names}.")
    lines.append(_coverage(answer))
    return lines


def _nearest(answer: SearchAnswer, trials: list[Evaluated]) -> Evaluated | None:
    return min((t for t in trials if t.excluded_reason), key=lambda t: t.violation, default=None)


def _better_but_excluded(answer: SearchAnswer, best: Evaluated, first: str) -> list[str]:
    """Say why what would be better is out."""
    sign = 1 if answer.objectives[first] == "min" else -1
    better = [
        trial
        for trial in answer.trials
        if trial.figures.get(first) is not None
        and sign * trial.figures[first] < sign * best.figures[first]
    ]
    nearest = _nearest(answer, better)
    if nearest is None:
        return []
    worth = value_text(nearest.figures[first])
    return [
        f"Of {len(better)} better in {objective_name(first)} the nearest is "
        f"{design_words(nearest.design)} ({worth}): {nearest.excluded_reason}."
    ]


def _coverage(answer: SearchAnswer) -> str:
    simulated = sum(bool(trial.figures) for trial in answer.trials)
    impossible = sum(trial.violation > 0 and not trial.figures for trial in answer.trials)
    dear = len(answer.trials) - simulated - impossible
    parts = [f"{simulated} designs were simulated"]
    parts += [f"{impossible} cannot be built or run"] if impossible else []
    parts += [f"{dear} were ruled out by their price"] if dear else []
    text = ", ".join(parts)
    if answer.exhaustive:
        return f"{text}: the whole space."
    size = answer.size
    left = "there is no end of designs" if size is None else f"the space has {size:,}"
    return f"{text}; {left}, so a better one may be among those not tried (--trials)."


def search_notes(answer: SearchAnswer, priced: Mapping[str, float]) -> list[str]:
    """Say what a reader has to know before buying; `priced` is USD per TB and month by store."""
    notes = []
    best = answer.best_scenario
    remote = best.offload.remote if best is not None else None
    if remote is not None and not priced.get(remote.profile.name):
        notes.append(
            f"{remote.profile.name} has no price and counts as free; "
            "give one, e.g. --price usd_per_tb_month=8"
        )
    if answer.scenario.engine.num_gpu_blocks is not None and "gpu" in answer.space:
        notes.append(
            "engine.num_gpu_blocks belongs to the scenario's own GPU; other GPUs take what fits"
        )
    return notes


def avoided_words(gpus: float | None) -> list[str]:
    """Say what offload is worth in GPUs."""
    if gpus is None:
        return []
    if gpus < 0:
        return [f"Without offload it would take about {-gpus:,.2g} GPUs less to be as busy."]
    return [f"Without offload it would take about {gpus:,.2g} GPUs more to be as busy."]


def load_words(answer: LoadAnswer, slo: SloSpec | None) -> list[str]:
    """Say what the largest load is and what ends it."""
    name = answer.path
    if answer.value is None:
        return [
            f"Not even {name} = {answer.low:g} keeps {promise_words(slo)}: {answer.binding}.",
        ]
    lines = [f"Largest {name} that keeps {promise_words(slo)}: {answer.value:g}."]
    if answer.reached_bound:
        lines.append(f"That is the bound {answer.high:g}; more may be carried (--high).")
    else:
        above = answer.tried[answer.tried["load"] > answer.value]["load"].min()
        lines.append(f"What breaks first, at {above:g}: {answer.binding}.")
    if answer.margin is not None:
        lines.append(
            f"At the answer: {answer.margin.words}, {percent(answer.margin.room)} of it to spare."
        )
    if not answer.monotone:
        lines.append(
            "Note: some larger load passes though a smaller one fails, so chance decides near the "
            "border; take more --seeds or a longer run."
        )
    return lines
