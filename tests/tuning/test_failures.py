"""Kinds of failures, and when many are one cause."""

from __future__ import annotations

import signal

import pytest

from touchline.tuning import Setup, Study, StudyStorage, open_study
from touchline.tuning.failures import Failure, in_a_row, of_exception, of_exit
from touchline.tuning.space import parse_space


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FloatingPointError("nan"), "not finite"),
        (MemoryError(), "out of memory"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 12 bytes."), "out of memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "out of memory"),
        (ValueError("the ball is flat"), "ValueError"),
        (raised(RuntimeError("The job failed."), FloatingPointError("nan")), "not finite"),
    ],
)
def test_an_exception_has_a_kind(error: Exception, kind: str) -> None:
    assert of_exception(error).kind == kind


def test_a_process_that_ends_without_a_word_has_a_kind_and_only_a_kill_is_an_accident() -> None:
    assert (of_exit(7).kind, of_exit(0).kind) == ("exit code 7", "exit code 0")
    assert (of_exit(-signal.SIGSEGV).kind, of_exit(-signal.SIGKILL).kind) == ("crashed", "killed")
    assert [of_exit(code).is_accident for code in (7, -signal.SIGSEGV, -signal.SIGKILL, -signal.SIGTERM)] == [
        False, False, True, True,
    ]  # fmt: skip


def test_failures_count_in_a_row_while_they_are_of_one_kind(storage: StudyStorage) -> None:
    study, _ = open_study(storage, "s", Setup(parse_space(["x=0:1"])))

    def then(kind: str) -> int:
        trial = study.ask(1_000)
        assert trial is not None
        if kind == "complete":
            study.complete(trial.number, 1.0, {})
        else:
            study.fail(trial.number, Failure(kind, "bad"))
        return len(in_a_row(study.trials()))

    assert [then(kind) for kind in ("not finite", "not finite", "complete", "ValueError", "not finite")] == [
        1, 2, 0, 1, 1,
    ]  # fmt: skip
    assert _killed_and_retried(study) == 1, "one that goes on is no failure, and no success either"


def _killed_and_retried(study: Study) -> int:
    trial = study.ask(1_000)
    assert trial is not None
    study.fail(trial.number, Failure("killed", "bad"))
    return len(in_a_row(study.trials()))
