"""`kvsim trace`: look at a recorded workload, turn it into another format, or make one up."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvsim.cli.inputs import JsonOption, SetOption, print_json, print_remarks
from kvsim.errors import ConfigError

if TYPE_CHECKING:
    from kvsim.spec.synthetic_workload import AnySyntheticSpec
    from kvsim.spec.trace_workload import TraceFormat
    from kvsim.workload.traces import Trace
    from kvsim.workload.traces.files import Progress
    from kvsim.workload.traces.write import WriteFormat

app = typer.Typer(
    name="trace",
    help="Look at a trace, convert it, or make one up.",
    no_args_is_help=True,
    add_completion=False,
)

FileArgument = Annotated[Path, typer.Argument(help="A trace, or a folder of them.")]
FormatOption = Annotated[
    str, typer.Option("--format", metavar="NAME", help="Its format; auto: seen from its content.")
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Stop at the first damaged row.")]
HashTokensOption = Annotated[
    int | None,
    typer.Option("--hash-tokens", min=1, help="Tokens of one hash id (mooncake; else 512)."),
]
AnswerTokensOption = Annotated[
    int | None,
    typer.Option("--answer-tokens", min=1, help="Length of all answers (lmcache has none)."),
]
PartOption = Annotated[
    int | None, typer.Option("--part", min=0, help="Which benchmark of a GuideLLM file, from 0.")
]
CharsOption = Annotated[
    float, typer.Option("--chars-per-token", min=0.1, help="For text without tokens (sharegpt).")
]
OutOption = Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write.")]
ToOption = Annotated[str, typer.Option("--to", metavar="NAME", help="mooncake or csv.")]


@app.command()
def info(
    file: FileArgument,
    form: FormatOption = "auto",
    strict: StrictOption = False,
    hash_tokens: HashTokensOption = None,
    answer_tokens: AnswerTokensOption = None,
    part: PartOption = None,
    chars_per_token: CharsOption = 4.0,
    model: Annotated[
        str | None, typer.Option("--model", help="Show sizes as bytes of this model's KV cache.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page: reuse, working set, ages."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Describe a trace: counts, lengths, gaps, reuse, working set, ideal hit rate.

    Example: kvsim trace info conversation.jsonl --model qwen3-8b --html trace.html
    """
    from kvsim.cli.size import check_html
    from kvsim.cli.trace_tables import print_info
    from kvsim.spec.load import load_profile
    from kvsim.spec.model import ModelSpec
    from kvsim.workload.trace_stats import measure_reuse
    from kvsim.workload.trace_summary import summarise_trace

    check_html(html)
    kv_bytes = None
    if model is not None:
        profile = load_profile("models", model)
        assert isinstance(profile, ModelSpec), "a profile of models is a model"
        kv_bytes = profile.kv_bytes_per_token
    trace = read(file, form, strict, hash_tokens, answer_tokens, part, chars_per_token)
    with progress_bar("measuring reuse") as report:
        reuse = measure_reuse(trace, progress=report)
    summary = summarise_trace(trace, reuse)
    if html is not None:
        from kvsim.report.trace_page import trace_page

        trace_page(trace, reuse, summary, kv_bytes_per_token=kv_bytes).write(html)
    if as_json:
        print_json(summary)
    else:
        print_info(summary, kv_bytes)
        if html is not None:
            typer.echo(f"page: {html}")
    return 0


@app.command()
def convert(
    file: FileArgument,
    out: OutOption,
    form: FormatOption = "auto",
    to: ToOption = "mooncake",
    grain: Annotated[
        int | None,
        typer.Option("--to-hash-tokens", min=1, help="Write ids of this many tokens."),
    ] = None,
    window: Annotated[
        tuple[float, float] | None,
        typer.Option("--window", metavar="FROM TO", help="Only this part of its time (s)."),
    ] = None,
    max_prompt: Annotated[
        int | None,
        typer.Option("--max-prompt", min=1, help="End sessions before a longer prompt."),
    ] = None,
    strict: StrictOption = False,
    hash_tokens: HashTokensOption = None,
    answer_tokens: AnswerTokensOption = None,
    part: PartOption = None,
    chars_per_token: CharsOption = 4.0,
) -> int:
    """Write a trace as Mooncake JSONL or CSV, whole or in part.

    Example: kvsim trace convert sessions.parquet --max-prompt 120000 --out short.jsonl
    """
    from kvsim.workload.traces.trace import cap_prompts, time_window
    from kvsim.workload.traces.write import with_grain, write_trace

    target = _write_format(to)
    trace = read(file, form, strict, hash_tokens, answer_tokens, part, chars_per_token)
    if window is not None:
        trace = time_window(trace, *window)
    if max_prompt is not None:
        trace = cap_prompts(trace, max_prompt)
    if grain is not None:
        trace = with_grain(trace, grain)
    with progress_bar("writing") as report:
        write_trace(trace, out, target, progress=report)
    of = f" of {trace.num_sessions:,} sessions" if trace.has_sessions else ""
    typer.echo(f"{len(trace):,} requests{of} are in {out}")
    print_remarks(_remarks(trace))
    return 0


@app.command()
def synth(
    kind: Annotated[str, typer.Argument(help="agentic, rag or chat.")],
    out: OutOption,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Sessions that begin per second.")
    ] = None,
    duration: Annotated[
        str, typer.Option("--duration", help="Time during which sessions begin, e.g. 1h.")
    ] = "1h",
    arrivals: Annotated[
        str, typer.Option("--arrivals", help="poisson, gamma, markov or diurnal.")
    ] = "poisson",
    fit: Annotated[
        Path | None, typer.Option("--fit", metavar="TRACE", help="Take the numbers of this trace.")
    ] = None,
    changes: SetOption = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draws.")] = 0,
    to: ToOption = "mooncake",
    as_json: JsonOption = False,
) -> int:
    """Make up a trace, from fitted defaults, from another trace, or from numbers of your own.

    `--set` changes one number, e.g. turns.median=20 or arrivals.cv=4.

    Example: kvsim trace synth agentic --rate 0.05 --duration 20min --out agents.jsonl
    """
    from kvsim.cli.trace_tables import print_spec
    from kvsim.workload.synthetic import generate
    from kvsim.workload.traces.write import write_trace

    target = _write_format(to)
    spec = _synthetic_spec(kind, arrivals, rate, duration, fit, changes)
    trace = generate(spec, seed)
    with progress_bar("writing") as report:
        write_trace(trace, out, target, progress=report)
    if as_json:
        print_json({"out": str(out), "requests": len(trace), "spec": spec.model_dump(mode="json")})
    else:
        print_spec(spec)
        typer.echo(f"{len(trace):,} requests of {trace.num_sessions:,} sessions are in {out}")
    return 0


@contextmanager
def progress_bar(label: str) -> "Iterator[Progress]":
    """Show a bar on stderr while a block runs, if a person looks at it."""
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with bar:
        task = bar.add_task(label, total=1.0)
        yield lambda done: bar.update(task, completed=done)


def read(
    file: Path,
    form: str,
    strict: bool,
    hash_tokens: int | None,
    answer_tokens: int | None,
    part: int | None,
    chars_per_token: float,
) -> "Trace":
    """Read a trace with the options of the command line, a progress bar on stderr."""
    from kvsim.workload.traces import ReadOptions, read_trace

    options = ReadOptions(strict, hash_tokens, answer_tokens, part, chars_per_token)
    with progress_bar("reading") as report:
        return read_trace(file, _trace_format(form), options, progress=report)


def _trace_format(name: str) -> "TraceFormat":
    from typing import get_args

    from kvsim.spec.problems import suggest
    from kvsim.spec.trace_workload import TraceFormat

    known: dict[str, TraceFormat] = {form: form for form in get_args(TraceFormat)}
    if name not in known:
        raise ConfigError(f"--format {name}: does not exist; {suggest(name, known)}")
    return known[name]


def _write_format(name: str) -> "WriteFormat":
    if name == "mooncake":
        return "mooncake"
    if name == "csv":
        return "csv"
    raise ConfigError(f"--to {name}: does not exist; choose mooncake or csv")


def _remarks(trace: "Trace") -> list[str]:
    lines = trace.remarks
    if trace.clock == "session":
        lines.append("times count from the start of each session: all begin at 0 in the new file")
    if trace.clock == "none":
        lines.append("the trace has no times: all requests are at 0 in the new file")
    return lines


def _synthetic_spec(
    kind: str,
    arrivals: str,
    rate: float | None,
    duration: str,
    fit: Path | None,
    changes: list[str] | None,
) -> "AnySyntheticSpec":
    from pydantic import ValidationError

    from kvsim.cli.inputs import parse_changes
    from kvsim.spec.problems import problem_line
    from kvsim.spec.synthetic_workload import AgenticSpec, ChatSpec, RagSpec

    kinds: dict[str, type[AgenticSpec] | type[RagSpec] | type[ChatSpec]] = {
        "agentic": AgenticSpec,
        "rag": RagSpec,
        "chat": ChatSpec,
    }
    if kind not in kinds:
        raise ConfigError(f"synth {kind}: no such kind; the kinds are {', '.join(kinds)}")
    data: dict[str, Any] = {"kind": kind, "duration": duration, "arrivals": {"kind": arrivals}}
    if fit is not None:
        _fit(data, kind, arrivals, fit)
    if rate is not None:
        data["arrivals"]["rate"] = rate
    for path, value in parse_changes(changes).items():
        _assign(data, path.split("."), value, defaults=kinds[kind].model_fields)
    try:
        return kinds[kind].model_validate(data)
    except ValidationError as error:
        hint = " (--rate, --set arrivals.KEY=VALUE or --fit TRACE)"
        line = problem_line(error, kinds[kind], f"trace synth {kind}")
        raise ConfigError(line + (hint if "arrivals" in line else "")) from None


def _fit(data: dict[str, Any], kind: str, arrivals: str, fit: Path) -> None:
    """Take what a trace can tell; what it does not say about arrivals the user must."""
    from kvsim.workload import fit as fits
    from kvsim.workload.traces import read_trace

    with progress_bar("reading") as report:
        trace = read_trace(fit, progress=report)
    match kind:
        case "agentic":
            data.update(fits.fit_agentic(trace))
        case "rag":
            data.update(fits.fit_rag(trace))
        case _:
            data.update(fits.fit_chat(trace))
    if trace.clock != "trace":
        return
    match arrivals:
        case "markov":
            data["arrivals"] = fits.fit_markov(trace).model_dump()
        case "diurnal":
            data["arrivals"] = fits.fit_diurnal(trace).model_dump()
        case "gamma":
            data["arrivals"] = fits.fit_gamma(trace).model_dump()
        case _:
            data["arrivals"]["rate"] = fits.fit_gamma(trace).rate


def _assign(
    data: dict[str, Any], keys: list[str], value: Any, *, defaults: Mapping[str, Any]
) -> None:
    """Set one dotted path; a part of a default keeps the rest of it."""
    from pydantic import BaseModel

    head, *rest = keys
    if not rest:
        data[head] = value
        return
    given = data.get(head)
    if given is None and head in defaults:
        given = defaults[head].default
    if isinstance(given, BaseModel):
        given = given.model_dump()
    inner: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {}
    _assign(inner, rest, value, defaults={})
    data[head] = inner
