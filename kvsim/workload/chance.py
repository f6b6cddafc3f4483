"""Random numbers by name: every use of chance has a stream of its own."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, name: str, *ids: int) -> np.random.Generator:
    """Return the stream of a use of chance, for example of one session's arrivals.

    The same for the same seed, name and identity, whatever else draws.
    """
    words = [seed, zlib.crc32(name.encode()), *ids]
    if max(words) < 1 << 32:  # as an array the same stream in less than half of the time
        return np.random.default_rng(np.array(words, dtype=np.uint32))
    return np.random.default_rng(words)
