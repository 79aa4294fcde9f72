"""What docs/tuning.md shows works as it is shown."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from optuna.trial import TrialState

from touchline.jobs.tunable import find_tunable
from touchline.tuning.space import check_space, parse_space

DOCS = Path(__file__).parents[2] / "docs" / "tuning.md"


def test_the_examples_run_from_top_to_bottom(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TOUCHLINE_HOME", str(home))
    monkeypatch.setenv("TOUCHLINE_SINKS", "")
    example = "\n".join(re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL))
    (tmp_path / "tuning_example.py").write_text(example)
    trials = importlib.import_module("tuning_example").study.trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 3
    assert sorted(trials[0].intermediate_values) == list(range(10, 101, 10))

    job = find_tunable("tuning_example:train")
    check_space(parse_space(["lr=log:1e-5:1e-2"]), job.config_class()())
