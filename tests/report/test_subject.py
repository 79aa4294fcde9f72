"""What a word means: a run, a pipeline, a group, the last one."""

from __future__ import annotations

from pathlib import Path

import pytest

from touchline.config import Settings
from touchline.errors import UsageError
from touchline.report.subject import find_subject

from .conftest import PIPELINE


@pytest.mark.parametrize(
    ("word", "kind", "runs"),
    [
        ("seed-1", "run", ("seed-1",)),
        (PIPELINE, "pipeline", ("p-setup", "p-pretrain", "p-gate3")),
        ("2026", "pipeline", ("p-setup", "p-pretrain", "p-gate3")),
        ("seeds", "group", ("seed-0", "seed-1", "seed-2")),
        ("p-pre", "run", ("p-pretrain",)),
        ("last", "run", ("seed-2",)),
    ],
)
def test_a_word_means_a_run_a_pipeline_or_a_group(home: Path, word: str, kind: str, runs: tuple[str, ...]) -> None:
    subject = find_subject(Settings(home=home), word)
    assert (subject.kind, subject.runs) == (kind, runs)


@pytest.mark.parametrize(
    ("word", "told"),
    [("seed", "not unique: it may be seed-0"), ("p-pretrian", "Did you mean 'p-pretrain'"), ("", "not unique")],
)
def test_a_word_that_means_nothing_or_two_things_is_refused(home: Path, word: str, told: str) -> None:
    with pytest.raises(UsageError, match=told if word else "There is no run"):
        find_subject(Settings(home=home), word)
