"""The recorder of a training serves every cadence: metrics, checkpoints, videos, and the request to stop."""

import json
import sqlite3
from dataclasses import dataclass

import numpy as np
import pytest

from touchline.checkpoint import CheckpointStore, StopSignal
from touchline.config import Settings
from touchline.jobs.base import Interrupted, stopping_with
from touchline.jobs.films import play_scene
from touchline.jobs.recorder import Hooks, TrainingRecorder
from touchline.jobs.recording import RecordingConfig
from touchline.jobs.selection import Selection
from touchline.learning.policy import zero_policy
from touchline.learning.progress import EpisodeStatistics, Progress
from touchline.soccer.world import SoccerWorld
from touchline.tracking.start import start_run


@pytest.fixture
def run(tmp_path):
    with start_run("pretrain", settings=Settings(home=tmp_path / "home", sinks=())) as run:
        yield run


@dataclass(frozen=True)
class Config:
    """What a recorder knows of a job's configuration."""

    recording: RecordingConfig
    gamma: float = 0.97


def hooks(selection=None):
    return Hooks(
        trajectories=lambda state: play_scene(zero_policy(89, 12), SoccerWorld(), seconds=0.2, seed=0),
        state={} if selection is None else {"selection": selection},
        metadata={"note": "x"},
    )


def train(recorder, steps, every=2_048):
    episodes = EpisodeStatistics(2)
    for step in range(every, steps + 1, every):
        episodes.add(np.ones(2), np.array([True, False]), np.array([False, False]))
        loop = {"weights": np.full(3, float(step))}
        terms = {"alive": np.ones(2)}
        recorder(Progress(step, step // 4, step, {"critic_loss": 0.5}, episodes, terms, float(step), loop=loop))


def test_a_learner_that_its_last_losses_spoiled_is_not_saved(run):
    spoiled = {"critic_loss": float("nan"), "entropy": float("nan")}
    episodes, loop = EpisodeStatistics(2), {"weights": np.full(3, np.nan)}
    told = "critic_loss became nan at policy transition 10240"
    with pytest.raises(FloatingPointError, match=told), recorder_of(run) as recorder:
        train(recorder, 8_192)
        recorder(Progress(10_240, 1, 1, spoiled, episodes, {}, 0.0, loop=loop))
    assert CheckpointStore(run.directory / "checkpoints").steps() == ()


def events(run, kind):
    with sqlite3.connect(run.directory / "journal.db") as journal:
        rows = journal.execute("SELECT step, payload FROM events WHERE kind = ? ORDER BY seq", (kind,)).fetchall()
    return [(step, json.loads(payload)) for step, payload in rows]


def recorder_of(run, **config):
    values = {"log_every": 1_000, "log_minimum_seconds": 0.0, "checkpoint_every": 10_000, "video_seconds": 1e9}
    values |= {"checkpoint_minimum_seconds": 0.0}
    selection = config.pop("selection", None)
    whole = Config(RecordingConfig(**values | config))
    return TrainingRecorder(run, whole, hooks(selection), total_steps=40_960, decimation=10)


def test_metrics_are_logged_whenever_a_thousand_steps_were_crossed(run):
    with recorder_of(run) as recorder:
        train(recorder, 40_960)
    run.finish(timeout=10)
    logged = [(step, values) for step, values in events(run, "metrics") if "train/critic_loss" in values]
    assert [step for step, _ in logged] == list(range(2_048, 40_961, 2_048))
    _, values = logged[-1]
    assert values["global_step"] == 40_960
    assert values["physics_step"] == 409_600
    assert values["train/episode_reward"] == 1.0
    assert values["reward/alive"] == 1.0
    assert values["train/buffer_size"] == 40_960


def test_a_gpu_metric_that_cannot_be_had_is_absent_with_its_reason(run):
    with recorder_of(run) as recorder:
        train(recorder, 4_096)
    run.finish(timeout=10)
    logged = {name for _, values in events(run, "metrics") for name in values}
    told = {name: text for _, tags in events(run, "tags") for name, text in tags.items()}
    for name in ("gpu/utilization_percent", "gpu/memory_percent"):
        assert (name in logged) != bool(told.get(f"absent.{name}"))


def test_checkpoints_are_saved_when_crossed_and_at_the_end(run):
    with recorder_of(run) as recorder:
        train(recorder, 40_960)
    store = CheckpointStore(run.directory / "checkpoints")
    newest = store.latest()
    assert newest is not None and newest.step == 40_960
    assert newest.arrays["loop/weights"].tolist() == [40_960.0] * 3
    assert newest.metadata["run"] == run.id and newest.metadata["note"] == "x"
    assert len(store.steps()) == 2


def test_a_checkpoint_carries_the_history_to_another_machine(run, tmp_path):
    with recorder_of(run) as recorder:
        train(recorder, 40_960)
    run.finish(timeout=10)
    checkpoint = CheckpointStore(run.directory / "checkpoints").latest()
    assert checkpoint is not None
    with start_run("pretrain", settings=Settings(home=tmp_path / "other", sinks=()), resume=checkpoint.path) as again:
        assert again.id == run.id
        assert [step for step, _ in events(again, "rewind")] == [40_960]
        curves = [step for step, values in events(again, "metrics") if "train/critic_loss" in values]
    assert curves == [step for step, values in events(run, "metrics") if "train/critic_loss" in values]


def test_a_fast_training_saves_and_logs_by_the_clock_and_its_end_is_kept(run):
    with recorder_of(run, log_minimum_seconds=60.0, checkpoint_minimum_seconds=60.0) as recorder:
        train(recorder, 40_960)
    run.finish(timeout=10)
    assert [step for step, values in events(run, "metrics") if "train/critic_loss" in values] == [2_048, 40_960]
    assert CheckpointStore(run.directory / "checkpoints").steps() == (10_240, 40_960)


def test_every_training_leaves_a_video(run):
    with recorder_of(run) as recorder:
        train(recorder, 4_096)
    run.finish(timeout=10)
    ((step, payload),) = events(run, "video")
    assert step == 4_096
    assert payload["caption"] == "step 4,096"
    assert not list((run.directory / "videos-in-work").glob("*.mp4"))


def test_a_request_to_stop_ends_the_training_at_the_next_boundary_and_saves_it(run):
    with StopSignal() as stop, stopping_with(stop):
        stop.request("preempted")
        with pytest.raises(Interrupted, match="2,048"), recorder_of(run) as recorder:
            train(recorder, 40_960)
    newest = CheckpointStore(run.directory / "checkpoints").latest()
    assert newest is not None and newest.step == 2_048


def test_an_error_saves_nothing_more(run):
    with pytest.raises(ZeroDivisionError), recorder_of(run) as recorder:
        train(recorder, 2_048)
        raise ZeroDivisionError
    assert CheckpointStore(run.directory / "checkpoints").latest() is None


def test_a_resumed_training_goes_on_with_its_loop_its_selection_and_its_cadences(run):
    best = Selection(newer_wins_ties=False)
    best.offer(zero_policy(89, 12, {"name": "best"}), 0.75, 4_096)
    with recorder_of(run, selection=best) as recorder:
        train(recorder, 20_480)
    again = Selection(newer_wins_ties=False)
    with recorder_of(run, selection=again) as recorder:
        loop = recorder.restore({"weights": np.zeros(3)})
    assert loop["weights"].tolist() == [20_480.0] * 3
    assert (again.score, again.step, again.best.metadata["name"]) == (0.75, 4_096, "best")
    assert np.array_equal(again.best.weights[0], best.best.weights[0])


def test_the_last_checkpoint_alone_becomes_an_artifact_without_a_second_copy(run):
    with recorder_of(run) as recorder:
        train(recorder, 40_960)
    run.finish(timeout=10)
    logged = [payload for _, payload in events(run, "artifact") if payload["name"].startswith("checkpoints/")]
    assert [payload["name"] for payload in logged] == ["checkpoints/step-000000040960"]
    kept = run.directory / logged[0]["path"] / "state.safetensors"
    assert kept.samefile(run.directory / "checkpoints" / "step-000000040960" / "state.safetensors")


def test_a_training_that_is_stopped_leaves_its_checkpoint_where_it_is(run):
    with StopSignal() as stop, stopping_with(stop):
        stop.request("preempted")
        with pytest.raises(Interrupted), recorder_of(run) as recorder:
            train(recorder, 40_960)
    run.finish("preempted", timeout=10)
    assert not [payload for _, payload in events(run, "artifact") if payload["name"].startswith("checkpoints/")]


def test_each_checkpoint_becomes_an_artifact_where_that_is_wanted(run):
    with recorder_of(run, checkpoint_artifacts="all") as recorder:
        for step in (10_240, 20_480, 30_720):
            train(recorder, step, every=step)
            recorder._store.wait()
    run.finish(timeout=10)
    names = {payload["name"] for _, payload in events(run, "artifact")}
    assert {f"checkpoints/step-{step:012d}" for step in (10_240, 20_480, 30_720)} <= names


def test_each_save_tells_how_long_the_training_waited_for_it(run):
    with recorder_of(run) as recorder:
        train(recorder, 40_960)
    run.finish(timeout=10)
    told = [values for _, values in events(run, "metrics") if "checkpoint/pause_seconds" in values]
    assert told and all(values["checkpoint/pause_seconds"] >= 0 for values in told)
