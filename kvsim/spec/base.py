"""The base of all specs: frozen, strict about keys, every number with a unit and a source."""

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from kvsim.errors import ConfigError
from kvsim.units import parse_bytes, parse_flops, parse_rate, parse_seconds


def reject_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ConfigError(f"{str(value).lower()} is not a number")
    return value


def check_name(value: str) -> str:
    """Refuse a name that is more than a name where it ends up: a comment, a command, a cell."""
    if not value.strip() or len(value) > _NAME_CHARS or not value.isprintable():
        fault = f"must be a line of 1 to {_NAME_CHARS} printable characters"
    elif value[0] in "-=+@":
        fault = "must not begin with -, =, + or @, which commands and spreadsheets act on"
    else:
        return value
    raise ConfigError(f"{value[:_NAME_CHARS]!a} is no name; it {fault}")


def _date_text(value: object) -> object:
    # YAML reads an unquoted 2026-01-15 as a date.
    return value.isoformat() if isinstance(value, date) else value


_NAME_CHARS = 200
Name = Annotated[str, AfterValidator(check_name)]
_MOST = 2**63 - 1  # tables hold whole numbers of 64 bits
Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(ge=0, le=_MOST)]
PositiveBytes = Annotated[int, BeforeValidator(parse_bytes), Field(gt=0, le=_MOST)]
Rate = Annotated[float, BeforeValidator(parse_rate), Field(ge=0)]
PositiveRate = Annotated[float, BeforeValidator(parse_rate), Field(gt=0)]
Seconds = Annotated[float, BeforeValidator(parse_seconds), Field(ge=0)]
PositiveSeconds = Annotated[float, BeforeValidator(parse_seconds), Field(gt=0)]
PositiveFlops = Annotated[float, BeforeValidator(parse_flops), Field(gt=0)]
Count = Annotated[int, BeforeValidator(reject_bool), Field(ge=0, le=_MOST)]
PositiveCount = Annotated[int, BeforeValidator(reject_bool), Field(ge=1, le=_MOST)]
Number = Annotated[float, BeforeValidator(reject_bool), Field(ge=0)]
PositiveNumber = Annotated[float, BeforeValidator(reject_bool), Field(gt=0)]
Fraction = Annotated[float, BeforeValidator(reject_bool), Field(gt=0, le=1)]
Factor = Annotated[float, BeforeValidator(reject_bool), Field(ge=1)]

SourceKind = Literal["datasheet", "published", "measured", "fitted", "assumed"]


class Spec(BaseModel):
    """A frozen, validated description; the text under a field is its documentation."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class Source(Spec):
    """Where a profile's numbers come from."""

    kind: SourceKind
    """datasheet: the maker's; published: somebody else's measurement or document; measured: by us,
    directly; fitted: from our measurements through a model; assumed: a guess, however good."""
    how: str
    """How the number was found, in a sentence."""
    date: Annotated[str | None, BeforeValidator(_date_text)] = None
    """Day of the measurement or of the document (ISO)."""
    fit_error: Number | None = None
    """Mean relative error of the fit behind the number (0.02 is 2 %)."""
    address: str | None = None
    """Address of the document."""


class Profile(Spec):
    """A spec that is kept as a file and says for each of its numbers where it comes from."""

    name: Name
    """Name of the profile, as its file."""
    sources: dict[str, Source]
    """Where the numbers come from: dotted field prefix to source; "*" covers the rest."""

    def source_of(self, path: str) -> Source:
        """Return the source of a dotted field: that of the longest prefix, else of "*"."""
        parts = path.split(".")
        for n in range(len(parts), 0, -1):
            found = self.sources.get(".".join(parts[:n]))
            if found is not None:
                return found
        return self.sources["*"]

    @model_validator(mode="after")
    def _every_number_has_a_source(self) -> Self:
        leaves = dict(numeric_leaves(self.model_dump(exclude={"sources"})))
        fields = dict(_all_paths(self.model_dump(exclude={"sources"})))
        for prefix in self.sources:
            if prefix != "*" and prefix not in fields:
                raise ConfigError(f"sources: {prefix!r} is no field of this profile")
        if "*" in self.sources:
            return self
        for path in leaves:
            if not any(path == p or path.startswith(p + ".") for p in self.sources):
                raise ConfigError(
                    f"sources: no source for {path!r}; add it, a prefix of it or '*', "
                    "e.g. '*': {kind: assumed, how: ...}"
                )
        return self


def numeric_leaves(data: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield the dotted path and value of every number in a nested mapping."""
    for path, value in _all_paths(data, prefix):
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield path, value


def _all_paths(data: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        yield prefix + key, value
        if isinstance(value, dict):
            yield from _all_paths(value, f"{prefix}{key}.")
