"""Gates: pure functions from evaluations to a verdict with its evidence.

``statistics`` has the intervals, ``checks`` the conditions and verdicts, ``evidence`` what is written down.
"""

from touchline.gates.checks import Check, Evaluation, Verdict, gate3
from touchline.gates.evidence import evidence, plain, tags
from touchline.gates.statistics import Interval, differences, exact_share, paired_bootstrap

__all__ = [
    "Check",
    "Evaluation",
    "Interval",
    "Verdict",
    "differences",
    "evidence",
    "exact_share",
    "gate3",
    "paired_bootstrap",
    "plain",
    "tags",
]
