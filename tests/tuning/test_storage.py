"""Storages: any number may open one at once, and what cannot be one is refused in a sentence."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import optuna
import pytest

from touchline.errors import TouchlineError, UsageError
from touchline.tuning import StudyStorage
from touchline.tuning.storage import is_outage

START = """
import sys
from touchline.tuning import Setup, StudyStorage, open_study
from touchline.tuning.space import parse_space
sys.stdin.readline()
study, is_new = open_study(StudyStorage(sys.argv[1]), "s", Setup(parse_space(["x=0:1"])))
trial = study.ask(100)
print(is_new, trial.number, trial.params["x"])
"""


def start_at_once(url: str, workers: int) -> list[list[str]]:
    processes = [
        subprocess.Popen([sys.executable, "-c", START, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(workers)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [process.communicate(timeout=300)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * workers
    return told


def survive_a_first_start(url: str) -> None:
    told = start_at_once(url, 6)
    assert sorted(row[0] for row in told) == ["False"] * 5 + ["True"], "one of them is the first"
    assert sorted(row[1] for row in told) == list("012345"), "each has a trial of its own"
    assert len({row[2] for row in told}) == 6, "samplers are seeded differently"


def test_workers_that_start_together_all_survive_on_sqlite(storage: StudyStorage) -> None:
    survive_a_first_start(storage.url)


def test_workers_that_start_together_all_survive_on_postgresql(server: str) -> None:
    survive_a_first_start(server)


def test_a_lock_is_held_by_one_at_a_time(storage: StudyStorage) -> None:
    order: list[str] = []
    with storage.lock("x"):
        thread = threading.Thread(target=lambda: _note(storage, order))
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join(5.0)
    assert order == ["first", "second"]


def _note(storage: StudyStorage, order: list[str]) -> None:
    with storage.lock("x"):
        order.append("second")


def test_a_password_is_never_shown() -> None:
    storage = StudyStorage("postgresql://coach:s3cret@db:5432/studies")
    assert storage.shown == "postgresql://coach:***@db:5432/studies"


@pytest.mark.parametrize("url", ["optuna.db", "sqlite:///", "sqlite:///:memory:", "mysql://a@b/c", "journal://x"])
def test_what_is_no_storage_for_several_processes_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="SQLite or PostgreSQL"):
        StudyStorage(url)


def test_a_damaged_file_and_a_server_that_is_away_are_told_with_a_remedy(tmp_path: Path) -> None:
    file = tmp_path / "optuna.db"
    file.write_bytes(b"this is no database at all" * 100)
    with pytest.raises(TouchlineError, match="file is not a database.*begin anew with: mv"):
        StudyStorage(f"sqlite:///{file}").open()
    whole = StudyStorage(f"sqlite:///{tmp_path / 'a b.db'}")
    backend = whole.open()
    optuna.create_study(storage=backend)
    backend.engine.dispose()
    torn = bytearray((tmp_path / "a b.db").read_bytes())
    torn[100:4096] = b"x" * 3996
    (tmp_path / "a b.db").write_bytes(torn)
    with pytest.raises(
        TouchlineError, match=r"malformed.*begin anew with: mv '.*a b.db' '.*a b.db.damaged'"
    ) as refused:
        whole.open()
    assert not is_outage(refused.value)
    pytest.importorskip("psycopg2")
    with pytest.raises(TouchlineError, match=r"u:\*\*\*@127.0.0.1:9/x cannot be reached"):
        StudyStorage("postgresql://u:pw@127.0.0.1:9/x").open()


@pytest.mark.parametrize("where", ["file", "server"])
def test_a_study_is_read_as_optuna_reads_it(
    where: str, storage: StudyStorage, request: pytest.FixtureRequest
) -> None:
    if where == "server":
        storage = StudyStorage(request.getfixturevalue("server"))
    backend = storage.open()
    other = optuna.create_study(storage=backend, study_name="another")
    other.enqueue_trial({"lr": 0.5})
    study = optuna.create_study(storage=backend, study_name="read", direction="maximize")
    study.optimize(_objective, n_trials=7, catch=RuntimeError)
    study.enqueue_trial({"lr": 0.25}, user_attrs={"why": "by hand"})
    study.ask()
    study.ask()
    ours, theirs = storage.open(), optuna.storages.RDBStorage(storage.url)
    read = ours.get_all_trials(study._study_id)
    assert repr(read) == repr(theirs.get_all_trials(study._study_id))  # nan is not equal to nan
    assert {trial.state for trial in read} == {*optuna.trial.TrialState} - {optuna.trial.TrialState.WAITING}
    finished = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    some = ours.get_all_trials(study._study_id, states=finished)
    assert repr(some) == repr(theirs.get_all_trials(study._study_id, states=finished))
    assert [trial.state.name for trial in ours.get_all_trials(other._study_id)] == ["WAITING"]
    with pytest.raises(KeyError):
        ours.get_all_trials(10**6)


def _objective(trial: optuna.Trial) -> float:
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    trial.suggest_categorical("activation", ["relu", None, 3, True])
    trial.suggest_int("layers", 1, 9, step=2)
    trial.set_user_attr("nested", {"a": [1, 2.5, None]})
    for step, value in enumerate((lr, float("inf"), float("-inf"), float("nan"))):
        trial.report(value, 10_000 * step)
    if trial.number == 3:
        raise optuna.TrialPruned
    if trial.number == 4:
        raise RuntimeError
    return float("inf") if trial.number == 5 else lr
