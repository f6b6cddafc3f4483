"""What may be chosen for one key of a scenario: a list of values, or a range."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from kvsim.errors import ConfigError
from kvsim.spec.base import Spec
from kvsim.spec.problems import models_of
from kvsim.units import parse_bytes, parse_flops, parse_rate, parse_seconds

_MOST_STEPS = 100_000


def _number(value: object) -> int | float:
    """Read a number, or a text with any unit that a scenario may have: 20GiB, 5GB/s, 15ms."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ConfigError(f"{value} is not finite")
        return value
    if isinstance(value, str):
        readers: tuple[Callable[[object], int | float], ...] = (
            parse_bytes,
            parse_rate,
            parse_seconds,
            parse_flops,
        )
        for read in readers:
            try:
                return read(value)
            except ConfigError:
                continue
    raise ConfigError(
        f"{value!r:.60} is neither a number nor a quantity such as 20GiB, 5GB/s or 15ms"
    )


Quantity = Annotated[int | float, BeforeValidator(_number)]


class AxisSpec(Spec):
    """The values of one key: `choices`, or all between `low` and `high`.

    A range between whole numbers (sizes are whole bytes) has whole values.
    """

    choices: tuple[Any, ...] | None = None
    """The values, in their order."""
    low: Quantity | None = None
    """Smallest value."""
    high: Quantity | None = None
    """Largest value, itself one of them."""
    scale: Literal["linear", "log"] = "linear"
    """linear: equal differences are equally likely; log: equal ratios."""
    step: Quantity | None = None
    """Values are this far apart, from `low` on; none: any value."""

    @model_validator(mode="before")
    @classmethod
    def _list_alone(cls, data: Any) -> Any:
        if isinstance(data, list | tuple):
            return {"choices": data}
        if not isinstance(data, Mapping | AxisSpec):
            raise ConfigError(f"{data!r:.60}: give a list of values, or {{low: 1, high: 4}}")
        return data

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.choices is not None:
            if not self.choices:
                raise ConfigError("choices: empty; list at least one value")
            if self.low is not None or self.high is not None or self.step is not None:
                raise ConfigError("choices: goes without low, high and step")
            return self
        if self.low is None or self.high is None:
            raise ConfigError("give choices, or both low and high")
        if self.low > self.high:
            raise ConfigError(f"low: {self.low:g} is above high {self.high:g}")
        if self.scale == "log" and self.low <= 0:
            raise ConfigError(f"low: {self.low:g} has no logarithm; take scale: linear, or more")
        if self.step is not None:
            if self.step <= 0:
                raise ConfigError(f"step: {self.step:g} must be greater than 0")
            if (self.high - self.low) / self.step > _MOST_STEPS:
                raise ConfigError(f"step: {self.step:g} makes more than {_MOST_STEPS:,} values")
        return self

    @property
    def bounds(self) -> tuple[int | float, int | float]:
        """The ends of a range."""
        assert self.low is not None
        assert self.high is not None
        return self.low, self.high

    @property
    def is_whole(self) -> bool:
        """Tell whether a range has whole values only."""
        return all(isinstance(end, int) for end in (self.low, self.high, self.step or 0))

    @property
    def values(self) -> tuple[Any, ...] | None:
        """All values, None of a range without steps between numbers that are not whole.

        Whole ranges without a step count as lists up to 1,000 values.
        """
        if self.choices is not None:
            return self.choices
        low, high = self.bounds
        step = self.step
        if step is None:
            if not self.is_whole or high - low >= 1_000:
                return (low,) if low == high else None
            step = 1
        return tuple(low + n * step for n in range(int((high - low) / step + 1e-9) + 1))

    def at(self, part: float) -> Any:
        """Return the value that lies this part (0 to below 1) of the way through the axis."""
        values = self.values
        if values is not None and (self.choices is not None or self.scale == "linear"):
            return values[min(int(part * len(values)), len(values) - 1)]
        low, high = self.bounds
        end = high + 1 if self.is_whole and self.step is None else high
        if self.scale == "log":
            value = math.exp(math.log(low) + part * (math.log(end) - math.log(low)))
        else:
            value = low + part * (end - low)
        if values is not None:
            return min(values, key=partial(_distance, value))
        if self.is_whole:
            return min(max(math.floor(value), int(low)), int(high))
        return min(max(float(f"{value:.6g}"), low), high)


def _distance(to: float, value: float) -> float:
    return abs(value - to)


Space = Annotated[dict[str, AxisSpec], Field(min_length=1)]
"""Axes by dotted path."""


def reads_bytes(path: str) -> bool:
    """Tell whether a dotted path of a scenario is a size in bytes."""
    from kvsim.spec.scenario import Scenario

    models: list[type[BaseModel]] = [Scenario]
    *blocks, last = path.split(".")
    for name in blocks:
        models = [
            inner
            for model in models
            if name in model.model_fields
            for inner in models_of(model.model_fields[name].annotation)
        ]
    return any(
        getattr(mark, "func", None) is parse_bytes
        for model in models
        if last in model.model_fields
        for mark in model.model_fields[last].metadata
    )
