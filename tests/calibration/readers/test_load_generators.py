"""Files of load generators.

GuideLLM's and AIPerf's samples were written by these tools against tests/tools/stub_openai.py. It
answers after 50 ms and then every 10 ms, 8 chunks, and fails each fifth request. The sample of
`vllm bench serve` is made by hand after its documented fields: vLLM is too large for CI.
"""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kvsim.calibration.readers.aiperf import read_aiperf
from kvsim.calibration.readers.guidellm import read_guidellm
from kvsim.calibration.readers.load_rows import LoadRow, LoadRows
from kvsim.calibration.readers.vllm_bench import read_vllm_bench
from kvsim.errors import CalibrationError

DATA = Path(__file__).parents[2] / "data" / "tools"
GUIDELLM = DATA / "guidellm.json.gz"
AIPERF = DATA / "aiperf_profile_export.jsonl"
BENCH = DATA / "vllm_bench.json"
READERS: list[tuple[Callable[[Path], LoadRows], Path]] = [
    (read_guidellm, GUIDELLM),
    (read_aiperf, AIPERF),
    (read_vllm_bench, BENCH),
]


def answered(rows: LoadRows) -> list[LoadRow]:
    return [row for row in rows.rows if row.error is None]


@pytest.mark.parametrize(("reader", "path"), READERS[:2])
def test_real_output_has_the_stub_s_times(reader: Callable[[Path], LoadRows], path: Path) -> None:
    rows = reader(path)
    assert rows.clock == "epoch"
    assert rows.damaged_rows == 0
    assert len(rows.rows) == 8
    assert 1 <= len(rows.rows) - len(answered(rows)) <= 2
    for row in answered(rows):
        assert row.first_token_s is not None
        assert row.finish_s is not None
        assert 0.05 <= row.first_token_s - row.launch_s < 0.09
        assert 0.07 <= row.finish_s - row.first_token_s < 0.09
        assert row.output_tokens == 8
        assert row.cached_tokens == row.prompt_tokens // 2


@pytest.mark.parametrize(("reader", "path"), READERS[:2])
def test_real_output_knows_conversations(reader: Callable[[Path], LoadRows], path: Path) -> None:
    rows = reader(path).rows
    second = [row for row in rows if row.round_index == 2]
    assert second
    for row in second:
        (before,) = [one for one in rows if one.session == row.session and one.round_index == 1]
        assert before.launch_s < row.launch_s


def test_failures_keep_their_reason() -> None:
    for rows in (read_guidellm(GUIDELLM), read_aiperf(AIPERF)):
        failed = [row for row in rows.rows if row.error is not None]
        assert all("500" in str(row.error) and "\n" not in str(row.error) for row in failed)
        assert all(row.finish_s is None for row in failed)


def test_aiperf_has_every_gap() -> None:
    for row in answered(read_aiperf(AIPERF)):
        assert len(row.itl_s) == 7
        assert row.first_token_s is not None
        assert row.finish_s is not None
        assert sum(row.itl_s) == pytest.approx(row.finish_s - row.first_token_s, abs=1e-3)


def test_vllm_bench() -> None:
    rows = read_vllm_bench(BENCH)
    first, second, failed = rows.rows
    assert rows.clock == "unknown"
    assert first.first_token_s == pytest.approx(first.launch_s + 0.21)
    assert first.finish_s == pytest.approx(first.launch_s + 0.25)
    assert (second.prompt_tokens, second.output_tokens) == (512, 4)
    assert second.launch_s - first.launch_s == pytest.approx(0.25)
    assert (failed.error, failed.finish_s, failed.output_tokens) == (
        "Internal Server Error",
        None,
        0,
    )


def test_vllm_bench_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(json.dumps({"mean_ttft_ms": 12.0, "duration": 1}))
    with pytest.raises(CalibrationError, match="run it with --save-detailed"):
        read_vllm_bench(path)


def test_vllm_bench_with_lists_of_other_lengths(tmp_path: Path) -> None:
    content = json.loads(BENCH.read_text())
    content["ttfts"].pop()
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(content))
    with pytest.raises(CalibrationError, match=r"\[2, 3\] entries"):
        read_vllm_bench(path)


def test_damaged_rows_are_counted(tmp_path: Path) -> None:
    bench = json.loads(BENCH.read_text())
    bench["ttfts"][0] = None
    (tmp_path / "bench.json").write_text(json.dumps(bench))
    assert read_vllm_bench(tmp_path / "bench.json").damaged_rows == 1

    guidellm = json.loads(gzip.decompress(GUIDELLM.read_bytes()))
    groups = guidellm["benchmarks"][0]["requests"]
    del groups["successful"][0]["info"]["timings"]
    groups["incomplete"] = [groups["successful"].pop()]
    (tmp_path / "guidellm.json").write_text(json.dumps(guidellm))
    rows = read_guidellm(tmp_path / "guidellm.json")
    assert (rows.damaged_rows, rows.skipped_rows, len(rows.rows)) == (1, 1, 6)

    lines = AIPERF.read_text().splitlines()
    warmup = lines[1].replace('"benchmark_phase":"profiling"', '"benchmark_phase":"warmup"')
    cut = lines[2][:200]
    (tmp_path / "aiperf.jsonl").write_text("\n".join([lines[0], warmup, cut, *lines[3:], "7"]))
    rows = read_aiperf(tmp_path / "aiperf.jsonl")
    assert (rows.damaged_rows, rows.skipped_rows, len(rows.rows)) == (2, 1, 6)


@pytest.mark.parametrize(("reader", "path"), READERS)
def test_packed_or_not(reader: Callable[[Path], LoadRows], path: Path, tmp_path: Path) -> None:
    raw = path.read_bytes()
    packed = raw[:2] == b"\x1f\x8b"
    other = tmp_path / "other"
    other.write_bytes(gzip.decompress(raw) if packed else gzip.compress(raw))
    assert reader(other) == reader(path)


@pytest.mark.parametrize(("reader", "path"), READERS)
@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "[1, 2]", '{"jobs": []}'])
def test_the_wrong_file(
    reader: Callable[[Path], LoadRows], path: Path, text: str, tmp_path: Path
) -> None:
    wrong = tmp_path / path.name
    wrong.write_text(text)
    with pytest.raises(CalibrationError, match=r"expected|no request"):
        reader(wrong)


def test_one_tool_s_file_is_no_other_s() -> None:
    for reader, own in READERS:
        for _, path in READERS:
            if path != own:
                with pytest.raises(CalibrationError):
                    reader(path)
