"""Simulate tiered KV-cache offload of LLM serving: a scenario goes in, tables come out.

    from kvsim import load_scenario, simulate

    result = simulate(load_scenario("experiments/storagegrid-one.yaml"))
    print(result.summary())

Importing loads no pandas and no plotting: tables are made when they are first asked for.
"""

__version__ = "0.1.0"

from kvsim.compiled import use_compiled

use_compiled()  # before anything that may have been compiled is imported

# Plain imports, not lazy ones: the functions simulate and sweep are named like the modules that
# hold them, and only an import made here, before anybody else's, keeps the names for functions.
from kvsim.errors import CalibrationError, ConfigError, KvsimError, SimulationError, TraceError
from kvsim.metrics.result import Manifest, RunResult
from kvsim.simulate import simulate
from kvsim.spec.load import list_profiles, load_profile, load_scenario
from kvsim.spec.scenario import Scenario
from kvsim.sweep import sweep

__all__ = [
    "CalibrationError",
    "ConfigError",
    "KvsimError",
    "Manifest",
    "RunResult",
    "Scenario",
    "SimulationError",
    "TraceError",
    "list_profiles",
    "load_profile",
    "load_scenario",
    "simulate",
    "sweep",
]
