"""The charts of planning show what their tables hold."""

import math

import pandas as pd
import pytest

from kvsim.plan.breakeven_plan import make_breakeven_plan
from kvsim.report import style
from kvsim.report.charts.capacity import (
    breakeven_curves,
    breakeven_map,
    hit_rate_by_capacity,
    tier_colours,
)
from kvsim.report.plan_page import breakeven_maps, curve_frame
from kvsim.spec import Scenario, load_profile

GIB = 2**30


def test_hit_rate_by_capacity() -> None:
    curve = pd.DataFrame(
        {
            "capacity_bytes": [0, GIB, 4 * GIB],
            "lru_rate": [0.0, 0.4, 0.8],
            "bound_rate": [0.2, 0.7, 0.8],
        }
    )
    points = pd.DataFrame(
        {
            "capacity_bytes": [4 * GIB, GIB],
            "local_hit_rate": [0.79, 0.3],
            "stable": [True, False],
            "meets": [True, False],
        }
    )
    figure = hit_rate_by_capacity(
        curve, points, ceiling_rate=0.8, knee_bytes=2 * GIB, chosen_bytes=4 * GIB
    )
    bound, lru, simulated = figure.data
    assert list(lru.x) == [1.0, 4.0]  # 0 has no place on a log axis
    assert list(lru.y) == [40.0, 80.0]
    assert list(bound.y) == [70.0, 80.0]
    assert list(simulated.marker.symbol) == ["circle-open", "circle"]
    assert "fall behind" in figure.layout.title.text
    marks = {note.text: note.x for note in figure.layout.annotations}
    assert marks == {"knee": pytest.approx(math.log10(2)), "chosen": pytest.approx(math.log10(4))}


def test_map_has_its_border_and_the_tier_of_the_scenario() -> None:
    figure = breakeven_map(
        [[0.5, 0.9], [0.8, 4.0], [0.0, 100.0]],
        contexts=[256, 4_096],
        rates=[1e9, 2e9, 4e9],
        own_rate=2e9,
        title="store",
    )
    heat, border = figure.data
    assert heat.z.min() == -3
    assert heat.z.max() == 3
    assert border.contours.start == border.contours.end == 0
    assert list(heat.y) == [1, 2, 4]
    assert figure.layout.annotations[0].text == "as described"
    clear = breakeven_map([[2, 3]], contexts=[256, 512], rates=[1e9], own_rate=None, title="x")
    assert len(clear.data) == 1  # loading wins everywhere: no border


def test_curves_and_colours(qa: Scenario) -> None:
    stores = [load_profile("storage", name) for name in ("nfs-tcp", "s3-standard")]
    data = make_breakeven_plan(qa, stores, concurrency=[1], simulated=2)
    figure = breakeven_curves(curve_frame(data))
    names = [trace.name for trace in figure.data if trace.mode == "lines"]
    assert names == [
        "computed",
        "loaded from CPU memory",
        "loaded from nfs-tcp",
        "loaded from s3-standard",
    ]
    markers = [trace for trace in figure.data if trace.mode == "markers"]
    assert [len(trace.x) for trace in markers] == [2, 2, 2, 2]
    assert len(breakeven_maps(data)) == 3
    table = pd.DataFrame(
        {"tier": ["cpu", "a", "b", "c", "c"], "medium": [None, "file", "object", "file", "file"]}
    )
    colours = tier_colours(table)
    assert [colours[tier] for tier in ("cpu", "a", "b")] == [
        style.CPU,
        style.FILE_STORE,
        style.OBJECT_STORE,
    ]
    assert len(set(colours.values())) == 4
