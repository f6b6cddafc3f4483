"""Read YAML (1.2) and JSON files, turning whatever can be wrong with them into one line."""

import json
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scanner import Scanner, ScannerError

from kvsim.errors import ConfigError

MOST_MERGED = 1_000
"""Keys that a mapping may have with those that it takes over by `<<`."""

MOST_NESTED = 50
"""Brackets that may be open at a time; thousands would take the parser seconds."""


class _Scanner(Scanner):
    """Opens no more brackets than anybody means."""

    def fetch_flow_collection_start(self, token: Any, to_push: str) -> None:
        if self.flow_level == MOST_NESTED:
            raise ScannerError(
                problem=f"more than {MOST_NESTED} brackets, [ or {{, are open at a time",
                problem_mark=self.reader.get_mark(),
            )
        super().fetch_flow_collection_start(token, to_push)


class _Constructor(SafeConstructor):
    """Merges no more than anybody means: merges of merges would grow without end."""

    def flatten_mapping(self, node: Any) -> Any:
        super().flatten_mapping(node)
        if getattr(node, "merge", None) and len(node.value) > MOST_MERGED:
            raise ConstructorError(
                problem=f"merges (<<) make a mapping of more than {MOST_MERGED:,} keys",
                problem_mark=node.start_mark,
            )


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML or JSON file that holds a mapping with text keys."""
    text = _read_text(path)
    if path.suffix == ".json":
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path}: not readable as JSON: {error}") from None
    else:
        data = _parse(text, str(path))
    if data is None:
        raise ConfigError(f"{path}: the file is empty; it must hold a mapping, e.g. 'name: ...'")
    if not isinstance(data, dict):
        kind = "list" if isinstance(data, list) else "single value"
        raise ConfigError(
            f"{path}: a {kind} at the top; the file must hold a mapping, 'key: value'"
        )
    _check_keys(data, str(path))
    return data


def yaml_text(data: Mapping[str, Any]) -> str:
    """Write plain data as a YAML file, keys in their order."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.representer.sort_base_mapping_type_on_output = False
    text = StringIO()
    yaml.dump(data, text)
    return text.getvalue()


def parse_value(text: str, where: str) -> Any:
    """Read one value as YAML would: 3, 1.5, true, null, 20GiB, {profile: nfs-tcp}."""
    value = _parse(text, where)
    if isinstance(value, dict):
        _check_keys(value, where)
    return value


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder, not a file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text file (UTF-8)") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None


def _parse(text: str, where: str) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner = _Scanner
    yaml.Constructor = _Constructor
    try:
        return yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        problem = " ".join(str(error.problem or error.context).split())
        raise ConfigError(f"{where}: not readable as YAML: {problem}{place}") from None
    except (YAMLError, ValueError, TypeError, LookupError, RecursionError, OverflowError) as error:
        problem = " ".join(str(error).split())[:120]
        raise ConfigError(f"{where}: not readable as YAML: {problem}") from None


def _check_keys(data: dict[Any, Any], where: str) -> None:
    stack: list[Any] = [data]
    seen: set[int] = set()
    while stack:
        item = stack.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, dict):
            for key in item:
                if not isinstance(key, str):
                    raise ConfigError(f"{where}: the key {key!r} is not a text; quote it")
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
