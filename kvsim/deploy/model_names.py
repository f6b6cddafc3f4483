"""Names of models: kvsim's profiles and those of the Hugging Face hub."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from kvsim.errors import ConfigError
from kvsim.spec.model import ModelSpec
from kvsim.spec.profiles import list_profiles, load_profile

_ADDRESS = re.compile(r"https://huggingface\.co/(\w[\w.-]*/\w[\w.-]*)", re.ASCII)
_TUNED = re.compile(r"-(instruct|chat|base|it|hf|fp8|awq|gptq|thinking|v\d[\d.]*|\d{4})$")


def hub_name(model: ModelSpec) -> str | None:
    """Return the name on the hub that a profile's source states, if it states one."""
    address = model.sources["*"].address if "*" in model.sources else None
    found = _ADDRESS.fullmatch(address or "")
    return found[1] if found else None


def profile_name(model: str, *, profiles: Path | None = None) -> str:
    """Return the profile of a model as vLLM names it: a hub name, a folder or a profile's name.

    Fine-tuned variants have the shape of their base: endings such as -Instruct are left out.
    """
    config = Path(model) / "config.json"
    if config.is_file():
        return str(config)
    known = list_profiles("models", profiles=profiles)
    hub = {
        (hub_name(load_profile("models", name, profiles=profiles)) or name).lower(): name
        for name in known
    }
    wanted = model.lower().rstrip("/")
    if wanted in hub:
        return hub[wanted]
    names = {_plain(name): profile for name, profile in hub.items()} | {n: n for n in known}
    plain = _plain(wanted)
    if plain in names:
        return names[plain]
    near = difflib.get_close_matches(plain, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(
        f"--model {model}: no profile has its shape; {hint}known: {', '.join(known)}; or give a "
        "folder with its config.json"
    )


def _plain(name: str) -> str:
    """Leave out the owner and what fine-tuning adds."""
    name = name.rpartition("/")[2].removeprefix("meta-")
    while _TUNED.search(name):
        name = _TUNED.sub("", name)
    return name
