"""The log of an LMCache multiprocess server.

No run with such a server is at hand: the sample follows the wording that LMCache 0.5.6's source
prints (server lines, statistics of --enable-extra-logging, the warning of the eviction controller).
"""

from pathlib import Path

from kvsim.calibration.readers.lmcache_log import (
    L1Level,
    Prefetch,
    read_lmcache_log,
)

STAMP = "[2026-05-01 10:00:00,{ms:03d}] LMCache {level}: "
LINES = (
    ("INFO", "Prefetch request completed (L1+L2): 38/45 prefix hits"),
    ("INFO", "Retrieved 9728 tokens in 0.004 seconds"),
    ("INFO", "Stored 1792 tokens in 0.012 seconds"),
    (
        "INFO",
        "L0<->L1 stats [cuda:0] last 10.0s: store ops=4 tokens=7168 size=0.98GB avg_copy=21.50GB/s"
        " | retrieve ops=9 tokens=87552 size=12.02GB avg_copy=40.10GB/s",
    ),
    ("INFO", "L1 memory usage: 45.20/100.00 GiB (45.2%)"),
    ("WARNING", "L1 memory usage 0.83 above watermark 0.80; triggering eviction."),
    ("INFO", "Retrieved tokens in seconds"),
)


def test_a_server_tells_what_it_submitted_and_how_full_it_is(tmp_path: Path) -> None:
    path = tmp_path / "lmcache.log"
    text = "\n".join(
        STAMP.format(ms=n, level=level) + line + " (server.py:1)"
        for n, (level, line) in enumerate(LINES)
    )
    path.write_text(text, encoding="utf-8")
    log = read_lmcache_log(path)
    start_s = log.prefetches[0].time_s
    assert log.prefetches == (Prefetch(start_s, 38, 45),)
    assert [(item.direction, item.tokens, item.submit_s) for item in log.submissions] == [
        ("read", 9728, 0.004),
        ("write", 1792, 0.012),
    ]
    (level,) = log.l1_levels
    assert level == L1Level(level.time_s, 45.2 * 2**30, 100 * 2**30)
    assert log.warnings["l1_above_watermark"] == 1
    # No bytes and no time of the copy: nothing that a fit of copies may take for one.
    assert log.loads == log.stores == log.lookups == ()
