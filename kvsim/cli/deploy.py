"""`kvsim deploy`: the LMCache YAML and the vLLM command of a scenario."""

from pathlib import Path
from typing import Annotated

import typer

from kvsim.cli.existing import LmcacheOption, VllmOption, with_deployment
from kvsim.cli.inputs import (
    JsonOption,
    ProfilesOption,
    SetOption,
    print_json,
    read_scenario,
    writable_folder,
)
from kvsim.errors import ConfigError

SCENARIO_FILE = "scenario.yaml"


def deploy(
    scenario: Annotated[Path, typer.Argument(help="A scenario file (YAML).")],
    changes: SetOption = None,
    lmcache: LmcacheOption = None,
    vllm_args: VllmOption = None,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage", metavar="NAME", help="Profile of the store that --from-lmcache names."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write the files here.")
    ] = None,
    as_json: JsonOption = False,
    profiles: ProfilesOption = None,
) -> int:
    """Print the LMCache YAML and the `vllm serve` command that deploy a scenario.

    With --from-lmcache or --vllm-args the other way: the scenario of an existing deployment, whose
    workload, GPU and host are those of the scenario file.

    Examples: kvsim deploy scenario.yaml --out deployment

    kvsim deploy scenario.yaml --from-lmcache lmcache.yaml --vllm-args "$(cat vllm_args.txt)"
    """
    described = read_scenario(scenario, changes, profiles=profiles)
    if storage is not None and lmcache is None:
        raise ConfigError("--storage: names the store of --from-lmcache; give that too")
    existing = lmcache is not None or vllm_args is not None
    described = with_deployment(described, lmcache, vllm_args, storage=storage, profiles=profiles)
    from kvsim.deploy import deployment_files, scenario_text

    files = {SCENARIO_FILE: scenario_text(described)} if existing else deployment_files(described)
    if out is not None:
        writable_folder(out)
        for name, text in files.items():
            (out / name).write_text(text, encoding="utf-8")
    if as_json:
        print_json(files)
    elif out is not None:
        typer.echo("\n".join(str(out / name) for name in files))
    elif existing:
        typer.echo(files[SCENARIO_FILE], nl=False)
    else:
        typer.echo("\n".join(f"# ---- {name}\n{text}" for name, text in files.items()), nl=False)
    return 0
