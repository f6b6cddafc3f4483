"""Record what a real vLLM engine does, step by step, in the format of engine_steps.jsonl.

A general plugin of vLLM (entry point group `vllm.general_plugins`): it does nothing unless the
environment variable KVSIM_PROBE names a file or folder. It runs inside the engine, so it imports
the standard library only, never raises, and costs some microseconds a step. docs/probe.md has the
format and the way to switch it on.
"""

import os

from .install import install
from .rows import LOGGER

VARIABLE = "KVSIM_PROBE"

__all__ = ["VARIABLE", "install", "register"]


def register() -> None:
    """Wrap vLLM's scheduler if KVSIM_PROBE is set; vLLM calls this in each of its processes."""
    target = os.environ.get(VARIABLE)
    if not target:
        return
    try:
        import vllm  # type: ignore[import-not-found]
        from vllm.v1.core.sched.scheduler import Scheduler  # type: ignore[import-not-found]

        install(Scheduler, target, version=str(getattr(vllm, "__version__", "")))
    except Exception:
        LOGGER.warning(
            "%s is set, but there is no vLLM V1 scheduler to record", VARIABLE, exc_info=True
        )
