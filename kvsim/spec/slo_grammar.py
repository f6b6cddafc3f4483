"""Read the three ways in which people write service promises.

    ttft:p99<2s;itl:p95<50ms        llm-optimizer: metric:stat<value with a unit, joined by ;
    [{"p99_e2el_ms": "<=200"}]      vLLM's sweep: JSON, the unit is part of the name
    ttft:500 tpot:50                vLLM's and AIPerf's --goodput: milliseconds for each request

All give the same list of plain targets. A metric without a stat in the first grammar limits each
request, as the third does.
"""

import json
import re
from typing import Any

from kvsim.errors import ConfigError
from kvsim.units import parse_seconds

_LATENCIES = {
    "ttft": "ttft",
    "time_to_first_token": "ttft",
    "tpot": "tpot",
    "itl": "itl",
    "inter_token_latency": "itl",
    "e2e": "e2e",
    "e2el": "e2e",
    "e2e_latency": "e2e",
    "request_latency": "e2e",
    "queue": "queue",
}
_RATES = {
    "request_throughput": "request_throughput",
    "output_throughput": "output_throughput",
    "total_token_throughput": "total_token_throughput",
    "request_goodput": "goodput",
    "goodput": "goodput",
}
_SWEEP_LATENCIES = ("ttft", "tpot", "itl", "e2el")
_RELATION = re.compile(r"\s*(<=|>=|<|>)\s*(.+?)\s*")
_CLAUSE = re.compile(r"\s*([A-Za-z0-9_]+)\s*(?::\s*([A-Za-z0-9_.]+))?\s*(<=|>=|<|>)\s*(.+?)\s*")
_SWEEP_KEY = re.compile(r"([a-z0-9.]+)_([a-z0-9]+)_ms")
_QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)")
_EXAMPLES = "'ttft:p99<2s;itl:p95<50ms', '[{\"p99_e2el_ms\": \"<=200\"}]' or 'ttft:500 tpot:50'"

Target = dict[str, Any]


def parse_slo(text: str) -> list[Target]:
    """Read a promise in any of the three grammars; ConfigError says what is wrong with it."""
    words = text.strip()
    if not words:
        raise ConfigError(f"slo: empty; write e.g. {_EXAMPLES}")
    if words[0] in "[{":
        return _sweep(words)
    if "<" in words or ">" in words:
        return [_clause(clause) for clause in words.split(";") if clause.strip()]
    return [_goodput(word) for word in words.split()]


def _clause(text: str) -> Target:
    match = _CLAUSE.fullmatch(text)
    if match is None:
        raise ConfigError(f"slo: {text.strip()!r} is no target; write e.g. {_EXAMPLES}")
    name, stat, relation, value = match.groups()
    metric = _metric(name)
    if metric in _RATES.values():
        if stat:
            raise ConfigError(f"slo: {name} is one number and has no {stat}; write {name}>10")
        return _target(metric, {"stat": "rate"}, relation, _number(value, name))
    if re.fullmatch(r"[\d.eE+-]+", value):
        raise ConfigError(f"slo: {name}: {value} has no unit; write e.g. {value}ms or {value}s")
    return _target(metric, _stat(stat or "each", name), relation, _seconds(value, name))


def _sweep(text: str) -> list[Target]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"slo: not readable as JSON: {error}") from None
    if isinstance(data, list) and len(data) > 1:
        raise ConfigError(
            f"slo: {len(data)} alternatives in the list; a promise is one of them, "
            'e.g. [{"p99_ttft_ms": "<=500", "p99_e2el_ms": "<=2000"}]'
        )
    limits = data[0] if isinstance(data, list) and data else data
    if not isinstance(limits, dict) or not limits:
        raise ConfigError(f"slo: no limits in {text[:60]!r}; write e.g. {_EXAMPLES}")
    return [_sweep_limit(str(name), limit) for name, limit in limits.items()]


def _sweep_limit(name: str, limit: object) -> Target:
    match = _RELATION.fullmatch(limit) if isinstance(limit, str) else None
    if match is None:
        raise ConfigError(f'slo: {name}: {limit!r:.40} is no limit; write e.g. "<=200"')
    relation, value = match.groups()
    if name in _RATES:
        return _target(_RATES[name], {"stat": "rate"}, relation, _number(value, name))
    key = _SWEEP_KEY.fullmatch(name)
    if key is None or key[2] not in _SWEEP_LATENCIES:
        known = ", ".join(f"p99_{latency}_ms" for latency in _SWEEP_LATENCIES)
        raise ConfigError(f"slo: unknown metric {name!r}; known: {known}, {', '.join(_RATES)}")
    stat = _stat(key[1], name)
    return _target(_LATENCIES[key[2]], stat, relation, _number(value, name) / 1e3)


def _goodput(word: str) -> Target:
    name, colon, value = word.partition(":")
    if not colon or not value:
        raise ConfigError(f"slo: {word!r} is no target; write e.g. {_EXAMPLES}")
    metric = _metric(name)
    if metric in _RATES.values():
        raise ConfigError(f"slo: {name} is no limit of one request; write {name}>{value}")
    is_bare = re.fullmatch(r"[\d.]+", value) is not None
    limit = _number(value, name) / 1e3 if is_bare else _seconds(value, name)
    return _target(metric, {"stat": "each"}, "<=", limit)


def _target(metric: str, stat: Target, relation: str, limit: float) -> Target:
    if limit <= 0:
        raise ConfigError(f"slo: {metric}: the limit must be greater than 0")
    return {"metric": metric, **stat, "relation": relation, "limit": limit}


def _metric(name: str) -> str:
    known = _LATENCIES | _RATES
    if name not in known:
        raise ConfigError(f"slo: unknown metric {name!r}; known: {', '.join(known)}")
    return known[name]


def _stat(word: str, name: str) -> Target:
    if word in ("each", "mean"):
        return {"stat": word}
    if word in ("median", "p50"):
        return {"stat": "quantile", "quantile": 0.5}
    match = _QUANTILE.fullmatch(word)
    quantile = float(match[1]) / 100 if match else 0.0
    if quantile <= 0:
        raise ConfigError(f"slo: {name}: unknown statistic {word!r}; write mean, median or p99")
    return {"stat": "quantile", "quantile": quantile}


def _seconds(value: str, name: str) -> float:
    try:
        return parse_seconds(value)
    except ConfigError as error:
        raise ConfigError(f"slo: {name}: {error}") from None


def _number(value: str, name: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e30:
        raise ConfigError(f"slo: {name}: {value!r} is not a number of at least 0")
    return number
