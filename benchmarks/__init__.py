"""What kvsim costs: `make bench`."""
