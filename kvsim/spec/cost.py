"""What things cost: price lists, and the prices that hold for one scenario with their sources."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from kvsim.errors import ConfigError
from kvsim.spec.base import Bytes, Number, Profile, Source, Spec
from kvsim.spec.gpu import GpuSpec
from kvsim.spec.problems import problem_line, suggest
from kvsim.spec.profiles import shipped_profiles
from kvsim.spec.storage import FileStorageSpec, ObjectStorageSpec
from kvsim.spec.yamlfile import parse_value, read_mapping

DEFAULT_PRICES = "cloud-list"
GIVEN = Source(kind="assumed", how="given by the user")


class StoragePrice(Spec):
    """What a store costs."""

    usd_per_tb_month: Number = 0.0
    """Keeping a TB for a month (USD)."""
    usd_per_1000_get: Number = 0.0
    """1,000 reads or existence checks (USD)."""
    usd_per_1000_put: Number = 0.0
    """1,000 writes; each part of a multipart upload, its start and its end are one (USD)."""
    usd_per_gb_read: Number = 0.0
    """Reading a GB: retrieval and egress (USD)."""
    usd_per_gb_written: Number = 0.0
    """Writing a GB (USD)."""


class PriceList(Profile):
    """Prices by component; what it does not name comes from the GPU's or the store's profile."""

    gpu_usd_per_hour: dict[str, Number] = Field(default_factory=dict)
    """An hour of each GPU, by its profile's name (USD)."""
    ram_included: Bytes = 0
    """Host memory that comes with each GPU (bytes)."""
    ram_usd_per_gb_hour: Number
    """An hour of a GB of host memory beyond that (USD)."""
    storage: dict[str, StoragePrice] = Field(default_factory=dict)
    """Each store, by its profile's name."""


class Prices(StoragePrice):
    """The prices that hold for one scenario."""

    gpu_usd_per_hour: Number
    """An hour of one GPU (USD)."""
    ram_included: Bytes = 0
    """Host memory that comes with each GPU (bytes)."""
    ram_usd_per_gb_hour: Number
    """An hour of a GB of host memory beyond that (USD)."""
    sources: dict[str, Source] = Field(default_factory=dict)
    """Where each price comes from, by the price's name."""


def resolve_prices(
    prices: PriceList,
    gpu: GpuSpec,
    store: FileStorageSpec | ObjectStorageSpec | None,
    *,
    given: Mapping[str, Any] | None = None,
) -> Prices:
    """Choose the prices of one GPU type and one store: the user's, else the list's, else theirs."""
    chosen: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for name in ("ram_included", "ram_usd_per_gb_hour"):
        chosen[name], sources[name] = getattr(prices, name), prices.source_of(name)
    if gpu.name in prices.gpu_usd_per_hour:
        path = f"gpu_usd_per_hour.{gpu.name}"
        chosen["gpu_usd_per_hour"] = prices.gpu_usd_per_hour[gpu.name]
        sources["gpu_usd_per_hour"] = prices.source_of(path)
    else:
        chosen["gpu_usd_per_hour"] = gpu.usd_per_hour
        sources["gpu_usd_per_hour"] = gpu.source_of("usd_per_hour")
    if store is not None:
        listed = prices.storage.get(store.name)
        for name in StoragePrice.model_fields:
            if listed is not None:
                chosen[name] = getattr(listed, name)
                sources[name] = prices.source_of(f"storage.{store.name}.{name}")
            elif hasattr(store, name):
                chosen[name] = getattr(store, name)
                sources[name] = store.source_of(name)
    for name, value in (given or {}).items():
        if name not in Prices.model_fields or name == "sources":
            known = [field for field in Prices.model_fields if field != "sources"]
            raise ConfigError(f"price: unknown key {name!r}; {suggest(name, known)}")
        chosen[name], sources[name] = value, GIVEN
    try:
        return Prices.model_validate({**chosen, "sources": sources})
    except ValidationError as error:
        raise ConfigError(f"price: {problem_line(error, Prices)}") from None


def parse_prices(pairs: list[str] | None) -> dict[str, Any]:
    """Read `name=value` words such as gpu_usd_per_hour=2.5."""
    given = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"price: {pair!r} is no price; write e.g. gpu_usd_per_hour=2.5")
        given[name.strip()] = parse_value(value, f"price {name}")
    return given


def list_prices(*, profiles: Path | None = None) -> list[str]:
    """Name all price lists."""
    return sorted({file.stem for folder in _folders(profiles) for file in folder.glob("*.yaml")})


def load_prices(name: str | Path = DEFAULT_PRICES, *, profiles: Path | None = None) -> PriceList:
    """Read a price list by its name, or from a file when the name is a path."""
    text = str(name)
    if "/" in text or "\\" in text or text.endswith((".yaml", ".yml", ".json")):
        return _read(Path(text).expanduser())
    for folder in _folders(profiles):
        if (folder / f"{text}.yaml").is_file():
            return _read(folder / f"{text}.yaml")
    raise ConfigError(f"no price list {text!r}; {suggest(text, list_prices(profiles=profiles))}")


def _read(path: Path) -> PriceList:
    data = read_mapping(path)
    data.setdefault("name", path.stem)
    try:
        return PriceList.model_validate(data)
    except ValidationError as error:
        raise ConfigError(problem_line(error, PriceList, str(path))) from None


def _folders(profiles: Path | None) -> list[Path]:
    own = [Path(profiles).expanduser() / "prices"] if profiles is not None else []
    return [*own, shipped_profiles() / "prices"]
