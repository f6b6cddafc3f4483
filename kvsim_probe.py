"""Give vLLM the plugin in kvsim/probe without importing the simulator around it.

`import kvsim.probe` would run kvsim/__init__.py, which loads SimPy, pydantic and NumPy into the
serving process. Here the folder is loaded under another name.
"""

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

_NAME = "kvsim_probe_plugin"


def register() -> None:
    """Do what `kvsim.probe.register` does; a plugin that cannot be loaded must not stop vLLM."""
    package = find_spec("kvsim")  # finds, does not import
    if package is None or not package.submodule_search_locations:
        return
    folder = Path(next(iter(package.submodule_search_locations))) / "probe"
    if _NAME not in sys.modules:
        spec = spec_from_file_location(
            _NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        if spec is None or spec.loader is None:
            return
        module = module_from_spec(spec)
        sys.modules[_NAME] = module
        spec.loader.exec_module(module)
    sys.modules[_NAME].register()
