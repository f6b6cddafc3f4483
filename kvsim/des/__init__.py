"""Time: the clock and the links that transfers share."""

from kvsim.des.clock import NORMAL, PLAN, STEP_END, Alarm, Clock, Task, Timeout
from kvsim.des.link import Flow, Link

__all__ = ["NORMAL", "PLAN", "STEP_END", "Alarm", "Clock", "Flow", "Link", "Task", "Timeout"]
