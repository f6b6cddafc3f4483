"""Readers of what a real run leaves behind: engine steps, client rows, server logs."""
