"""Each router's rule."""

from __future__ import annotations

from collections import Counter

import pytest

from kvsim.routing.routers import RouterName, make_router
from kvsim.workload.request import NO_END, Request


def request(number: int, user: int = 1) -> Request:
    return Request(number, user, 1, 10, 1, ((user, NO_END),), warmup=False, arrival_s=0.0)


def routes(name: RouterName, users: list[int], *, instances: int = 3, seed: int = 0) -> list[int]:
    router = make_router(name, instances, seed)
    return [router.route(request(i, user)) for i, user in enumerate(users)]


def test_round_robin_is_strict() -> None:
    assert routes("round_robin", [1] * 7) == [0, 1, 2, 0, 1, 2, 0]


def test_sessions_stick_and_spread() -> None:
    users = [user for user in range(300) for _ in range(2)]
    chosen = routes("session", users)
    assert all(chosen[i] == chosen[i + 1] for i in range(0, len(chosen), 2))
    share = Counter(chosen[::2])
    assert min(share.values()) > 60
    more = routes("session", users, instances=4)
    moved = sum(a != b for a, b in zip(chosen[::2], more[::2], strict=True))
    assert moved < 130, "a consistent hash moves about a quarter of the users to a fourth instance"


def test_random_is_seeded() -> None:
    assert routes("random", [1] * 50, seed=3) == routes("random", [1] * 50, seed=3)
    assert routes("random", [1] * 50, seed=3) != routes("random", [1] * 50, seed=4)


def test_least_loaded_fills_gaps() -> None:
    router = make_router("least_loaded", 3, 0)
    requests = [request(i) for i in range(4)]
    for one in requests[:3]:
        one.instance = router.route(one)
    assert [one.instance for one in requests[:3]] == [0, 1, 2]
    router.ended(requests[1])
    assert router.route(requests[3]) == 1


@pytest.mark.parametrize("name", ["round_robin", "random", "least_loaded", "session"])
def test_one_instance_gets_all(name: RouterName) -> None:
    assert set(routes(name, [1, 2, 3, 4], instances=1)) == {0}
