"""Recorded workloads of many formats, read into one form."""

from kvsim.workload.traces.read import ReadOptions, detect_format, read_trace
from kvsim.workload.traces.trace import Trace, check_granularity

__all__ = ["ReadOptions", "Trace", "check_granularity", "detect_format", "read_trace"]
