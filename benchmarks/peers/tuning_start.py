"""One worker of a study that starts with many others: ``tuning_start.py touchline|optuna URL``, then a line to go."""

from __future__ import annotations

import sys
import time

import optuna

from touchline.tuning import Setup, StudyStorage, open_study
from touchline.tuning.space import parse_space

SPACE = ("a=log:1e-5:1e-3", "b=128,256,512,1024", "c=0.001:0.01", "d=0.95:0.999")


def ours(url: str) -> None:
    """Open the study as ``touchline tune`` does, and finish one trial."""
    study, _ = open_study(StudyStorage(url), "together", Setup(parse_space(SPACE)))
    trial = study.ask(10**6)
    assert trial is not None
    study.complete(trial.number, trial.params["d"], {})


def theirs(url: str) -> None:
    """The same as Optuna's manual has it."""
    study = optuna.create_study(study_name="together", storage=url, load_if_exists=True, direction="maximize")
    trial = study.ask()
    trial.suggest_float("a", 1e-5, 1e-3, log=True)
    trial.suggest_categorical("b", [128, 256, 512, 1024])
    trial.suggest_float("c", 0.001, 0.01)
    study.tell(trial, trial.suggest_float("d", 0.95, 0.999))


optuna.logging.set_verbosity(optuna.logging.ERROR)
print("ready", flush=True)
sys.stdin.readline()
began = time.perf_counter()
{"touchline": ours, "optuna": theirs}[sys.argv[1]](sys.argv[2])
print(time.perf_counter() - began)
