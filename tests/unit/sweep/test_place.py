"""Results in a folder, in memory and in an S3 bucket: the same bytes and the same verbs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvsim.errors import ConfigError
from kvsim.sweep.place import place_of, writable_place
from kvsim.sweep.store import RunStore


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """Start a server that speaks S3, with one bucket in it; fsspec keeps its connections."""
    boto3 = pytest.importorskip("boto3")
    pytest.importorskip("s3fs")
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        }.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="results")
        yield "s3://results"
    server.stop()


@pytest.fixture(params=["folder", "memory", "s3"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    match request.param:
        case "folder":
            return str(tmp_path / "out")
        case "memory":
            pytest.importorskip("fsspec")
            return f"memory://{uuid.uuid4()}"
        case _:
            return f"{request.getfixturevalue('bucket')}/{uuid.uuid4()}"


@pytest.mark.filterwarnings("ignore")
def test_what_is_written_can_be_read_and_listed(where: str) -> None:
    place = writable_place(where, option="--out")
    assert place.read("runs/a.json") is None
    assert place.names("runs", ".json") == []
    place.write("runs/a.json", b"1")
    place.write("runs/a.json", b"2")
    place.write("runs/b.error.txt", b"3")
    assert place_of(where).read("runs/a.json") == b"2"
    assert place_of(where).names("runs", ".json") == ["a.json"]


@pytest.mark.filterwarnings("ignore")
def test_a_store_resumes_from_anywhere(where: str) -> None:
    record: dict[str, Any] = {"summary": {"x": 0.1 + 0.2}, "wall_s": 1.5}
    RunStore(place_of(where), "runs").write("key", record)
    store = RunStore(place_of(where), "runs")
    found = store.read("key")
    assert found is not None
    assert found["summary"] == record["summary"]
    assert store.read("other") is None
    assert store.wall_times() == {"key": 1.5}
    assert store.write_failure("key", "trace").endswith("runs/key.error.txt")


def test_an_address_that_nobody_knows_is_an_error() -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(ConfigError, match="nowhere://"):
        place_of("nowhere://x")


def test_a_place_that_refuses_reads_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = pytest.importorskip("fsspec.implementations.memory").MemoryFileSystem

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no credentials")

    monkeypatch.setattr(memory, "cat_file", refuse)
    monkeypatch.setattr(memory, "ls", refuse)
    place = place_of(f"memory://{uuid.uuid4()}")
    for ask in (lambda: place.read("a.json"), lambda: place.names("runs", ".json")):
        with pytest.raises(ConfigError, match=r"cannot be read \(no credentials\); check the"):
            ask()
