"""The server is warm before it listens, and shows the page then."""

from __future__ import annotations

import asyncio
import webbrowser

import pytest
import streamlit as st

from kvsim.app import results, warm
from kvsim.app.state import begun


@pytest.mark.parametrize("headless", [True, False])
def test_the_page_opens_once_the_server_is_warm(
    monkeypatch: pytest.MonkeyPatch, headless: bool
) -> None:
    options = {
        "server.headless": headless,
        "server.address": "0.0.0.0",
        "server.port": 8600,
        "server.baseUrlPath": "kvsim",
    }
    seen: list[str] = []
    monkeypatch.setattr(st, "get_option", options.__getitem__)
    monkeypatch.setattr(warm, "warm", lambda: seen.append("warm"))
    monkeypatch.setattr(warm, "_OPEN_AFTER_S", 0.0)
    monkeypatch.setattr(webbrowser, "open", seen.append)

    async def serve() -> None:
        async with warm.lifespan(None):  # type: ignore[arg-type]
            await asyncio.sleep(0.01)

    asyncio.run(serve())
    assert seen == ["warm"] + ([] if headless else ["http://localhost:8600/kvsim"])


def test_a_warm_server_has_the_first_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    warm.warm()
    monkeypatch.delattr(results, "simulate")
    scenario = begun().scenario
    assert results.answer(scenario).result.scenario == scenario
    assert results.answer(results.gpu_only(scenario)).summary["finished"]
