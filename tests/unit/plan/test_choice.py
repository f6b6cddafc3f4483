"""Who is out, who leads, who ties - on figures made up for the purpose."""

from __future__ import annotations

from typing import Any

import pytest

from kvsim.plan.choice import MARGIN, NONE, Limits, choose


def runs(setup: str, waits: list[float], usd: float = 5.0, **figures: Any) -> list[dict[str, Any]]:
    usual = {
        "died": False,
        "stable": True,
        "finished_per_s": 2.0,
        "sessions_max": 20,
        "slo_passed": None,
        "slo_broken": "",
        "usd_per_hour": usd,
    }
    return [
        usual | {"setup": setup, "seed": seed, "ttft_s_mean": wait} | figures
        for seed, wait in enumerate(waits)
    ]


def test_the_fastest_is_chosen() -> None:
    records = [*runs("gpu", [3.0, 3.1]), *runs("cpu", [2.0, 2.1]), *runs("store", [1.0, 1.1])]
    choice = choose(records, Limits(), {})
    assert choice.chosen == choice.leader == "store"
    assert choice.tied == ()
    assert not choice.rejected


def test_a_tie_goes_to_the_cheaper_then_to_the_simpler() -> None:
    close = 1 + 0.9 * MARGIN
    dear = [*runs("cpu", [close], usd=4), *runs("store", [1.0], usd=6)]
    assert choose(dear, Limits(), {}).chosen == "cpu"
    assert choose(dear, Limits(), {}).tied == ("store",)
    equal = [*runs("cpu", [close]), *runs("store", [1.0])]
    assert choose(equal, Limits(), {}).chosen == "cpu"
    assert choose([*equal[1:], *equal[:1]], Limits(), {}).chosen == "store"


def test_seeds_that_differ_more_than_the_setups_are_a_tie() -> None:
    noisy = [*runs("cpu", [1.0, 2.0], usd=4), *runs("store", [1.2, 1.4], usd=6)]
    assert choose(noisy, Limits(), {}).tied == ("store",)
    # The same gap in every seed is a difference, however far apart the seeds are.
    paired = [*runs("cpu", [1.2, 2.2], usd=4), *runs("store", [1.0, 2.0], usd=6)]
    assert choose(paired, Limits(), {}).chosen == "store"
    assert choose(paired, Limits(), {}).tied == ()


def test_with_a_promise_the_cheapest_that_keeps_it() -> None:
    records = [
        *runs("gpu", [9.0], usd=3, slo_passed=False, slo_broken="ttft:p95 is 9"),
        *runs("cpu", [2.0], usd=5, slo_passed=True),
        *runs("store", [1.0], usd=7, slo_passed=True),
    ]
    choice = choose(records, Limits(has_slo=True), {})
    assert choice.chosen == "cpu"
    assert choice.rejected == {"gpu": "SLO missed: ttft:p95 is 9"}


@pytest.mark.parametrize(
    ("figures", "limits", "risks", "words"),
    [
        ({"died": True}, Limits(), {}, "deadlock"),
        ({"stable": False}, Limits(), {}, "unstable"),
        ({"usd_per_hour": 9.0}, Limits(budget_usd_per_hour=8.0), {}, "over budget: 9.00 USD/h"),
        ({}, Limits(), {"store": "deadlock risk: uploads"}, "deadlock risk"),
    ],
)
def test_why_a_setup_is_out(
    figures: dict[str, Any], limits: Limits, risks: dict[str, str], words: str
) -> None:
    records = [*runs("cpu", [2.0]), *runs("store", [1.0], **figures)]
    choice = choose(records, limits, risks)
    assert choice.chosen == "cpu"
    assert words in choice.rejected["store"]


def test_one_bad_seed_is_enough() -> None:
    bad = runs("store", [1.0, 1.0])
    bad[1]["stable"] = False
    assert choose([*runs("cpu", [2.0, 2.0]), *bad], Limits(), {}).chosen == "cpu"


def test_nothing_left_names_the_nearest() -> None:
    records = [
        *runs("cpu", [50.0], stable=False, finished_per_s=1.0),
        *runs("store", [None], stable=False, finished_per_s=1.5),  # type: ignore[list-item]
    ]
    choice = choose(records, Limits(), {})
    assert (choice.chosen, choice.leader) == (NONE, "store")
    assert len(choice.rejected) == 2
