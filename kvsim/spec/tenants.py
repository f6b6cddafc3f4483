"""Who shares the system: tenants, their part of the traffic, and what each may keep of a tier."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field

from kvsim.errors import ConfigError
from kvsim.spec.base import PositiveNumber, Spec, check_name, reject_bool
from kvsim.spec.offload import OffloadSpec
from kvsim.units import format_bytes, parse_bytes


def _amount(value: object) -> float:
    """Read a part of a tier: a fraction of it, or bytes."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            value = float(value.strip()[:-1]) / 100
        except ValueError:
            raise ConfigError(f"{value!r} is no percentage; write e.g. 25%") from None
    if isinstance(value, float) and not value.is_integer():
        if not 0 <= value < 1:
            raise ConfigError(f"{value:g} is neither a fraction up to 1 nor a size, e.g. 20GiB")
        return value
    if value in (1, 1.0):
        return 1.0
    return float(parse_bytes(value))


TierPart = Annotated[float, BeforeValidator(_amount), Field(ge=0)]
"""Up to 1 a fraction of the tier, else bytes."""


class TenantSpec(Spec):
    """One tenant.

    Quota and reserve of a tier are kvsim's own what-if: neither vLLM nor the modelled LMCache
    divides a tier. They mean what cgroup v2 calls max and min.
    """

    share: PositiveNumber = 1.0
    """Part of the users (sessions) that are this tenant's, relative to the others' shares. Counts
    where the workload does not name tenants itself."""
    weight: PositiveNumber = 1.0
    """Service that the tenant is entitled to, relative to the others: for the fairness index."""
    priority: Annotated[int, BeforeValidator(reject_bool)] = 0
    """vLLM's request priority: the lower, the earlier (engine.scheduling_policy: priority)."""
    cpu_quota: TierPart | None = None
    """Most of each instance's CPU tier that the tenant keeps (fraction or bytes): beyond it the
    tenant evicts its own chunks. A load from the store may take more until its chunks have come;
    none: no limit."""
    cpu_reserved: TierPart | None = None
    """Part of each instance's CPU tier (fraction or bytes) up to which no other tenant evicts this
    one's chunks; none: nothing is protected."""
    remote_quota: TierPart | None = None
    """The same as cpu_quota, of the store that all instances share."""
    remote_reserved: TierPart | None = None
    """The same as cpu_reserved, of the store that all instances share."""


def part_bytes(part: float | None, capacity_bytes: int | None) -> int | None:
    """Return the bytes of a part of a tier; None for None."""
    if part is None:
        return None
    if part <= 1 and capacity_bytes is not None:
        return int(part * capacity_bytes)
    return int(part)


def check_tenants(tenants: Mapping[str, TenantSpec], offload: OffloadSpec) -> None:
    """Refuse parts that exceed their tier together, or are of a store without a size.

    Parts of a tier that there is not, as in one setup of a sweep, do not count.
    """
    if not tenants:
        raise ConfigError("tenants: names none; describe at least one, or leave the key out")
    for name in tenants:
        try:
            check_name(name)
        except ConfigError as error:
            raise ConfigError(f"tenants: {error}") from None
    if offload.connector == "none":
        return
    capacity: dict[str, int | None] = {"cpu": offload.cpu.capacity}
    if offload.remote is not None:
        capacity["remote"] = offload.remote.capacity
    for tier, size in capacity.items():
        reserved = 0
        for name, tenant in tenants.items():
            for kind in ("quota", "reserved"):
                part = getattr(tenant, f"{tier}_{kind}")
                if part is None:
                    continue
                if size is None and (kind == "reserved" or part <= 1):
                    raise ConfigError(
                        f"tenants.{name}.{tier}_{kind}: the store has no limit to take a part of; "
                        "set offload.remote.capacity"
                    )
                if kind == "reserved":
                    reserved += part_bytes(part, size) or 0
        if size is not None and reserved > size:
            raise ConfigError(
                f"tenants: {tier}_reserved adds up to {format_bytes(reserved)}, more than the "
                f"tier's {format_bytes(size)}"
            )
