"""Why a token was computed."""

from __future__ import annotations

from kvsim.engine.ledger import Ledger
from kvsim.workload.request import NO_END, Request


def request(prompt: int, *, user: int = 1) -> Request:
    path = ((0, 10), (100 + user, NO_END))
    return Request(0, user, 1, prompt, 5, path, warmup=False, arrival_s=0.0)


def causes(ledger: Ledger, instance: int, prompt: int, hits: int, user: int = 1) -> tuple[int, int]:
    asked = request(prompt, user=user)
    ledger.admit(asked, instance, hits)
    return asked.recomputed_elsewhere_tokens, asked.recomputed_evicted_tokens


def test_first_time_elsewhere_and_evicted() -> None:
    ledger = Ledger(2)
    assert causes(ledger, 0, 50, 0) == (0, 0)
    assert causes(ledger, 1, 50, 0) == (50, 0), "the other instance has all of it"
    assert causes(ledger, 1, 60, 20) == (0, 30), "it lost what lies beyond its 20 hits"
    assert causes(ledger, 0, 70, 50) == (10, 0), "only the other one computed 50 to 60"


def test_a_new_user_shares_the_system_prompt_only() -> None:
    ledger = Ledger(2)
    causes(ledger, 0, 50, 0)
    assert causes(ledger, 1, 50, 0, user=2) == (10, 0)
    assert causes(ledger, 0, 50, 0, user=3) == (0, 10)


def test_an_answer_counts_but_for_its_last_token() -> None:
    ledger = Ledger(2)
    first = request(50)
    ledger.admit(first, 0, 0)
    ledger.finish(first, 0)
    assert causes(ledger, 1, 60, 0) == (54, 0)
