"""What a word means: a run, a pipeline, a group, the last one."""

from __future__ import annotations

from pathlib import Path

import pytest

from touchline.config import Settings
from touchline.errors import TouchlineError, UsageError
from touchline.report import write_report
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


def test_a_run_whose_journal_is_damaged_is_told_as_such(tmp_path: Path) -> None:
    (damaged := tmp_path / "runs" / "broken").mkdir(parents=True)
    (damaged / "journal.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 8_000)
    settings = Settings(home=tmp_path)
    for word in ("broken", "bro", "last"):
        subject = find_subject(settings, word)
        assert (subject.kind, subject.runs) == ("run", ("broken",))
    with pytest.raises(TouchlineError, match=r"runs/broken/journal\.db cannot be read"):
        write_report(subject, settings, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("word", "told"),
    [("seed", "not unique: it may be seed-0"), ("p-pretrian", "Did you mean 'p-pretrain'"), ("", "not unique")],
)
def test_a_word_that_means_nothing_or_two_things_is_refused(home: Path, word: str, told: str) -> None:
    with pytest.raises(UsageError, match=told if word else "There is no run"):
        find_subject(Settings(home=home), word)
