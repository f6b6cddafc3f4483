"""Say how many chunks of each LMCache load came from the remote tier.

LMCache's lines do not tell. A load reads its CPU chunks first and its remote chunks after them, and
waits for both, so either the object store's own log tells (bytes it served meanwhile), or the time
does: a load from CPU memory alone takes its copy time and no more.
"""

from bisect import bisect_left
from collections.abc import Sequence
from statistics import median

from kvsim.calibration.readers.lmcache_log import Copy
from kvsim.calibration.readers.object_server import ObjectRequest

_CHUNK_TOKENS = 256
_STAMP_SLACK_S = 0.002
_MIN_STORE_CHUNKS = 8
_CLEARLY_LONGER = 0.2
_FIXED_SLACK_S = 0.002


def remote_chunks(
    loads: Sequence[Copy],
    stores: Sequence[Copy],
    objects: Sequence[ObjectRequest],
    *,
    has_remote: bool,
) -> dict[str, int]:
    """Return for each request that loaded from the remote tier how many chunks did."""
    if not has_remote:
        return {}
    return _by_object_log(loads, objects) if objects else _by_time(loads, stores)


def _by_object_log(loads: Sequence[Copy], objects: Sequence[ObjectRequest]) -> dict[str, int]:
    """Count the bytes that the store served during each load: loads never overlap."""
    gets = [row for row in objects if row.method == "GET"]
    starts = [row.start_s for row in gets]
    found: dict[str, int] = {}
    for load in loads:
        first = bisect_left(starts, load.time_s - load.duration_s - _STAMP_SLACK_S)
        last = bisect_left(starts, load.time_s + _STAMP_SLACK_S)
        n_bytes = sum(row.n_bytes for row in gets[first:last])
        chunk_bytes = load.n_bytes / (load.tokens / _CHUNK_TOKENS) if load.tokens else 0.0
        if load.request_id is not None and n_bytes and chunk_bytes:
            count = round(n_bytes / chunk_bytes)
            found[load.request_id] = found.get(load.request_id, 0) + count
    return found


def _by_time(loads: Sequence[Copy], stores: Sequence[Copy]) -> dict[str, int]:
    """Call a load remote if it took clearly longer than the copy to the GPU alone.

    The pace of that copy is taken from the stores of the same log, which go the other way and never
    wait for a remote tier. A load that spent more than half of the run's median remote time a chunk
    counts as remote altogether, another one in proportion: an estimate, good to a few chunks.
    """
    paces = [
        store.copy_s / (store.tokens / _CHUNK_TOKENS)
        for store in stores
        if store.copy_s is not None and store.tokens >= _MIN_STORE_CHUNKS * _CHUNK_TOKENS
    ]
    if not paces:
        return {}
    copy_s = median(paces)
    extra: list[tuple[str, int, float]] = []
    for load in loads:
        chunks = load.tokens // _CHUNK_TOKENS
        waited_s = load.duration_s - chunks * copy_s
        slow = waited_s > _CLEARLY_LONGER * chunks * copy_s + _FIXED_SLACK_S
        if chunks and slow and load.request_id is not None:
            extra.append((load.request_id, chunks, waited_s / chunks))
    if not extra:
        return {}
    typical_s = median(pace for _, _, pace in extra)
    found: dict[str, int] = {}
    for name, chunks, pace in extra:
        share = pace / typical_s
        count = chunks if share > 0.5 else max(1, round(share * chunks))
        found[name] = found.get(name, 0) + count
    return found
