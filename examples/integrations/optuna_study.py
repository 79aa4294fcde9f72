"""A study of one's own whose trials are recorded in one run.

    python examples/integrations/optuna_study.py --trials 100

What was added to Optuna's first example ends in ``# touchline``.
"""

import argparse

import optuna

import touchline  # touchline
from touchline.integrations.optuna import TouchlineCallback  # touchline

parser = argparse.ArgumentParser()
parser.add_argument("--trials", type=int, default=100, help="of the study")
trials = parser.parse_args().trials


def objective(trial: optuna.Trial) -> float:
    """A parabola."""
    x = trial.suggest_float("x", -10, 10)
    return (x - 2) ** 2


study = optuna.create_study()
with touchline.start_run("optuna-study") as run:  # touchline
    study.optimize(objective, n_trials=trials, callbacks=[TouchlineCallback(run)])  # touchline
