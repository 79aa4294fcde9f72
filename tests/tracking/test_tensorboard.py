"""What TensorBoard reads from the event file."""

from __future__ import annotations

import math
from pathlib import Path

import touchline
from touchline.config import Settings

from .conftest import kill_couriers


def test_scalars_can_be_read_back_once_each_although_the_courier_was_killed(home: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = touchline.start_run("train", config={"rate": 0.1}, settings=Settings(home=home, sinks=("tensorboard",)))
    for step in range(100):
        run.log({"x": step / 2, "none": math.nan}, step)
    assert run.wait_delivered("tensorboard", 30)
    assert kill_couriers(home)
    for step in range(100, 200):
        run.log({"x": step / 2}, step)
    run.alert("hot")
    delivery = run.finish(timeout=30)
    assert delivery.complete, delivery.sentences()
    events = EventAccumulator(str(run.directory / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("x")] == [(step, step / 2) for step in range(200)]
    assert all(math.isnan(event.value) for event in events.Scalars("none"))
    assert "alerts" in events.Tags()["tensors"]
