"""Inputs made from the specs: a field's documentation is its help, its source beside its name."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Sequence
from typing import Any, Literal, Union, get_args, get_origin

import streamlit as st
from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from kvsim.app import state
from kvsim.spec.base import Profile, Source
from kvsim.spec.load import load_profile
from kvsim.spec.profiles import ProfileKind, list_profiles
from kvsim.spec.scenario import Scenario
from kvsim.spec.yamlfile import parse_value
from kvsim.units import (
    format_bytes,
    format_flops,
    format_rate,
    format_seconds,
    parse_bytes,
    parse_flops,
    parse_rate,
    parse_seconds,
)

_WRITE: dict[Callable[..., Any], Callable[[Any], str]] = {
    parse_bytes: format_bytes,
    parse_rate: format_rate,
    parse_seconds: format_seconds,
    parse_flops: format_flops,
}
_BADGES = {
    "measured": "green",
    "fitted": "green",
    "datasheet": "blue",
    "published": "blue",
    "assumed": "orange",
}
_PROFILES: dict[str, ProfileKind] = {
    "model": "models",
    "gpu": "gpus",
    "host": "hosts",
    "offload.remote.profile": "storage",
}
_NONE = "none"
_MOST_CHARS = 1_000
"""Longest text of an input, of which the server reads no more: YAML takes it time."""
_ADDRESS = re.compile(r"https?://[^\s()<>]+")


class Inputs:
    """The inputs of one design, and what they change of its base."""

    def __init__(self, base: Scenario) -> None:
        self.base = base
        self.changes: dict[str, Any] = {}
        self._profiles: dict[str, Profile] = {}
        self._blocks: dict[str, BaseModel] = {}

    def scenario(self) -> Scenario:
        """Return the base with all changes; ConfigError if they do not fit together."""
        return self.base.replace(self.changes) if self.changes else self.base

    def use_profile(self, path: str, profile: Profile) -> None:
        """Take a whole profile in place of the base's."""
        self._profiles[path] = profile
        self.changes[path] = profile.model_dump(mode="json")

    def use_block(self, path: str, block: BaseModel) -> None:
        """Take a whole block, e.g. another workload, in place of the base's."""
        self._blocks[path] = block
        self.changes[path] = block.model_dump(mode="json")

    def profile(self, path: str, label: str) -> None:
        """Let the visitor choose a profile by its name."""
        kind = _PROFILES[path]
        own = self._get(path)
        names = list_profiles(kind)
        if own.name not in names:
            names.insert(0, own.name)
        holder, field = self._field(path)
        chosen = st.selectbox(
            label,
            names,
            index=names.index(own.name),
            help=_help(field),
            key=self._key(path),
        )
        if chosen != own.name:
            found: Profile = load_profile(kind, chosen)
            self.use_profile(path, found)
        assert holder is not None

    def stops(self, path: str, label: str, stops: Sequence[int | float]) -> Any:
        """Offer a slider over given values and the one that holds."""
        value = self._get(path)
        options = sorted({*stops, value})
        _, field = self._field(path)
        write = self._writer(field) or (lambda number: f"{number:,g}")
        chosen = st.select_slider(
            self._label(path, label),
            options,
            value=value,
            format_func=write,
            help=self._help_of(path, field),
            key=self._key(path),
        )
        return self._take(path, value, chosen)

    def field(self, path: str, label: str | None = None) -> Any:
        """Offer the widget that fits a field's type."""
        value = self._get(path)
        _, field = self._field(path)
        shown = self._label(path, label or path.rpartition(".")[2].replace("_", " "))
        about, key = self._help_of(path, field), self._key(path)
        choices = _choices(field.annotation)
        if choices and value in choices:
            chosen = st.selectbox(shown, choices, index=choices.index(value), help=about, key=key)
            return self._take(path, value, chosen)
        if isinstance(value, bool):
            return self._take(path, value, st.checkbox(shown, value=value, help=about, key=key))
        write = self._writer(field)
        if write is None and isinstance(value, int | float) and not _optional(field.annotation):
            kind = int if isinstance(value, int) else float
            chosen = st.number_input(
                shown, value=value, step=None if kind is float else 1, help=about, key=key
            )
            return self._take(path, value, chosen)
        text = _NONE if value is None else write(value) if write else str(value)
        given = st.text_input(shown, value=text, max_chars=_MOST_CHARS, help=about, key=key).strip()
        if given == text:
            return value
        self.changes[path] = None if given in ("", _NONE) else parse_value(given, path)
        return self.changes[path]

    def fields(self, path: str, *, but: Sequence[str] = ()) -> None:
        """Offer all plain fields of a block `but` for some paths, nested blocks after them."""
        block = self._get(path)
        nested = []
        for name in type(block).model_fields:
            inner = f"{path}.{name}"
            if name in (*but, "kind", "name", "sources", "medium"):
                continue
            value = getattr(block, name)
            if isinstance(value, BaseModel):
                nested.append(inner)
            elif not isinstance(value, tuple | dict):
                self.field(inner)
        for inner in nested:
            name = inner.rpartition(".")[2]
            st.markdown(f"**{name.replace('_', ' ')}**")
            prefix = f"{name}."
            self.fields(
                inner, but=[skip.removeprefix(prefix) for skip in but if skip.startswith(prefix)]
            )

    def source(self, path: str) -> Source | None:
        """Return where a profile's number comes from; None for what the scenario sets."""
        for place in _PROFILES:
            if path.startswith(f"{place}."):
                profile = self._get(place)
                assert isinstance(profile, Profile)
                return profile.source_of(path.removeprefix(f"{place}."))
        return None

    def _get(self, path: str) -> Any:
        """Walk down to a value, through the profiles and blocks that were chosen."""
        for place, root in (*self._profiles.items(), *self._blocks.items()):
            if path == place or path.startswith(f"{place}."):
                rest = path.removeprefix(place).removeprefix(".")
                return _walk(root, rest)
        return _walk(self.base, path)

    def _field(self, path: str) -> tuple[BaseModel, FieldInfo]:
        outer, _, name = path.rpartition(".")
        holder = self._get(outer) if outer else self.base
        return holder, type(holder).model_fields[name]

    def _take(self, path: str, before: Any, chosen: Any) -> Any:
        if chosen is not None and chosen != before:
            self.changes[path] = chosen
        return chosen

    def _writer(self, field: FieldInfo) -> Callable[[Any], str] | None:
        reader = _reader([*field.metadata, field.annotation])
        return _WRITE.get(reader) if reader is not None else None

    def _label(self, path: str, label: str) -> str:
        source = self.source(path)
        if source is None:
            return label
        return f"{label} :{_BADGES[source.kind]}-badge[{source.kind}]"

    def _help_of(self, path: str, field: FieldInfo) -> str:
        source = self.source(path)
        return _help(field) + ("" if source is None else f"\n\n{source_text(source)}")

    def _key(self, path: str) -> str:
        """Name a widget so that it begins anew where its base or its profile is another."""
        parts = [str(state.generation()), path]
        for place in (*_PROFILES, "workload"):
            if path.startswith(f"{place}."):
                root = self._get(place)
                parts.append(str(getattr(root, "name", None) or getattr(root, "kind", "")))
        return "|".join(parts)


def source_text(source: Source) -> str:
    """Write where a number comes from."""
    date = f", {state.plain(source.date)}" if source.date else ""
    error = "" if source.fit_error is None else f", mean error {source.fit_error:.1%}"
    address = source.address or ""
    where = f" ([document]({address}))" if _ADDRESS.fullmatch(address) else ""
    return f"Source: **{source.kind}**{date}{error}. {state.plain(source.how)}{where}"


def series(low: float, high: float, steps: Sequence[int] = (1, 2, 5)) -> list[int]:
    """List round numbers from low to high: 1, 2, 5, 10, 20, 50 ..."""
    found, scale = [], 1
    while scale <= high:
        found += [step * scale for step in steps if low <= step * scale <= high]
        scale *= 10
    return found


def _walk(root: Any, path: str) -> Any:
    for part in path.split(".") if path else ():
        root = getattr(root, part)
    return root


def _help(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def _reader(items: Sequence[Any]) -> Callable[..., Any] | None:
    """Find the function that reads a field's texts, wherever its type hides it."""
    for item in items:
        if isinstance(item, BeforeValidator) and item.func in _WRITE:
            return item.func
        inner = _reader([*get_args(item), *getattr(item, "__metadata__", ())])
        if inner is not None:
            return inner
    return None


def _choices(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return []


def _optional(annotation: Any) -> bool:
    union = get_origin(annotation) in (Union, types.UnionType)
    return union and type(None) in get_args(annotation)
