"""What a fit on one card says about others, and what others' measurements say about it."""
