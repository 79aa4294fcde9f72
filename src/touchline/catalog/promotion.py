"""Moving the champion: attempts are claimed first, evidence and ledger come next, the alias is last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from touchline.catalog import ledger
from touchline.catalog.ledger import Entry
from touchline.catalog.milestones import promoting
from touchline.catalog.store import telling
from touchline.catalog.version import ModelVersion, tag_key, tag_value
from touchline.errors import TouchlineError, UsageError

if TYPE_CHECKING:
    from touchline.catalog.models import Catalog

MOST_TAGS = 40
"""Tags that a version may have; Unity Catalog takes 50."""


class ChampionChanged(TouchlineError):
    """The champion is not the one that the candidate was judged against, or that a person saw."""


@dataclass(frozen=True)
class Attempt:
    """One attempt of a candidate at the champion's place, written into the ledger before anything is played."""

    number: int
    """Counts the attempts in this reign, from 1."""
    reign: str
    """sha256 of the champion's payload; "none" before the first champion."""
    champion: ModelVersion | None
    """Whom the candidate has to beat; None before the first champion."""
    candidate: ModelVersion
    run_id: str
    """Touchline's id of the Run that claimed it."""
    job: str = "gate3"


@dataclass(frozen=True)
class Promotion:
    """What a promotion or a rollback did."""

    champion: ModelVersion
    """The new champion, as read back."""
    previous: ModelVersion | None
    """The one before; None when there was none."""
    entry: Entry
    """Its entry in the ledger."""
    repeated: bool = False
    """Whether an earlier call had done it, and this one changed nothing."""


def claim_attempt(catalog: Catalog, candidate: ModelVersion, *, run_id: str, job: str = "gate3") -> Attempt:
    """Claim the next attempt in the present champion's reign, so that one that is broken off counts too.

    The same Run gets its own attempt back, unless the champion has changed since. Raises TouchlineError when the job
    may not promote, when the candidate is of another model, carries no digest, is the champion already, or when its
    files are not those that were registered, which costs no attempt.
    """
    model, alias = promoting(job, catalog.milestones)
    name = catalog.full_name(model)
    _check(candidate, name)
    champion = catalog.resolve(name, alias)
    if (own := _claimed(ledger.read(catalog, name), candidate, champion, run_id)) is not None:
        return Attempt(own, ledger.reign_of(champion), champion, candidate, run_id, job)
    catalog.check_files(candidate)
    intention = _attempt(candidate, champion, run_id)
    with ledger.writing(catalog, name, intention) as ticket:
        champion = catalog.resolve(name, alias)
        if champion is not None and champion.version == candidate.version:
            raise TouchlineError(f"{candidate} is the champion already, so there is nothing to judge.")
        reign = ledger.reign_of(champion)
        number = 1 + sum(e.kind == "attempt" and e.reign == reign for e in ledger.read(catalog, name))
        ticket.must_hold()
        ledger.write(ticket, intention, replace(_attempt(candidate, champion, run_id), attempt=number))
    return Attempt(number, reign, champion, candidate, run_id, job)


def attempt_of(catalog: Catalog, run: str, job: str = "gate3") -> Attempt:
    """Return the newest attempt that a Run claimed: its id, a unique beginning of it, or ``last`` for the newest Run.

    Raises UsageError when it has claimed none, or when several ids begin so.
    """
    model, _ = promoting(job, catalog.milestones)
    attempts = [entry for entry in ledger.read(catalog, model) if entry.kind == "attempt"]
    claimed = attempts[-1:] if run == "last" else [one for one in attempts if one.run_id == run]
    claimed = claimed or [one for one in attempts if run and one.run_id.startswith(run)]
    told = f"the attempts and their runs are told by: touchline champion {model}"
    if not claimed:
        raise UsageError(
            f"The run {run!r} has claimed no attempt at {catalog.full_name(model)}. Name a gate's run; {told}"
        )
    if len(ids := sorted({one.run_id for one in claimed})) > 1:
        raise UsageError(f"The ids of {len(ids)} runs begin with {run!r}. Name one of {', '.join(ids)}; {told}")
    entry = claimed[-1]
    champion = None if entry.previous is None else catalog.get(model, entry.previous)
    return Attempt(entry.attempt or 0, entry.reign, champion, catalog.get(model, entry.version), entry.run_id, job)


def promote(catalog: Catalog, attempt: Attempt, evidence: Mapping[str, str]) -> Promotion:
    """Point the job's alias (Champion) at the attempt's candidate.

    ``evidence`` becomes tags ``gate3_*`` of the candidate and must hold ``passed`` = ``true``; its ``reason``,
    ``provisional``, ``evidence`` (where the artifact lies) and ``evidence_digest`` go into the ledger. The order is:
    tags, ledger, re-read the champion, alias, read back; so a process that dies in between leaves the old champion. A
    repeated call after it has succeeded returns what was done.

    Raises:
        ChampionChanged: the champion is not the attempt's any more; the ledger says so.
        LeaseLost: this process was held up for so long that others may have taken over; the alias was not moved.
        TouchlineError: the evidence does not say passed, or the candidate cannot become champion, as one whose files
            are not those that were registered.
    """
    model, alias = promoting(attempt.job, catalog.milestones)
    name, candidate = catalog.full_name(model), attempt.candidate
    _check(candidate, name)
    if evidence.get("passed") != "true":
        raise TouchlineError(
            f"The evidence for {candidate} does not say that the gate was passed (passed = "
            f"{evidence.get('passed')!r}). Run the gate, and promote with the evidence of its verdict."
        )
    if (done := _done(catalog, name, alias, attempt)) is not None:
        return done
    catalog.check_files(candidate)
    intention = _decision("promoted", attempt, evidence)
    with ledger.writing(catalog, name, intention) as ticket:
        _tag_candidate(catalog, attempt, evidence)
        present = catalog.resolve(name, alias)
        if changed := _changed(attempt, present, alias):
            refused = replace(intention, kind="refused", reason=str(changed))
            ledger.write(ticket, intention, refused)
            raise changed
        ticket.must_hold()
        entry = ledger.write(ticket, intention, intention)
        present = catalog.resolve(name, alias)
        if changed := _changed(attempt, present, alias):  # by hand: nobody else has the lock
            raise changed
        ticket.must_hold()
        catalog.set_alias(name, alias, candidate.version)
    return Promotion(catalog.get(name, candidate.version), present, entry)


def refuse(catalog: Catalog, attempt: Attempt, evidence: Mapping[str, str]) -> Entry:
    """Write into the ledger that the gate was not passed, and the evidence on the candidate as in ``promote``."""
    model, _ = promoting(attempt.job, catalog.milestones)
    name = catalog.full_name(model)
    _check(attempt.candidate, name)
    intention = _decision("refused", attempt, evidence)
    with ledger.writing(catalog, name, intention) as ticket:
        _tag_candidate(catalog, attempt, evidence)
        ticket.must_hold()
        return ledger.write(ticket, intention, intention)


def rollback(
    catalog: Catalog,
    model: str,
    *,
    reason: str,
    run_id: str,
    to: int | None = None,
    seen: ModelVersion | None = None,
    job: str = "rollback",
) -> Promotion:
    """Point the alias (Champion) back at the champion before, or at ``to``, which must once have been champion.

    Done twice, it goes back twice. ``seen`` is the champion whom the caller means to depose.

    Raises:
        UsageError: there is no reason, no champion, none before it, or ``to`` never was champion.
        ChampionChanged: the champion is not ``seen`` any more.
        LeaseLost: as in ``promote``.
        TouchlineError: the files of the one before are not those that were registered.
    """
    if not reason.strip():
        raise UsageError('A rollback wants a reason, for whoever reads the ledger: --reason "falls in the rain".')
    likely = rollback_target(catalog, model, to, job)
    catalog.check_files(likely)
    short, alias = promoting(job, catalog.milestones)
    name = catalog.full_name(short)

    def intended(champion: ModelVersion | None) -> Entry:
        if champion is None:
            raise UsageError(f"{name} has no champion, so there is nothing to roll back.")
        entries = ledger.judged(ledger.read(catalog, name), champion)
        target = _target(entries, name, champion, to)
        crowned = [entry for entry in entries if entry.kind == "promoted" and entry.version == target]
        provisional = bool(crowned) and crowned[-1].provisional
        reign = ledger.reign_of(champion)
        return Entry("rolled back", target, champion.version, reign, run_id, provisional=provisional, reason=reason)

    intention = intended(catalog.resolve(name, alias))
    with ledger.writing(catalog, name, intention) as ticket:
        present = catalog.resolve(name, alias)
        if seen is not None and (present is None or present.version != seen.version):
            raise ChampionChanged(
                f"{seen} was to be rolled back, but @{alias} is {_shown(present)} now. Look at it with: touchline "
                f"champion {short}"
            )
        target = intended(present)
        if target.version != likely.version:
            catalog.check_files(catalog.get(name, target.version))
        ticket.must_hold()
        entry = ledger.write(ticket, intention, target)
        ticket.must_hold()
        catalog.set_alias(name, alias, target.version)
    return Promotion(catalog.get(name, target.version), present, entry)


def rollback_target(catalog: Catalog, model: str, to: int | None = None, job: str = "rollback") -> ModelVersion:
    """Whom a rollback would make champion now; raises as ``rollback`` does, and writes nothing."""
    short, alias = promoting(job, catalog.milestones)
    name = catalog.full_name(short)
    if catalog.full_name(model) != name:
        raise UsageError(f"The job {job!r} moves the champion of {name} only, not of {catalog.full_name(model)}.")
    champion = catalog.resolve(name, alias)
    if champion is None:
        raise UsageError(f"{name} has no champion, so there is nothing to roll back.")
    return catalog.get(name, _target(ledger.judged(ledger.read(catalog, name), champion), name, champion, to))


def _target(entries: Sequence[Entry], name: str, champion: ModelVersion, to: int | None) -> int:
    """The version to go back to."""
    reigned = {e.version for e in entries if e.kind in ledger.MOVES and e.effective}
    reigned |= {e.previous for e in entries if e.previous is not None}
    others = ", ".join(map(str, sorted(reigned - {champion.version})))
    if to is not None:
        if to == champion.version:
            raise UsageError(f"{champion} is the champion already.")
        if to not in reigned:
            raise UsageError(f"{name} version {to} never was champion. Others that were: {others or 'none'}.")
        return to
    line: list[int] = []
    for entry in entries:
        if entry.kind not in ledger.MOVES or not entry.effective:
            continue
        if entry.kind == "rolled back" and entry.version in line:
            del line[line.index(entry.version) + 1 :]
        else:
            line.append(entry.version)
    before = [version for version in line if version != champion.version]
    if not before:
        there = f"Others that were, later: {others}; name one with --to VERSION." if others else "It is the only one."
        raise UsageError(f"There was no champion before {champion}. {there}")
    return before[-1]


def _attempt(candidate: ModelVersion, champion: ModelVersion | None, run_id: str) -> Entry:
    return Entry("attempt", candidate.version, _number(champion), ledger.reign_of(champion), run_id)


def _decision(kind: ledger.Kind, attempt: Attempt, evidence: Mapping[str, str]) -> Entry:
    return Entry(
        kind,
        attempt.candidate.version,
        _number(attempt.champion),
        attempt.reign,
        attempt.run_id,
        attempt.number,
        verdict="passed" if evidence.get("passed") == "true" else "failed",
        provisional=evidence.get("provisional") == "true",
        evidence=evidence.get("evidence", ""),
        evidence_digest=evidence.get("evidence_digest", ""),
        reason=evidence.get("reason", ""),
    )


def _claimed(
    entries: Sequence[Entry], candidate: ModelVersion, champion: ModelVersion | None, run_id: str
) -> int | None:
    """Number of the attempt that this Run has claimed already against the present champion."""
    wanted = ("attempt", run_id, candidate.version, ledger.reign_of(champion))
    own = [e.attempt for e in entries if (e.kind, e.run_id, e.version, e.reign) == wanted]
    return own[-1] if own else None


def _done(catalog: Catalog, name: str, alias: str, attempt: Attempt) -> Promotion | None:
    """What an earlier call for this attempt did, when it succeeded and the candidate is champion still."""
    present = catalog.resolve(name, alias)
    if present is None or present.version != attempt.candidate.version:
        return None
    wanted = ("promoted", attempt.run_id, attempt.number, attempt.candidate.version)
    entries = [e for e in ledger.read(catalog, name) if (e.kind, e.run_id, e.attempt, e.version) == wanted]
    return Promotion(present, attempt.champion, entries[-1], repeated=True) if entries else None


def _tag_candidate(catalog: Catalog, attempt: Attempt, evidence: Mapping[str, str]) -> None:
    previous = "none" if attempt.champion is None else str(attempt.champion.version)
    told = {**evidence, "previous_champion": previous, "attempt": str(attempt.number)}
    tags = {tag_key(f"{attempt.job}.{key}"): tag_value(value) for key, value in told.items()}
    candidate = attempt.candidate
    if (count := len({*candidate.tags, *tags})) > MOST_TAGS:
        raise TouchlineError(
            f"{candidate} would have {count} tags, and Unity Catalog has room for {MOST_TAGS} of ours. Give less "
            "evidence as tags; the artifact holds all of it."
        )
    with telling(catalog.settings, f"tag {candidate}"):
        for key, value in tags.items():
            if value and candidate.tags.get(key) != value:
                catalog.client.set_model_version_tag(candidate.name, str(candidate.version), key, value)


def _check(candidate: ModelVersion, name: str) -> None:
    if candidate.name != name:
        raise TouchlineError(
            f"{candidate} cannot become champion of {name}. Register it as a version of {name} first."
        )
    if candidate.digest is None:
        raise TouchlineError(
            f"{candidate} carries no digest, so nobody could tell later whether it is intact. "
            "Register it through its job, which adds one."
        )


def _changed(attempt: Attempt, present: ModelVersion | None, alias: str) -> ChampionChanged | None:
    if _number(present) == _number(attempt.champion):
        return None
    return ChampionChanged(
        f"{attempt.candidate} was judged against {_shown(attempt.champion)}, but @{alias} is {_shown(present)} now. "
        "Evaluate it again against the present champion."
    )


def _number(version: ModelVersion | None) -> int | None:
    return None if version is None else version.version


def _shown(version: ModelVersion | None) -> str:
    return "no champion" if version is None else f"version {version.version}"
