"""Uploads stay in their folder, within their limits, and are refused in one line."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import pytest

from kvsim.app import uploads
from kvsim.app.uploads import UploadError, save_trace, unpack_runs


def upload(name: str, content: bytes) -> io.BytesIO:
    file = io.BytesIO(content)
    file.name = name
    return file


def zipped(files: dict[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return upload("runs.zip", buffer.getvalue())


def inside(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_runs_of_a_zip_and_loose_files(tmp_path: Path) -> None:
    archive = zipped(
        {
            "bench/run-1/engine_steps.jsonl.gz": gzip.compress(b"{}\n"),
            "bench/run-1/vllm.log": b"log",
            "bench/run-1/secret.pem": b"no",
            "bench/run-2/engine_steps.jsonl": b"{}\n",
        }
    )
    loose = upload("engine_steps.jsonl", b"{}\n")
    runs = unpack_runs([archive, loose], tmp_path)
    assert [run.name for run in runs] == ["run-1", "run-2", "uploaded"]
    assert (tmp_path / "run-1" / "engine_steps.jsonl").read_bytes() == b"{}\n"
    assert inside(tmp_path) == {
        "run-1/engine_steps.jsonl",
        "run-1/vllm.log",
        "run-2/engine_steps.jsonl",
        "uploaded/engine_steps.jsonl",
    }


@pytest.mark.parametrize(
    "name",
    [
        "../../engine_steps.jsonl",
        "/tmp/engine_steps.jsonl",
        "..\\..\\engine_steps.jsonl",
        "a/../../../engine_steps.jsonl",
        "C:\\windows\\engine_steps.jsonl",
        ".../engine_steps.jsonl",
        "a\u202eb;rm -rf/engine_steps.jsonl",
        f"{'a' * 3000}/engine_steps.jsonl",
    ],
)
def test_no_archive_leaves_its_folder(tmp_path: Path, name: str) -> None:
    place = tmp_path / "deep" / "inside"
    (run,) = unpack_runs([zipped({name: b"{}\n"})], place)
    assert run.parent == place
    assert all(path.startswith("deep/inside/") for path in inside(tmp_path))


def test_a_link_in_an_archive_is_only_text(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo("run/engine_steps.jsonl")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    (run,) = unpack_runs([upload("runs.zip", buffer.getvalue())], tmp_path)
    assert not (run / "engine_steps.jsonl").is_symlink()


def test_bombs_are_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_UNPACKED_BYTES", 1 << 20)
    big = b"0" * (2 << 20)
    with pytest.raises(UploadError, match="more than 1 MiB"):
        unpack_runs([zipped({"run/engine_steps.jsonl": big})], tmp_path / "zip")
    with pytest.raises(UploadError, match="more than 1 MiB"):
        unpack_runs([upload("engine_steps.jsonl.gz", gzip.compress(big))], tmp_path / "gz")
    with pytest.raises(UploadError, match="more than 1 MiB"):
        save_trace(upload("trace.jsonl.gz", gzip.compress(big)), tmp_path / "trace")
    half = big[: 700 << 10]
    kept = [save_trace(upload("trace.csv", half), tmp_path / "first")]
    with pytest.raises(UploadError, match="more than 1 MiB in a visit"):
        save_trace(upload("trace.csv", half), tmp_path / "second", kept)
    monkeypatch.setattr(uploads, "MAX_FILES", 3)
    many = {f"run-{n}/vllm.log": b"" for n in range(4)}
    with pytest.raises(UploadError, match="more than 3 files"):
        unpack_runs([zipped(many)], tmp_path / "many")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("runs.zip", b"no zip", "cannot be unpacked"),
        ("engine_steps.jsonl.gz", b"no gzip", "cannot be unpacked"),
        ("notes.txt", b"hello", "is no file of a run"),
        ("model.pkl", b"\x80\x04.", "is no file of a run"),
        ("vllm.log", b"only a log", "no engine_steps.jsonl"),
    ],
)
def test_bad_files_are_told(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    with pytest.raises(UploadError, match=says) as told:
        unpack_runs([upload(name, content)], tmp_path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("place", [45, 60, 80, 100])
def test_a_damaged_archive_is_told(tmp_path: Path, method: int, place: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("run/engine_steps.jsonl", b"{}\n" * 3000)
    content = bytearray(buffer.getvalue())
    content[place] ^= 0xFF
    content[place + 1] ^= 0x55
    with pytest.raises(UploadError, match=r"runs\.zip: cannot be unpacked"):
        unpack_runs([upload("runs.zip", bytes(content))], tmp_path)


def test_traces_get_a_name_of_ours(tmp_path: Path) -> None:
    assert save_trace(upload("../../x.JSONL", b"{}"), tmp_path) == tmp_path / "trace.jsonl"
    packed = upload("y.csv.gz", gzip.compress(b"a,b\n"))
    assert save_trace(packed, tmp_path).read_bytes() == b"a,b\n"
    with pytest.raises(UploadError, match="is packed more than its name says"):
        save_trace(upload("x.jsonl", gzip.compress(b"{}")), tmp_path)
    for name in ("x.pkl", "x.parquet", "x.gz", "x"):
        with pytest.raises(UploadError, match="is no trace"):
            save_trace(upload(name, b""), tmp_path)
