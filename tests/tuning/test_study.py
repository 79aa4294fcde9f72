"""Studies: what is asked, put back, failed, reaped and retried, and what no process may do twice."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import timedelta

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from touchline.errors import TouchlineError, UsageError
from touchline.tracking.process import identity_of
from touchline.tuning import Setup, Study, StudyStorage, find_study, open_study
from touchline.tuning.failures import Failure
from touchline.tuning.progress import progress_of
from touchline.tuning.sampler import NewPoints, SpaceExhausted, points_left
from touchline.tuning.space import distributions, parse_space
from touchline.tuning.study import OWNERS, SEEDS

SETUP = Setup(parse_space(["x=-1:1", "n=1,2,3"]))
KILLED = Failure("killed", "Its process was killed (SIGKILL).")


@pytest.fixture
def study(storage: StudyStorage) -> Study:
    return open_study(storage, "s", SETUP)[0]


def ask(study: Study) -> optuna.Trial:
    trial = study.ask(1_000)
    assert trial is not None
    return trial


def states(study: Study) -> list[TrialState]:
    return [trial.state for trial in study.trials()]


def test_a_study_asks_for_no_more_than_is_wanted(study: Study) -> None:
    first = ask(study)
    assert study.ask(1) is None, "one is on its way"
    assert study.complete(first.number, 1.0, {})
    assert study.ask(1) is None, "one is finished"
    second = ask(study)
    second.report(0.5, 10)
    assert study.prune(second.number, {"reason": "bad"})
    assert study.finished() == 2
    assert study.trials()[1].value == 0.5


def test_a_failed_trial_is_not_finished_and_has_its_reason(study: Study) -> None:
    trial = ask(study)
    assert study.fail(trial.number, Failure("not finite", "The loss is nan.")) == "failed"
    assert study.finished() == 0
    assert states(study) == [TrialState.FAIL]
    assert study.trials()[0].user_attrs["failure"]["reason"] == "The loss is nan."


def test_a_killed_trial_is_retried_twice_with_what_it_reported_and_then_failed(study: Study) -> None:
    first = ask(study)
    first.report(1.0, 10)
    first.set_user_attr("run", "r")
    assert study.fail(first.number, KILLED) == "retried"
    for expected in ("retried", "failed"):
        again = ask(study)
        assert again.params == first.params
        assert again.user_attrs["run"] == "r"
        assert study.fail(again.number, KILLED) == expected
    trials = study.trials()
    assert states(study) == [TrialState.FAIL] * 3
    assert [trial.intermediate_values for trial in trials] == [{10: 1.0}] * 3
    assert optuna.storages.RetryHeartbeatStaleTrialCallback.retry_history(trials[2]) == [0, 1]
    assert optuna.storages.RetryHeartbeatStaleTrialCallback.retried_trial_number(trials[2]) == 0


def test_a_trial_that_was_put_back_is_the_next_one_and_counts_as_no_failure(study: Study) -> None:
    trial = ask(study)
    for _ in range(5):
        assert study.put_back(trial.number)
        again = ask(study)
        assert (again.number, again.params) == (trial.number, trial.params)
    assert states(study) == [TrialState.RUNNING]


def test_whoever_comes_second_changes_nothing(study: Study) -> None:
    trial = ask(study)
    assert study.complete(trial.number, 1.0, {})
    assert not study.complete(trial.number, 2.0, {})
    assert not study.prune(trial.number, {})
    assert not study.put_back(trial.number)
    assert study.fail(trial.number, KILLED) is None
    assert [trial.value for trial in study.trials()] == [1.0]
    with pytest.raises(TouchlineError, match="COMPLETE, and not running"):
        study.trial(trial.number)


def test_trials_of_dead_processes_are_reaped_at_once_and_those_of_living_ones_are_not(study: Study) -> None:
    dead, living = ask(study), ask(study)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = identity_of(process.pid)
    assert identity is not None
    dead.set_user_attr(OWNERS, [identity.to_mapping()])
    assert study.reap() == []
    process.kill()
    process.wait()
    assert [trial.number for trial, _ in study.reap()] == [dead.number]
    assert study.reap() == [], "once"
    assert states(study) == [TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING]
    assert study.put_back(living.number)


def test_trials_of_another_machine_are_reaped_when_they_give_no_sign_of_life(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = {"pid": 1, "started": "1", "boot": "another", "host": "another"}
    trial = ask(study)
    trial.set_user_attr(OWNERS, [elsewhere])
    assert study.reap() == []
    _age_heartbeats(study, seconds=120)
    assert [(lost.number, failure.kind) for lost, failure in study.reap()] == [(trial.number, "lost")]
    assert states(study) == [TrialState.FAIL, TrialState.WAITING]


def test_a_trial_whose_worker_died_while_it_asked_becomes_stale_too(study: Study) -> None:
    optuna.load_study(study_name="s", storage=study.storage.open()).ask()  # without a heartbeat and an owner
    assert study.reap() == []
    _age_heartbeats(study, seconds=120)
    assert [trial.number for trial, _ in study.reap()] == [0]


def test_one_that_waited_for_long_is_not_reaped_before_it_begins(study: Study) -> None:
    trial = ask(study)
    study.put_back(trial.number)
    _age_heartbeats(study, seconds=3_600)
    again = ask(study)
    again.set_user_attr(OWNERS, [])
    assert study.reap() == []


def _age_heartbeats(study: Study, seconds: float) -> None:
    from optuna.storages._rdb import models

    with study._rdb.scoped_session() as session:
        for beat in session.query(models.TrialHeartbeatModel).all():
            beat.heartbeat -= timedelta(seconds=seconds)
        session.commit()


def test_no_point_is_evaluated_twice_and_an_exhausted_space_says_so(storage: StudyStorage) -> None:
    study, _ = open_study(storage, "small", Setup(parse_space(["n=1,2,3", "m=int:1:2"])))
    seen = set()
    for value in range(6):
        trial = ask(study)
        seen.add((trial.params["n"], trial.params["m"]))
        if value % 2:
            study.complete(trial.number, float(value), {})
        elif value == 2:
            study.fail(trial.number, Failure("ValueError", "bad"))
    assert len(seen) == 6
    for _ in range(2):
        with pytest.raises(SpaceExhausted, match="Every point of the space of the study small has a trial"):
            study.ask(100)
    assert len(study.trials()) == 6, "asking in vain leaves nothing behind"
    assert progress_of(study, {"trials": 100, "workers": 1}).seconds_left is not None
    running = next(trial for trial in study.trials() if trial.state == TrialState.RUNNING)
    study.put_back(running.number)
    assert ask(study).params == running.params, "what was put back is not exhausted"


@settings(max_examples=20)
@given(sizes=st.lists(st.integers(2, 5), min_size=1, max_size=3), seed=st.integers(0, 2**32 - 1))
def test_the_sampler_finds_every_point_of_a_space_that_can_be_counted(sizes: list[int], seed: int) -> None:
    space = parse_space([f"n{index}=int:1:{size}" for index, size in enumerate(sizes)])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=NewPoints(RandomSampler(seed), space, seed))
    seen = set()
    while points_left(space, study.get_trials(deepcopy=False)):
        trial = study.ask(distributions(space))
        study.tell(trial, 0.0)
        seen.add(tuple(trial.params.values()))
    assert len(seen) == len(study.trials) == math.prod(sizes)


def test_a_study_of_somebody_elses_is_refused_and_one_that_was_killed_at_birth_is_not(storage: StudyStorage) -> None:
    backend = storage.open()
    theirs = optuna.create_study(storage=backend, study_name="theirs", direction="maximize")
    theirs.add_trial(optuna.create_trial(value=1.0))
    optuna.create_study(storage=backend, study_name="born", direction="maximize")
    optuna.create_study(storage=backend, study_name="lower", direction="minimize")
    for name in ("theirs", "lower"):
        with pytest.raises(UsageError, match=f"study {name} was not made by touchline tune"):
            open_study(storage, name, SETUP)
    assert theirs.user_attrs == {}
    assert not open_study(storage, "born", SETUP)[1]


def test_a_queued_trial_of_ones_own_is_taken_first(study: Study) -> None:
    study.optuna.enqueue_trial({"x": 0.25, "n": 2})
    assert ask(study).params == {"x": 0.25, "n": 2}


def test_each_opening_has_a_seed_of_its_own_and_records_it(storage: StudyStorage) -> None:
    drawn, seeds = [], []
    for _ in range(3):
        study, is_new = open_study(storage, "s", SETUP)
        drawn.append(ask(study).params["x"])
        seeds.append(study.seed)
        assert is_new == (len(seeds) == 1)
    assert len(set(drawn)) == len(set(seeds)) == 3
    assert study.optuna.user_attrs[SEEDS] == seeds
    elsewhere = StudyStorage(storage.url + ".other")
    assert ask(open_study(elsewhere, "s", SETUP)[0]).params["x"] == drawn[0], "the same study draws the same"


def test_a_study_of_that_name_with_another_space_is_refused(study: Study) -> None:
    with pytest.raises(UsageError, match="is another one.*space"):
        open_study(study.storage, "s", Setup(parse_space(["x=-1:2"])))


def test_a_study_can_be_found_with_its_setup_and_an_unknown_one_has_a_nearest_name(study: Study) -> None:
    found = find_study(study.storage, "s")
    assert (found.setup, found.seed) == (SETUP, None)
    open_study(study.storage, "pretrain-1", SETUP)
    with pytest.raises(UsageError, match="Did you mean 'pretrain-1'"):
        find_study(study.storage, "pretrian-1")
