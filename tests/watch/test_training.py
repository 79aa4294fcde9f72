"""A training loop's watch, against the stand-in driver: curves when due, alerts, a diagnosis, a budget."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from touchline.errors import UsageError
from touchline.testing.nvml import packaged_scenario
from touchline.watch import AlertConfig, ForecastConfig, TrainingConfig, TrainingWatch, WatchConfig
from touchline.watch.rules import Level

from .conftest import Child, Start

TRAINING = """
import json, sys, time
from touchline.watch import AlertConfig, TrainingWatch, WatchConfig

class Recorder:
    def __init__(self):
        self.logged, self.alerts = [], []
    def log(self, metrics, step=None):
        self.logged.append([step, metrics])
    def alert(self, title, text="", level="warn"):
        self.alerts.append([level, title, text])

given = json.loads(sys.argv[1])
before, state = given.pop("cost_before", {}), given.pop("state", None)
recorder = Recorder()
alerts = AlertConfig(hold_seconds=0.0, lost_seconds=0.0)
config = WatchConfig(interval=0.02, minimum_seconds=0.0, alerts=alerts, **given)
watch = TrainingWatch(recorder, config, batch_size=64, cost_before=before)
if state is not None:
    watch.load_state_dict(state)
with watch:
    for question in map(json.loads, sys.stdin):
        for step in range(*question["steps"]):
            with watch.section("environment"):
                time.sleep(question.get("environment", 0.0))
            with watch.section("update"):
                time.sleep(question.get("update", 0.0))
            watch.step(step, question.get("metrics"))
        watch._gpu.wait_sample(20)
        watch._gpu.wait_sample(20)
        logged, recorder.logged = recorder.logged, []
        told = str(watch.diagnosis) if watch.diagnosis else None
        print(json.dumps([logged, recorder.alerts, told, watch.budget, watch.cost, watch.absent,
                          watch.state_dict()]), flush=True)
"""


class Nobody:
    """Takes what a watch has to say, and keeps nothing."""

    directory: Path

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None: ...

    def alert(self, title: str, text: str = "", level: Level = "warn") -> None: ...


class Training(Child):
    """A loop that trains as it is told."""

    alerts: list[list[str]]
    diagnosis: str | None
    budget: str
    cost: dict[str, float]
    absent: dict[str, str]
    state: dict[str, float]

    def train(self, *steps: int, **how: Any) -> list[tuple[int, dict[str, float]]]:
        """Make the steps of ``range(*steps)``; returns what was logged at which of them."""
        logged, self.alerts, self.diagnosis, self.budget, self.cost, self.absent, self.state = self._answer(
            {"steps": steps, **how}
        )
        return [(step, metrics) for step, metrics in logged]


@pytest.fixture
def training(start: Start, tmp_path: Path) -> Callable[..., Training]:
    def training(scenario: str, **config: Any) -> Training:
        process = start(TRAINING, scenario, json.dumps(config))
        return Training(process, tmp_path / "scenario", tmp_path / "clock")

    return training


def titles(training: Training) -> list[str]:
    return [title for _, title, _ in training.alerts]


def test_utilisation_and_memory_come_often_and_all_the_rest_more_seldom(training: Callable[..., Training]) -> None:
    loop = training(packaged_scenario("l4"), every=10, detail_every=50)
    loop.train(0, 5)
    logged = loop.train(5, 101)
    assert [step for step, _ in logged] == list(range(10, 101, 10))
    assert all({"gpu/utilization_percent", "gpu/memory_percent", "gpu/memory_used_gb"} <= set(v) for _, v in logged)
    detailed = [step for step, values in logged if "gpu/temperature" in values]
    assert detailed == [50, 100]
    assert {"gpu/power_watts", "gpu/clock_sm_mhz", "gpu/throttle_power", "cost/usd"} <= set(logged[-1][1])


def test_a_gpu_that_is_lost_a_loss_that_is_none_and_memory_that_is_full_are_told(
    training: Callable[..., Training],
) -> None:
    loop = training(packaged_scenario("l4"))
    loop.train(0, 3, metrics={"loss": 1.0})
    assert titles(loop) == []
    loop.train(3, 5, metrics={"loss": float("nan")})
    assert titles(loop) == ["loss is nan"]
    loop.set(packaged_scenario("l4") + "\n[gpu 0]\nmemory_used = 23.5e9\n")
    while len(loop.alerts) < 2:
        loop.train(5, 6)
    assert "memory" in loop.alerts[1][1]
    loop.set(packaged_scenario("l4") + "\n[gpu 0]\nlost = from 0s\n")
    while len(loop.alerts) < 3:
        loop.train(6, 7)
    assert "lost" in " ".join(loop.alerts[2])


def test_a_gpu_that_is_lost_before_the_start_is_told_and_the_other_ones_curves_go_on(
    training: Callable[..., Training],
) -> None:
    loop = training(packaged_scenario("two_l4") + "\n[gpu 0]\nlost = from 0s\n", every=1)
    loop.train(0, 1)
    ((_, metrics),) = loop.train(1, 2)
    assert metrics["gpu/utilization_percent"] == 20
    (alert,) = loop.alerts
    assert alert[:2] == ["error", "GPU 1 is lost"]
    assert "number 0 of the driver's, was lost before the start (GPU is lost)" in alert[2]
    assert loop.cost["cost/usd"] > 0.0


def test_a_card_that_waits_for_the_environment_is_told_why_once(training: Callable[..., Training]) -> None:
    idle = packaged_scenario("l4") + "\n[gpu 0]\nutilization = 22\npower = 31\n"
    loop = training(idle, diagnosis_seconds=1.0)
    loop.train(0, 80, environment=0.04, update=0.01)
    assert loop.diagnosis is not None
    assert "environment_bound" in loop.diagnosis
    (alert,) = [alert for alert in loop.alerts if "environment bound" in alert[1]]
    assert alert[0] == "info"
    assert "22" in alert[2]


def test_a_busy_card_gets_no_diagnosis(training: Callable[..., Training]) -> None:
    loop = training(packaged_scenario("l4") + "\n[gpu 0]\nutilization = 95\n", diagnosis_seconds=1.0)
    loop.train(0, 40, environment=0.04, update=0.01)
    assert loop.diagnosis is None
    assert titles(loop) == []


def test_a_budget_warns_and_is_spent(training: Callable[..., Training]) -> None:
    # At 3,600 USD an hour a second costs a dollar.
    loop = training(packaged_scenario("l4"), prices=["NVIDIA L4=3600"], budget_usd=2.0)
    seen = set()
    while loop.train(0, 1, update=0.01) is not None and loop.budget != "spent":
        seen.add(loop.budget)
    assert "warned" in seen
    assert [level for level, title, _ in loop.alerts if title == "Budget of 2.00 USD"] == ["warn", "error"]
    assert 2.0 <= loop.cost["cost/usd"] < 10.0
    assert 0.0 < loop.cost["cost/usd_wasted"] < loop.cost["cost/usd"]


def test_a_resumed_run_goes_on_with_what_it_has_cost(training: Callable[..., Training]) -> None:
    loop = training(packaged_scenario("l4"), budget_usd=5.0, cost_before={"cost/usd": 4.5, "cost/energy_wh": 7.0})
    loop.train(0, 1)
    assert loop.budget == "warned"
    assert 4.5 <= loop.cost["cost/usd"] < 4.6
    assert 7.0 <= loop.cost["cost/energy_wh"] < 7.1


def test_a_checkpoint_carries_what_the_run_has_cost_and_which_warnings_were_told(
    training: Callable[..., Training],
) -> None:
    before = {"cost/usd": 4.5, "cost/usd_wasted": 1.0, "cost/energy_wh": 7.0}
    first = training(packaged_scenario("l4"), budget_usd=5.0, cost_before=before)
    first.train(0, 1)
    assert titles(first) == ["Budget of 5.00 USD"]
    assert first.state == first.cost | {"budget/warned": 5.0}
    second = training(packaged_scenario("l4"), budget_usd=5.0, state=first.state)
    second.train(1, 2)
    assert (titles(second), second.budget) == ([], "warned")
    assert all(first.cost[name] <= second.cost[name] < first.cost[name] + 0.1 for name in before)


def test_a_cost_that_cannot_be_told_where_a_run_goes_on_is_kept_for_where_it_can(
    training: Callable[..., Training],
) -> None:
    state = {"cost/usd": 4.5, "cost/energy_wh": 7.0, "budget/warned": 5.0}
    loop = training("[driver]\n", budget_usd=5.0, state=state)
    loop.train(0, 1)
    assert "cost/usd" not in loop.cost
    assert loop.state == state


def test_a_state_is_not_loaded_while_the_watch_counts() -> None:
    with TrainingWatch(Nobody()) as watch, pytest.raises(UsageError, match="before `with`"):
        watch.load_state_dict({"cost/usd": 1.0})
    watch.load_state_dict({"cost/usd": 1.0})
    assert watch.state_dict() == {"cost/usd": 1.0}


def test_the_disk_that_is_watched_is_that_of_the_runs_directory(tmp_path: Path) -> None:
    run = Nobody()
    run.directory = tmp_path / "gone"
    with TrainingWatch(run, WatchConfig(interval=0.02)) as watch:
        assert watch._gpu.wait_sample(20)
        assert str(run.directory) in watch.absent["host/disk_percent"]
    with TrainingWatch(run, WatchConfig(interval=0.02), disk=tmp_path) as watch:
        assert watch._gpu.wait_sample(20)
        assert "host/disk_percent" not in watch.absent


def test_without_a_gpu_everything_is_absent_with_its_reason_and_nothing_is_told(
    training: Callable[..., Training],
) -> None:
    loop = training("[driver]\nfault nvmlInit = DRIVER_NOT_LOADED\n", budget_usd=1.0)
    loop.train(0, 3)
    assert "host/cpu_percent" not in loop.absent
    assert "does not start" in loop.absent["gpu/utilization_percent"]
    assert "no device" in loop.absent["cost/usd"]
    assert (loop.alerts, loop.budget) == ([], "ok")


@pytest.mark.parametrize("run", [object(), None, "run"])
def test_a_run_that_takes_neither_metrics_nor_alerts_is_refused_at_once(run: Any) -> None:
    with pytest.raises(UsageError, match="has no log and no alert"):
        TrainingWatch(run)


def test_a_configuration_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="is a WatchConfig, and this is 'fast'"):
        TrainingWatch(Nobody(), "fast")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("step", "metrics", "words"),
    [("x", {}, "this is 'x'"), (None, {}, "this is None"), (3, "notadict", "'notadict'")],
)
def test_a_step_of_another_kind_is_refused_with_its_words(step: Any, metrics: Any, words: str) -> None:
    watch = TrainingWatch(Nobody())
    with pytest.raises(UsageError, match=words):
        watch.step(step, metrics)
    with pytest.raises(UsageError, match=words):
        watch.note(step, metrics)


def test_the_configurations_of_the_alerts_are_where_the_others_are() -> None:
    config = AlertConfig(training=TrainingConfig(silent_seconds=60.0), forecast=ForecastConfig(hold_seconds=1.0))
    assert WatchConfig(alerts=config).alerts.training.silent_seconds == 60.0


@pytest.mark.parametrize(
    ("name", "value"), [("every", 0), ("interval", 0.0), ("budget_usd", -1.0), ("prices", ("L4=cheap",))]
)
def test_settings_that_make_no_sense_are_refused_with_their_value(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=r"0|-1|cheap"):
        WatchConfig(**{name: value})
