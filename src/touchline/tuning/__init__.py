"""Studies that waste no trial and are not lost: on Optuna, each trial a process and a run of its own.

The public names are loaded on first use, so that whoever only asks for a search space does not wait for Optuna.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from touchline.tuning.recipe import read_winner
    from touchline.tuning.reporting import TrialPruned, TrialReporter, report_to
    from touchline.tuning.storage import StudyStorage
    from touchline.tuning.study import Setup, Study, find_study, open_study

_HOME_OF = {
    "Setup": "study",
    "Study": "study",
    "StudyStorage": "storage",
    "TrialPruned": "reporting",
    "TrialReporter": "reporting",
    "find_study": "study",
    "open_study": "study",
    "read_winner": "recipe",
    "report_to": "reporting",
}
__all__ = [
    "Setup",
    "Study",
    "StudyStorage",
    "TrialPruned",
    "TrialReporter",
    "find_study",
    "open_study",
    "read_winner",
    "report_to",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
