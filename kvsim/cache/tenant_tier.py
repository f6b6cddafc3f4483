"""A tier whose room tenants share: each chunk is charged to the tenant that stored it first.

Two limits, as of cgroup v2's memory controller: a tenant keeps its *quota* at most (`max`) and
evicts its own chunks beyond it, whatever room there is; up to its *reserve* (`min`) its chunks are
not evicted for others. Within what these leave, the policy's order decides over all tenants, and
without any the tier is the same as `ChunkTier`. A hit is free: whoever stores a shared prefix first
goes on paying for it, and a second copy that only a put reads is charged to who stored it.

A load needs a place to land, however small the quota: its memory may go beyond it (`reserve`), and
what the tenant may not keep leaves when the load's chunks are entered (`insert`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from kvsim.cache.chunk_tier import ChunkTier
from kvsim.cache.key_order import Order
from kvsim.cache.keys import Keys

NO_LIMIT = 1 << 60


class Allowance(NamedTuple):
    """What a tenant may keep of a tier (chunks)."""

    quota: int = NO_LIMIT
    reserved: int = 0


class _OffLimits:
    """The keys that may not leave for a tenant: busy ones and those of protected tenants."""

    def __init__(
        self,
        busy: Container[int],
        payer_of: Mapping[int, str | None],
        may_lose: Container[str | None],
    ) -> None:
        self._busy = busy
        self._payer_of = payer_of
        self._may_lose = may_lose

    def __contains__(self, key: object) -> bool:
        assert isinstance(key, int)
        return key in self._busy or self._payer_of[key] not in self._may_lose

    def isdisjoint(self, keys: range) -> bool:
        return not any(key in self for key in keys)


class TenantTier(ChunkTier):
    """Hold chunks of several tenants; what nobody is charged for has neither quota nor reserve."""

    def __init__(
        self, capacity_chunks: int, order: Order, allowances: Mapping[str, Allowance]
    ) -> None:
        super().__init__(capacity_chunks, order)
        self.used_by: Counter[str | None] = Counter()
        """Chunks of memory that each tenant is charged for."""
        self.peak_of: Counter[str | None] = Counter()
        self.evicted_of: Counter[str | None] = Counter()
        self._allowances: dict[str | None, Allowance] = {None: Allowance()}
        self._allowances.update(allowances)
        self._payer_of: dict[int, str | None] = {}  # of resident chunks
        self._resident_of: Counter[str | None] = Counter()
        self._spare_payers: dict[int, list[str | None]] = {}

    def can_allocate(self, n: int) -> int:
        """Say how many of `n` chunks the tenant could be given now."""
        free = self.capacity_chunks - self.used_chunks
        within_quota = self._allowances[self.tenant].quota - self.used_by[self.tenant]
        if n <= free and n <= within_quota:
            return n
        own, others = self._may_leave()
        return max(0, min(n, within_quota + own, free + own + others))

    def allocate(self, n: int) -> None:
        """Take memory for `n` chunks of the tenant, evicting as needed."""
        beyond = self._beyond_quota(n)
        if beyond > 0:
            self._evict(beyond, {self.tenant})
        self._take(n)

    def reserve(self, n: int) -> bool:
        """Take memory for the `n` chunks of a tenant's load, beyond its quota if need be."""
        beyond = self._beyond_quota(n)
        lacking = self.used_chunks + n - self.capacity_chunks
        if beyond > 0 or lacking > 0:
            own, others = self._may_leave()
            if lacking > own + others:
                return False
            if beyond > 0 and own:
                self._evict(min(beyond, own), {self.tenant})
        self._take(n)
        return True

    def insert(self, keys: Keys, *, held: bool) -> None:
        """Enter allocated chunks; what a load has brought beyond the quota leaves at once."""
        super().insert(keys, held=held)
        beyond = self._beyond_quota(0)
        if beyond > 0 and not held:
            own, _ = self._may_leave()
            self._evict(min(beyond, own), {self.tenant})

    def _beyond_quota(self, n: int) -> int:
        """Count how far `n` more chunks take the tenant beyond its quota."""
        return self.used_by[self.tenant] + n - self._allowances[self.tenant].quota

    def _may_leave(self) -> tuple[int, int]:
        """Count the chunks that could leave for the tenant: its own, and those of others."""
        busy = Counter(map(self._payer_of.__getitem__, self._busy_keys()))
        own = self._resident_of[self.tenant] - busy[self.tenant]
        others = 0
        for tenant in self._losers():
            may_leave = self._resident_of[tenant] - busy[tenant]
            spared = self._allowances[tenant].reserved
            others += max(0, min(may_leave, self.used_by[tenant] - spared))
        return own, others

    def _take(self, n: int) -> None:
        """Take memory for `n` chunks of the tenant, evicting where the tier is full."""
        while (lacking := self.used_chunks + n - self.capacity_chunks) > 0:
            losers = self._losers()
            # Nobody falls below a reserve: look again when the first might.
            spared = [self._allowances[tenant].reserved for tenant in losers]
            above = [self.used_by[t] - r for t, r in zip(losers, spared, strict=True) if r]
            self._evict(min([lacking, *above]), {self.tenant, *losers})
        self.used_chunks += n
        self.used_by[self.tenant] += n
        self.peak_of[self.tenant] = max(self.peak_of[self.tenant], self.used_by[self.tenant])

    def _losers(self) -> list[str | None]:
        """Name the other tenants that hold more than their reserve."""
        return [
            tenant
            for tenant, allowance in self._allowances.items()
            if tenant != self.tenant and self.used_by[tenant] > allowance.reserved
        ]

    def _evict(self, n: int, may_lose: Container[str | None]) -> None:
        victims = self._order.evict(n, _OffLimits(self._busy(), self._payer_of, may_lose))
        for key in victims:
            payer = self._payer_of.pop(key)
            self._resident_of[payer] -= 1
            self.used_by[payer] -= 1
            self.evicted_of[payer] += 1
        self.used_chunks -= n
        self.evicted_chunks += n

    def give_back(self, n: int) -> None:
        super().give_back(n)
        self.used_by[self.tenant] -= n

    def _enter(self, run: range, outside: Sequence[int], *, held: bool) -> None:
        super()._enter(run, outside, held=held)
        known = set(outside)
        entered = [key for key in run if key not in known]
        self._payer_of.update(dict.fromkeys(entered, self.tenant))
        self._resident_of[self.tenant] += len(entered)
        if held:
            for key in outside:
                self._spare_payers.setdefault(key, []).append(self.tenant)
        else:
            self.used_by[self.tenant] -= len(outside)

    def release(self, keys: Sequence[int]) -> None:
        for key in keys:
            if key in self._spare_payers:
                payers = self._spare_payers[key]
                self.used_by[payers.pop()] -= 1
                if not payers:
                    del self._spare_payers[key]
        super().release(keys)
