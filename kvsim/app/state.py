"""What one visitor is doing: everything lives in the session, nothing in the process."""

from __future__ import annotations

import re
import shutil
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from kvsim.app.background import Job
from kvsim.app.presets import DEFAULT, load_preset
from kvsim.report.verdict import design_name
from kvsim.spec.cost import DEFAULT_PRICES
from kvsim.spec.scenario import Scenario
from kvsim.spec.slo import SloSpec

MAX_PINS = 4
MAX_JOBS = 2
"""Long jobs that one visit may have under way."""
_MARKS = re.compile(r"([\\`*_\[\]#!|$~]|:(?=\w))")
PROMISE = "ttft:p95<2s"
"""What the dashboard asks of a scenario that promises nothing itself."""
PROMISES = {DEFAULT: "ttft:mean<2s"}
"""The published experiment reports means. One question in twenty is a user's first there, so its
p95 is a wait of that kind: in the queue, and for the prefill of a whole context."""


def plain(text: str) -> str:
    """Show a text as it is: names may come from a stranger's link, and Markdown can load images."""
    return _MARKS.sub(r"\\\1", " ".join(own_names()(text).split()))


def own_names() -> Callable[[str], str]:
    """Return what calls files as the visitor does, not by their place here.

    It works from any thread, as a download's does.
    """
    names: dict[str, str] = st.session_state.get("names", {})

    def with_own_names(text: str) -> str:
        for place, name in names.items():
            text = text.replace(place, name)
        return text

    return with_own_names


def name_place(place: str, name: str) -> None:
    """Keep what the visitor calls a place of ours: a file, or how the paths of some begin."""
    st.session_state.setdefault("names", {})[place] = name


@dataclass(frozen=True)
class Design:
    """A scenario and the preset that it began as."""

    preset: str
    scenario: Scenario

    @property
    def name(self) -> str:
        """Name it by what it is made of."""
        return design_name(self.scenario)

    @property
    def title(self) -> str:
        """The name for Markdown."""
        return plain(self.name)


def begun(preset: str = DEFAULT) -> Design:
    """Return the design that a preset begins with: it always promises something."""
    scenario = load_preset(preset)
    if scenario.slo is None:
        promise = SloSpec.model_validate(PROMISES.get(preset, PROMISE))
        scenario = scenario.replace({"slo": promise.model_dump(mode="json")})
    return Design(preset, scenario)


def start(preset: str = DEFAULT, scenario: Scenario | None = None) -> None:
    """Begin anew with a preset, or with a design that was made from one."""
    design = begun(preset) if scenario is None else Design(preset, scenario)
    st.session_state["base"] = st.session_state["design"] = design
    st.session_state["generation"] = st.session_state.get("generation", 0) + 1


def base() -> Design:
    """Return the design that the inputs show when untouched."""
    if "base" not in st.session_state:
        start()
    return cast(Design, st.session_state["base"])


def design() -> Design:
    """Return the design as the inputs have made it."""
    base()
    return cast(Design, st.session_state["design"])


def remember(scenario: Scenario) -> Design:
    """Keep what the inputs have made."""
    made = Design(base().preset, scenario)
    st.session_state["design"] = made
    return made


def generation() -> int:
    """Count the beginnings; inputs of an earlier one are forgotten."""
    base()
    return int(st.session_state["generation"])


def is_untouched() -> bool:
    """Tell whether no inputs have been shown since the last beginning, or since another page."""
    return f"{generation()}|workload kind" not in st.session_state


def pins() -> list[Design]:
    """Return the pinned designs, the first of which is the baseline."""
    return cast(list[Design], st.session_state.setdefault("pins", []))


def pin(made: Design) -> bool:
    """Pin a design; False if it is pinned or there is no room."""
    known = pins()
    if len(known) >= MAX_PINS or made.scenario in [one.scenario for one in known]:
        return False
    known.append(made)
    return True


def price_list() -> tuple[str, dict[str, Any]]:
    """Return the price list and the visitor's own prices."""
    return (
        st.session_state.setdefault("price_list", DEFAULT_PRICES),
        st.session_state.setdefault("prices", {}),
    )


def visit_watcher() -> Callable[[], bool]:
    """Return what tells, from any thread, whether this visit has a page open."""
    context = get_script_run_ctx()
    if context is None or not runtime.exists():
        return lambda: True
    server, visit = runtime.get_instance(), context.session_id
    return lambda: server.is_active_session(visit)


def jobs() -> dict[str, Job]:
    """Return the visitor's long work by its place on the page."""
    return cast(dict[str, Job], st.session_state.setdefault("jobs", {}))


class _Folder:
    """A temporary folder that goes when its visit does."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="kvsim-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
        _FOLDERS.add(self)


_FOLDERS: weakref.WeakSet[_Folder] = weakref.WeakSet()


def remove_folders() -> None:
    """Remove the temporary folders of all visits."""
    for one in list(_FOLDERS):
        shutil.rmtree(one.path, ignore_errors=True)


def folder(name: str) -> Path:
    """Name a place in this visit's own temporary folder."""
    if "folder" not in st.session_state:
        st.session_state["folder"] = _Folder()
    return cast(_Folder, st.session_state["folder"]).path / name
