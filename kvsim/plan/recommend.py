"""Which tiers: GPU memory alone, CPU memory, more of it, or which store - and what would change it.

Every set-up runs with the same seeds, hence the same requests. The binding constraint is the
resource whose doubling lowers the mean time to first token most.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kvsim.calibration.confidence import (
    Confidence,
    confidence,
    confidence_line,
    measured_basis,
)
from kvsim.errors import ConfigError
from kvsim.plan.choice import NONE, Choice, Limits, Record, choose
from kvsim.plan.judged_run import Judge, Runs
from kvsim.plan.recommend_words import (
    Relief,
    Titles,
    binding_words,
    change_words,
    verdict,
    words_of,
)
from kvsim.plan.setups import Changes, default_setups, reliefs, title, what_ifs
from kvsim.plan.stall import stall_risk
from kvsim.spec.cost import PriceList, load_prices, resolve_prices
from kvsim.spec.scenario import Scenario
from kvsim.spec.slo import SloSpec
from kvsim.sweep.replications import intervals

if TYPE_CHECKING:
    import pandas as pd

FIGURES = (
    "ttft_s_mean",
    "ttft_s_p95",
    "finished_per_s",
    "decode_tokens_per_s_mean",
    "token_hit_rate",
    "queue_s_mean",
    "load_s_mean",
    "prefill_fraction",
    "decode_fraction",
    "load_fraction",
    "store_fraction",
    "remote_read_bytes_per_s",
    "remote_write_bytes_per_s",
    "usd_per_hour",
    "usd_per_million_input_tokens",
)
"""Columns of the table besides the set-up, whether it is stable, and the verdict."""


@dataclass(frozen=True)
class Flip:
    """A change of the load or the hardware that changes the answer."""

    what: str
    chosen: str
    """The set-up that is chosen then, or `none`."""
    words: str


@dataclass(frozen=True)
class Recommendation:
    """The answer, in words and with all that it rests on."""

    words: list[str]
    chosen: str
    """Name of the set-up, a row of the table, or `none`."""
    tied: tuple[str, ...]
    """Set-ups that cannot be told from it."""
    scenario: Scenario
    """The chosen set-up as a scenario (with `none`: the one that comes nearest)."""
    table: pd.DataFrame
    """A row a set-up: means over the seeds with the ends of their intervals, and the verdict."""
    binding: str
    reliefs: tuple[Relief, ...]
    """What doubling each resource of the chosen set-up brings, most first."""
    flips: list[Flip]
    unchanged: list[str]
    """What-ifs that leave the answer as it is."""
    rejected: dict[str, str]
    confidence: Confidence

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "chosen": self.chosen,
            "tied": list(self.tied),
            "words": self.words,
            "binding": self.binding,
            "reliefs": [asdict(relief) for relief in self.reliefs],
            "flips": [asdict(flip) for flip in self.flips],
            "unchanged": self.unchanged,
            "rejected": self.rejected,
            "confidence": asdict(self.confidence),
            "table": json.loads(self.table.to_json(orient="records", double_precision=15)),
        }


def recommend(
    scenario: Scenario,
    *,
    setups: Mapping[str, Changes] | None = None,
    slo: SloSpec | None = None,
    budget_usd_per_hour: float | None = None,
    seeds: int = 3,
    jobs: int | None = None,
    prices: PriceList | None = None,
    given_prices: Mapping[str, Any] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Recommendation:
    """Simulate the set-ups of a scenario and choose one.

    `setups` are changes by name, the simplest first (else `default_setups`); `slo` defaults to the
    scenario's. `on_progress` gets runs done and runs in all. A run that fails raises.
    """
    promise = slo or scenario.slo
    judge = Judge(prices or load_prices(), given_prices or {}, promise)
    limits = Limits(promise is not None, budget_usd_per_hour)
    designs = {
        name: scenario.replace(changes)
        for name, changes in (setups or default_setups(scenario)).items()
    }
    if NONE in designs:
        raise ConfigError(f"setups: {NONE!r} means that no set-up does it; choose another name")
    titles = {name: title(name, own) for name, own in designs.items()}
    questions = [
        (what.name, {name: changed for name, own in designs.items() if (changed := what.of(own))})
        for what in what_ifs(scenario)
    ]
    runs = Runs(judge, jobs or os.cpu_count() or 1, on_progress)
    plan = [own.replace({"seed": seed}) for own in designs.values() for seed in range(seeds)]
    asked = [own.replace({"seed": 0}) for _, changed in questions for own in changed.values()]
    runs.expect([*plan, *asked])
    runs.run(plan)
    records = runs.records(designs, range(seeds))
    choice = choose(records, limits, _risks(designs))
    leader = designs[choice.leader].replace({"seed": 0})
    relieved = {name: leader.replace(change) for name, change in reliefs(leader).items()}
    runs.run([*asked, *relieved.values()])
    found = _reliefs(runs, leader, relieved)
    flips, unchanged = _flips(runs, questions, choice, limits, titles)
    basis = measured_basis(leader)
    trust = confidence(leader, basis)
    binding = binding_words(runs.of(leader), found)
    return Recommendation(
        words=[
            *words_of(records, choice, limits, titles),
            binding,
            *change_words([flip.words for flip in flips], unchanged),
            *_price_words(designs[choice.leader], judge),
            confidence_line(trust, basis.name),
        ],
        chosen=choice.chosen,
        tied=choice.tied,
        scenario=designs[choice.leader],
        table=_table(records, choice),
        binding=binding,
        reliefs=found,
        flips=flips,
        unchanged=unchanged,
        rejected=dict(choice.rejected),
        confidence=trust,
    )


def _risks(designs: Mapping[str, Scenario]) -> dict[str, str]:
    """Name set-ups that can deadlock, whether or not the simulated runs did."""
    found = {}
    for name, own in designs.items():
        risk = stall_risk(own)
        if risk is not None and risk.warning is not None:
            found[name] = f"deadlock risk: {risk.warning.removeprefix('the engine can deadlock: ')}"
    return found


def _reliefs(runs: Runs, leader: Scenario, relieved: Mapping[str, Scenario]) -> tuple[Relief, ...]:
    own = runs.of(leader)["ttft_s_mean"]
    found = []
    for resource, scenario in relieved.items():
        wait_s = runs.of(scenario)["ttft_s_mean"]
        if own is not None and wait_s is not None:
            found.append(Relief(resource, wait_s, wait_s / own - 1))
    return tuple(sorted(found, key=lambda relief: relief.change))


def _flips(
    runs: Runs,
    questions: Sequence[tuple[str, Mapping[str, Scenario]]],
    choice: Choice,
    limits: Limits,
    titles: Titles,
) -> tuple[list[Flip], list[str]]:
    """Choose anew under each what-if; a tie between equally many tiers at one cost is no change."""
    flips, unchanged = [], []
    for what, changed in questions:
        records = runs.records(changed, [0])
        if not records:
            continue
        new = choose(records, limits, _risks(changed))
        if choice.chosen == new.chosen or _equal(changed, records, choice, new):
            unchanged.append(what)
        else:
            flips.append(Flip(what, new.chosen, verdict(what, records, choice, new, titles)))
    return flips, unchanged


def _equal(
    changed: Mapping[str, Scenario], records: Sequence[Record], old: Choice, new: Choice
) -> bool:
    if old.chosen not in new.tied:
        return False
    usd = {record["setup"]: record["usd_per_hour"] for record in records}
    has_store = [changed[name].offload.remote is not None for name in (old.chosen, new.chosen)]
    return has_store[0] == has_store[1] and usd[old.chosen] <= usd[new.chosen]


def _price_words(chosen: Scenario, judge: Judge) -> list[str]:
    remote = chosen.offload.remote
    if remote is None:
        return []
    prices = resolve_prices(judge.prices, chosen.gpu, remote.profile, given=judge.given)
    if prices.usd_per_tb_month:
        return []
    return [
        f"{remote.profile.name} has no price and counts as free; give one with "
        "--price usd_per_tb_month=..."
    ]


def _table(records: Sequence[Record], choice: Choice) -> pd.DataFrame:
    kept = [
        {name: run[name] for name in ("setup", "seed", *FIGURES, "stable", "died")}
        for run in records
    ]
    table = intervals(kept, ["setup", "seed"])
    verdicts = {choice.chosen: "recommended", **dict.fromkeys(choice.tied, "tie")}
    verdicts |= choice.rejected
    table["verdict"] = [verdicts.get(name, "behind") for name in table["setup"]]
    return table
