"""Streams of random numbers by name."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from kvsim.workload.chance import stream


@pytest.mark.parametrize("seed", [0, 7, (1 << 32) - 1, 1 << 32, 1 << 40])
def test_a_stream_is_numpys_for_seed_name_and_identity(seed: int) -> None:
    wanted = np.random.default_rng([seed, zlib.crc32(b"arrival"), 3]).random(5)
    assert stream(seed, "arrival", 3).random(5).tolist() == wanted.tolist()


def test_other_names_and_identities_have_other_streams() -> None:
    first = [stream(1, name, *ids).random() for name, ids in [("a", ()), ("b", ()), ("a", (1,))]]
    assert len(set(first)) == 3
