"""What the site needs beyond its pages: notebooks, the keys of files, plotly.js without a CDN."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import plotly
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
PLOTLY_JS = "assets/plotly.min.js"
# Scripts of a notebook page that a browser would fetch: plotly.js and MathJax.
FETCHED = re.compile(
    r'<script\b[^>]*(?:\ssrc="https://[^>]*>|>\s*import "https://[^<]*)\s*</script>', re.DOTALL
)
NOTEBOOK = '<div class="jupyter-wrapper">'

# Kernels that the build starts find kvsim here, and draw charts as HTML.
os.environ["PLOTLY_RENDERER"] = "notebook_connected"
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


@event_priority(100)  # before mkdocs-jupyter looks for notebooks among the files
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the notebooks of experiments/, the page of keys, and the plotly.js of plotly."""
    for path in sorted((ROOT / "experiments").glob("*.ipynb")):
        place = {"dest_dir": config.site_dir, "use_directory_urls": config.use_directory_urls}
        files.append(File(path.relative_to(ROOT).as_posix(), src_dir=str(ROOT), **place))
    files.append(File.generated(config, "scenario-keys.md", content=scenario_keys()))
    script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    files.append(File.generated(config, PLOTLY_JS, abs_src_path=str(script)))
    return files


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Let charts of notebooks use the site's own plotly.js, and nothing from elsewhere."""
    if NOTEBOOK not in output:
        return output
    own = f'<script src="../{PLOTLY_JS}"></script>'
    return FETCHED.sub("", output).replace(NOTEBOOK, own + NOTEBOOK, 1)


def scenario_keys() -> str:
    """Write the page of all keys from the specs themselves."""
    from kvsim import Scenario

    lines = [
        "# Keys of a scenario",
        "",
        "Every key that a scenario file, `--set` and `Scenario.replace` take, with its default. ",
        "Deeper keys are joined by dots: `offload.cpu.capacity`. ",
        "Values carry their units: [Names and units](names.md#units).",
        "",
        "## The scenario",
    ]
    return "\n".join([*lines, *_section(Scenario, "", 2, set())]) + "\n"


def _section(
    spec: type[BaseModel], prefix: str, level: int, seen: set[type[BaseModel]]
) -> Iterator[str]:
    """Write the table of a spec, then the sections of the specs inside it, each once."""
    inner: list[tuple[str, str, type[BaseModel]]] = []
    yield from ("", "| key | default | meaning |", "|---|---|---|")
    for name, field in spec.model_fields.items():
        if name == "sources":
            continue
        found = dict.fromkeys(_specs(field.annotation))
        for each in found:
            if each not in seen:
                seen.add(each)
                inner.append((f"{prefix}{name}", _kind(each) if len(found) > 1 else "", each))
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        yield f"| `{prefix}{name}` | {_default(field)} | {meaning} |"
    for path, kind, each in inner:
        about = " ".join((each.__doc__ or "").split())
        yield from ("", f"{'#' * min(level + 1, 4)} `{path}`{kind}", "", about)
        yield from _section(each, f"{path}.", level + 1, seen)


def _specs(annotation: Any) -> Iterator[type[BaseModel]]:
    """Find the specs in an annotation; what `kvsim calibrate` writes is nobody's to write."""
    is_spec = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    if is_spec and annotation.__name__ != "CalibrationSpec":
        yield annotation
    for part in get_args(annotation):
        yield from _specs(part)


def _kind(spec: type[BaseModel]) -> str:
    """Name the kind that tells a spec from its siblings."""
    field = spec.model_fields.get("kind") or spec.model_fields.get("medium")
    return f" ({', '.join(get_args(field.annotation))})" if field else ""


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "*needed*"
    if value is None or value == ():
        return "none"
    if isinstance(value, BaseModel):
        numbers = value.model_dump()
        if not all(type(part) in (int, float) for part in numbers.values()):
            return "see there"
        return f"`{{{', '.join(f'{name}: {part:g}' for name, part in numbers.items())}}}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
