"""A hundred kills with signal 9 of a study of short real trainings: its trials and its supervisor, at random.

A supervisor that was killed is started again by the same command. After the last kill the study is let to its end,
and then nothing may be left running, no point evaluated twice, and each configuration have one run whose curve is
whole. Usage: .venv/bin/python benchmarks/tuning_kills.py [--quick]. Exits with 1 when a goal is missed.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import psutil
from harness import PEERS, Part, environment, scratch, table
from optuna.trial import TrialState

from touchline.config import Settings
from touchline.tracking.journal import JournalReader
from touchline.tracking.sync import run_ids
from touchline.tuning import StudyStorage, find_study

WORKERS = 4
STEPS = 50
ENDLESS = 10**6


class Command:
    """``touchline tune`` in a process of its own, its words in a file."""

    def __init__(self, home: Path, trials: int) -> None:
        command = [sys.executable, "-m", "touchline", "tune", "tuned_hill:climb", "--study", "kills"]
        command += ["--space", "x=-1:1", "--space", "y=-1:1", "--pruner", "none", "--finalists", "0"]
        command += ["--trials", str(trials), "--workers", str(WORKERS), "--home", str(home)]
        self.log = home.parent / "command.log"
        self.began = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=PEERS, stdout=log, stderr=log, env=environment(TOUCHLINE_SINKS="", TOUCHLINE_CAPTURE="")
            )

    def seconds_to_work(self) -> float:
        """How long it took until a trial began, or the study was found finished."""
        while b" begins: " not in (told := self.log.read_bytes()) and self.process.poll() is None:
            time.sleep(0.02)
        if b" begins: " not in told and self.process.returncode:
            raise RuntimeError(told.decode()[-2_000:])
        return time.monotonic() - self.began

    def children(self) -> list[psutil.Process]:
        """The processes of trials."""
        try:
            return [one for one in psutil.Process(self.process.pid).children() if one.is_running()]
        except psutil.Error:
            return []


def kill_often(home: Path, kills: int) -> dict[str, Any]:
    """Kill until it was enough, then let the study end, and look at what is left."""
    chance, done, resumed = random.Random(11), Counter[str](), []
    command = Command(home, ENDLESS)
    command.seconds_to_work()
    while done.total() < kills:
        time.sleep(chance.uniform(0.2, 3.0))
        if command.process.poll() is None and chance.random() < 0.75:
            if children := command.children():
                os.kill(chance.choice(children).pid, signal.SIGKILL)
                done["trial"] += 1
            continue
        if command.process.poll() is None:
            command.process.kill()
            done["supervisor"] += 1
        command.process.wait()
        command = Command(home, ENDLESS)
        resumed.append(command.seconds_to_work())
    command.process.kill()
    command.process.wait()
    study = find_study(StudyStorage(f"sqlite:///{home / 'optuna.db'}"), "kills")
    last = Command(home, study.finished() + 8)
    resumed.append(last.seconds_to_work())
    if last.process.wait(600):
        raise RuntimeError(last.log.read_text()[-2_000:])
    return {"kills": dict(done), "resume_seconds": resumed, **look(home)}


def look(home: Path) -> dict[str, Any]:
    """What the study and the runs have come to."""
    study = optuna.load_study(study_name="kills", storage=f"sqlite:///{home / 'optuna.db'}")
    states = Counter(trial.state.name for trial in study.trials)
    done = [trial for trial in study.trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    points = Counter(tuple(sorted(trial.params.items())) for trial in done)
    settings = Settings(home=home)
    runs = [run_id for run_id in run_ids(settings) if run_id[-5] == "-" and run_id[-4:].isdigit()]
    ragged = [trial.number for trial in done if not is_whole(settings, trial.user_attrs["run"])]
    owned = Counter(trial.user_attrs.get("run") for trial in done)
    return {
        "states": dict(states),
        "zombies": states["RUNNING"],
        "duplicate_points": sum(count - 1 for count in points.values()),
        "duplicate_runs": sum(count - 1 for count in owned.values()),
        "runs": len(runs),
        "configurations": len({tuple(sorted(trial.params.items())) for trial in study.trials if trial.params}),
        "ragged_curves": ragged,
    }


def is_whole(settings: Settings, run_id: str) -> bool:
    """Whether the newest attempt of a run has every step, once it is rewound, and ended as finished."""
    with JournalReader(settings.run_directory(run_id) / "journal.db") as journal:
        rewinds = [(event.seq, event.step or 0) for event in journal.of_kind(["rewind"])]
        steps = [
            event.step
            for event in journal.values("objective")
            if all(event.seq > seq or (event.step or 0) <= step for seq, step in rewinds)
        ]
        end = journal.newest("end")
    return steps == list(range(1, STEPS + 1)) and end is not None and end.payload["status"] == "finished"


def main() -> int:
    """Kill, look, judge."""
    part = Part("kills", __doc__, subject="tuning")
    with scratch() as directory:
        home = directory / "home"
        found = part.measure("study", lambda: kill_often(home, part.size(100, 8)))
    slowest = max(found["resume_seconds"])
    row = [sum(found["kills"].values()), found["kills"].get("supervisor", 0), found["states"].get("COMPLETE", 0)]
    row += [found["zombies"], found["duplicate_points"], found["runs"], found["configurations"], slowest]
    head = ["kills", "of the supervisor", "complete", "zombies", "duplicate points", "runs", "configurations"]
    table([*head, "slowest resume, s"], [[*row]])
    clean = not (found["zombies"] or found["duplicate_points"] or found["duplicate_runs"] or found["ragged_curves"])
    return 0 if clean and slowest < 5.0 else 1


if __name__ == "__main__":
    sys.exit(main())
