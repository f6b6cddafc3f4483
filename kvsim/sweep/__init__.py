"""Many runs of one scenario: designs, execution, one table."""

from kvsim.sweep.api import sweep

__all__ = ["sweep"]
