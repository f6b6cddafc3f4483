"""The browser app loads, runs what it is told, and says what is wrong."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

APP = str(Path(__file__).parents[2] / "app.py")


@pytest.fixture
def app() -> AppTest:
    return AppTest.from_file(APP, default_timeout=120).run()


def press_run(app: AppTest) -> AppTest:
    return app.sidebar.button[0].click().run()


def test_a_changed_input_changes_the_numbers(app: AppTest) -> None:
    assert not app.exception
    assert len(app.metric) == 4
    before = [metric.value for metric in app.metric]
    history = next(each for each in app.sidebar.number_input if "context" in each.label)
    assert history.value == 20_000
    assert history.help
    history.set_value(2_000)
    press_run(app)
    assert not app.exception
    assert [metric.value for metric in app.metric] != before
    assert "workload.user_history_prompt=2000" in app.code[0].value


def test_tiers_can_be_taken_away_and_errors_are_told(app: AppTest) -> None:
    app.sidebar.selectbox[1].set_value("gpu")
    press_run(app)
    assert not app.exception
    assert "offload.connector=none" in app.code[0].value
    capacity = app.sidebar.text_input[0]
    capacity.set_value("12 bananas")
    press_run(app)
    assert not app.exception
    assert "bananas" in app.error[0].value
