"""Search: the largest load within a promise, and the cheapest design that carries a load."""

from kvsim.plan.search_design import SearchAnswer, cheapest_design, gpus_avoided_by
from kvsim.plan.search_load import LoadAnswer, largest_load
from kvsim.plan.search_space import default_space

__all__ = [
    "LoadAnswer",
    "SearchAnswer",
    "cheapest_design",
    "default_space",
    "gpus_avoided_by",
    "largest_load",
]
