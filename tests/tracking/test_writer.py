"""What a loop logs is kept by value, and nothing in it stops the loop."""

from __future__ import annotations

import logging
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from touchline.tracking.journal import Event, Journal, JournalReader
from touchline.tracking.writer import JournalWriter


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.db")


@pytest.fixture
def writer(journal: Journal) -> Iterator[JournalWriter]:
    writer = JournalWriter(journal)
    yield writer
    writer.close(5.0)


def kept(writer: JournalWriter, kind: str = "metrics") -> list[Event]:
    assert writer.flush(10.0)
    with JournalReader(writer._journal.path) as reader:
        return reader.of_kind([kind])


def test_numpy_values_are_kept_as_they_were(writer: JournalWriter) -> None:
    value = np.array([1.5])
    writer.log({"array": value, "f32": np.float32(0.1), "int": np.int64(7), "bool": np.bool_(True)}, 0)
    value[0] = 99.0
    assert kept(writer)[0].metrics == {"array": 1.5, "f32": float(np.float32(0.1)), "int": 7.0, "bool": 1.0}


def test_a_torch_value_is_kept_as_it_was_and_keeps_no_graph(writer: JournalWriter) -> None:
    import torch

    parameter = torch.ones((), requires_grad=True)
    loss = parameter * 2
    writer.log({"loss": loss, "parameter": parameter}, 0)
    with torch.no_grad():
        parameter.add_(100.0)
    assert kept(writer)[0].metrics == {"loss": 2.0, "parameter": 1.0}


def test_a_jax_value_is_kept_and_a_deleted_one_costs_only_itself(writer: JournalWriter) -> None:
    import jax.numpy as jnp

    gone = jnp.float32(1.0)
    gone.delete()
    writer.log({"good": jnp.float32(2.5), "gone": gone}, 0)
    assert kept(writer)[0].metrics == {"good": 2.5}
    assert "donated" in kept(writer, "problem")[0].payload["reason"]


def test_non_finite_values_are_kept(writer: JournalWriter) -> None:
    writer.log({"nan": math.nan, "inf": np.float32(np.inf), "minus": -math.inf}, 0)
    metrics = kept(writer)[0].metrics
    assert math.isnan(metrics["nan"])
    assert (metrics["inf"], metrics["minus"]) == (math.inf, -math.inf)


def test_a_value_that_is_no_number_costs_only_its_metric_and_is_told_once(
    writer: JournalWriter, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "touchline"):
        for step in range(3):
            writer.log({"bad": "text", "shape": np.zeros(3), "good": step}, step)
        assert [event.metrics for event in kept(writer)] == [{"good": 0.0}, {"good": 1.0}, {"good": 2.0}]
    assert len([record for record in caplog.records if "'bad'" in record.message]) == 1
    assert {event.payload["metric"] for event in kept(writer, "problem")} == {"bad", "shape"}


class Computing:
    """A device value that is ready when told, as a JAX array is."""

    def __init__(self) -> None:
        self.ready = False

    def is_deleted(self) -> bool:
        return False

    def is_ready(self) -> bool:
        return self.ready

    def copy_to_host_async(self) -> None:
        return None

    def __float__(self) -> float:
        assert self.ready, "the writer waited for the device"
        return 4.0


def test_a_value_still_being_computed_delays_only_its_own_event(writer: JournalWriter) -> None:
    slow = Computing()
    writer.log({"slow": slow}, 1)
    writer.put("alert", {"title": "first"})
    deadline = time.monotonic() + 10
    while writer.last_seq < 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    with JournalReader(writer._journal.path) as reader:
        assert [event.kind for event in reader.after(0)] == ["alert"]
    slow.ready = True
    assert kept(writer)[0].metrics == {"slow": 4.0}


def test_a_full_disk_is_told_and_training_goes_on_until_there_is_space(
    writer: JournalWriter, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    assert writer.flush(5.0)
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count={pages + 1}")
    began = time.monotonic()
    for step in range(2_000):
        writer.log({"loss": 0.5, "filler": step}, step)
    assert time.monotonic() - began < 1.0
    assert not writer.flush(0.3)
    assert "is full" in str(writer.error)
    assert "Free some space" in caplog.text
    journal._connection.execute("PRAGMA max_page_count=1000000")
    assert [event.step for event in kept(writer)] == list(range(2_000))
    assert writer.error is None


FORKS = """
import os, sys
from pathlib import Path
from typing import Any
from touchline.tracking.journal import Journal
from touchline.tracking.writer import JournalWriter

writer = JournalWriter(Journal(Path(sys.argv[1])))
writer.log({"parent": 1}, 0)
child = os.fork()
if child == 0:
    writer.log({"child": 1}, 0)
    os._exit(0)
os.waitpid(child, 0)
writer.log({"parent": 2}, 1)
writer.close(5.0)
"""


def test_a_forked_child_keeps_nothing_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    done = subprocess.run(
        [sys.executable, "-c", FORKS, str(path)], capture_output=True, text=True, timeout=300, check=True
    )
    assert "forked" in done.stderr
    with JournalReader(path) as reader:
        assert [event.metrics for event in reader.after(0)] == [{"parent": 1.0}, {"parent": 2.0}]


def test_a_full_queue_waits_for_room_and_loses_nothing(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    writer = JournalWriter(journal, capacity=20_000)
    for step in range(3_000):
        writer.log({"x": step}, step)
    assert [event.step for event in kept(writer)] == list(range(3_000))
    assert writer.dropped == 0
    assert caplog.text.count("log() had to wait") == 1
    writer.close(5.0)


def test_a_thinning_queue_never_waits_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer = JournalWriter(Journal(tmp_path / "thin.db"), capacity=100_000, overflow="thin")
    with writer._writing:  # a disk that takes its time
        for step in range(20_000):
            writer.log({"x": step}, step)
    steps = [event.step for event in kept(writer)]
    assert 300 < len(steps) < 1_000
    assert steps == sorted(steps)
    assert writer.thinned == 20_000 - len(steps)
    assert caplog.text.count("thinned out") == 1
    assert writer.close(5.0)


def test_an_event_larger_than_the_queue_still_passes(tmp_path: Path) -> None:
    writer = JournalWriter(Journal(tmp_path / "small.db"), capacity=1_000)
    writer.log_histogram("h", np.arange(10_000), 4, 0)
    assert kept(writer, "histogram")[0].payload["counts"] == [2_500] * 4
    writer.close(5.0)


def test_a_committed_event_is_on_disk_when_the_call_returns(tmp_path: Path) -> None:
    import torch

    writer = JournalWriter(Journal(tmp_path / "commit.db"), durability="commit")
    with JournalReader(tmp_path / "commit.db") as reader:
        for step in range(50):
            writer.log({"x": step, "torch": torch.tensor(step)}, step)
            assert reader.newest("metrics").metrics == {"x": step, "torch": step}  # type: ignore[union-attr]
        writer.put("alert", {"title": "t"})
        assert reader.newest("alert") is not None
    writer.close(5.0)


@pytest.mark.parametrize("library", ["list", "numpy", "torch", "jax"])
def test_a_curve_is_kept_point_by_point(writer: JournalWriter, library: str) -> None:
    steps, values = [10, 20, 30], [1.0, math.inf, 3.0]
    if library == "numpy":
        steps, values = np.array(steps), np.array(values, np.float32)
    elif library == "torch":
        import torch

        steps, values = torch.tensor(steps), torch.tensor(values, dtype=torch.bfloat16)
    elif library == "jax":
        import jax.numpy as jnp

        steps, values = jnp.array(steps), jnp.array(values)
    writer.log_curve("loss", steps, values)
    events = kept(writer)
    assert [(event.step, event.metrics["loss"]) for event in events] == [(10, 1.0), (20, math.inf), (30, 3.0)]
    assert [event.seq for event in events] == [1, 2, 3]


def test_a_curve_with_broken_steps_costs_only_itself(writer: JournalWriter) -> None:
    writer.log_curve("bad", [0.5, 1.5], [1.0, 2.0])
    writer.log({"good": 1}, 1)
    assert [event.metrics for event in kept(writer)] == [{"good": 1.0}]
    assert "whole numbers" in kept(writer, "problem")[0].payload["reason"]


def test_a_histogram_counts_every_finite_value_once(writer: JournalWriter) -> None:
    writer.log_histogram("weights", np.array([[0.0, 1.0], [2.0, np.nan]]), 2, 5)
    event = kept(writer, "histogram")[0]
    assert event.step == 5
    assert event.payload == {"name": "weights", "edges": [0.0, 1.0, 2.0], "counts": [1, 2], "non_finite": 1}


def test_a_second_value_at_a_step_is_set_aside_and_told_once(
    writer: JournalWriter, caplog: pytest.LogCaptureFixture
) -> None:
    writer.log({"x": 1.0, "y": 1.0}, 1)
    writer.log({"x": 2.0, "z": 2.0}, 1)
    writer.log({"x": 3.0}, 1)
    writer.log({"x": 4.0}, 0)
    assert [(event.step, event.metrics) for event in kept(writer)] == [
        (1, {"x": 1.0, "y": 1.0}),
        (1, {"z": 2.0}),
        (0, {"x": 4.0}),
    ]
    assert [event.payload for event in kept(writer, "duplicate")] == [{"x": 2.0}, {"x": 3.0}]
    assert len(kept(writer, "problem")) == 1
    assert caplog.text.count("stays") == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1.7e308, 10**300, True, np.float32(2)])
def test_a_number_is_kept_the_same_alone_and_among_others(journal: Journal, value: Any) -> None:
    writer = JournalWriter(journal)
    writer.log({"alone": value}, 0)
    writer.log({"other": 1.5, "among": value, "more": 1.7e308}, 0)
    first, second = kept(writer)
    assert repr(second.payload["among"]) == repr(first.payload["alone"])
    assert second.payload["other"] == 1.5
    writer.close(5.0)
