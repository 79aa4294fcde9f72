"""Whatever a loop hands over, it goes on, and everything sound beside it is kept."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import touchline
from touchline.config import Settings
from touchline.tracking.journal import Event, JournalReader


def events(run: touchline.Run, kind: str) -> list[Event]:
    with JournalReader(run.directory / "journal.db") as journal:
        return journal.of_kind([kind])


class Explodes:
    """An object that fails at whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("boom")

    def __float__(self) -> float:
        raise RuntimeError("boom")

    def __repr__(self) -> str:
        return "Explodes()"


class ExplodesWhenShown(Explodes):
    """One that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("boom")


@pytest.mark.parametrize(
    "value",
    [
        "text", None, b"bytes", [1.0, 2.0], {"a": 1}, object(), 1j, np.zeros(3), np.array("x"), np.datetime64("now"),
        Explodes(), ExplodesWhenShown(), lambda: 1.0, 10**400, "x" * 1_000_000, {1, 2}, np.array([], float),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
@pytest.mark.parametrize("durability", ["batch", "commit"])
def test_a_value_of_a_wrong_type_costs_only_itself(
    alone: Settings, value: Any, durability: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "touchline"):
        with touchline.start_run("train", settings=alone, durability=durability) as run:
            for step in range(3):
                run.log({"good": step, "bad": value}, step)
        assert [event.metrics for event in events(run, "metrics")] == [{"good": float(step)} for step in range(3)]
    (problem,) = events(run, "problem")
    assert problem.payload["metric"] == "bad"
    assert len(problem.payload["reason"]) < 500
    told = [record.message for record in caplog.records if "'bad'" in record.message]
    assert len(told) == 1
    assert len(told[0]) < 600


@pytest.mark.parametrize("metrics", [None, 3.5, "text", ["a"], np.zeros(2), [("a",)]], ids=str)
def test_metrics_that_are_no_mapping_are_told_once_and_the_loop_goes_on(
    alone: Settings, metrics: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "touchline"):
        with touchline.start_run("train", settings=alone) as run:
            run.log(metrics, 1)
            run.log(metrics, 2)
            run.log({"x": 1.0}, 3)
        assert [event.step for event in events(run, "metrics")] == [3]
    assert caplog.text.count("a mapping of names to numbers") == 1


def test_a_metric_name_that_is_no_string_is_kept_as_text(alone: Settings) -> None:
    with touchline.start_run("train", settings=alone) as run:
        run.log({1: 1.0, None: 2.0, ("a", 2): 3.0, "": 4.0, "näme/\n\x00\ud800": 5.0}, 1)  # type: ignore[dict-item]
        run.log_curve(7, [2, 3], [0.5, 0.6])  # type: ignore[arg-type]
    first, *curve = [event.payload for event in events(run, "metrics")]
    assert list(first.values()) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert {"1", "None", "('a', 2)", ""} < set(first)
    assert curve == [{"7": 0.5}, {"7": 0.6}]


@pytest.mark.parametrize("step", ["text", None, math.nan, math.inf, 2.7, 2**70, -5, np.int64(4), [1]], ids=str)
def test_a_step_of_a_wrong_type_loses_no_value(alone: Settings, step: Any) -> None:
    with touchline.start_run("train", settings=alone) as run:
        run.log({"x": 1.0}, 1)
        run.log({"y": 2.0}, step)
        run.log({"z": 3.0}, 9)
    assert [list(event.payload) for event in events(run, "metrics")] == [["x"], ["y"], ["z"]]


@pytest.mark.parametrize("sink", [pytest.param("mlflow", marks=pytest.mark.slow), "tensorboard"])
def test_ten_thousand_metric_names_arrive(home: Path, sink: str) -> None:
    settings = Settings(home=home, sinks=(sink,), capture=())
    with touchline.start_run("train", settings=settings) as run:
        run.log({f"layer/{number}": number for number in range(10_000)}, 1)
        assert run.wait_delivered(sink, 90)
    assert len(events(run, "metrics")[0].payload) == 10_000
    assert run.delivery()[sink].set_aside == ()


@pytest.mark.slow
def test_a_text_of_a_megabyte_is_kept_whole_and_blocks_nothing(home: Path) -> None:
    long = "x" * 1_000_000
    settings = Settings(home=home, sinks=("mlflow",), capture=())
    with touchline.start_run("train", settings=settings, config={"long": long}, tags={"long": long}) as run:
        run.set_summary({"long": long})
        run.alert("title", long)
        run.log({"x": 1.0, "y" * 1_000_000: 2.0}, 1)
        run.log({"x": 2.0}, 2)
        assert run.wait_delivered("mlflow", 300)
    assert events(run, "params")[0].payload == {"long": long}
    assert [event.payload["x"] for event in events(run, "metrics")] == [1.0, 2.0]

    from mlflow.tracking import MlflowClient

    history = MlflowClient(settings.tracking_uri).get_metric_history(run.mlflow_run_id, "x")
    assert [metric.value for metric in history] == [1.0, 2.0]
