"""A tier that tenants share: extents equal single keys, limits hold, and a plain model agrees."""

from __future__ import annotations

from collections.abc import Container

from hypothesis import given
from hypothesis import strategies as st

from kvsim.cache.keys import Keys, split
from kvsim.cache.make import make_chunk_tier
from kvsim.cache.tenant_tier import NO_LIMIT, Allowance, TenantTier
from tests.tier_steps import VERBS, Twins, keys_of

TENANTS = ("a", "b", "c", None)


@st.composite
def limits(draw: st.DrawFn) -> tuple[int, dict[str, Allowance]]:
    """Draw a capacity and what three tenants may keep of it."""
    capacity = draw(st.integers(1, 24))
    left = capacity
    allowances = {}
    for name in ("a", "b", "c"):
        reserved = draw(st.integers(0, left // 2))
        left -= reserved
        quota = draw(st.sampled_from([NO_LIMIT, NO_LIMIT, 0, 3, 8]))
        allowances[name] = Allowance(quota, reserved)
    return capacity, allowances


def build(
    capacity: int, eviction: str, allowances: dict[str, Allowance], *, extents: bool
) -> TenantTier:
    tier = make_chunk_tier(capacity, eviction, extents=extents, allowances=allowances)
    assert isinstance(tier, TenantTier)
    return tier


STEPS = st.lists(
    st.tuples(
        st.sampled_from(VERBS),
        st.integers(0, 3),
        st.integers(0, 19),
        st.integers(0, 10**6),
        st.sampled_from(TENANTS),
    ),
    max_size=70,
)


@given(limits(), st.sampled_from(["lru", "fifo"]), STEPS)
def test_extents_equal_keys_and_limits_hold(
    room: tuple[int, dict[str, Allowance]],
    eviction: str,
    steps: list[tuple[str, int, int, int, str | None]],
) -> None:
    capacity, allowances = room
    tiers = [build(capacity, eviction, allowances, extents=extents) for extents in (True, False)]
    twins = Twins(tiers)
    for request_id, (verb, text, length, choice, tenant) in enumerate(steps):
        used, evicted = tiers[0].used_by.copy(), tiers[0].evicted_of.copy()
        for tier in tiers:
            tier.charge_to(tenant)
        twins.step(request_id, verb, text, length, choice)
        for name, allowance in allowances.items():
            assert tiers[0].used_by[name] <= allowance.quota
            lost = tiers[0].evicted_of[name] - evicted[name]
            if name != tenant and lost:
                assert used[name] - lost >= allowance.reserved
        one, other = tiers
        assert one.used_by == other.used_by
        assert one.evicted_of == other.evicted_of
        assert one.used_chunks == other.used_chunks == sum(one.used_by.values()) <= capacity
        assert set(one.residents()) == set(other.residents())


@given(st.integers(1, 24), st.sampled_from(["lru", "fifo", "lfu", "s3fifo", "arc"]), STEPS)
def test_without_limits_nobody_is_told_apart(
    capacity: int, eviction: str, steps: list[tuple[str, int, int, int, str | None]]
) -> None:
    nothing = {name: Allowance() for name in ("a", "b", "c")}
    shared = build(capacity, eviction, nothing, extents=True)
    plain = make_chunk_tier(capacity, eviction, extents=True)
    twins = Twins([shared, plain])
    for request_id, (verb, text, length, choice, tenant) in enumerate(steps):
        shared.charge_to(tenant)
        twins.step(request_id, verb, text, length, choice)
        assert set(shared.residents()) == set(plain.residents())
        assert shared.evicted_chunks == plain.evicted_chunks


@given(limits(), STEPS)
def test_lru_of_tenants_as_a_list(
    room: tuple[int, dict[str, Allowance]], steps: list[tuple[str, int, int, int, str | None]]
) -> None:
    """The rules as a list of (key, payer), least recently used first, chunk by chunk."""
    capacity, allowances = room
    tier = build(capacity, "lru", allowances, extents=True)
    kept: list[tuple[int, str | None]] = []

    def held_by(name: str | None) -> int:
        return sum(payer == name for _, payer in kept)

    def quota_of(tenant: str | None) -> int:
        return allowances[tenant].quota if tenant else NO_LIMIT

    def drop(payers: Container[str | None], pinned: Container[int] = ()) -> bool:
        for entry in kept:
            if entry[1] in payers and entry[0] not in pinned:
                kept.remove(entry)
                return True
        return False

    def losers(tenant: str | None) -> list[str | None]:
        return [
            name
            for name in TENANTS
            if name == tenant or name is None or held_by(name) > allowances[name].reserved
        ]

    def make_room(tenant: str | None) -> bool:
        if held_by(tenant) >= quota_of(tenant):
            return drop([tenant])
        return len(kept) < capacity or drop(losers(tenant))

    def make_room_for_load(tenant: str | None, n: int, pinned: Container[int]) -> bool:
        while held_by(tenant) + n > quota_of(tenant):
            if not drop([tenant], pinned):
                break
        while len(kept) + n > capacity:
            if not drop(losers(tenant), pinned):
                return False
        return True

    def use(keys: Keys) -> None:
        for key in [key for run in reversed(keys) for key in reversed(run)]:
            entry = next(entry for entry in kept if entry[0] == key)
            kept.remove(entry)
            kept.append(entry)

    for request_id, (verb, text, length, _, tenant) in enumerate(steps):
        if verb == "store":
            found = tier.prefix(keys_of(text, 0, length))
            keys = keys_of(text, found, length)
            keys = [range(run.start, run.start + 1) for one in keys for run in _each(one)]
            tier.charge_to(tenant)
            for one in keys:
                if any(key == one.start for key, _ in kept):
                    continue
                fits = tier.can_allocate(1)
                assert bool(fits) == make_room(tenant)
                if fits:
                    tier.allocate(1)
                    tier.insert([one], held=False)
                    kept.append((one.start, tenant))
        else:
            found = tier.prefix(keys_of(text, 0, length))
            hits, rest = split(keys_of(text, 0, length), found)
            tier.pin(request_id, hits)
            use(hits)
            if verb == "load":
                new = [key for run in rest for key in run]
                pinned = [key for run in hits for key in run]
                before = list(kept)
                tier.charge_to(tenant)
                fits = tier.reserve(len(new))
                assert fits == make_room_for_load(tenant, len(new), pinned)
                if fits:
                    tier.insert(rest, held=False)
                    kept += [(key, tenant) for key in new if all(key != one for one, _ in kept)]
                    while held_by(tenant) > quota_of(tenant):
                        assert drop([tenant], pinned)
                else:
                    kept[:] = before
            tier.unpin(request_id)
        assert set(tier.residents()) == {key for key, _ in kept}


def _each(run: range) -> list[range]:
    return [range(key, key + 1) for key in run]
