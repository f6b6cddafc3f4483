"""Each router's rule."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest

from kvsim.routing.cache_aware import LlmD, Surroundings
from kvsim.routing.routers import Router, make_router
from kvsim.spec.routing import RouterName, RoutingSpec
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


@pytest.mark.parametrize("name", get_args(RouterName))
def test_one_instance_gets_all(name: RouterName) -> None:
    assert set(routes(name, [1, 2, 3, 4], instances=1)) == {0}


def prompt(number: int, path: tuple[tuple[int, int], ...], tokens: int) -> Request:
    return Request(number, 1, 1, tokens, 1, path, warmup=False, arrival_s=0.0)


def user(number: int, who: int, tokens: int = 3_200) -> Request:
    """Ask as a user whose prompt begins with the 320 tokens that all share."""
    return prompt(number, ((0, 320), (who, NO_END)), tokens)


def send(router: Router, one: Request) -> int:
    one.instance = router.route(one)
    return one.instance


def test_power_of_two_takes_the_emptier_of_two() -> None:
    router = make_router("power_of_two", 8, 0)
    open_streams = Counter(send(router, request(i)) for i in range(400))
    drawn = Counter(routes("random", [1] * 400, instances=8))
    assert max(open_streams.values()) - min(open_streams.values()) < 8
    assert max(drawn.values()) - min(drawn.values()) > 15


def test_prefix_aware_sticks_to_where_the_text_went() -> None:
    router = make_router("prefix_aware", 8, 1)
    first = send(router, user(0, 10))
    assert [send(router, user(i, 10, 3_200 + 100 * i)) for i in range(1, 6)] == [first] * 5


def test_prefix_aware_new_users_go_to_who_served_the_shared_text() -> None:
    router = make_router("prefix_aware", 8, 1)
    first = send(router, user(0, 10))
    assert {send(router, user(i, 10 + i)) for i in range(1, 30)} == {first}
    stranger = {send(router, prompt(100 + i, ((500 + i, NO_END),), 900)) for i in range(40)}
    assert len(stranger) > 4, "a prompt that nobody knows goes anywhere"
    # From now on the strangers' instances do not know the shared text, so nothing changes for it.
    assert send(router, user(200, 99)) == first


def test_prefix_aware_looks_at_whole_pieces_only() -> None:
    router = make_router("prefix_aware", 8, 1)
    places = {send(router, prompt(i, ((0, 31), (i + 1, NO_END)), 900)) for i in range(40)}
    assert len(places) > 4, "31 shared tokens fill no piece of 128 characters"


def kv_aware(found: list[int], **settings: int | bool) -> Router:
    around = Surroundings(cpu_tokens=lambda instance, request: found[instance])
    return make_router("kv_aware", 4, 0, RoutingSpec.model_validate(settings), around)


def test_kv_aware_needs_nearly_all_of_the_prompt() -> None:
    one = user(0, 10, 10_000)
    by_session = make_router("session", 4, 0).route(one)
    other = (by_session + 1) % 4
    found = [0] * 4
    found[other] = 8_000
    assert kv_aware(found).route(one) == other
    found[other] = 7_999
    assert kv_aware(found).route(one) == by_session
    assert kv_aware(found, kv_aware_threshold=2_001).route(one) == other


def test_kv_aware_reads_chats_as_empty() -> None:
    by_session = make_router("session", 4, 0)
    router = kv_aware([9_000, 9_000, 9_000, 9_000], kv_aware_chat=True)
    for who in range(20):
        one = prompt(who, ((who, NO_END),), 9_000)
        one.session_id = who
        assert router.route(one) == by_session.route(one)


def test_kv_aware_short_prompts_nobody_has_go_by_session() -> None:
    one = user(0, 10, 500)
    assert kv_aware([0] * 4).route(one) == make_router("session", 4, 0).route(one)


class Time:
    now_s = 0.0


def llm_d(time: Time, instances: int = 3) -> Router:
    around = Surroundings(now=lambda: time.now_s, pool_tokens=10_000)
    return make_router("llm_d", instances, 0, RoutingSpec(metrics_interval=1.0), around)


def test_llm_d_follows_the_prefix_while_loads_are_equal() -> None:
    router = llm_d(Time())
    first = send(router, user(0, 10))
    assert [send(router, user(i, 10)) for i in range(1, 5)] == [first] * 4


def test_llm_d_sees_queues_only_when_it_reads_them() -> None:
    time = Time()
    router = llm_d(time)
    first = send(router, user(0, 10))
    queued = [user(i, 10) for i in range(1, 4)]
    for one in queued:
        assert send(router, one) == first
        one.engine_s = 0.5
    time.now_s = 0.9
    assert send(router, user(10, 10)) == first, "metrics are those of second 0"
    time.now_s = 1.1
    other = user(11, 11)
    assert send(router, other) != first, "three wait: 2 for the queue beats 3 for a tenth"


def test_llm_d_counts_memory_of_running_prompts_until_they_end() -> None:
    time = Time()
    router = llm_d(time, instances=2)
    one = prompt(0, ((1, NO_END),), 9_000)
    first = send(router, one)
    one.engine_s = one.scheduled_s = 0.2
    time.now_s = 1.0
    strangers = [prompt(i, ((i + 10, NO_END),), 16) for i in range(10)]
    assert {send(router, stranger) for stranger in strangers} == {1 - first}
    for stranger in strangers:
        router.ended(stranger)
    router.ended(one)
    again = {send(router, prompt(50 + i, ((i + 50, NO_END),), 16)) for i in range(30)}
    assert again == {0, 1}


def test_llm_d_remembers_a_limited_number_of_blocks() -> None:
    router = LlmD(1, 0, RoutingSpec(), Surroundings())
    for i in range(5):
        router.route(prompt(i, ((i, NO_END),), 200_000))
    assert len(router._index[0]) == 31_250
    first = next(iter(router._index[0]))
    assert first & 0xFFFFFF > 0, "the beginning of the oldest prompt has gone before its end"
