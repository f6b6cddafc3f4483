"""A link carries a design, and nothing that could read a file, fill memory or run code."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.app import link
from kvsim.app.presets import DEFAULT, load_preset, presets
from kvsim.errors import ConfigError


def pack(content: Any) -> str:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(zlib.compress(text)).decode().rstrip("=")


def whole(**changed: Any) -> str:
    """Make a link whose design is the preset's but for some parts given whole."""
    return pack({"preset": DEFAULT, "diff": {key: {"=": value} for key, value in changed.items()}})


@pytest.mark.parametrize("name", list(presets()))
def test_presets_come_back(name: str) -> None:
    scenario = load_preset(name)
    text = link.encode(name, scenario)
    assert len(text) < 200
    assert link.decode(text) == (name, scenario)


@pytest.mark.parametrize(
    "changes",
    [
        {"workload.qps": 3, "offload.cpu.capacity": "200GiB"},
        {"gpu": "h100-sxm-80gb", "model": "qwen3-32b", "engine.tensor_parallel_size": 2},
        {"offload.remote": None},
        {"offload.remote.profile": "ontap-pnfs-rdma"},
        {"slo": {"ttft": "2s"}},
        {"workload": {"kind": "chat", "arrivals": {"rate": 1, "kind": "poisson"}, "duration": 60}},
    ],
)
def test_changed_designs_come_back(changes: dict[str, Any]) -> None:
    scenario = load_preset(DEFAULT).replace(
        {"engine.num_gpu_blocks": None, "engine.max_model_len": 36_000} | changes
    )
    text = link.encode(DEFAULT, scenario)
    assert len(text) < 4_000
    assert link.decode(text) == (DEFAULT, scenario)


@pytest.mark.parametrize(
    "text",
    [
        whole(model="/etc/passwd"),
        whole(model="qwen3-8b"),
        whole(gpu="../../etc/passwd.json"),
        whole(host="/dev/zero"),
        whole(calibration="/etc/passwd.yaml"),
        whole(calibration="h100-qwen3-8b"),
        whole(offload={"remote": "/etc/passwd.yaml"}),
        whole(offload={"remote": {"profile": "/etc/passwd.yaml"}}),
        whole(offload={"remote": ["/etc/passwd"]}),
        whole(offload="/etc/passwd"),
        whole(workload={"kind": "trace", "file": "/etc/passwd"}),
        whole(workload={"file": "/etc/passwd"}),
        whole(workload="/etc/passwd"),
        pack({"preset": DEFAULT, "diff": {"=": "/etc/passwd"}}),
        pack({"preset": DEFAULT, "diff": {"=": {"model": "/etc/passwd"}}}),
        pack({"preset": "/etc/passwd", "diff": {}}),
        pack({"preset": ["x"], "diff": {}}),
        pack({"preset": DEFAULT, "diff": {}, "more": 1}),
        pack({"preset": DEFAULT, "diff": {"unknown": {"=": 1}}}),
        pack({"preset": DEFAULT, "diff": {"model": {"name": {"deeper": {}}}}}),
        pack({"preset": DEFAULT, "diff": 3}),
        pack(b"[" * 100_000),
        pack(b"\xff\xfe"),
        pack(b"NaN"),
        pack("text"),
        "",
        "A" * (link.MAX_LINK_CHARS + 1),
        "not base64 at all!",
    ],
)
def test_what_is_no_plain_design_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    load_preset(DEFAULT)

    def no_file(*_: Any, **__: Any) -> Any:
        raise AssertionError("a link opened a file")

    for verb in ("open", "read_bytes", "read_text"):
        monkeypatch.setattr(Path, verb, no_file)
    with pytest.raises(ConfigError) as told:
        link.decode(text)
    assert "\n" not in str(told.value)


def test_the_content_of_a_store_is_the_presets_or_none() -> None:
    name = "Measured: cpu60GB_s3_warm_store"
    data = load_preset(name).to_dict()
    remote = data["offload"]["remote"] | {"start_from": "/etc"}
    stolen = pack({"preset": name, "diff": {"offload": {"remote": {"=": remote}}}})
    with pytest.raises(ConfigError, match="start_from"):
        link.decode(stolen)


def test_a_small_link_cannot_unpack_to_much() -> None:
    bomb = pack(b" " * (link.MAX_JSON_BYTES * 30))
    assert len(bomb) < link.MAX_LINK_CHARS
    with pytest.raises(ConfigError, match="unpacks to more"):
        link.decode(bomb)


def test_a_trace_does_not_travel(tmp_path: Path) -> None:
    scenario = load_preset(DEFAULT).replace({"workload": {"kind": "trace", "file": str(tmp_path)}})
    with pytest.raises(ConfigError, match="trace does not travel"):
        link.encode(DEFAULT, scenario)


@given(st.binary(max_size=200), st.randoms(use_true_random=False))
def test_noise_is_refused_or_a_design(noise: bytes, chance: random.Random) -> None:
    text = link.encode(DEFAULT, load_preset(DEFAULT).replace({"workload.qps": 3}))
    place = chance.randrange(len(text))
    broken = text[:place] + chance.choice("ABCabc-_019") + text[place + 1 :]
    for each in (base64.urlsafe_b64encode(noise).decode(), pack(noise), broken):
        with contextlib.suppress(ConfigError):
            link.decode(each)
