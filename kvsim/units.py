"""Turn "80GiB", "25GB/s", "15ms", "989TFLOPS" into plain numbers and back.

The only place that knows prefixes. Inside kvsim a size is an int of bytes, a rate a float of
bytes per second, a time a float of seconds, computing speed a float of FLOP per second.
Decimal (k, M, G, T, P) and binary (Ki, Mi, Gi, Ti, Pi) prefixes are both exact; `b` is a bit and
`B` a byte, which only rates may mix ("200Gb/s" is 25 GB/s).
"""

import math
import re
import reprlib
from typing import Final

from kvsim.errors import ConfigError

_REPR: Final = reprlib.Repr()
_REPR.maxlevel = 2
_REPR.maxstring = _REPR.maxother = 60

_DECIMAL: Final = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
_BINARY: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}
_PREFIX: Final = _DECIMAL | _BINARY
_TIME: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
# Units smaller than a second, as the divisor that gives the nearest float ("15ms" is 15 / 1000).
_PER_SECOND: Final = {"ns": 1e9, "us": 1e6, "µs": 1e6, "μs": 1e6, "ms": 1e3}

_NUMBER: Final = r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*"
_BYTES_TEXT: Final = re.compile(_NUMBER + r"(?:((?:[KMGTP]i|[kKMGTP])?)B)?\s*")
_RATE_TEXT: Final = re.compile(_NUMBER + r"(?:((?:[KMGTP]i|[kKMGTP])?)(B/s|b/s|bps|bit/s))?\s*")
_TIME_TEXT: Final = re.compile(_NUMBER + r"(ns|us|µs|μs|ms|s|min|h|d)?\s*")
_FLOPS_TEXT: Final = re.compile(_NUMBER + r"(?:([kMGTP]?)(?:FLOPS|FLOP/s|FLOPs))?\s*")


def parse_bytes(value: object) -> int:
    """Read a size: whole bytes, or a text such as "80GiB" or "100GB"."""
    rule = "a size; write bytes or e.g. '80GiB'"
    number, unit = _split(value, _BYTES_TEXT, rule)
    size = number * _PREFIX[unit[0] or ""] if unit else number
    if isinstance(size, float):
        if abs(size - round(size)) > 1e-6 * max(1.0, abs(size)):
            raise ConfigError(f"{_show(value)} is not a whole number of bytes")
        size = round(size)
    return size


def parse_rate(value: object) -> float:
    """Read a rate: bytes per second, or a text such as "25GB/s" (bytes) or "200Gb/s" (bits)."""
    rule = "a rate; write bytes per second or e.g. '25GB/s' or '200Gb/s'"
    number, unit = _split(value, _RATE_TEXT, rule)
    if not unit or unit[1] is None:
        return float(number)
    rate = float(number * _PREFIX[unit[0] or ""])
    return rate if unit[1] == "B/s" else rate / 8


def parse_seconds(value: object) -> float:
    """Read a time: seconds, or a text such as "15ms", "310us", "1200s" or "20min"."""
    number, unit = _split(value, _TIME_TEXT, "a time; write seconds or e.g. '15ms'")
    name = unit[0] if unit and unit[0] else "s"
    return number / _PER_SECOND[name] if name in _PER_SECOND else float(number * _TIME[name])


def parse_flops(value: object) -> float:
    """Read a computing speed: FLOP per second, or a text such as "989TFLOPS"."""
    rule = "a computing speed; write FLOP per second or e.g. '989TFLOPS'"
    number, unit = _split(value, _FLOPS_TEXT, rule)
    return float(number * _DECIMAL[unit[0] or ""] if unit else number)


def format_bytes(n_bytes: float) -> str:
    """Write a size with a binary prefix and at most four significant digits."""
    return _format(n_bytes, {"": 1, **_BINARY}, "B")


def format_rate(bytes_per_s: float) -> str:
    """Write a rate with a decimal prefix and at most four significant digits."""
    return _format(bytes_per_s, {k: v for k, v in _DECIMAL.items() if k != "K"}, "B/s")


def format_flops(flops: float) -> str:
    """Write a computing speed with a decimal prefix and at most four significant digits."""
    return _format(flops, {k: v for k, v in _DECIMAL.items() if k != "K"}, "FLOPS")


def format_seconds(seconds: float) -> str:
    """Write a time in the unit that keeps it at or above one: 15ms, 2.5s, 20min, 3h."""
    size = abs(seconds)
    if size == 0:
        return "0s"
    if size < 60:
        for name, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
            if size * scale >= 0.99995:
                return f"{seconds * scale:.4g}{name}"
        return f"{seconds * 1e9:.4g}ns"
    name, scale = ("min", 60.0) if size < 3600 else ("h", 3600.0)
    return f"{seconds / scale:.4g}{name}"


def format_count(number: float) -> str:
    """Write a count with thousands separators (below a million, else 8.19M, 3.2B)."""
    if abs(number) < 1000:
        return f"{number:.4g}"
    if abs(number) < 1e6:
        return f"{number:,.0f}"
    for name, scale in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if abs(number) >= scale:
            return f"{number / scale:.3g}{name}"
    return f"{number:,.0f}"


def _split(
    value: object, pattern: re.Pattern[str], rule: str
) -> tuple[int | float, tuple[str | None, ...]]:
    """Cut a value into its number and the unit's groups; numbers have no unit."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ConfigError(f"{_show(value)} is not {rule}")
    unit: tuple[str | None, ...] = ()
    number: int | float
    if isinstance(value, str):
        match = pattern.fullmatch(value)
        if match is None:
            raise ConfigError(f"{_show(value)} is not {rule}")
        text = match[1].replace("_", "")
        number = int(text) if re.fullmatch(r"[+-]?\d{1,30}", text) else float(text)
        unit = match.groups()[1:]
        if all(group is None for group in unit):
            unit = ()
    else:
        number = value
    if (isinstance(number, float) and not math.isfinite(number)) or abs(number) > 1e30:
        raise ConfigError(f"{_show(value)} is not finite; it is not {rule}")
    if number < 0:
        raise ConfigError(f"{_show(value)} is negative; it must be at least 0")
    return number, unit


def _show(value: object) -> str:
    """Quote a value for an error message, cut to a readable length."""
    return "null" if value is None else _REPR.repr(value)


def _format(value: float, prefixes: dict[str, int], unit: str) -> str:
    best, scale = "", 1
    for prefix, size in prefixes.items():
        if abs(value) >= size:
            best, scale = prefix, size
    return f"{value / scale:.4g}{best}{unit}"
