"""A study whose trial and whose supervisor are killed with signal 9: nothing is left running, doubled or lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import optuna
import psutil
from optuna.trial import TrialState

from tests.tracking.conftest import until
from touchline.config import Settings
from touchline.tracking.journal import JournalReader
from touchline.tracking.sync import run_ids
from touchline.tuning.storage import default_url

ROOT = Path(__file__).parents[2]
STEPS = 30


def start(home: Path, trials: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "touchline", "tune", "tests.tuning.hill:climb", "--study", "hill"]
    command += ["--space", "x=-1:1", "--space", "y=-1:1", "--pruner", "none", "--finalists", "0", "--workers", "2"]
    command += ["--trials", str(trials), "--home", str(home), "--set", f"steps={STEPS}", "--set", "seconds=0.05"]
    variables = {**os.environ, "TOUCHLINE_SINKS": "", "TOUCHLINE_CAPTURE": ""}
    return subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL)


def steps_of(settings: Settings, run_id: str) -> list[int]:
    """The steps of the newest attempt."""
    with JournalReader(settings.run_directory(run_id) / "journal.db") as journal:
        rewinds = [(event.seq, event.step or 0) for event in journal.of_kind(["rewind"])]
        return [
            event.step or 0
            for event in journal.values("objective")
            if all(event.seq > seq or (event.step or 0) <= step for seq, step in rewinds)
        ]


def test_kills_leave_no_zombie_no_duplicate_and_one_whole_run_a_configuration(home: Path) -> None:
    settings = Settings(home=home)
    command = start(home, trials=3)
    supervisor = psutil.Process(command.pid)

    def at_work() -> int:
        """Trials that have saved a checkpoint."""
        return len([run_id for run_id in run_ids(settings) if len(steps_of(settings, run_id)) > 6])

    until(lambda: at_work() == 2, 60.0)
    orphan, victim = supervisor.children()
    os.kill(victim.pid, signal.SIGKILL)
    until(lambda: len([child for child in supervisor.children() if child.pid not in (victim.pid, orphan.pid)]), 30.0)
    command.kill()
    command.wait()
    until(lambda: not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE, 60.0)

    assert start(home, trials=3).wait(120) == 0
    study = optuna.load_study(study_name="hill", storage=default_url(home))
    states = Counter(trial.state for trial in study.trials)
    assert (states[TrialState.COMPLETE], states[TrialState.RUNNING]) == (3, 0)
    done = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert len({tuple(trial.params.values()) for trial in done}) == 3
    assert len({trial.user_attrs["run"] for trial in done}) == 3
    assert len(run_ids(settings)) == 4, "three configurations and the study's own"
    for trial in done:
        assert steps_of(settings, trial.user_attrs["run"]) == list(range(1, STEPS + 1))
        assert sorted(trial.intermediate_values) == list(range(1, STEPS + 1))
