"""Gates: pure functions from tables of evaluations to a verdict with its evidence.

``table`` has the checks of every gate, ``contest`` and ``agreement`` what they judge, ``promotion`` the checks of
gate 3, ``statistics``, ``bounds`` and ``aggregates`` the figures, ``evidence`` what is written down and judged again.
"""

from touchline.gates.agreement import Agreement
from touchline.gates.attempts import error_of_attempt, scenario_seeds
from touchline.gates.bounds import mean_bounds
from touchline.gates.contest import FULL_SCENARIOS, Contest, Evaluation
from touchline.gates.evidence import confirm, evidence, plain, rejudge, tags
from touchline.gates.statistics import Interval, differences, exact_share, paired_bootstrap
from touchline.gates.table import gate1, gate2, gate3
from touchline.gates.verdict import Check, Verdict

__all__ = [
    "FULL_SCENARIOS",
    "Agreement",
    "Check",
    "Contest",
    "Evaluation",
    "Interval",
    "Verdict",
    "confirm",
    "differences",
    "error_of_attempt",
    "evidence",
    "exact_share",
    "gate1",
    "gate2",
    "gate3",
    "mean_bounds",
    "paired_bootstrap",
    "plain",
    "rejudge",
    "scenario_seeds",
    "tags",
]
