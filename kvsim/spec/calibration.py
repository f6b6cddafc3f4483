"""What a fit to real logs found: coefficients that replace those of the profiles."""

from typing import Annotated

from pydantic import Field

from kvsim.spec.base import Count, Name, Number, Spec

Finite = Annotated[float, Field(allow_inf_nan=False)]
Correlation = Annotated[float, Field(ge=-1, le=1)]


class Coefficient(Spec):
    """One number of the model, as measured."""

    value: Number
    """The number, in seconds, bytes/s or as a fraction."""
    unit: str
    """Its unit."""
    standard_error: Number | None = None
    """Standard error from the bootstrap, in the same unit; none: held, not fitted."""
    count: Count
    """Measurements behind it."""
    data: str
    """What they were, and over which range."""
    residual: Number | None = None
    """Median of |measured - fitted| / measured over them."""
    identified: bool = True
    """Whether the data tell it apart from the other coefficients."""
    note: str = ""
    """What to know before trusting it."""
    moves_with: str = ""
    """Path of the coefficient whose error goes with this one's: the constant of its line."""
    correlation: Correlation = 0.0
    """Correlation of the two errors."""


class CalibrationSpec(Spec):
    """A calibration: coefficients with their errors, and where they hold.

    Keys of `coefficients` are dotted paths: gpu.efficiency..., host..., or storage.PROFILE....
    A scenario that gives a name gets them in place of its profiles' numbers; one that gives all of
    this inline has got them already.
    """

    name: Name
    """Name, as its file."""
    date: str
    """Day of the newest run (ISO)."""
    gpu: Name
    """GPU profile of the runs."""
    model: Name
    """Model profile of the runs."""
    host: Name
    """Host profile of the runs."""
    runs: tuple[str, ...]
    """Folders of the runs."""
    coefficients: dict[str, Coefficient]
    """Dotted path to what was found."""
    ranges: dict[str, tuple[Finite, Finite]]
    """Quantity to the least and largest value in the data."""
    correlated: tuple[str, ...] = ()
    """Paths of the step-time coefficients, in the order of `covariance`."""
    covariance: tuple[tuple[Finite, ...], ...] = ()
    """Covariance of the logarithms of the coefficients named in `correlated`."""
