"""The table of sinks answers for what it cannot build."""

import pytest

from touchline.config import Settings
from touchline.errors import UsageError
from touchline.tracking.sinks import SINKS, load_sink
from touchline.tracking.sinks.base import SinkUnavailable


def test_a_sink_without_its_package_is_unavailable_until_a_person_installs_it(monkeypatch, tmp_path):
    monkeypatch.setitem(SINKS, "no_such_package", "touchline.tracking.sinks.mlflow:MlflowSink")
    with pytest.raises(SinkUnavailable, match=r"pip install 'touchline\[no_such_package\]'") as told:
        load_sink("no_such_package", Settings(home=tmp_path))
    assert told.value.permanent


def test_an_unknown_sink_is_answered_with_the_nearest_name(tmp_path):
    with pytest.raises(UsageError, match="mlflow"):
        load_sink("mlfow", Settings(home=tmp_path))


@pytest.mark.parametrize("name", SINKS)
def test_every_sink_of_the_table_can_be_built(name, tmp_path):
    assert load_sink(name, Settings(home=tmp_path)).name == name
