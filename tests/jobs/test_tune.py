"""Studies of real, short trainings: both tracks, killed processes, failing trials, and the winner's recipe."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from tests.tracking.conftest import backend, home, no_account, until  # noqa: F401
from tests.tuning.hill import HillConfig
from touchline.checkpoint.preemption import StopSignal
from touchline.config import Settings, digest, overlay, read_toml
from touchline.errors import TouchlineError, UsageError
from touchline.jobs.base import JOBS, Interrupted
from touchline.jobs.checkpoints import training_config
from touchline.jobs.history import JOB, JOB_DIGEST, unfinished
from touchline.jobs.run import found_by
from touchline.jobs.tunable import find_tunable
from touchline.jobs.tune import STUDY_RUN, TuneConfig, TuneOutcome, tune
from touchline.testing.wandb_backend import WandbBackend
from touchline.tracking.journal import JournalReader
from touchline.tracking.process import identity_of
from touchline.tracking.sync import run_ids, sync
from touchline.tracking.tags import STUDY_TAG
from touchline.tuning import Setup, Study, StudyStorage, find_study, open_study
from touchline.tuning.recipe import without_lineage
from touchline.tuning.space import configured, parse_space
from touchline.tuning.storage import default_url

CLIMB = find_tunable("tests.tuning.hill:climb")
SPACE = parse_space(["x=-1:1", "y=-1:1"])


def tuned(config: HillConfig | None = None, **changes: Any) -> TuneConfig:
    setup = Setup(SPACE, pruner=changes.pop("pruner", "none"), report_every=changes.pop("report_every", 1))
    defaults = {"trials": 3, "workers": 2, "finalists": 0, "name": "hill"}
    job = dataclasses.replace(CLIMB, function=f"tests.tuning.hill:{changes.pop('function', 'climb')}")
    return TuneConfig(job, config or HillConfig(), setup, **{**defaults, **changes})


def study_of(settings: Settings) -> Study:
    return find_study(StudyStorage(default_url(settings.home)), "hill")


def run_study(config: TuneConfig, settings: Settings, stop: StopSignal | None = None) -> TuneOutcome:
    return tune(config, settings, StudyStorage(default_url(settings.home)), stop or StopSignal())


@pytest.fixture
def alone(home: Path) -> Settings:  # noqa: F811
    return Settings(home=home, sinks=(), capture=())


def history(settings: Settings, run_id: str) -> tuple[list[int], str]:
    """The steps of the newest attempt's objective, and how the run ended."""
    with JournalReader(settings.run_directory(run_id) / "journal.db") as journal:
        end = journal.newest("end")
        rewinds = [(event.seq, event.step or 0) for event in journal.of_kind(["rewind"])]
        steps = []
        for event in journal.values("objective"):
            if all(event.seq > seq or (event.step or 0) <= step for seq, step in rewinds):
                steps.append(event.step or 0)
    return steps, "" if end is None else str(end.payload["status"])


@pytest.mark.slow
def test_every_trial_is_one_run_on_both_tracks_a_pruned_one_too_and_the_winner_becomes_a_recipe(
    home: Path,  # noqa: F811
    backend: WandbBackend,  # noqa: F811
) -> None:
    settings = Settings(home=home, sinks=("mlflow", "wandb"), wandb_base_url=backend.url, capture=())
    config = tuned(trials=7, finalists=2, pruner="median")
    storage = StudyStorage(default_url(home))
    about = {"job": CLIMB.function, "config": digest(training_config(config.config))}
    queue, _ = open_study(storage, "hill", dataclasses.replace(config.setup, about=about))
    for x in (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, -1.0):
        queue.optuna.enqueue_trial({"x": x, "y": -0.2})
    outcome = tune(config, settings, storage, StopSignal())
    trials = study_of(settings).trials()
    assert trials[6].state == TrialState.PRUNED, "with two workers the last one begins when five are complete"
    # A slow machine may begin the one before the last then, too.
    pruned = [trial.number for trial in trials if trial.state == TrialState.PRUNED]
    assert outcome.trials == {"complete": 7 - len(pruned), "pruned": len(pruned)}

    winner = outcome.winner
    assert winner is not None and winner.again is not None
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    best_two = sorted(complete, key=lambda trial: -trial.value)[:2]
    assert winner.number in [trial.number for trial in best_two]
    values, lineage = without_lineage(read_toml(winner.recipe))
    assert overlay(HillConfig(), values, where="winner") == configured(HillConfig(), trials[winner.number].params)
    assert (lineage["climb"]["study"], lineage["climb"]["trial"]) == ("hill", str(winner.number))

    assert sync(settings, timeout=300).complete
    parent = queue.optuna.user_attrs[STUDY_RUN]["id"]
    of_trials = [f"{parent}-{number:04d}" for number in range(7)]
    again = [f"{parent}-{trial.number:04d}-again" for trial in best_two]
    assert sorted(run_ids(settings)) == sorted([parent, *of_trials, *again]) == sorted(backend.runs)
    assert {run.group for run in backend.runs.values()} == {parent}
    assert all(run.exit_code == 0 and run.complete for run in backend.runs.values())
    assert backend.runs[of_trials[6]].summary["touchline/status"] == "pruned"
    tagged = [run_id for run_id in of_trials if "pruned" in backend.runs[run_id].tags]
    assert tagged == [of_trials[number] for number in pruned]

    from touchline.tracking.mlflow_store import connect

    client = connect(settings)
    experiment = client.get_experiment_by_name(settings.project)
    found = {run.data.tags["touchline.run_id"]: run for run in client.search_runs([experiment.experiment_id])}
    assert sorted(found) == sorted(backend.runs)
    for number, run_id in enumerate(of_trials):
        assert found[run_id].data.tags["mlflow.parentRunId"] == found[parent].info.run_id
        assert float(found[run_id].data.params["x"]) == trials[number].params["x"]
        status = "pruned" if number in pruned else "finished"
        assert found[run_id].data.tags["touchline.status"] == status
        assert found[run_id].info.status == ("KILLED" if number in pruned else "FINISHED")
    assert found[parent].data.metrics["study/best"] == queue.optuna.best_value


def test_a_killed_trial_goes_on_in_its_own_run_from_its_checkpoint(alone: Settings, tmp_path: Path) -> None:
    trouble = tmp_path / "killed-once"
    outcome = run_study(tuned(HillConfig(trouble=str(trouble)), trials=2, workers=1), alone)
    assert trouble.exists()
    assert outcome.trials == {"complete": 2, "fail": 1}
    failed, retried = study_of(alone).trials()[:2]
    assert failed.user_attrs["failure"]["kind"] == "killed"
    assert retried.params == failed.params and retried.user_attrs["run"] == failed.user_attrs["run"]
    assert len(run_ids(alone)) == 3, "two configurations and the study's own"
    assert history(alone, retried.user_attrs["run"]) == (list(range(1, 21)), "finished")


def test_a_stop_puts_trials_back_with_what_they_saved_and_the_same_command_goes_on(alone: Settings) -> None:
    config = tuned(HillConfig(seconds=0.05, steps=40), trials=2)
    with_stop = StopSignal()

    def when_both_run() -> bool:
        told = [history(alone, run_id)[0] for run_id in run_ids(alone)]
        return sum(len(steps) > 3 for steps in told) == 2

    _request_when(with_stop, when_both_run)
    with pytest.raises(Interrupted, match="0 finished trials"):
        run_study(config, alone, with_stop)
    assert study_of(alone).counts() == {TrialState.WAITING: 2}
    before = {run_id: history(alone, run_id) for run_id in run_ids(alone)}
    assert [status for _, status in before.values()].count("killed") == 3

    fast = dataclasses.replace(config, config=HillConfig(steps=40))
    with pytest.raises(UsageError, match="is another one"):
        run_study(fast, alone)
    assert run_study(config, alone).trials == {"complete": 2}
    for trial in study_of(alone).trials():
        assert history(alone, trial.user_attrs["run"]) == (list(range(1, 41)), "finished")
        assert trial.intermediate_values.keys() == set(range(1, 41))


@pytest.mark.parametrize("function", ["wander", "keep"])
def test_a_function_that_hears_no_stop_or_leaves_by_itself_is_put_back(alone: Settings, function: str) -> None:
    config = tuned(HillConfig(), trials=2, function=function, report_every=1_000)
    stop = StopSignal()
    _request_when(stop, lambda: len(run_ids(alone)) == 3)
    began = time.monotonic()
    with pytest.raises(Interrupted, match="0 finished trials"):
        run_study(config, alone, stop)
    assert time.monotonic() - began < 60.0, "a hundred seconds of walking were ahead"
    assert study_of(alone).counts() == {TrialState.WAITING: 2}


@pytest.mark.parametrize("dies", ["the supervisor", "both"])
def test_what_a_dead_supervisor_leaves_is_ended_before_its_place_is_given_away(
    dies: str, alone: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "processes"
    trial = (
        "import touchline.tuning.supervisor as supervisor, touchline.jobs.trial_process as process\n"
        "supervisor.LEAVING_SECONDS = 3.0\n"
        "process._leave(process.main())"
    )
    begin = (
        "import sys, touchline.jobs.tune as tune\n"
        "from touchline.cli import main\n"
        f"tune.PROCESS = (sys.executable, '-c', {trial!r})\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    config = tuned(HillConfig(trouble=str(place)), trials=1, workers=1, function="linger")
    words = ["tune", config.job.function, "--space", "x=-1:1", "--space", "y=-1:1", "--study", "hill"]
    words += ["--pruner", "none", "--set", f"trouble={place}", "--home", str(alone.home)]
    environment = {**os.environ, "TOUCHLINE_SINKS": "", "TOUCHLINE_CAPTURE": ""}
    first = subprocess.Popen([sys.executable, "-c", begin, *words], env=environment)
    try:
        until(place.exists)
        trial_process, child = (identity_of(int(pid)) for pid in place.read_text().split())
        assert trial_process is not None and child is not None
    finally:
        first.kill()
        first.wait()
    if dies == "both":
        os.kill(trial_process.pid, signal.SIGKILL)
        until(lambda: not trial_process.is_alive())
        assert child.is_alive(), "nobody has ended it yet"
    outcome = run_study(config, alone)
    assert outcome.trials == ({"complete": 1} if dies == "the supervisor" else {"complete": 1, "fail": 1})
    assert not trial_process.is_alive() and not child.is_alive()
    told = "still runs, though its supervisor is gone" if dies == "the supervisor" else "was left by a process"
    assert f"Trial 0 {told}" in " ".join(capsys.readouterr().out.split())


def _request_when(stop: StopSignal, condition: Callable[[], bool]) -> None:
    def watch() -> None:
        deadline = time.monotonic() + 300
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.request("interrupted")

    threading.Thread(target=watch, daemon=True).start()


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [("error", "ValueError"), ("crash", "crashed"), ("left", "RuntimeError")],
)
def test_three_failures_of_one_kind_in_a_row_stop_the_study_with_an_explanation(
    alone: Settings, trouble: str, kind: str
) -> None:
    # Those that ran beside the third one may have failed by then too.
    with pytest.raises(TouchlineError, match=f"its last [3-5] trials failed in the same way. {kind}[:.] "):
        run_study(tuned(HillConfig(trouble=trouble), trials=9, workers=3), alone)
    failed = [trial for trial in study_of(alone).trials() if trial.state == TrialState.FAIL]
    assert [trial.user_attrs["failure"]["kind"] for trial in failed][:3] == [kind] * 3
    ends = {history(alone, trial.user_attrs["run"])[1] for trial in failed}
    assert ends == {"" if trouble == "crash" else "failed"}


def test_the_runs_of_trials_are_no_unfinished_runs_of_their_job(alone: Settings) -> None:
    run_study(tuned(trials=1), alone)
    trial = study_of(alone).trials()[0]
    with JournalReader(alone.run_directory(trial.user_attrs["run"]) / "journal.db") as journal:
        (told,) = [event.payload for event in journal.of_kind(["tags"]) if JOB in event.payload]
    assert told[JOB] == "climb"
    assert unfinished(alone, {JOB: "climb", JOB_DIGEST: told[JOB_DIGEST]}).otherwise is None


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("pretrian", "Did you mean 'pretrain'"),
        ("no_such_module:climb", "no module 'no_such_module'"),
        ("tests.tuning.hill:clim", "Did you mean 'climb'"),
        ("tests.tuning.hill:not_annotated", "annotated with a frozen dataclass"),
    ],
)
def test_what_cannot_be_tuned_is_refused_in_a_sentence(word: str, told: str) -> None:
    with pytest.raises(UsageError) as refused:
        find_tunable(word)
    assert told in str(refused.value)


@pytest.mark.slow
def test_pre_training_is_tuned_from_its_smallest_trials_to_a_recipe_that_a_run_takes(home: Path) -> None:  # noqa: F811
    from touchline.recipes import smoke

    small = dataclasses.replace(
        smoke().pretrain, total_steps=3_000, num_envs=16, evaluation_episodes=4, episode_steps=50
    )
    small = configured(small, {"sac.warmup_steps": 500, "sac.replay_size": 4_000, "sac.updates_per_step": 1})
    settings = Settings(home=home, sinks=(), capture=())
    setup = Setup(
        parse_space(["sac.gamma=0.95:0.999", "sac.actor_lr+sac.critic_lr=log:1e-5:1e-3"]), report_every=1_000
    )
    config = TuneConfig(JOBS["pretrain"], small, setup, trials=2, finalists=2, name="hill", section="pretrain")
    outcome = run_study(config, settings)
    assert outcome.trials == {"complete": 2}
    trials = study_of(settings).trials()
    assert all(sorted(trial.intermediate_values) == [1_000, 2_000, 3_000] for trial in trials)
    assert outcome.winner is not None and outcome.winner.again is not None
    assert outcome.winner.again != outcome.winner.value, "on other episodes"
    values, lineage = without_lineage(read_toml(outcome.winner.recipe))
    whole = overlay(smoke(), values, where="winner")
    assert whole.pretrain == configured(small, trials[outcome.winner.number].params)
    assert found_by(lineage)["pretrain"][STUDY_TAG] == "hill"
