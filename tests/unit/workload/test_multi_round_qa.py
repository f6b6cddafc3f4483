"""The driver against what multi-round-qa.py does, in dry runs and in recorded real runs."""

import csv
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from kvsim.metrics.stats import level_max, level_mean
from kvsim.workload.multi_round_qa import dry_run, last_poll, polls_until
from kvsim.workload.request import NO_END

DATA = Path(__file__).parents[2] / "data" / "multi_round_qa"


def always(service_s):
    return lambda request: service_s


# The ramp


def test_ramped_users_send_140_requests_in_all(qa_spec, run):
    sent = Counter(r.session_id for r in run(qa_spec(), always(0.5)).requests)
    assert sum(sent[user] for user in range(1, 16)) == 140


def test_ramped_users_start_at_the_question_ids_of_the_real_driver(qa_spec, run):
    sent = Counter(r.session_id for r in run(qa_spec(), always(0.5)).requests)
    started = [20 - sent[user] for user in range(1, 16)]
    assert started == [20, 18, 17, 16, 14, 13, 12, 11, 9, 8, 7, 6, 4, 3, 2]


def test_ramped_users_first_send_at_the_poll_after_they_are_due(qa_spec):
    first = {}
    for launch in dry_run(qa_spec(), 0.5):
        first.setdefault(launch.user_id, launch.at_s)
    due = [2, 4, 6, 0.5, 2.5, 4.5, 6.5, 1, 3, 5, 7, 1.5, 3.5, 5.5]
    # A due time that is a poll's own is not yet over at that poll.
    assert [first[user] for user in range(2, 16)] == pytest.approx([t + 0.1 for t in due])
    assert 1 not in first
    assert first[16] == 0


def test_ramped_users_have_no_history_in_their_first_prompt(qa_spec):
    prompts = {}
    for launch in dry_run(qa_spec(time=100), 0.5):
        prompts.setdefault(launch.user_id, []).append(launch.prompt_tokens)
    assert prompts[5][:3] == [11_031, 11_152, 11_273]
    assert {tokens[0] for tokens in prompts.values()} == {11_031}


def test_ids_follow_the_first_user_id(qa_spec):
    launches = dry_run(qa_spec(init_user_id=100, time=50), 0.5)
    assert min(launch.user_id for launch in launches) == 102


def test_without_ramp_up_users_join_one_by_one(qa_spec, run):
    result = run(qa_spec(disable_ramp_up=True, time=60), always(0.5))
    assert [live for _, live in result.live] == [1, 2, 3, 4, 5, 6, 7]
    assert result.launches[0] == (0, 1, 1, 11_031)


# Joins and gaps


def test_users_join_at_the_poll_after_the_gap_whatever_the_load(qa_spec):
    first = {}
    for launch in dry_run(qa_spec(), 40):
        first.setdefault(launch.user_id, launch.at_s)
    joins = [first[user] for user in sorted(first) if user > 15]
    gaps = [later - earlier for earlier, later in pairwise(joins)]
    assert gaps == pytest.approx([9.6] * 125)


def test_gap_between_questions_counts_from_the_late_launch(qa_spec, run):
    answers = {1: 0.5, 2: 20.03, 3: 0.5}
    result = run(
        qa_spec(time=40, disable_ramp_up=True, num_users=1, qps=1 / 7.5),
        lambda request: answers.get(request.round_index, 1.0),
    )
    sent = [when for when, user, _, _ in result.launches if user == 1]
    assert sent == pytest.approx([0, 7.6, 27.7, 35.3])


@pytest.mark.parametrize(
    ("service_s", "launches", "mean", "largest"),
    [
        (0.5, 2500, 15.1, 16),
        (7, 2500, 15.8, 16),
        (10, 2451, 20.4, 21),
        (20, 2254, 37, 42),
        (40, 1860, 61, 84),
    ],
)
def test_slow_answers_let_live_sessions_grow(qa_spec, service_s, launches, mean, largest):
    live = []
    sent = dry_run(qa_spec(), service_s, on_live_sessions=lambda *change: live.append(change))
    assert len(sent) == launches
    assert max(launch.user_id for launch in sent) == 141
    assert level_mean(live, 0, 1200) == pytest.approx(mean, abs=0.05 if service_s <= 10 else 0.5)
    assert level_max(live, 0, 1200) == largest


def test_strict_users_wait_for_a_place(qa_spec, run):
    result = run(qa_spec(enforce_strict_concurrent_users=True, time=300), always(30))
    assert max(live for _, live in result.live) == 15
    # The place of user 1, who has nothing left to ask, is free from the second poll on.
    assert min(when for when, user, _, _ in result.launches if user == 16) == pytest.approx(0.1)


def test_single_round_users_join_at_every_poll(qa_spec):
    launches = dry_run(qa_spec(num_rounds=1, num_users=3, time=1), 0.05)
    assert [launch.user_id for launch in launches] == list(range(4, 15))


# Polls


def test_comparisons_are_strict():
    assert polls_until(9.5, 0.1) == 96
    assert polls_until(7.5, 0.1) == 76
    assert polls_until(7.5, 0.1004) == 75
    assert polls_until(0.0, 0.1) == 1
    assert polls_until(7.5, 0.1, age_s=7.6) == 0
    assert last_poll(1200, 0.1) == 12_000
    assert last_poll(0.05, 0.1) == 0


def test_gaps_do_not_depend_on_when_the_run_begins(qa_spec, run):
    plain = run(qa_spec(time=300), always(3.7)).launches
    later = run(qa_spec(time=300, warmup_requests=1), always(3.7))
    assert later.driver.start_s == 3.7
    shifted = [(when - 3.7, *rest) for when, *rest in later.launches[1:]]
    assert shifted == [(pytest.approx(when), *rest) for when, *rest in plain]


def test_driver_wakes_only_when_something_is_due(qa_spec, run):
    result = run(qa_spec(), always(0.5))
    wakes = result.clock.num_events - len(result.requests)
    # One an answer, and one for each user who comes or goes.
    assert wakes < 1.2 * len(result.requests)
    assert run(qa_spec(), always(0.5), coalesce=False).launches == result.launches


# Begin and end


def test_warm_up_requests_come_first_and_share_nothing(qa_spec, run):
    result = run(qa_spec(warmup_requests=10, time=20), lambda r: 1 + 0.1 * max(0, -r.session_id))
    warmups, rest = result.requests[:10], result.requests[10:]
    assert all(r.warmup and r.arrival_s == 0 for r in warmups)
    assert {(r.prompt_tokens, r.output_tokens) for r in warmups} == {(115, 100)}
    assert len({r.path for r in warmups}) == 10
    assert result.driver.start_s == rest[0].arrival_s == 2.0
    assert not any(r.warmup for r in rest)
    assert [r.request_id for r in result.requests] == list(range(len(result.requests)))


def test_users_share_the_system_prompt_and_nothing_else(qa_spec, run):
    requests = run(qa_spec(time=60), always(0.5)).requests
    paths = {r.session_id: r.path for r in requests}
    assert {path[0] for path in paths.values()} == {(0, 1011)}
    assert len({path[1][0] for path in paths.values()}) == len(paths)
    assert {path[1][1] for path in paths.values()} == {NO_END}


def test_end_is_after_the_drain(qa_spec, run):
    result = run(qa_spec(time=110), always(30.0))
    assert result.driver.end_s == max(r.arrival_s for r in result.requests) + 30
    assert all(r.arrival_s <= 110 for r in result.requests)


def test_end_is_one_poll_after_the_time_if_all_is_answered(qa_spec, run):
    result = run(qa_spec(time=5, num_users=1, disable_ramp_up=True), always(0.01))
    assert result.driver.end_s == pytest.approx(5.1)


def test_failed_request_hangs_its_session(qa_spec, run):
    result = run(
        qa_spec(time=110), lambda r: None if (r.session_id, r.round_index) == (5, 3) else 0.5
    )
    assert max(r.round_index for r in result.requests if r.session_id == 5) == 3
    assert result.live[-1][1] == 16
    assert result.driver.end_s == pytest.approx(110.5)


def test_failure_in_the_drain_ends_it(qa_spec, run):
    late = lambda r: None if r.arrival_s > 109 else 30.0  # noqa: E731
    result = run(qa_spec(time=110), late)
    failed = [r.arrival_s + 1 for r in result.requests if r.arrival_s > 109]
    assert result.driver.end_s == min(when for when in failed if when > 110.1)
    assert any(r.finished_s is None for r in result.requests if r.arrival_s < 109)


# Jitter


def test_jitter_moves_arrivals_and_not_the_sessions(qa_spec, run):
    plain = run(qa_spec(time=300), always(1.0))
    moved = run(qa_spec(time=300, arrival_jitter=0.05), always(1.0), seed=3)
    by_round = {(user, n): when for when, user, n, _ in plain.launches}
    shifts = [when - by_round[user, n] for when, user, n, _ in moved.launches]
    assert len(shifts) == len(by_round)
    assert min(shifts) >= 0
    assert max(shifts) < 0.05
    assert np.std(shifts) == pytest.approx(0.05 / 12**0.5, rel=0.1)
    assert [r.request_id for r in moved.requests] == list(range(len(moved.requests)))
    arrivals = [r.arrival_s for r in moved.requests]
    assert arrivals == sorted(arrivals)


def test_jitter_depends_on_seed_and_user_only(qa_spec, run):
    def arrivals(seed, service_s):
        result = run(qa_spec(time=100, arrival_jitter=0.05), always(service_s), seed=seed)
        return sorted(result.launches)

    assert arrivals(1, service_s=0.5) == arrivals(1, service_s=3.0)
    assert arrivals(1, service_s=0.5) != arrivals(2, service_s=0.5)


# Real runs


@pytest.mark.parametrize(
    ("name", "time_s", "poll_s"), [("cpu40", 110, 0.10032), ("s3_warm", 90, 0.10035)]
)
def test_driver_sends_what_the_real_one_sent(qa_spec, run, name, time_s, poll_s):
    """Given the real answers' durations; the poll is that run's mean loop time."""
    rows = read_rows(name)
    durations = {key(row): row["finish_time"] - row["launch_time"] for row in rows}
    result = run(
        qa_spec(time=time_s, poll=poll_s), lambda r: durations[r.session_id, r.round_index]
    )
    assert [
        (r.session_id, r.round_index, r.prompt_tokens, r.output_tokens) for r in result.requests
    ] == [(*key(row), row["prompt_tokens"], row["generation_tokens"]) for row in rows]
    late = [
        row["launch_time"] - started_s(name) - r.arrival_s
        for row, r in zip(rows, result.requests, strict=True)
    ]
    assert max(map(abs, late)) < 0.12
    assert np.median(np.abs(late)) < 0.03


@pytest.mark.parametrize("name", ["cpu40", "s3_warm"])
def test_order_of_launches_holds_for_a_loop_of_another_length(qa_spec, run, name):
    rows = read_rows(name)
    durations = {key(row): row["finish_time"] - row["launch_time"] for row in rows}
    result = run(
        qa_spec(time=90, poll=0.10052), lambda r: durations.get((r.session_id, r.round_index), 1.0)
    )
    sent = [(r.session_id, r.round_index) for r in result.requests]
    assert sent == [key(row) for row in rows][: len(sent)]
    assert len(sent) >= 182


def read_rows(name):
    with (DATA / f"{name}.csv").open() as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    return sorted(rows, key=lambda row: row["launch_time"])


def key(row):
    return int(row["user_id"]), int(row["question_id"])


def started_s(name):
    found = re.search(r"Time range: ([\d.]+)", (DATA / f"{name}.summary.txt").read_text())
    return float(found[1])
