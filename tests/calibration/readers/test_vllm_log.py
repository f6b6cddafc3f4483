"""vLLM's own log: an excerpt of a real 0.24.0 run, and lines in the wording of 0.33.0.

The 0.33 lines follow the formats in vLLM's source; no such server was at hand.
"""

import gzip
from pathlib import Path

import pytest

from kvsim.calibration.readers.vllm_log import parse_arguments, read_vllm_log
from kvsim.errors import CalibrationError

DATA = Path(__file__).parents[2] / "data" / "tools"

NEW = """\
(APIServer pid=7) INFO 11-02 09:00:00 [api_utils.py:12] vLLM API server version 0.33.0
(APIServer pid=7) INFO 11-02 09:00:00 [api_utils.py:273] non-default args: {'model': 'Qwen/Qwen3-8B', 'data_parallel_size': 2}
(EngineCore_DP0 pid=70) INFO 11-02 09:00:09 [kv_cache_utils.py:2146] GPU KV cache size: 396,720 tokens
(EngineCore_DP1 pid=71) \x1b[32mINFO\x1b[0m 11-02 09:00:10 [core.py:452] Engine 001: Iteration(12): 1 context requests, 8000 context tokens, 12 generation requests, 12 generation tokens, iteration elapsed time: 310.21 ms, GPU KV cache usage: 41.3%
(EngineCore_DP1 pid=71) INFO 11-02 09:00:11 [core.py:452] Iteration(13): 0 context requests, 0 context tokens, 13 generation requests, 13 generation tokens, iteration elapsed time: 9.75 ms
(APIServer pid=7) (sub pid=8) INFO 11-02 09:00:20 [loggers.py:273] Engine 001: Avg prompt throughput: 800.0 tokens/s, Avg generation throughput: 12.5 tokens/s, Running: 13 reqs, Waiting: 5 reqs, Deferred: 2 reqs, KV fetch: 1 waiting to start, 2 in progress, 3 completed waiting, Preemptions: 4, GPU KV cache usage: 41.3%, Prefix cache hit rate: 50.0%, External prefix cache hit rate: 12.5%
(EngineCore_DP1 pid=71) INFO 11-02 09:00:21 [core.py:452] Iteration(14): 0 context requests, 0 cont
(EngineCore_DP1 pid=71) ERROR 11-02 09:00:22 [core.py:9] something broke
Traceback (most recent call last):
"""  # noqa: E501 (log lines as they are)


def test_a_real_log_of_0_24() -> None:
    log = read_vllm_log(DATA / "h100_vllm.log.gz")
    assert log.version == "0.24.0"
    assert log.pool_tokens == 131_072
    assert log.pool_bytes == pytest.approx(54.79 * 2**30)
    assert log.weight_bytes == pytest.approx(15.27 * 2**30)
    assert (log.max_num_batched_tokens, log.max_model_len) == (8192, 40960)
    assert log.arguments["num_gpu_blocks_override"] == 8192
    assert log.arguments["gpu_memory_utilization"] == 0.9
    transfer = log.arguments["kv_transfer_config"]
    assert isinstance(transfer, str)
    assert transfer.startswith("KVTransferConfig(kv_connector='LMCacheConnectorV1'")
    assert set(log.processes) == {"", "APIServer", "EngineCore"}
    assert (log.damaged_lines, log.errors) == (0, 0)
    assert log.other_lines > 10  # LMCache's


def test_steps_of_a_real_log() -> None:
    log = read_vllm_log(DATA / "h100_vllm.log.gz")
    first, second = log.iterations[:2]
    assert (first.index, first.prefills, first.prefill_tokens, first.decodes) == (0, 1, 115, 0)
    assert (second.prefills, second.prefill_tokens, second.decodes) == (9, 1035, 1)
    assert first.elapsed_s == pytest.approx(0.06e-3)
    assert first.kv_usage is None
    assert first.engine == 0


def test_ten_second_lines_of_a_real_log() -> None:
    log = read_vllm_log(DATA / "h100_vllm.log.gz")
    assert len(log.stats) == 11
    last = log.stats[-1]
    assert last.prompt_tokens_per_s == 1281.9
    assert (last.running, last.waiting, last.deferred, last.preemptions) == (4, 0, 0, 0)
    assert last.kv_usage == pytest.approx(0.349)
    assert last.hit_rate == pytest.approx(0.086)
    assert last.external_hit_rate == pytest.approx(0.875)
    gaps = [b.time_s - a.time_s for a, b in zip(log.stats, log.stats[1:], strict=False)]
    assert all(9 <= gap <= 11 for gap in gaps)


def test_the_year_comes_from_lmcache() -> None:
    log = read_vllm_log(DATA / "h100_vllm.log.gz")
    assert log.iterations[0].time_s == pytest.approx(1795528947, abs=1)


@pytest.fixture
def new_log(tmp_path: Path) -> Path:
    path = tmp_path / "vllm.log"
    path.write_text(NEW)
    return path


def test_0_33_with_two_engines(new_log: Path) -> None:
    log = read_vllm_log(new_log)
    assert log.version == "0.33.0"
    assert log.pool_tokens == 396_720
    named, unnamed = log.iterations
    assert (named.engine, named.decodes, named.prefill_tokens) == (1, 12, 8000)
    assert named.kv_usage == pytest.approx(0.413)
    assert named.elapsed_s == pytest.approx(0.31021)
    assert (unnamed.engine, unnamed.index) == (1, 13)
    (stats,) = log.stats
    assert (stats.engine, stats.deferred, stats.preemptions) == (1, 2, 4)
    assert stats.kv_fetch == (1, 2, 3)
    assert stats.external_hit_rate == 0.125


def test_what_cannot_be_read_is_counted(new_log: Path) -> None:
    log = read_vllm_log(new_log)
    assert (log.damaged_lines, log.errors, log.other_lines) == (1, 1, 1)
    assert log.processes["EngineCore_DP1"] == 4


def test_packed_and_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "vllm.log.gz"
    packed = gzip.compress(NEW.encode())
    path.write_bytes(packed[:-8])
    assert len(read_vllm_log(path).iterations) == 2


def test_the_wrong_file(tmp_path: Path) -> None:
    path = tmp_path / "vllm.log"
    path.write_text("time,value\n1,2\n")
    with pytest.raises(CalibrationError, match="expected the log of a vLLM server"):
        read_vllm_log(path)


def test_arguments_with_objects_in_them() -> None:
    text = "{'a': 1, 'b': Config(x=[1, 2], y=Other(z='q')), 'c': <Mode.FULL: 2>, 'd': None}"
    assert parse_arguments(text) == {
        "a": 1,
        "b": "Config(x=[1, 2], y=Other(z='q'))",
        "c": "<Mode.FULL: 2>",
        "d": None,
    }
    assert parse_arguments("{'a': 1, 'b") is None
