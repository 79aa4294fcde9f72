"""The table of checks, and the gates that are made of it. A check more is one function and one line here."""

from __future__ import annotations

from dataclasses import replace

from touchline.gates import agreement, promotion
from touchline.gates.agreement import Agreement
from touchline.gates.contest import Contest
from touchline.gates.verdict import Check, Line, Verdict, apply, passed

TABLE: tuple[Line, ...] = (
    Line("gate1", "observations agree", agreement.agree),
    Line("gate1", "enough observations", agreement.enough_official),
    Line("gate2", "actors agree", agreement.agree),
    Line("gate2", "enough observations", agreement.enough_recorded_and_random),
    Line("gate3", "better than the champion", promotion.better_than_champion),
    Line("gate3", "no task worse", promotion.no_task_worse),
    Line("gate3", "better on some task", promotion.better_on_some_task),
    Line("gate3", "no task inferior", promotion.no_task_inferior),
    Line("gate3", "survival", promotion.survival, decides=False),
    Line("gate3", "dense mean", promotion.dense_mean, decides=False),
    Line("gate3", "dense spread", promotion.dense_spread, decides=False),
    Line("gate3", "falls", promotion.falls, decides=False),
    Line("gate3", "interquartile mean", promotion.interquartile_means, decides=False),
    Line("gate3", "probability of improvement", promotion.improvement, decides=False),
    Line("gate3", "advantages", promotion.advantages, decides=False),
    Line("gate3", "unperturbed episodes", promotion.nominal, decides=False),
)


def lines_of(gate: str) -> tuple[Line, ...]:
    """Return the lines of one gate, in the order of the table."""
    return tuple(line for line in TABLE if line.gate == gate)


def gate1(observations: Agreement) -> Verdict:
    """Judge whether our observations are the recorded official ones."""
    return _verdict("gate1", apply(lines_of("gate1"), observations))


def gate2(actors: Agreement) -> Verdict:
    """Judge whether a converted actor acts as the original does."""
    return _verdict("gate2", apply(lines_of("gate2"), actors))


def gate3(contest: Contest) -> Verdict:
    """Judge whether a candidate may become champion; docs/gates.md says by which formulas and with which errors."""
    notes = ""
    if contest.champion is None:
        notes = f" There was no champion yet, so {contest.baseline.name} was the one to beat."
    if contest.provisional:
        notes += (
            f" The verdict is provisional: {min(contest.scenarios.values())} scenarios a task were played, and a "
            f"final one takes {contest.full_scenarios}."
        )
    return _verdict("gate3", apply(lines_of("gate3"), contest), contest.provisional, notes)


def decision(contest: Contest) -> bool:
    """Whether gate 3 is passed, without a word about it: for simulations of many gates."""
    decided = False
    for line in lines_of("gate3"):
        found = line.find(contest) if line.decides else None
        if found is not None and not found.passed:
            return False
        decided = decided or found is not None
    return decided


def _verdict(gate: str, checks: tuple[Check, ...], provisional: bool = False, notes: str = "") -> Verdict:
    good = passed(checks)
    said = "; ".join(check.sentence for check in checks if check.decides and (good or not check.passed))
    verdict = Verdict(gate, good, provisional, "", checks)
    return replace(verdict, reason=f"{verdict.word.capitalize()}: {said}.{notes}")
