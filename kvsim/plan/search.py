"""Search: the largest load within a promise, and the cheapest design that carries a load."""

from kvsim.plan.search_design import SearchAnswer, cheapest_design
from kvsim.plan.search_load import LoadAnswer, largest_load
from kvsim.plan.search_space import default_space

__all__ = ["LoadAnswer", "SearchAnswer", "cheapest_design", "default_space", "largest_load"]
