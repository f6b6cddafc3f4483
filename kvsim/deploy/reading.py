"""What reading a deployment's settings gives."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Reading:
    """Changes that make a scenario out of settings, and what did not fit into them."""

    changes: dict[str, Any]
    """Dotted path of the scenario to value; settings left out have their program's default."""
    warnings: list[str] = field(default_factory=list)
    """Settings that nobody knows: probably typing errors."""
    notes: list[str] = field(default_factory=list)
    """Settings that mean something which kvsim does not model, and what was assumed."""

    def __or__(self, other: "Reading") -> "Reading":
        """Add another reading, whose changes go first."""
        return Reading(
            self.changes | other.changes, self.warnings + other.warnings, self.notes + other.notes
        )
