"""Trials of a search: each once, and on disk: a line of JSON each, so that an interrupt loses none.

The first line says what was asked. Whoever asks the same again gets the trials back; the sampler
needs no state of its own, for with the same seed and the same results it proposes the same designs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kvsim.errors import ConfigError
from kvsim.plan.search_space import Design
from kvsim.plan.search_trial import Evaluated

TRIALS = "trials.jsonl"


class TrialStore:
    """Trials that were finished, in memory and, where there is a file, on disk."""

    def __init__(self, path: Path | None, question: Mapping[str, Any]) -> None:
        self._path = path
        self._known: dict[str, Evaluated] = {}
        if path is None:
            return
        lines = _lines(path) if path.exists() else []
        asked = json.loads(json.dumps(question))
        if lines:
            _check_same(path, lines[0], asked)
            for line in lines[1:]:
                trial = Evaluated(**line)
                self._known[name_of(trial.design)] = trial
        # A line that an interrupt cut in half must not swallow the next one.
        draft = path.with_name(f".{path.name}.tmp")
        draft.write_text("".join(f"{json.dumps(line)}\n" for line in [asked, *lines[1:]]))
        draft.replace(path)

    def find(self, design: Design) -> Evaluated | None:
        """Hand back a finished trial."""
        return self._known.get(name_of(design))

    def all(self) -> list[Evaluated]:
        """Return all finished trials, in the order in which they were finished."""
        return list(self._known.values())

    def keep(self, trial: Evaluated) -> None:
        """Add a finished trial; it is on disk when this returns."""
        self._known[name_of(trial.design)] = trial
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(asdict(trial))}\n")
                file.flush()
                os.fsync(file.fileno())


def name_of(design: Design) -> str:
    """Name a design by its values, in their order."""
    return json.dumps(design)


class Runner:
    """Tries designs, each once, and keeps them in their order."""

    def __init__(
        self,
        store: TrialStore,
        evaluate: Callable[[Design], Evaluated],
        on_progress: Callable[[int, int], None] | None,
    ) -> None:
        self.total = 0
        self.tried: dict[str, Evaluated] = {}
        self.done = 0
        """Different designs that were simulated, or read from the store."""
        self._store = store
        self._evaluate = evaluate
        self._on_progress = on_progress

    def __call__(self, design: Design) -> Evaluated:
        """Return what a design comes to."""
        name = name_of(design)
        known = self.tried.get(name)
        if known is not None:
            return known
        result = self._store.find(design)
        if result is None:
            result = self._evaluate(design)
            self._store.keep(result)
        self.done += 1
        self.tried[name] = result
        if self._on_progress is not None:
            self._on_progress(self.done, self.total)
        return result

    def leave_out(self, design: Design, reason: str) -> None:
        """List a design that need not be simulated."""
        self.tried.setdefault(name_of(design), Evaluated(design, {}, reason, 0.0, None, None))


def _lines(path: Path) -> list[dict[str, Any]]:
    """Read whole lines up to the first that is damaged."""
    found: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def _check_same(path: Path, found: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    other = [name for name in asked if found.get(name) != asked[name]]
    if other:
        raise ConfigError(
            f"{path}: its trials answer another question ({', '.join(other)} differ); "
            "name another --out, or ask the same"
        )
