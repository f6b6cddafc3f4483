"""Figures in words, the same in terminal, page and app."""


def milliseconds(seconds: float | None) -> str:
    """Write an interval the way people compare latencies."""
    if seconds is None:
        return "-"
    return f"{seconds * 1e3:,.0f} ms" if seconds < 10 else f"{seconds:,.1f} s"


def latency(seconds: float | None) -> str:
    """Write an interval with three digits, in the unit that people say it in."""
    if seconds is None:
        return "-"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def number(value: float | None, digits: int = 1) -> str:
    """Write a number with its thousands apart, or a dash where there is none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def percent(part: float | None) -> str:
    """Write a fraction as a percentage."""
    return "-" if part is None else f"{part:.1%}"


def signed(fraction: float, digits: int = 0) -> str:
    """Write a change in percent with its sign (without the percent sign)."""
    percent_points = round(100 * fraction, digits) + 0.0  # no "-0"
    return f"{percent_points:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def short(tokens: float) -> str:
    """Write a context length the way people say it: 2.5k."""
    return f"{tokens / 1000:g}k" if tokens >= 1000 else f"{tokens:g}"


def coefficient_text(value: float, unit: str) -> str:
    """Write a coefficient of a calibration with a unit that fits its size."""
    if unit == "s":
        for size, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
        return f"{value / 1e-9:.3g} ns"
    if unit == "B/s":
        return f"{value / 1e9:.3g} GB/s"
    return f"{value:.3g}" if unit in ("of peak", "factor") else f"{value:.3g} {unit}"
