"""Read Prometheus scrapes of a vLLM server: `vllm:` and `lmcache:` names.

A file is one scrape, or several, each headed `# t EPOCH` (docs/calibration-campaign.md has the loop
that writes it). Older vLLM names are read as today's. Samples of several engines keep their labels;
`values` adds them up, or averages them where a sum means nothing.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from kvsim.calibration.readers.files import read_lines
from kvsim.errors import CalibrationError

_PREFIXES = ("vllm:", "lmcache:", "lmcache_mp_")
_OLD_NAMES = {
    "vllm:gpu_cache_usage_perc": "vllm:kv_cache_usage_perc",
    "vllm:time_per_output_token_seconds": "vllm:inter_token_latency_seconds",
    "vllm:gpu_prefix_cache_queries": "vllm:prefix_cache_queries",
    "vllm:gpu_prefix_cache_hits": "vllm:prefix_cache_hits",
}
_SHARES = ("_perc", "_ratio", "_rate", "_usage")

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Scrape:
    """All known samples of one instant."""

    time_s: float | None
    """Epoch seconds; None for a scrape without a heading."""
    samples: Mapping[str, Mapping[Labels, float]]
    """By name (counters with their `_total`), then by labels, in the order of the text."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """A histogram between two scrapes, all engines together."""

    count: float
    total: float
    bounds: tuple[float, ...]
    """Upper bounds, the last one infinite; empty if the scrapes keep no buckets."""
    counts: tuple[float, ...]
    """Observations at or below each bound."""

    @property
    def mean(self) -> float | None:
        """Give the mean, None without observations."""
        return self.total / self.count if self.count else None

    def share_below(self, bound: float) -> float | None:
        """Return the share of observations at or below the last bound that is not above `bound`."""
        place = bisect_right(self.bounds, bound) - 1
        if not self.count or not self.bounds:
            return None
        return self.counts[place] / self.count if place >= 0 else 0.0


@dataclass(frozen=True, slots=True)
class Scrapes:
    """All scrapes of one file, in its order."""

    scrapes: tuple[Scrape, ...]
    damaged_lines: int
    other_samples: int
    """Samples of names that are neither vLLM's nor LMCache's."""

    def values(self, name: str, **labels: str) -> list[float | None]:
        """Return a metric at each scrape, all engines together; None where it is not there.

        `labels` choose samples (source="local_compute"). Counters may be named without `_total`.
        """
        return [_value(scrape, name, labels) for scrape in self.scrapes]

    def growth(self, name: str, **labels: str) -> float | None:
        """Return how much a counter grew from the first scrape that has it to the last.

        A counter that falls was started anew: it grew by what it shows then.
        """
        seen = [value for value in self.values(name, **labels) if value is not None]
        if not seen:
            return None
        return sum(now - before if now >= before else now for before, now in pairwise(seen))

    def histogram(self, name: str) -> Histogram | None:
        """Return what a histogram gained from the first scrape to the last; None if unknown.

        A scrape that was kept without its buckets still tells the mean.
        """
        last = self.scrapes[-1].samples
        if f"{name}_count" not in last or len(self.scrapes) < 2:
            return None
        first = self.scrapes[0].samples
        buckets = last.get(f"{name}_bucket", {})
        counts: dict[float, float] = {}
        for key, value in buckets.items():
            bound = float(dict(key)["le"])
            before = first.get(f"{name}_bucket", {}).get(key, 0.0)
            counts[bound] = counts.get(bound, 0.0) + value - before
        bounds = tuple(sorted(counts))
        return Histogram(
            count=self.growth(f"{name}_count") or 0.0,
            total=self.growth(f"{name}_sum") or 0.0,
            bounds=bounds,
            counts=tuple(counts[bound] for bound in bounds),
        )


def read_prometheus(path: Path) -> Scrapes:
    """Read one file; lines that Prometheus' own parser refuses are counted."""
    scrapes: list[Scrape] = []
    damaged = other = 0
    for time_s, lines in _parts(path):
        samples: dict[str, dict[Labels, float]] = {}
        bad, foreign = _parse(lines, samples)
        damaged += bad
        other += foreign
        if samples:
            scrapes.append(Scrape(time_s, samples))
    if not scrapes:
        raise CalibrationError(
            f"{path}: no sample named vllm:... or lmcache:... ({damaged} damaged lines, {other} "
            "other samples); expected what a vLLM server's /metrics shows"
        )
    return Scrapes(tuple(scrapes), damaged, other)


def _parts(path: Path) -> Iterator[tuple[float | None, list[str]]]:
    """Yield each scrape's time and lines; the parser wants a family's lines in one piece."""
    time_s: float | None = None
    lines: list[str] = []
    for line in read_lines(path):
        words = line.split()
        if len(words) == 3 and words[:2] == ["#", "t"]:
            if lines:
                yield time_s, lines
            try:
                time_s = float(words[2])
            except ValueError:
                time_s = None
            lines = []
        elif line.strip():
            lines.append(line)
    if lines:
        yield time_s, lines


def _parse(lines: list[str], into: dict[str, dict[Labels, float]]) -> tuple[int, int]:
    """Add the samples of some lines; return how many lines were damaged, samples foreign."""
    try:
        found = [
            (sample.name, sample.labels, float(sample.value))
            for family in text_string_to_metric_families("\n".join(lines) + "\n")
            for sample in family.samples
        ]
    except (ValueError, KeyError, IndexError):
        if len(lines) == 1:
            return 1, 0
        middle = len(lines) // 2
        left = _parse(lines[:middle], into)
        right = _parse(lines[middle:], into)
        return left[0] + right[0], left[1] + right[1]
    foreign = 0
    for name, labels, value in found:
        if not name.startswith(_PREFIXES):
            foreign += 1
        elif not name.endswith("_created"):
            into.setdefault(_today(name), {})[tuple(sorted(labels.items()))] = value
    return 0, foreign


def _today(name: str) -> str:
    for old, new in _OLD_NAMES.items():
        if name.startswith(old) and name[len(old) :] in ("", "_total", "_bucket", "_count", "_sum"):
            return new + name[len(old) :]
    return name


def _value(scrape: Scrape, name: str, labels: Mapping[str, str]) -> float | None:
    rows = scrape.samples.get(f"{name}_total") or scrape.samples.get(name)
    if rows is None:
        return None
    chosen = [
        value
        for key, value in rows.items()
        if all(dict(key).get(label) == wanted for label, wanted in labels.items())
    ]
    if not chosen:
        return None
    return sum(chosen) / len(chosen) if name.endswith(_SHARES) else sum(chosen)
