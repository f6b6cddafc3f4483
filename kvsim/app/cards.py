"""The four cards of inputs: model, workload, tiers, promise and prices."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import streamlit as st

from kvsim.app import later, state
from kvsim.app.inputs import Inputs, series, source_text
from kvsim.app.presets import load_preset
from kvsim.app.results import prices_of
from kvsim.app.uploads import TRACE_TYPES, save_trace, shown_name
from kvsim.errors import ConfigError, KvsimError
from kvsim.metrics.cost import cpu_tier_bytes
from kvsim.spec.cost import Prices, StoragePrice, list_prices
from kvsim.spec.hf_config import model_from_config
from kvsim.spec.load import list_profiles, load_profile
from kvsim.spec.offload import OffloadSpec, RemoteSpec
from kvsim.spec.scenario import Scenario
from kvsim.spec.slo import SloSpec
from kvsim.spec.tenants import TenantSpec
from kvsim.spec.trace_workload import TraceSpec
from kvsim.spec.yamlfile import parse_value, yaml_text
from kvsim.text import number
from kvsim.units import format_bytes

GIB = 2**30
CPU_STOPS = [0, *(GIB * size for size in series(1, 2_000, (1, 2, 4, 6, 8)))]
RATE_STOPS = [1e8 * step for step in series(1, 1_000, (1, 2, 4, 6, 8))]
CONTEXT_STOPS = series(1_000, 128_000, (1, 2, 3, 4, 5, 6, 8))
USER_STOPS = series(1, 200, (1, 2, 3, 4, 5, 6, 8))
_KINDS = {
    "multi_round_qa": ("Multi-round QA", "StorageGRID experiment"),
    "agentic": ("Coding agents", "Agentic coding"),
    "rag": ("Questions on documents", "Questions on documents (RAG)"),
    "chat": ("Chats", "Chat"),
}
_TRACE = "trace"
_CAPITALS = {"usd", "gpu", "ram", "gb", "tb", "get", "put"}


def model_card(inputs: Inputs) -> None:
    """Offer model, GPU, host and how vLLM is set up."""
    st.markdown("##### :material/memory: Model")
    inputs.profile("model", "Model")
    with st.popover("Paste a config.json", width="stretch"):
        _pasted_model(inputs)
    inputs.profile("gpu", "GPU")
    left, right = st.columns(2)
    with left:
        inputs.field("instances", "Instances")
    with right:
        inputs.field("engine.tensor_parallel_size", "GPUs (TP)")
    with later.expander("Data types, router, vLLM, host") as opened:
        if opened:
            inputs.field("model.weight_bytes_per_param", "Bytes of a weight")
            inputs.field("model.kv_bytes_per_element", "Bytes of a KV element")
            inputs.field("router", "Router")
            inputs.fields("engine", but=("tensor_parallel_size", "gpu_memory_utilization"))
            inputs.profile("host", "Host")


def _pasted_model(inputs: Inputs) -> None:
    key = f"{state.generation()}|config.json"
    text = st.text_area("Hugging Face config.json", key=key, height=160, max_chars=100_000)
    if not text.strip():
        return
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"config.json: not readable as JSON: {error}") from None
    if not isinstance(config, dict):
        raise ConfigError("config.json: must hold a mapping, {...}")
    inputs.use_profile("model", model_from_config(config, "config.json", name="pasted"))


def workload_card(inputs: Inputs) -> None:
    """Offer who asks what, and how often."""
    st.markdown("##### :material/groups: Workload")
    own = inputs.base.workload.kind
    kinds = [*_KINDS, _TRACE]
    chosen = st.selectbox(
        "Workload",
        kinds,
        index=kinds.index(own),
        format_func=lambda kind: _KINDS[kind][0] if kind in _KINDS else "An uploaded trace",
        key=f"{state.generation()}|workload kind",
        help="Multi-round QA is LMCache's load generator; the others are made up from numbers "
        "that are fitted to public traces, or replayed from one.",
    )
    if chosen == _TRACE:
        _trace(inputs)
    else:
        _made_up(inputs, chosen, own)
    with st.expander("Tenants"):
        _tenants(inputs)


def _made_up(inputs: Inputs, chosen: str, own: str) -> None:
    if chosen != own:
        inputs.use_block("workload", load_preset(_KINDS[chosen][1]).workload)
    if chosen == "multi_round_qa":
        inputs.stops("workload.user_history_prompt", "Context of a user, tokens", CONTEXT_STOPS)
        inputs.stops("workload.num_users", "Users at a time", USER_STOPS)
        inputs.field("workload.qps", "Questions per second")
        shown = ["user_history_prompt", "num_users", "qps"]
    else:
        inputs.field("workload.arrivals.rate", "Sessions that begin per second")
        inputs.field("workload.max_prompt", "Longest prompt, tokens")
        shown = ["arrivals.rate", "max_prompt"]
        if chosen == "rag":
            inputs.field("workload.documents", "Documents")
            shown.append("documents")
    with later.expander("All of the workload") as opened:
        if opened:
            inputs.fields("workload", but=shown)
            inputs.field("seed", "Seed")


def _trace(inputs: Inputs) -> None:
    upload = st.file_uploader(
        "Trace",
        type=list(TRACE_TYPES),
        key=f"{state.generation()}|trace",
        help="Mooncake, LMCache, kv-cache-tester, Azure, BurstGPT, ShareGPT, vLLM bench, GuideLLM, "
        "AIPerf, OpenTelemetry. It stays on the server for this visit only.",
    )
    if upload is not None:
        known = st.session_state.setdefault("traces", {})
        if upload.file_id not in known:
            place = state.folder(f"trace-{len(known)}")
            saved = known[upload.file_id] = save_trace(upload, place, known.values())
            state.name_place(str(saved), shown_name(upload.name))
        inputs.use_block("workload", TraceSpec(file=known[upload.file_id]))
    elif not isinstance(inputs.base.workload, TraceSpec):
        st.caption("Upload a trace; until then the workload stays as it was.")
        return
    inputs.field("workload.mode", "Arrivals")
    inputs.field("workload.rate_scale", "Factor on the rate")
    with later.expander("All of the trace") as opened:
        if opened:
            inputs.fields("workload", but=("file", "mode", "rate_scale", "window"))


def _tenants(inputs: Inputs) -> None:
    own = inputs.base.tenants
    shown = (
        {} if own is None else {n: one.model_dump(exclude_defaults=True) for n, one in own.items()}
    )
    before = yaml_text(shown) if shown else ""
    text = st.text_area(
        "Who shares the system (YAML)",
        value=before,
        key=f"{state.generation()}|tenants",
        height=120,
        max_chars=10_000,
        placeholder="paying: {share: 1, cpu_reserved: 50%}\nfree: {share: 2, cpu_quota: 20GiB}",
        help="The block `tenants` of a scenario: a line a tenant. "
        + " ".join(f"`{name}`: {about}" for name, about in _tenant_docs().items()),
    )
    if text.strip() != before.strip():
        inputs.changes["tenants"] = parse_value(text, "tenants") if text.strip() else None


def _tenant_docs() -> dict[str, str]:
    fields = TenantSpec.model_fields.items()
    return {name: " ".join((field.description or "").split()) for name, field in fields}


def tiers_card(inputs: Inputs) -> None:
    """Offer the tiers from HBM down to the store."""
    st.markdown("##### :material/database: Tiers")
    inputs.field("engine.gpu_memory_utilization", "HBM: part that vLLM may use")
    base = inputs.base.offload
    docs = OffloadSpec.model_fields
    on = st.toggle(
        "Offload with LMCache",
        value=base.connector != "none",
        key=f"{state.generation()}|offload",
        help=docs["connector"].description,
    )
    if on != (base.connector != "none"):
        inputs.changes["offload.connector"] = "lmcache_inproc" if on else "none"
    if not on:
        return
    inputs.stops("offload.cpu.capacity", "CPU memory per rank", CPU_STOPS)
    total = st.empty()
    inputs.field("offload.cpu.eviction", "CPU: which chunk goes first")
    _store(inputs, base.remote)
    with later.expander("LMCache settings") as opened:
        if opened:
            inputs.fields("offload", but=("connector", "cpu", "remote"))
            inputs.fields("offload.cpu", but=("capacity", "eviction"))
    try:
        n_bytes = cpu_tier_bytes(inputs.scenario())
        total.caption(f"{format_bytes(n_bytes)} of CPU memory over all ranks and instances")
    except KvsimError:
        total.caption("")


def _store(inputs: Inputs, own: RemoteSpec | None) -> None:
    names = list_profiles("storage")
    mine = own.profile.name if own is not None else None
    if mine is not None and mine not in names:
        names.insert(0, mine)
    options = [None, *names]
    chosen = st.selectbox(
        "Store that all instances share",
        options,
        index=options.index(mine),
        format_func=lambda name: "none" if name is None else name,
        key=f"{state.generation()}|store",
        help="Files (pNFS over RDMA, NFS over TCP, NVMe) or objects (S3), each with its rates.",
    )
    if chosen is None:
        if own is not None:
            inputs.changes["offload.remote"] = None
        return
    if chosen != mine:
        profile = load_profile("storage", chosen)
        if own is None:
            inputs.use_block("offload.remote", RemoteSpec(profile=profile))
        inputs.use_profile("offload.remote.profile", profile)
        if own is not None and own.start_from is not None:
            inputs.changes["offload.remote.start_from"] = None
    path = "offload.remote.profile"
    inputs.stops(f"{path}.read.bandwidth", "Store: read bandwidth", RATE_STOPS)
    with later.expander("Store: capacity, writes, latency, streams, client") as opened:
        if opened:
            inputs.fields("offload.remote", but=("profile", "start_from"))
            inputs.fields(
                path,
                but=(
                    "read.bandwidth",
                    "usd_per_tb_month",
                    "usd_per_1000_get",
                    "usd_per_1000_put",
                ),
            )


def promise_card(inputs: Inputs) -> None:
    """Offer the service level and the prices."""
    st.markdown("##### :material/verified: Promise and prices")
    own = inputs.base.slo.text if inputs.base.slo is not None else ""
    text = st.text_input(
        "Service level",
        value=own,
        key=f"{state.generation()}|slo",
        help="Limits on latencies and rates: `ttft:p95<2s;itl:p95<50ms`, "
        '`{"p99_e2el_ms": "<=200"}` or `ttft:500 tpot:50` (ms). Empty: nothing is promised.',
    ).strip()
    if text != own:
        promise = SloSpec.model_validate(text).model_dump(mode="json") if text else None
        inputs.changes["slo"] = promise
    name, given = state.price_list()
    names = list_prices()
    chosen = st.selectbox(
        "Price list",
        names,
        index=names.index(name),
        help="Prices that a list does not name come from the profiles of GPU and store.",
    )
    st.session_state["price_list"] = chosen
    with later.expander("Prices", opened=bool(given)) as opened:
        if opened:
            _prices(inputs.scenario, chosen, given)


def _prices(scenario: Callable[[], Scenario], name: str, given: dict[str, Any]) -> None:
    try:
        prices = prices_of(scenario(), name, {})
    except KvsimError:
        return
    shown = ["gpu_usd_per_hour", "ram_usd_per_gb_hour", *StoragePrice.model_fields]
    for field in shown:
        source = prices.sources.get(field)
        if source is None:
            continue
        listed = getattr(prices, field)
        about = (Prices.model_fields[field].description or "").strip()
        value = st.number_input(
            f"{price_label(field)} :gray-badge[{source.kind}]",
            min_value=0.0,
            value=float(given.get(field, listed)),
            format="%.6g",
            key=f"{state.generation()}|price|{name}|{field}|{number(listed, 6)}",
            help=f"{about}\n\n{source_text(source)}",
        )
        if value != listed:
            given[field] = value
        else:
            given.pop(field, None)


def price_label(field: str) -> str:
    """Write a price's key the way people write it: usd_per_tb_month, USD per TB month."""
    words = field.split("_")
    return " ".join(word.upper() if word in _CAPITALS else word for word in words)
