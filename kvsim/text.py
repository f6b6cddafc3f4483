"""Figures as people read them, the same in terminal, page and app.

What can also stand in a file ("80GiB", "25GB/s", "15ms") is written by `kvsim.units`. What is not
known (None or NaN) is a dash.
"""

from math import isfinite
from typing import Final

from kvsim.units import format_bytes, format_rate

_DURATIONS: Final = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def number(value: float | None, digits: int = 1) -> str:
    """Write a number with its thousands apart, for columns whose points stand in line."""
    return "-" if value is None or value != value else f"{value:,.{digits}f}"


def value_text(value: float | None) -> str:
    """Write a number with four digits, or as a whole one with its thousands apart."""
    if value is None or value != value:
        return "-"
    return f"{value:.4g}" if abs(value) < 999.95 else f"{value:,.0f}"


def counted(count: int, what: str) -> str:
    """Write a number of things, whose plural has an s."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def requests_per_s(value: float | None) -> str:
    """Write a rate of requests."""
    return f"{value_text(value)} requests/s"


def duration(seconds: float | None) -> str:
    """Write how long something takes, with four digits."""
    if seconds is None or seconds != seconds:
        return "-"
    for size, unit in _DURATIONS:
        if abs(seconds) >= 0.99995 * size:
            return f"{value_text(seconds / size)} {unit}"
    return f"{value_text(seconds)} s"


def bytes_text(n_bytes: float | None) -> str:
    """Write a number of bytes."""
    return "-" if n_bytes is None or n_bytes != n_bytes else format_bytes(n_bytes)


def percent(part: float | None) -> str:
    """Write a fraction as a percentage."""
    return "-" if part is None or part != part else f"{part:.1%}"


def signed(fraction: float, digits: int = 0) -> str:
    """Write a change in percent with its sign (without the percent sign)."""
    percent_points = round(100 * fraction, digits) + 0.0  # no "-0"
    return f"{percent_points:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def change_text(fraction: float, digits: int = 0) -> str:
    """Write a change in percent."""
    return f"{signed(fraction, digits)} %" if isfinite(fraction) else "-"


def short(tokens: float) -> str:
    """Write a context length the way people say it: 2.5k."""
    return f"{tokens / 1000:g}k" if tokens >= 1000 else f"{tokens:g}"


def coefficient_text(value: float, unit: str) -> str:
    """Write a coefficient of a calibration with three digits, for a fit knows no more."""
    value = float(f"{value:.3g}")
    if unit == "s":
        return duration(value)
    if unit == "B/s":
        return format_rate(value)
    return value_text(value) if unit in ("of peak", "factor") else f"{value_text(value)} {unit}"
