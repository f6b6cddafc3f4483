"""Real runs: read their logs, replay their decisions, compare their metrics with a simulation."""
