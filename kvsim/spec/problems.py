"""Say in one line what pydantic found wrong, in the words of the file's author."""

import difflib
import reprlib
import types
from collections.abc import Iterable
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

_REPR = reprlib.Repr()
_REPR.maxlevel = 2
_REPR.maxstring = _REPR.maxother = 60
_BOUNDS = {
    "greater_than": ("must be greater than", "gt"),
    "greater_than_equal": ("must be at least", "ge"),
    "less_than": ("must be less than", "lt"),
    "less_than_equal": ("must be at most", "le"),
}
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "dict": "a mapping",
    "tuple": "a list",
    "model": "a mapping",
    "model_attributes": "a mapping",
    "path": "a path",
}


def problem_line(error: ValidationError, root: Any, where: str | None = None) -> str:
    """Describe the first problem, unknown keys before others, and count the rest."""
    problems = error.errors(include_url=False)
    problems.sort(key=lambda problem: problem["type"] != "extra_forbidden")
    line = _describe(problems[0], root)
    if where:
        line += f" ({where})"
    if len(problems) > 1:
        line += f", and {len(problems) - 1} more"
    return line


def suggest(word: str, known: Iterable[str]) -> str:
    """Point to the nearest known word, or list them all."""
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(names)}"


def _describe(problem: Any, root: Any) -> str:
    path, parent = _locate(root, problem["loc"])
    head = f"{path}: " if path else ""
    kind: str = problem["type"]
    value = _show(problem["input"])
    context = problem.get("ctx", {})
    if kind == "extra_forbidden":
        known = parent.model_fields if parent else {}
        return f"{head}unknown key; {suggest(str(problem['loc'][-1]), known)}"
    if kind == "missing":
        field = parent.model_fields.get(str(problem["loc"][-1])) if parent else None
        text = (field.description or "") if field else ""
        about = " ".join(text.split()).split(";")[0].rstrip(".")
        return f"{head}missing key" + (f" ({about})" if about else "")
    if kind == "value_error":
        return head + str(context["error"])
    if kind == "literal_error":
        return f"{head}{value} does not exist; choose {context['expected']}"
    if kind == "union_tag_invalid":
        discriminator = str(context["discriminator"]).strip("'")
        tags = context["expected_tags"]
        return f"{head}{discriminator} {_show(context['tag'])} does not exist; choose {tags}"
    if kind == "union_tag_not_found":
        return f"{head}missing key {context['discriminator']}"
    if kind in _BOUNDS:
        rule, key = _BOUNDS[kind]
        return f"{head}{value} is out of range; it {rule} {context[key]:g}"
    if kind == "finite_number":
        return f"{head}{value} is not a finite number"
    if kind in ("int_parsing_size", "recursion_loop"):
        return f"{head}{value} is out of range"
    for name, expected in _KINDS.items():
        if kind in (f"{name}_type", f"{name}_parsing", f"{name}_from_float"):
            return f"{head}{value} is not {expected}"
    message: str = problem["msg"]
    return f"{head}{value}: {message[0].lower()}{message[1:]}"


def _locate(root: Any, loc: tuple[int | str, ...]) -> tuple[str, type[BaseModel] | None]:
    """Turn pydantic's location into a dotted path and the model that holds its last key.

    Locations carry the tag of each discriminated union, which no file has as a key.
    """
    annotation = root
    parent: type[BaseModel] | None = None
    path: list[str] = []
    for item in loc:
        models = models_of(annotation)
        tagged = [m for m in models if len(models) > 1 and item in _tags(m)]
        if tagged:
            annotation = tagged[0]
            continue
        parent = models[0] if len(models) == 1 else None
        path.append(_key(item))
        field = parent.model_fields.get(str(item)) if parent else None
        annotation = field.annotation if field else _element(annotation)
    return ".".join(path), parent


def models_of(annotation: Any) -> list[type[BaseModel]]:
    """List the specs that a field may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType):
        return [model for part in get_args(annotation) for model in models_of(part)]
    if hasattr(annotation, "__metadata__"):
        return models_of(get_args(annotation)[0])
    return []


def _key(item: int | str) -> str:
    """Write a key of a file, which may be anything, so that the message stays a line."""
    text = str(item)
    return text if text.isprintable() and len(text) <= _REPR.maxstring else _REPR.repr(text)


def _tags(model: type[BaseModel]) -> set[Any]:
    return {
        tag
        for field in model.model_fields.values()
        if get_origin(field.annotation) is Literal
        for tag in get_args(field.annotation)
    }


def _element(annotation: Any) -> Any:
    """Return what a mapping's values are, so that paths go on below dict fields."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next(filter(None, map(_element, get_args(annotation))), None)
    return get_args(annotation)[-1] if get_origin(annotation) is dict else None


def _show(value: object) -> str:
    """Quote a value; bounded, since YAML aliases can make a small file's repr astronomic."""
    return "null" if value is None else _REPR.repr(value)
