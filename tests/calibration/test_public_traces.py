"""The facts that come with the public traces, where their files are at hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kvsim.workload import fit
from kvsim.workload.trace_hits import HitPolicy, count_hits, references
from kvsim.workload.trace_stats import measure_reuse
from kvsim.workload.traces import Trace, read_trace

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def load(name: str) -> Trace:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not beside the checkout (shared/data)")
    return read_trace(path)


@pytest.mark.parametrize(
    ("name", "rows", "span_s", "prompt", "answer", "blocks", "hit_rate"),
    [
        ("conversation", 12_031, 3_537, 12_035, 343, 182_790, 0.374),
        ("synthetic", 3_993, 1_022, 15_325, 149, 43_924, 0.651),
    ],
)
def test_mooncake(
    name: str, rows: int, span_s: int, prompt: int, answer: int, blocks: int, hit_rate: float
) -> None:
    trace = load(f"mooncake/{name}_trace.jsonl")
    reuse = measure_reuse(trace)
    assert (len(trace), trace.damaged) == (rows, ())
    assert trace.span_s == pytest.approx(span_s, abs=0.5)
    assert trace.prompt_tokens.mean() == pytest.approx(prompt, abs=0.5)
    assert trace.output_tokens.mean() == pytest.approx(answer, abs=0.5)
    assert int(reuse.new_blocks.sum()) == blocks
    assert reuse.hit_tokens.sum() / trace.prompt_tokens.sum() == pytest.approx(hit_rate, abs=5e-4)


@pytest.mark.parametrize("name", ["conversation", "synthetic"])
def test_lru_hit_tokens_equal_the_public_oracle(name: str) -> None:
    trace = load(f"mooncake/{name}_trace.jsonl")
    short = {"conversation": "conv", "synthetic": "synth"}[name]
    oracle = json.loads((SHARED / f"oracle/moon_{short}.kvcache_simulator.json").read_text())
    reuse = measure_reuse(trace)
    warm = oracle["metadata"]["warmupRequests"]
    ceiling = int(reuse.hit_tokens[warm:].sum())
    assert ceiling == oracle["ceiling"]["hitTokens"]
    # Below 128 blocks single prompts of the synthetic trace exceed the cache, and the oracle
    # keeps fewer of their blocks than a plain list does.
    points = [p for p in oracle["points"] if name == "conversation" or p["cacheBlocks"] >= 128]
    assert len(points) >= 9
    for point in points:
        found = reuse.lru_hit_tokens(point["cacheBlocks"], from_row=warm)
        assert found == point["results"]["lru"]["hitTokens"], point["gib"]


@pytest.mark.parametrize("name", ["conversation", "synthetic"])
def test_hit_counting_equals_the_public_oracle(name: str) -> None:
    trace = load(f"mooncake/{name}_trace.jsonl")
    short = {"conversation": "conv", "synthetic": "synth"}[name]
    oracle = json.loads((SHARED / f"oracle/moon_{short}.kvcache_simulator.json").read_text())
    asked = references(trace)
    warm = oracle["metadata"]["warmupRequests"]
    for point in oracle["points"]:
        chunks = point["cacheBlocks"]
        policies: tuple[HitPolicy, ...] = ("fifo", "optimal")
        if name == "conversation" or chunks >= 128:
            policies = ("fifo", "lru", "optimal")
        for policy in policies:
            found = count_hits(asked, policy, chunks, from_row=warm)
            theirs = point["results"][policy]
            assert (found.hit_tokens, found.total_tokens) == (
                theirs["hitTokens"],
                theirs["totalTokens"],
            ), (policy, point["gib"])


@pytest.mark.parametrize(
    ("name", "rows", "span_s", "prompt", "longest", "answer"),
    [
        ("code", 8_819, 3_436, (2_048, 1_469), 7_437, (28, 1_899)),
        ("conv", 19_366, 3_502, (1_155, 1_020), 14_050, (211, 1_000)),
    ],
)
def test_azure(
    name: str,
    rows: int,
    span_s: int,
    prompt: tuple[int, int],
    longest: int,
    answer: tuple[int, int],
) -> None:
    trace = load(f"azure2023/AzureLLMInferenceTrace_{name}.csv")
    assert (len(trace), trace.damaged, trace.notes) == (rows, (), ())
    assert trace.span_s == pytest.approx(span_s, abs=0.5)
    assert trace.prompt_tokens.mean() == pytest.approx(prompt[0], abs=0.5)
    assert np.median(trace.prompt_tokens) == pytest.approx(prompt[1], abs=1)
    assert trace.longest_prompt_tokens == longest
    assert trace.output_tokens.mean() == pytest.approx(answer[0], abs=0.5)
    assert trace.output_tokens.max() == answer[1]


def test_kv_cache_tester() -> None:
    trace = load("kv-cache-tester/kct_requests_with_hash_ids.parquet")
    names = np.array(trace.session_names)
    main = np.char.endswith(names, "/main")[trace.session]
    assert len(trace) == 46_218
    sessions = {str(name).split("/")[0] for name in names}
    assert len(sessions) == 692
    assert trace.notes[0].startswith("18 sessions repeat others")
    assert "trace_0384, trace_0394" in trace.notes[0]
    assert "trace_0441, trace_0449, trace_0450" in trace.notes[0]
    peaks = np.zeros(len(names))
    np.maximum.at(peaks, trace.session, trace.prompt_tokens)
    by_session: dict[str, float] = {}
    for name, peak in zip(trace.session_names, peaks.tolist(), strict=True):
        session = name.split("/")[0]
        by_session[session] = max(by_session.get(session, 0.0), peak)
    found = np.quantile(list(by_session.values()), [0.5, 0.9, 0.99])
    assert found == pytest.approx([148e3, 345e3, 794e3], rel=0.005)
    ratio = trace.prompt_tokens.sum() / trace.output_tokens.sum()
    assert ratio == pytest.approx(269, abs=0.5)
    rows = np.flatnonzero(main & (trace.turn > 0))
    gaps_s = trace.time_s[rows] - trace.time_s[trace.after[rows]]
    found = np.quantile(gaps_s, [0.5, 0.9, 0.95, 0.99])
    assert found == pytest.approx([18, 129, 294, 1_914], rel=0.02)
    reuse = measure_reuse(trace)
    assert reuse.hit_tokens.sum() / trace.prompt_tokens.sum() == pytest.approx(0.962, abs=1e-3)


def test_llmservingsim() -> None:
    name = "llmservingsim_vllm0.19/workloads/sharegpt-{}-300-sps10.jsonl"
    for model, prompt, answer in (("llama-3.1-8b", 857, 653), ("qwen3-32b", 862, 665)):
        trace = load(name.format(model))
        assert (len(trace), trace.hash_tokens) == (300, 16)
        assert trace.prompt_tokens.mean() == pytest.approx(prompt, abs=0.6)
        assert trace.output_tokens.mean() == pytest.approx(answer, abs=0.6)
    mixed = load("llmservingsim_vllm0.19/workloads/workload_me2_01_mixed.jsonl")
    assert (len(mixed), mixed.hash_tokens) == (608, 0)
    assert mixed.prompt_tokens.mean() == pytest.approx(9_218, abs=0.6)


def test_defaults_of_generators_are_the_fits_they_claim_to_be() -> None:
    from kvsim.spec.synthetic_workload import AgenticSpec, ChatSpec, PoissonArrivals, RagSpec

    arrivals = PoissonArrivals(rate=1)
    agentic = AgenticSpec(arrivals=arrivals, duration=1)
    rag = RagSpec(arrivals=arrivals, duration=1)
    chat = ChatSpec(arrivals=arrivals, duration=1)
    lengths = load("llmservingsim_vllm0.19/workloads/sharegpt-llama-3.1-8b-300-sps10.jsonl")
    talks = fit.fit_chat(load("mooncake/conversation_trace.jsonl"))
    from_chat = {
        **{key: talks[key] for key in ("rounds_mean", "question", "pause")},
        **{key: fit.fit_chat(lengths)[key] for key in ("first_prompt", "answer")},
    }
    agents = fit.fit_agentic(load("kv-cache-tester/kct_requests_with_hash_ids.parquet"))
    documents = fit.fit_rag(load("mooncake/synthetic_trace.jsonl"))
    for spec, found in ((agentic, agents), (rag, documents), (chat, from_chat)):
        for key, value in found.items():
            default = getattr(spec, key)
            if hasattr(default, "median"):
                assert (default.median, default.sigma) == pytest.approx(
                    (value.median, value.sigma), rel=0.01
                ), key
            else:
                assert default == pytest.approx(value, rel=0.01), key
