"""Every way to write a scenario wrongly gives one line that says what to do."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from kvsim.errors import ConfigError
from kvsim.spec import Scenario, load_scenario, parse_assignment

Plain = dict[str, Any]


def line(call: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 600
    return text


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        (
            "offload.cpu.capacity=12 bananas",
            "offload.cpu.capacity: '12 bananas' is not a size; write bytes or e.g. '80GiB'",
        ),
        ("offload.cpu.capacity=-3GiB", "offload.cpu.capacity: '-3GiB' is negative"),
        ("offload.cpu.capacity=3s", "offload.cpu.capacity: '3s' is not a size"),
        ("workload.qps=-1", "workload.qps: -1 is out of range; it must be greater than 0"),
        ("workload.qps=0", "workload.qps: 0 is out of range"),
        ("workload.qps=nan", "workload.qps: 'nan' is not a finite number"),
        ("workload.qps=.inf", "workload.qps: inf is not a finite number"),
        ("workload.qps=soon", "workload.qps: 'soon' is not a number"),
        ("workload.qps=true", "workload.qps: true is not a number"),
        ("workload.num_user=3", "workload.num_user: unknown key; did you mean 'num_users'?"),
        ("workload.num_users=1.5", "workload.num_users: 1.5 is not a whole number"),
        ("workload.num_users=", "workload.num_users: null is not a whole number"),
        ("workload.num_users=1e30", "workload.num_users: 1e+30 is out of range"),
        ("workload.time=null", "workload.time: null is not a time"),
        ("workload.kind=chats", "workload: kind 'chats' does not exist; choose 'multi_round_qa', "),
        ("bananas=3", "bananas: unknown key; known: name, model, gpu"),
        ("gpu.efficiency.memry=1", "gpu.efficiency.memry: unknown key; did you mean 'memory'?"),
        ("gpu.efficiency.memory=1.5", "gpu.efficiency.memory: 1.5 is out of range"),
        ("model=qwen3-8", "model: no model profile 'qwen3-8'; did you mean 'qwen3-8b'?"),
        ("model=./nowhere/config.json", "model: "),
        (
            "offload.connector=lmcache_mp",
            "'lmcache_mp' does not exist; choose 'none' or 'lmcache_inproc'",
        ),
        ("offload.remote.profile=nope", "no storage profile 'nope'"),
        ("offload.remote.client.conections=3", "unknown key; did you mean 'connections'?"),
        ("offload.remote.client=3", "client: 3 is not a mapping"),
        ("offload.remote=3", "offload.remote: 3 is not a mapping"),
        ("offload.remote={}", "offload.remote.profile: missing key"),
        ("offload.remote.profile.medium=tape", "medium 'tape' does not exist; choose 'file'"),
        ("offload.remote.profile.read.first_bite=3", "did you mean 'first_byte'?"),
        ("engine=3", "engine: 3 is not a mapping"),
        ("engine.enable_prefix_caching=maybe", "'maybe' is not true or false"),
        ("router=bogus", "router: 'bogus' does not exist; choose 'round_robin'"),
        ("name.x=3", "name.x: name is a single value with no keys inside"),
        ("a..b=3", "'a..b' is no path"),
        ("slo='" + ";".join(["ttft:p95<2s"] * 101) + "'", "at most 100 items"),
        ("slo.quantile=2", "slo.quantile: 2 is out of range; it must be at most 1"),
        ('name="a\\nrm -rf ~"', r"name: 'a\nrm -rf ~' is no name; it must be a line"),
        ('name="\\e[201~"', "is no name"),
        ("name=''", "name: '' is no name"),
        ("name=--config=x", "must not begin with -"),
        ("gpu.name='=cmd|x!A0'", "gpu.name: '=cmd|x!A0' is no name"),
        ('tenants={"=cmd": {}}', "tenants: '=cmd' is no name"),
        ('tenants={"a\\nb": {}}', r"tenants: 'a\nb' is no name"),
        ('tenants={"a\\nb": {share: x}}', r"tenants.'a\nb'.share: 'x' is not a number"),
        ("workload.num_users=1" + "0" * 30, "is out of range; it must be at most 9.22337e+18"),
        ("offload.cpu.capacity=1e25", "is out of range; it must be at most 9.22337e+18"),
        ("workload.poll=1e-30", "poll: time is 1.2e+03 s, more than 1e+12 polls of 1e-30 s"),
        ("workload.qps=1e-320", "poll: num_users / qps is inf s, more than 1e+12 polls"),
        ("workload={kind: " + "x" * 999 + "}", "does not exist; choose"),
    ],
)
def test_wrong_settings(assignment: str, message: str, plain: Plain) -> None:
    base = Scenario.from_dict(plain)
    path, value = parse_assignment(assignment)
    assert message in line(lambda: base.replace({path: value}))


def test_the_message_names_the_file(plain: Plain, tmp_path: Path) -> None:
    plain["offload"]["cpu"]["capacity"] = "12 bananas"
    file = tmp_path / "x.yaml"
    YAML(typ="safe", pure=True).dump(plain, file)
    assert line(lambda: load_scenario(file)) == (
        f"offload.cpu.capacity: '12 bananas' is not a size; write bytes or e.g. '80GiB' ({file})"
    )


def test_more_than_one_problem_counts_the_rest(plain: Plain) -> None:
    plain["workload"] |= {"qps": -1, "num_users": 0, "bananas": 3}
    text = line(lambda: Scenario.from_dict(plain))
    assert text.startswith("workload.bananas: unknown key; known: kind, num_users")
    assert text.endswith(", and 2 more")


@pytest.mark.parametrize("text", ["nonsense", "=3", "", " = "])
def test_no_assignment(text: str) -> None:
    assert "is not an assignment; write path=value" in line(lambda: parse_assignment(text))


@pytest.mark.parametrize(
    "text", ["workload.qps=[1", "workload.qps=!!python/name:os.x", "a={1: 2}", "a=!!bool x"]
)
def test_unreadable_values(text: str) -> None:
    assert line(lambda: parse_assignment(text)).startswith(text.partition("=")[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"# nothing\n", "the file is empty"),
        (b"- 1\n- 2\n", "a list at the top"),
        (b"hello\n", "a single value at the top"),
        (b"a: [1", "not readable as YAML"),
        (b"a: 1\na: 2\n", "duplicate key"),
        (b"a: *b\n", "undefined alias"),
        (b"a: 1\n---\nb: 2\n", "another document"),
        (b"name: !!python/object:os.system x\n", "could not determine a constructor"),
        (b"\x00\x01\x02", "not readable as YAML"),
        (b"\xff\xfe\x00", "not a text file"),
        (b"1: 2\n", "the key 1 is not a text"),
        (b"a: {b: {3: 4}}\n", "the key 3 is not a text"),
        (b"[" * 3000, "not readable as YAML"),
        (b"name: x\nbananas: 3\n", "bananas: unknown key"),
    ],
)
def test_files_that_are_no_scenario(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_bytes(content)
    text = line(lambda: load_scenario(file))
    assert message in text
    assert str(file) in text


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert "no such file" in line(lambda: load_scenario(tmp_path / "absent.yaml"))
    assert "is a folder" in line(lambda: load_scenario(tmp_path))


def test_merges_of_merges_are_stopped(tmp_path: Path) -> None:
    bomb = "a0: &a0 {x: 1, y: 2}\n"
    merged = (f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12))
    file = tmp_path / "bomb.yaml"
    file.write_text(bomb + "".join(merged))
    assert "merges (<<) make a mapping of more than 1,000 keys" in line(lambda: load_scenario(file))
    _, plain = parse_assignment("x={a: &a {x: 1}, b: {<<: *a, y: 2}}")
    assert plain["b"] == {"x": 1, "y": 2}


@pytest.mark.parametrize("opening", ["[", "{a: ", "[1,"])
def test_brackets_in_brackets_are_stopped(tmp_path: Path, opening: str) -> None:
    file = tmp_path / "bomb.yaml"
    file.write_text("name: " + opening * 5_000)
    assert "more than 50 brackets, [ or {, are open at a time (line 1" in line(
        lambda: load_scenario(file)
    )
    assert parse_assignment("x=" + 50 * "[" + 50 * "]")


def test_aliases_cannot_blow_up_a_message(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    file = tmp_path / "bomb.yaml"
    file.write_text(bomb + "name: *a11\n")
    line(lambda: load_scenario(file))
