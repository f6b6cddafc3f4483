"""`kvsim explain`."""


def explain() -> int:
    """x"""
    return 0
