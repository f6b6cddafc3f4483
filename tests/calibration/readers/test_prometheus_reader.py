"""Prometheus scrapes: three real ones of vLLM 0.24.0; names of other versions and of LMCache."""

from pathlib import Path

import pytest

from kvsim.calibration.readers.prometheus import read_prometheus
from kvsim.errors import CalibrationError

DATA = Path(__file__).parents[2] / "data" / "tools"

# As /metrics shows it, with help and type lines: older vLLM names, two engines, LMCache's names.
OTHER = """\
# HELP python_gc_objects_collected_total Objects collected during gc
# TYPE python_gc_objects_collected_total counter
python_gc_objects_collected_total{generation="0"} 5.0
# HELP vllm:gpu_cache_usage_perc GPU KV-cache usage.
# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{engine="0"} 0.5
vllm:gpu_cache_usage_perc{engine="1"} 0.25
# TYPE vllm:gpu_prefix_cache_hits_total counter
vllm:gpu_prefix_cache_hits_total{engine="0"} 100.0
vllm:gpu_prefix_cache_hits_total{engine="1"} 11.0
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1"} 1.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="1.0"} 3.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf"} 4.0
vllm:time_to_first_token_seconds_count{engine="0"} 4.0
vllm:time_to_first_token_seconds_sum{engine="0"} 5.0
# TYPE lmcache:num_hit_tokens_total counter
lmcache:num_hit_tokens_total{worker_id="0"} 2560.0
# TYPE lmcache:retrieve_hit_rate gauge
lmcache:retrieve_hit_rate{worker_id="0"} 0.75
"""


def test_real_scrapes() -> None:
    scrapes = read_prometheus(DATA / "h100_prometheus.txt.gz")
    assert [scrape.time_s for scrape in scrapes.scrapes] == pytest.approx(
        [1795528944.878, 1795528984.944, 1795529055.0], abs=0.2
    )
    assert (scrapes.damaged_lines, scrapes.other_samples) == (0, 0)
    assert scrapes.values("vllm:num_requests_running")[:2] == [0.0, 2.0]
    assert scrapes.values("vllm:kv_cache_usage_perc")[1] == pytest.approx(0.1664, abs=1e-4)


def test_real_counters_grow_and_their_parts_add_up() -> None:
    scrapes = read_prometheus(DATA / "h100_prometheus.txt.gz")
    sources = ("local_compute", "local_cache_hit", "external_kv_transfer")
    parts = [scrapes.growth("vllm:prompt_tokens_by_source", source=one) for one in sources]
    assert None not in parts
    assert sum(part or 0.0 for part in parts) == scrapes.growth("vllm:prompt_tokens")
    ttft = scrapes.histogram("vllm:time_to_first_token_seconds")
    assert ttft is not None
    assert ttft.count == 234
    assert ttft.mean == pytest.approx(0.2225, abs=1e-3)
    assert ttft.bounds == ()  # this file was kept without them
    assert ttft.share_below(1.0) is None


@pytest.fixture
def two(tmp_path: Path) -> Path:
    later = (
        OTHER.replace(" 3.0\n", " 9.0\n").replace(" 4.0\n", " 12.0\n").replace(" 5.0\n", " 9.0\n")
    )
    later = later.replace('hits_total{engine="1"} 11.0', 'hits_total{engine="1"} 31.0')
    path = tmp_path / "prometheus.txt"
    path.write_text(f"# t 100.5\n{OTHER}# t 110.5\n{later}")
    return path


def test_older_names_and_engines(two: Path) -> None:
    scrapes = read_prometheus(two)
    assert scrapes.values("vllm:kv_cache_usage_perc") == [0.375, 0.375]
    assert scrapes.values("vllm:kv_cache_usage_perc", engine="1") == [0.25, 0.25]
    assert scrapes.growth("vllm:prefix_cache_hits") == 20.0
    assert scrapes.values("lmcache:num_hit_tokens") == [2560.0, 2560.0]
    assert scrapes.values("lmcache:retrieve_hit_rate") == [0.75, 0.75]
    assert scrapes.values("vllm:no_such_name") == [None, None]
    assert scrapes.growth("vllm:no_such_name") is None
    assert scrapes.histogram("vllm:no_such_name") is None
    assert scrapes.other_samples == 2


def test_a_histogram_is_the_difference_of_two_scrapes(two: Path) -> None:
    ttft = read_prometheus(two).histogram("vllm:time_to_first_token_seconds")
    assert ttft is not None
    assert (ttft.count, ttft.total) == (8.0, 4.0)
    assert ttft.mean == 0.5
    assert ttft.counts == (0.0, 6.0, 8.0)
    assert ttft.share_below(1.0) == 0.75
    assert ttft.share_below(0.5) == 0.0


def test_a_counter_that_was_started_anew(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    values = (10, 30, 5, 8)
    path.write_text(
        "".join(f"# t {i}\nvllm:prompt_tokens_total {v}\n" for i, v in enumerate(values))
    )
    assert read_prometheus(path).growth("vllm:prompt_tokens") == 20 + 5 + 3


def test_damaged_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_text(f"# t 1\n{OTHER}vllm:prompt_tokens_total{{engine=\n# t 2\n{OTHER}vllm:x abc\n")
    scrapes = read_prometheus(path)
    assert len(scrapes.scrapes) == 2
    assert scrapes.damaged_lines == 2
    assert scrapes.values("vllm:prefix_cache_hits") == [111.0, 111.0]


def test_one_scrape_without_a_heading(tmp_path: Path) -> None:
    path = tmp_path / "metrics"
    path.write_text(OTHER)
    (scrape,) = read_prometheus(path).scrapes
    assert scrape.time_s is None


def test_the_wrong_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics"
    path.write_text('node_cpu_seconds_total{cpu="0"} 1\n')
    with pytest.raises(CalibrationError, match=r"no sample named vllm:\.\.\. or lmcache:"):
        read_prometheus(path)
