"""Whose each request is: tenants take turns over the users, or the trace says."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from itertools import accumulate
from math import sqrt
from typing import TYPE_CHECKING

from kvsim.errors import ConfigError
from kvsim.spec.problems import suggest
from kvsim.spec.tenants import TenantSpec
from kvsim.workload.request import Request

if TYPE_CHECKING:
    from kvsim.workload.traces.trace import Trace

_GOLDEN = (sqrt(5) - 1) / 2


class Reception:
    """Put each request's tenant and priority on it, on its way from the client to the router.

    User number n belongs to the tenant in whose part of [0, 1) the fraction of n times the golden
    ratio lies (a Weyl sequence): the shares are kept from the first users on, and no other
    alternation, as of a round-robin router, falls in step with it.
    """

    def __init__(
        self, tenants: Mapping[str, TenantSpec], submit: Callable[[Request], None]
    ) -> None:
        self._tenants = tenants
        self._submit = submit
        self._names = list(tenants)
        total = sum(tenant.share for tenant in tenants.values())
        self._ends = list(accumulate(tenant.share / total for tenant in tenants.values()))
        self._of_session: list[str] | None = None

    def use_trace(self, trace: Trace, users: Mapping[int, int]) -> None:
        """Take the tenants of a trace's sessions, or share its users out where it names none.

        `users` gives the user of each session that has a row; copies of a user are its tenant's.
        """
        unknown = sorted({name for name in trace.tenants if name not in self._tenants})
        if unknown:
            raise ConfigError(
                f"tenants: {trace.name} names {unknown[0]!r}, which is not described here; "
                f"{suggest(unknown[0], self._tenants)}"
            )
        if trace.tenants:
            self._of_session = list(trace.tenants)
        else:
            sessions = range(len(trace.session_names))
            self._of_session = [self.tenant_of(users.get(session, session)) for session in sessions]

    def tenant_of(self, user: int) -> str:
        """Name the tenant of a user by its number."""
        place = bisect_right(self._ends, user * _GOLDEN % 1)
        return self._names[min(place, len(self._names) - 1)]

    def submit(self, request: Request) -> None:
        """Send a request on; warm-up requests are nobody's."""
        if not request.warmup:
            session = request.session_id
            if self._of_session is None:
                name = self.tenant_of(session)
            else:
                name = self._of_session[session % len(self._of_session)]
            request.tenant = name
            request.priority = self._tenants[name].priority
        self._submit(request)
