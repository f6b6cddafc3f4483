"""Every example of the README and the documentation does what it says.

Fenced `bash` and `console` blocks are run line by line, in a folder with the shipped scenarios cut
to a minute; `python` blocks are run, `yaml` blocks of a known kind are loaded, and those that begin
with `# NAME.yaml` are there for the commands. Nothing of a block is run behind the comment
`<!-- not run: why -->`.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kvsim import Scenario
from kvsim.cli import main
from kvsim.spec.profiles import Roots, find_profile
from kvsim.spec.yamlfile import read_mapping
from kvsim.sweep.design import base_scenario, load_sweep

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RECORDED = "experiments/validation/runs/cpu40GB_131k_pool__qa10k"
STAND_INS = {
    "RUN_DIR": RECORDED,
    "RUN_DIR...": RECORDED,
    "TRACE": "tests/data/traces/mooncake_conversation.jsonl",
    "SCENARIO": "experiments/storagegrid-one.yaml",
}
"""What words in capitals of an example stand for."""
PARALLEL = {"sweep", "sensitivity"}
PROMISES = {"--slo", "--hit-rate"}
"""Options whose promise a run of a minute may break, with exit code 3."""

FENCE = re.compile(
    r"(?:^<!-- (?P<skipped>not run): [^\n]+ -->\n\n?)?"
    r"^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
COMMAND = re.compile(r"^(?:\$ )?(?:python -m )?kvsim (?P<words>.+)$")
PROGRAM = re.compile(r"^(?:\$ )?python (?P<words>-c .+)$")


@dataclass(frozen=True)
class Block:
    """A fenced block, and whether the comment in front of it says to leave it alone."""

    language: str
    text: str
    skipped: bool


def blocks(page: Path, *languages: str) -> list[Block]:
    """Find the blocks of a page in these languages."""
    return [
        Block(found["language"], found["text"], bool(found["skipped"]))
        for found in FENCE.finditer(page.read_text(encoding="utf-8"))
        if found["language"] in languages
    ]


def pages_with(*languages: str) -> list[Path]:
    """Name the pages that have blocks to run in these languages."""
    return [page for page in PAGES if any(not b.skipped for b in blocks(page, *languages))]


def arguments(line: str) -> list[str] | None:
    """Return the arguments of a kvsim command; None for another line."""
    found = COMMAND.match(line)
    if found is None:
        return None
    words = [STAND_INS.get(word, word) for word in shlex.split(found["words"], comments=True)]
    if words[0] in PARALLEL:  # starting processes takes longer than the runs of an example
        words += ["--jobs", "1"]
    return [name for word in words for name in expanded(word)]


def expanded(word: str) -> list[str]:
    """Expand a pattern as a shell does."""
    return sorted(map(str, Path().glob(word))) if "*" in word else [word]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder with the scenarios, cut to a minute, the recorded runs and the traces."""
    experiments = tmp_path / "experiments"
    experiments.mkdir()
    for path in (ROOT / "experiments").glob("*.yaml"):
        text = path.read_text(encoding="utf-8").replace("time: 1200s", "time: 60s")
        text = re.sub(r"\[1000, 2500, .*\]", "[1000, 5000]", text)
        (experiments / path.name).write_text(text, encoding="utf-8")
    (experiments / "validation").symlink_to(ROOT / "experiments" / "validation")
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", pages_with("bash", "console"), ids=lambda page: page.stem)
def test_commands_run(page: Path, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks(page, "yaml"):
        if named := re.match(r"# (\S+\.yaml)\n", block.text):
            (workplace / named[1]).write_text(block.text, encoding="utf-8")
    for block in blocks(page, "bash", "console"):
        for line in block.text.replace("\\\n", " ").splitlines():
            if block.skipped:
                continue
            if program := PROGRAM.match(line):
                subprocess.run([sys.executable, *shlex.split(program["words"])], check=True)
            elif args := arguments(line):
                code = main(args)
                said = capsys.readouterr().err.strip().splitlines()
                assert code == 0 or (code == 3 and PROMISES & {*args}), (
                    f"{page.name}: {line}\nexit code {code}: {said[-1:]}\n"
                    "repair it, or put <!-- not run: why --> before the block"
                )


@pytest.mark.parametrize("page", pages_with("python"), ids=lambda page: page.stem)
def test_python_runs(page: Path, workplace: Path) -> None:
    for block in blocks(page, "python"):
        if not block.skipped:
            exec(compile(block.text, page.name, "exec"), {"__name__": page.stem})


@pytest.mark.parametrize("page", pages_with("yaml"), ids=lambda page: page.stem)
def test_yaml_loads(page: Path, workplace: Path) -> None:
    for number, block in enumerate(blocks(page, "yaml")):
        path = workplace / f"block-{number}.yaml"
        path.write_text(block.text, encoding="utf-8")
        data = read_mapping(path)
        if block.skipped:
            continue
        if "workload" in data:
            Scenario.from_dict(data, base=path.parent)
        elif {"grid", "zip", "setups"} & {*data}:
            base_scenario(load_sweep(path), path)
        elif "sources" in data:
            folder = workplace / "profiles" / "storage"
            folder.mkdir(parents=True)
            path.rename(folder / f"{data['name']}.yaml")
            find_profile("storage", data["name"], Roots(folder.parent))


ONE = "experiments/storagegrid-one.yaml"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["run", ONE, "--set", "workload.qqps=3"],
            "workload.qqps: unknown key; did you mean 'qps'?",
        ),
        (
            ["run", ONE, "--set", "model=qwen3-9b"],
            "no model profile 'qwen3-9b'; did you mean 'qwen3-8b'?",
        ),
        (["run", "nofile.yaml"], "nofile.yaml: no such file"),
        (["run", ONE, "--bogus"], "No such option: --bogus"),
        (["run", ONE, "--slo", "ttfft:p99<2s"], "slo: unknown metric 'ttfft'"),
        (["run", ONE, "--no-time"], "workload.kind: multi_round_qa has no order without time"),
        (["run", ONE, "--set", "router=round"], "router: 'round' does not exist; choose"),
        (
            ["run", ONE, "--set", "offload.cpu.capacity=50GB/s"],
            "offload.cpu.capacity: '50GB/s' is not a size",
        ),
        (["run", ONE, "--out", "tests"], "is there already and no saved run"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_messages_are_as_explained(
    args: list[str], message: str, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    explained = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert message in explained
    assert main(args) == 2
    assert message in capsys.readouterr().err


def mentions(page: Path) -> Iterator[str]:
    """Yield what follows `kvsim` in code spans and in lines of blocks."""
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"(?:^|[`\s(])kvsim ([a-z][^`#|\n]*)", text):
        yield found[1]


def commands() -> dict[str, set[str]]:
    """Return every command of the program with its options."""
    from typer.main import get_command

    from kvsim.cli import app

    known: dict[str, set[str]] = {}

    def add(name: str, command: object) -> None:
        options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}  # type: ignore[attr-defined]
        known[name] = {*options, "--help"}
        for word, inner in getattr(command, "commands", {}).items():
            add(f"{name} {word}".strip(), inner)

    add("", get_command(app))
    return known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_options_exist(page: Path) -> None:
    known = commands()
    for mention in mentions(page):
        words = mention.split()
        name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
        options = {word.split("=")[0].strip("()[],.;:") for word in words if word[:2] == "--"}
        if name not in known:
            assert not options, f"{page.name}: there is no command kvsim {name}"
            continue
        unknown = options - known[name]
        assert not unknown, f"{page.name}: kvsim {name} has no {', '.join(sorted(unknown))}"


def test_readme_lists_every_command() -> None:
    readme = PAGES[0].read_text(encoding="utf-8")
    missing = [name for name in commands() if name and f"kvsim {name}" not in readme]
    assert not missing, f"README.md does not name: kvsim {', kvsim '.join(missing)}"


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [page.name for page in PAGES[1:]]
    notebooks = [f"experiments/{path.name}" for path in (ROOT / "experiments").glob("*.ipynb")]
    missing = [name for name in (*pages, *notebooks) if f": {name}" not in navigation]
    assert not missing, f"mkdocs.yml: nav lacks {', '.join(missing)}"
