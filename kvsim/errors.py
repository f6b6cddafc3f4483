"""What kvsim raises, so that a caller can catch exactly as much as it means to.

KvsimError
├── ConfigError        a scenario, profile or setting is wrong (a ValueError too, for pydantic)
├── TraceError         a recorded trace or log cannot be read
├── CalibrationError   measured data do not allow a fit
└── SimulationError    a run cannot go on

Each message is one line: the key, the value, the rule and the way out.
"""


class KvsimError(Exception):
    """Stand for everything that kvsim raises on purpose."""


class ConfigError(KvsimError, ValueError):
    """Say which key of which file is wrong, why, and what would be right."""


class TraceError(KvsimError):
    """Say which line of which recording cannot be used, and why."""


class CalibrationError(KvsimError):
    """Say why the measured data do not determine the wanted numbers."""


class SimulationError(KvsimError):
    """Say why a run cannot go on."""
