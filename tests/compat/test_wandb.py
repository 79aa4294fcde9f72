"""What a script that speaks to W&B puts into the journal."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest

import touchline.compat.wandb as wandb
from touchline.errors import TouchlineError, UsageError

from .conftest import events, only_run, points, start

pytestmark = pytest.mark.usefixtures("journal_only")


def test_a_row_without_a_step_counts_up() -> None:
    directory = start()
    for value in (1.0, 2.0, 3.0):
        wandb.log({"loss": value})
    wandb.finish()
    assert points(directory) == {("loss", 0, 1.0), ("loss", 1, 2.0), ("loss", 2, 3.0)}


def test_a_row_grows_until_it_is_committed_and_the_last_value_counts() -> None:
    directory = start()
    wandb.log({"a": 1, "b": 1}, commit=False)
    wandb.log({"b": 2}, commit=False)
    wandb.log({"c": 3})
    wandb.log({"c": 4})
    wandb.finish()
    assert points(directory) == {("a", 0, 1), ("b", 0, 2), ("c", 0, 3), ("c", 1, 4)}


def test_a_row_that_was_never_committed_is_kept_at_the_end() -> None:
    directory = start()
    wandb.log({"a": 1}, commit=False)
    wandb.finish()
    assert points(directory) == {("a", 0, 1)}


def test_what_waits_for_its_row_does_not_change_with_the_array_it_came_from() -> None:
    directory = start()
    value = np.array(1.0)
    wandb.log({"a": value}, commit=False)
    value[...] = 5.0
    wandb.log({"b": 2})
    wandb.finish()
    assert ("a", 0, 1.0) in points(directory)


def test_a_lower_step_is_kept_and_said(caplog: pytest.LogCaptureFixture) -> None:
    directory = start()
    wandb.log({"loss": 1.0}, step=10)
    wandb.log({"late": 2.0}, step=4)
    wandb.log({"loss": 3.0}, step=11)
    wandb.finish()
    assert points(directory) == {("loss", 10, 1.0), ("late", 4, 2.0), ("loss", 11, 3.0)}
    assert "step 4 is below 10" in caplog.text


def test_nested_names_are_joined_by_dots_as_the_service_shows_them() -> None:
    directory = start()
    wandb.log({"train": {"loss": 1.0, "q": {"mean": 2.0}}})
    wandb.finish()
    assert points(directory) == {("train.loss", 0, 1.0), ("train.q.mean", 0, 2.0)}


def test_texts_become_results_and_nothing_is_left_of_none() -> None:
    directory = start()
    wandb.log({"phase": "warm-up", "missing": None, "loss": 1.0})
    wandb.finish()
    assert events(directory, "summary") == [("summary", None, {"phase": "warm-up"})]
    assert events(directory, "problem") == []


def test_the_step_metric_gives_the_step_and_no_value_is_lost_where_it_stands_still() -> None:
    directory = start()
    wandb.define_metric("train/*", step_metric="train/step")
    wandb.define_metric("val/*", step_metric="epoch")
    wandb.log({"train/loss": 1.0, "train/step": 100})
    wandb.log({"train/loss": 2.0, "train/step": 200})
    for value in (0.1, 0.2, 0.3):
        wandb.log({"val/success": value, "epoch": 7})
    wandb.finish()
    found = points(directory)
    assert {point for point in found if point[0] == "train/loss"} == {
        ("train/loss", 100, 1.0),
        ("train/loss", 200, 2.0),
    }
    assert sorted(step for name, step, _ in found if name == "val/success") == [7, 8, 9]
    assert events(directory, "duplicate") == []


def test_a_logged_global_step_is_the_step() -> None:
    directory = start()
    wandb.log({"global_step": 2048, "loss": 1.0})
    wandb.log({"global_step": 4096, "loss": 2.0})
    wandb.finish()
    assert {("loss", 2048, 1.0), ("loss", 4096, 2.0)} <= points(directory)


def test_a_summary_of_max_becomes_a_goal_with_a_best_value() -> None:
    directory = start()
    wandb.define_metric("val/*", summary="max")
    for value in (0.2, 0.9, 0.4):
        wandb.log({"val/success": value})
    wandb.finish()
    assert events(directory, "goal") == [("goal", None, {"val/success": "maximize"})]
    best = events(directory, "summary")[-1][2]
    assert (best["best/val/success"], best["best/val/success/step"]) == (0.9, 1)


@dataclasses.dataclass
class Configuration:
    rate: float = 0.1


@pytest.mark.parametrize(
    "config", [{"rate": 0.1}, argparse.Namespace(rate=0.1), Configuration()], ids=["dict", "argparse", "dataclass"]
)
def test_a_configuration_becomes_parameters(config: object) -> None:
    directory = start(config=config)
    assert (wandb.config.rate, wandb.config["rate"], wandb.run.config.get("rate")) == (0.1, 0.1, 0.1)
    wandb.config.batch = 64
    wandb.config.update({"net": {"width": 256}})
    wandb.finish()
    assert [payload for _, _, payload in events(directory, "params")] == [
        {"rate": 0.1},
        {"batch": 64},
        {"net.width": 256},
    ]


def test_a_parameter_changes_only_when_that_is_meant() -> None:
    start(config={"rate": 0.1})
    with pytest.raises(UsageError, match=r"'rate' is 0.1, and would become 0.2.*allow_val_change=True"):
        wandb.config.rate = 0.2
    wandb.config.update({"rate": 0.2}, allow_val_change=True)
    assert wandb.config.rate == 0.2


def test_the_summary_holds_the_last_values_and_what_was_set() -> None:
    directory = start()
    wandb.log({"loss": np.float32(0.5)})
    assert wandb.summary["loss"] == 0.5
    wandb.summary["best"] = 3
    wandb.run.summary.update({"who": {"name": "t1"}})
    assert wandb.summary.best == 3
    wandb.finish()
    assert [payload for _, _, payload in events(directory, "summary")] == [{"best": 3}, {"who.name": "t1"}]


def test_alerts_of_one_title_come_at_most_once_a_minute() -> None:
    directory = start()
    for _ in range(3):
        wandb.alert(title="hot", text="too hot", level=wandb.AlertLevel.WARN)
    wandb.run.alert("hot", "again", level="ERROR", wait_duration=0)
    wandb.finish()
    found = [(payload["title"], payload["level"]) for _, _, payload in events(directory, "alert")]
    assert found == [("hot", "warn"), ("hot", "error")]


def test_a_run_knows_what_it_was_opened_with() -> None:
    directory = start(
        entity="team", id="r1", name="first", group="g", job_type="eval", tags=["red", "night"], notes="why"
    )
    run = wandb.run
    assert (run.id, run.name, run.project, run.entity, run.group, run.job_type) == (
        "r1",
        "first",
        "p",
        "team",
        "g",
        "eval",
    )
    assert (run.path, run.tags, run.url, run.notes) == ("team/p/r1", ("red", "night"), None, "why")
    run.tags += ("late",)
    run.name = "renamed"
    wandb.finish()
    assert wandb.run is None
    start_event = events(directory, "start")[0][2]
    assert (start_event["project"], start_event["group"], start_event["job"]) == ("p", "g", "eval")
    tags = {name: value for _, _, payload in events(directory, "tags") for name, value in payload.items()}
    assert tags == {
        "red": "",
        "night": "",
        "late": "",
        "mlflow.note.content": "why",
        "mlflow.runName": "renamed",
    }


def test_variables_and_settings_stand_in_for_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "from-variable")
    monkeypatch.setenv("WANDB_RUN_GROUP", "night")
    monkeypatch.setenv("WANDB_TAGS", "a, b")
    run = wandb.init(settings=wandb.Settings(run_name="named"))
    assert (run.project, run.group, run.tags, run.name) == ("from-variable", "night", ("a", "b"), "named")


def test_settings_without_a_meaning_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        start(settings=wandb.Settings(start_method="thread", _disable_stats=False), reinit=True)
    assert caplog.text.count("_disable_stats, start_method has no effect here") == 1


def test_a_disabled_run_takes_everything_and_keeps_nothing(journal_only: Path) -> None:
    run = wandb.init(project="p", mode="disabled", config={"rate": 1})
    run.log({"loss": 1.0, "image": wandb.Image(np.zeros((2, 2), np.uint8))})
    run.log_artifact(__file__)
    run.summary["x"] = 1
    assert (wandb.config.rate, run.step, run.disabled) == (1, 1, True)
    (Path(run.dir) / "x").write_text("x")
    run.finish()
    assert not journal_only.exists()


def test_a_second_init_returns_the_open_run_unless_it_asks_for_a_new_one() -> None:
    first = wandb.init(project="p")
    assert wandb.init(project="p", config={"more": 1}) is first
    assert wandb.config.more == 1
    second = wandb.init(project="p", reinit="create_new")
    assert second is not first and wandb.run is first
    second.finish()
    third = wandb.init(project="p", reinit=True)
    assert wandb.run is third
    assert events(first.touchline.directory, "end") == [("end", None, {"status": "finished", "reason": ""})]


def test_a_run_goes_on_where_it_stopped(journal_only: Path) -> None:
    for _ in range(2):
        with wandb.init(project="p", id="r1", resume="allow"):
            for _ in range(3):
                wandb.log({"loss": 1.0})
    assert sorted(points(journal_only / "r1")) == [("loss", step, 1.0) for step in range(6)]
    assert wandb.init(project="p", resume_from="r1?_step=2").step == 3
    wandb.log({"loss": 9.0})
    wandb.finish()
    assert events(journal_only / "r1", "rewind")[0][1] == 2
    with pytest.raises(UsageError, match="'r1' is there already"):
        wandb.init(id="r1", resume="never")
    with pytest.raises(UsageError, match="no run 'r2'"):
        wandb.init(id="r2", resume="must")


@pytest.mark.parametrize(
    ("code", "status"), [(None, "finished"), (0, "finished"), (1, "failed")], ids=["none", "zero", "one"]
)
def test_an_exit_code_says_how_the_run_ended(code: int | None, status: str) -> None:
    directory = start()
    wandb.finish(exit_code=code)
    assert events(directory, "end")[0][2]["status"] == status


def test_an_exception_on_its_way_ends_the_run_truly() -> None:
    directory = start()
    with pytest.raises(ValueError, match="boom"):
        try:
            raise ValueError("boom")
        finally:
            wandb.finish()
    assert events(directory, "end")[0][2] == {"status": "failed", "reason": "ValueError: boom"}


def test_leaving_a_with_block_ends_the_run(journal_only: Path) -> None:
    with pytest.raises(KeyboardInterrupt), wandb.init(project="p") as run:
        run.log({"a": 1}, commit=False)
        raise KeyboardInterrupt
    directory = only_run(journal_only)
    assert events(directory, "end")[0][2]["status"] == "killed"
    assert points(directory) == {("a", 0, 1)}


def test_a_machine_that_is_taken_away_ends_the_run_as_preempted() -> None:
    directory = start()
    wandb.mark_preempting()
    wandb.finish(exit_code=1)
    assert events(directory, "end")[0][2]["status"] == "preempted"


def test_a_training_that_finishes_before_its_machine_is_taken_is_finished() -> None:
    directory = start()
    wandb.mark_preempting()
    wandb.finish()
    assert events(directory, "end")[0][2]["status"] == "finished"


def test_calls_before_init_say_what_is_missing() -> None:
    assert wandb.run is None
    for call in (lambda: wandb.log({"a": 1}), lambda: wandb.alert("x"), lambda: wandb.config.rate):
        with pytest.raises(TouchlineError, match=r"needs a run. Call wandb.init\(\) first"):
            call()


def test_what_is_not_supported_names_its_remedy(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(TouchlineError, match="import wandb as real_wandb"):
        wandb.Api()
    with pytest.raises(TouchlineError, match=r"wandb\.sweep is not supported; tune with"):
        wandb.sweep({}, project="p")
    with pytest.raises(TouchlineError, match=r"wandb\.agent is not supported"):
        wandb.agent("id", function=print)
    start()
    with pytest.raises(TouchlineError, match="load_model"):
        wandb.run.use_artifact("model:latest")
    for _ in range(2):
        assert wandb.watch(object()) == []
    assert caplog.text.count("wandb.watch records no gradients here") == 1
    table = wandb.Table(columns=["x", "y"], data=[[1, 2]])
    assert wandb.plot.line(table, "x", "y") is table
    wandb.log({"matrix": wandb.plot.confusion_matrix(y_true=[1], preds=[1])})
    assert "wandb.plot.confusion_matrix is not recorded" in caplog.text


def test_an_unknown_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(AttributeError, match=r"'log_artefact'\. Did you mean 'log_artifact'\? Known: .*finish"):
        _ = wandb.log_artefact
    start()
    with pytest.raises(AttributeError, match="Did you mean 'summary'"):
        _ = wandb.run.sumary


def test_only_mappings_of_names_are_logged() -> None:
    start()
    with pytest.raises(UsageError, match="takes a mapping"):
        wandb.log(3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a name in wandb.log is a text, and this is 5|A name"):
        wandb.log({5: 1.0})  # type: ignore[dict-item]


def test_the_summary_keeps_no_gradient_alive() -> None:
    torch = pytest.importorskip("torch")
    start()
    loss = torch.ones(1, requires_grad=True).sum()
    wandb.log({"loss": loss})
    assert not dict.__getitem__(wandb.summary._items, "loss").requires_grad
    assert wandb.summary["loss"] == 1.0


def test_only_rank_0_records(journal_only: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb.init(project="p", id="r1").finish()
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    run = wandb.init(project="p", id="r1", resume="never", config={"rate": 1})
    run.define_metric("*", step_metric="epoch")
    run.log({"loss": 1.0, "epoch": 3, "frame": wandb.Image(np.zeros((2, 2), np.uint8))})
    run.finish()
    assert [path.name for path in journal_only.iterdir()] == ["r1"]
    assert points(journal_only / "r1") == set()


def test_nothing_is_said_where_there_is_nothing_to_say(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        start(config={"a": 1}, tags=["x"])
        wandb.log({"loss": 1.0, "image": wandb.Image(np.zeros((2, 2), np.uint8))}, step=1)
        wandb.finish()
    assert caplog.text == ""
