"""The three grammars of promises give the same targets, and say what is wrong with others."""

import pytest

from kvsim.errors import ConfigError
from kvsim.spec import Scenario
from kvsim.spec.slo import SloSpec, SloTarget
from kvsim.spec.slo_grammar import parse_slo


def targets(text: str) -> list[SloTarget]:
    return list(SloSpec.model_validate(text).all_targets)


def test_three_grammars_say_the_same() -> None:
    first = targets("e2e:p99<=200ms")
    assert first == targets('[{"p99_e2el_ms": "<=200"}]')
    assert first == targets('{"p99_e2el_ms": "<=200"}')
    assert first == [SloTarget(metric="e2e", stat="quantile", quantile=0.99, limit=0.2)]


def test_limits_of_each_request() -> None:
    assert targets("ttft:500 tpot:50") == targets("ttft<=0.5s; tpot<=50ms")
    assert targets("ttft:500") == [SloTarget(metric="ttft", stat="each", limit=0.5)]
    assert targets("request_latency:250 inter_token_latency:10") == targets("e2e:250 itl:10")


@pytest.mark.parametrize(
    ("text", "metric", "quantile", "relation", "limit"),
    [
        ("ttft:p99<2s", "ttft", 0.99, "<", 2.0),
        ("itl:p95 <= 50ms", "itl", 0.95, "<=", 0.05),
        ("ttft:median<300ms", "ttft", 0.5, "<", 0.3),
        ("e2e_latency:p99.9<1min", "e2e", 0.999, "<", 60.0),
        ('[{"median_tpot_ms": "< 30"}]', "tpot", 0.5, "<", 0.03),
    ],
)
def test_quantiles(text: str, metric: str, quantile: float, relation: str, limit: float) -> None:
    (target,) = targets(text)
    assert (target.metric, target.stat, target.relation) == (metric, "quantile", relation)
    assert target.quantile == pytest.approx(quantile)
    assert target.limit == pytest.approx(limit)


def test_rates_are_limited_from_below() -> None:
    (target,) = targets('[{"request_throughput": ">=2.5"}]')
    assert (target.metric, target.stat, target.relation, target.limit) == (
        "request_throughput",
        "rate",
        ">=",
        2.5,
    )
    assert targets("goodput>3")[0].is_met(3.1)
    assert not targets("goodput>3")[0].is_met(3.0)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "empty"),
        ("ttft", "no target"),
        ("ttft:", "no target"),
        ("ttft:p99<2", "no unit"),
        ("ttft:p100<2s", "unknown statistic"),
        ("ttft:p0<2s", "unknown statistic"),
        ("ttft:worst<2s", "unknown statistic"),
        ("speed:p99<2s", "unknown metric"),
        ("ttft:p99<-2s", "negative"),
        ("ttft:0", "greater than 0"),
        ("goodput:3", "no limit of one request"),
        ("goodput:p99>3", "has no p99"),
        ('[{"std_ttft_ms": "<=5"}]', "unknown statistic"),
        ('[{"p99_ttft_s": "<=5"}]', "unknown metric"),
        ('[{"p99_ttft_ms": 5}]', "no limit"),
        ('[{"p99_ttft_ms": "<=5"}, {"p99_ttft_ms": "<=6"}]', "alternatives"),
        ("[]", "no limits"),
        ("[{", "JSON"),
    ],
)
def test_what_is_wrong_is_said(text: str, word: str) -> None:
    with pytest.raises(ConfigError, match=word) as caught:
        parse_slo(text)
    assert "\n" not in str(caught.value)


def test_scenarios_take_texts_and_mappings(qa: Scenario) -> None:
    written = qa.replace({"slo": "ttft:p99<2s;itl:p95<50ms"})
    assert written.slo is not None
    assert [target.label for target in written.slo.all_targets] == ["ttft:p99", "itl:p95"]
    assert Scenario.from_dict(written.to_dict()) == written
    mapped = qa.replace({"slo": {"ttft": "2s", "tpot": "50ms", "quantile": 0.9}})
    assert mapped.slo is not None
    assert [(t.metric, t.limit) for t in mapped.slo.all_targets] == [("ttft", 2.0), ("tpot", 0.05)]
    with pytest.raises(ConfigError, match="slo"):
        qa.replace({"slo": "ttft:p99<2"})
    with pytest.raises(ConfigError, match="limited from above"):
        qa.replace({"slo": "ttft>2s"})
