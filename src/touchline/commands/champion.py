"""``touchline champion``, ``rollback`` and ``promote``: the present champion, its history, and moving it."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from touchline.commands.lineage import registry_settings
from touchline.commands.options import Home, Json, parse
from touchline.config import Settings
from touchline.errors import TouchlineError, UsageError
from touchline.masking import without_credentials

if TYPE_CHECKING:
    from touchline.catalog import Catalog, ModelVersion, Promotion
    from touchline.catalog.ledger import Entry
    from touchline.tracking.run import Run

GATE = "gate3"
Name = Annotated[
    tyro.conf.Positional[str],
    tyro.conf.arg(metavar="NAME", help="Registered model, such as ddpg_finetuned.", help_behavior_hint=""),
]


@dataclass(frozen=True)
class ChampionOptions:
    """Show the present champion and how it came to be: who decided what, when, on which evidence."""

    name: Annotated[
        tyro.conf.Positional[str],
        tyro.conf.arg(metavar="[NAME]", help="Registered model.", help_behavior_hint="(default: the gate's)"),
    ] = ""
    json: Json = False
    home: Home = None


@dataclass(frozen=True)
class RollbackOptions:
    """Make the champion before the present one champion again. Done twice, it goes back twice.

    Example: touchline rollback ddpg_finetuned --reason "falls on wet grass"
    """

    name: Name
    reason: str
    """Why, for whoever reads the ledger."""
    to: Annotated[int | None, tyro.conf.arg(metavar="VERSION", help="Another version that once was champion.")] = None
    json: Json = False
    home: Home = None


@dataclass(frozen=True)
class PromoteOptions:
    """Promote the candidate of a gate's run whose verdict was passed, where the run itself did not come to it.

    Example: touchline promote 20261127-031355-gate3-3f2a
    """

    run: Annotated[
        tyro.conf.Positional[str],
        tyro.conf.arg(
            metavar="RUN",
            help="The gate's run, of any machine: its id, a unique beginning of it, or last.",
            help_behavior_hint="",
        ),
    ]
    json: Json = False
    home: Home = None


def champion(arguments: list[str]) -> int:
    """``touchline champion [NAME]``."""
    options = parse(ChampionOptions, arguments, "champion")
    catalog = _of_model(_catalog(options.home), options.name)
    from touchline.catalog.ledger import history
    from touchline.catalog.milestones import promoting

    model, alias = promoting(GATE, catalog.milestones)
    present, entries = catalog.resolve(model, alias), history(catalog, model, alias)
    if options.json:
        told = _version(present) if present is not None else None
        print(json.dumps({"model": catalog.full_name(model), "champion": told, "history": [*map(asdict, entries)]}))
        return 0
    _show(catalog.full_name(model), present, entries)
    return 0


def rollback(arguments: list[str]) -> int:
    """``touchline rollback NAME --reason TEXT``."""
    options = parse(RollbackOptions, arguments, "rollback")
    catalog = _of_model(_catalog(options.home), options.name)
    from touchline.catalog import rollback as roll_back
    from touchline.catalog.milestones import promoting
    from touchline.catalog.promotion import rollback_target

    _, alias = promoting("rollback", catalog.milestones)
    rollback_target(catalog, options.name, options.to)  # before there is a Run: a mistyped name is no failed decision
    seen = catalog.resolve(options.name, alias)
    with _deciding(catalog.settings, "rollback") as run:
        done = roll_back(catalog, options.name, reason=options.reason, to=options.to, seen=seen, run_id=run.id)
        _tell(run, catalog, done)
    _print(done, f"rolled back from version {done.entry.previous}", as_json=options.json)
    return 0


def promote(arguments: list[str]) -> int:
    """``touchline promote RUN``."""
    options = parse(PromoteOptions, arguments, "promote")
    catalog = _catalog(options.home)
    from touchline.catalog import attempt_of
    from touchline.catalog import promote as promote_attempt

    attempt = attempt_of(catalog, options.run, GATE)
    evidence = _evidence(catalog, attempt.run_id)
    with _deciding(catalog.settings, "promote") as run:
        run.set_tags({"promote.run": attempt.run_id})
        done = promote_attempt(catalog, attempt, evidence)
        if not done.repeated:
            _tell(run, catalog, done)
    _print(done, f"promoted on the evidence of run {attempt.run_id}", as_json=options.json)
    return 0


def _catalog(home: Path | None) -> Catalog:
    """The catalog; raises UsageError where there is none."""
    settings = registry_settings(home)
    from touchline.catalog import Catalog

    return Catalog.of(settings)


def _of_model(catalog: Catalog, name: str) -> Catalog:
    """The catalog in whose table the champion is one of ``name``, which may be a model of somebody's own project.

    Raises UsageError where no such model is registered.
    """
    from touchline.catalog import Catalog
    from touchline.catalog.milestones import promoting

    own, _ = promoting(GATE, catalog.milestones)
    if not name or catalog.full_name(name) == catalog.full_name(own):
        return catalog
    if not catalog.versions(name):
        store = without_credentials(catalog.settings.tracking_uri)
        raise UsageError(
            f"No model {catalog.full_name(name)} is registered at {store}. The job that makes one registers it; the "
            f"pipeline's is {own}."
        )
    rows = {job: replace(row, model=name) if row.may_promote else row for job, row in catalog.milestones.items()}
    return Catalog.of(catalog.settings, milestones=rows)


@contextmanager
def _deciding(settings: Settings, job: str) -> Iterator[Run]:
    """A short Run of ``job``, which its couriers deliver after the command has ended."""
    from touchline.tracking.start import start_run

    run = start_run(job, settings=settings, tags={"touchline.job": job})
    try:
        yield run
    except BaseException as error:
        run.finish("failed", timeout=0.0, reason=str(error))
        raise
    run.finish(timeout=0.0)


def _tell(run: Run, catalog: Catalog, done: Promotion) -> None:
    from touchline.catalog import tell_decision, tell_milestone
    from touchline.jobs.cards import update_card

    tell_decision(run, catalog, done.entry, done.champion)
    update_card(catalog, done.champion)
    try:
        tell_milestone(run, catalog, done.champion)
    except TouchlineError as error:  # the alias has moved: people must hear of it
        run.alert("The champion's files are not what was registered", str(error), level="error")


def _evidence(catalog: Catalog, run_id: str) -> Mapping[str, str]:
    """The verdict's tags of a gate's run, judged again from its evidence.

    Raises TouchlineError unless the evidence is there, is the file that the tags name, and supports its verdict.
    """
    from touchline.catalog.store import telling
    from touchline.catalog.version import RUN_TAG
    from touchline.tracking.launch import destination
    from touchline.tracking.mlflow_store import find_experiment

    settings, client = catalog.settings, catalog.client
    with telling(settings, f"read the evidence of run {run_id}"):
        experiment = find_experiment(client, settings)
        wanted = f"tags.`{RUN_TAG}` = '{run_id}'"
        found = client.search_runs([experiment.experiment_id], wanted, max_results=1) if experiment else []
        if not found:
            raise UsageError(
                f"MLflow at {destination('mlflow', settings)} has no run {run_id}. "
                f"Send it with: touchline sync {run_id}"
            )
        tags = found[0].data.tags
        evidence = {key.removeprefix(f"{GATE}."): tags[key] for key in tags if key.startswith(f"{GATE}.")}
        with tempfile.TemporaryDirectory(prefix="touchline-") as place:
            if "evidence_digest" not in evidence:
                raise UsageError(f"The run {run_id} has come to no verdict. Run the gate: touchline run {GATE}")
            file = Path(client.download_artifacts(found[0].info.run_id, "evidence.json", place))
            content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != evidence["evidence_digest"]:
        raise TouchlineError(
            f"The evidence of run {run_id} has the sha256 digest {digest}, and its tags say "
            f"{evidence['evidence_digest']}. Do not promote on it: run the gate again."
        )
    from touchline import gates

    # What the tags say is what the scores say: anyone can write a tag.
    verdict = gates.confirm(json.loads(content))
    evidence |= {"passed": str(verdict.passed).lower(), "provisional": str(verdict.provisional).lower()}
    return {**evidence, "evidence": f"runs:/{found[0].info.run_id}/evidence.json"}


def _version(version: ModelVersion) -> dict[str, Any]:
    return {
        "version": version.version,
        "digest": version.digest,
        "aliases": version.aliases,
        "tags": dict(version.tags),
    }


def _print(done: Promotion, how: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"champion": _version(done.champion), "entry": asdict(done.entry)}))
    else:
        already = " already" if done.repeated else ""
        provisional = ", provisional" if done.entry.provisional else ""
        which = f"{done.champion} is champion{already}{provisional}"
        print(f"{which}: {how}. The ledger has it as entry {done.entry.number}.")


def _show(name: str, present: ModelVersion | None, entries: tuple[Entry, ...]) -> None:
    from rich.console import Console

    from touchline.catalog.ledger import MOVES, reign_of

    console = Console(highlight=False, soft_wrap=True)
    reign = reign_of(present)
    attempts = sum(entry.kind == "attempt" and entry.reign == reign for entry in entries)
    plural = "attempt" if attempts == 1 else "attempts"
    if present is None:
        console.print(f"{name} has no champion yet, after {attempts} {plural}.", markup=False)
    else:
        since = next((e for e in reversed(entries) if e.kind in MOVES and e.effective), None)
        provisional = ", provisional" if since is not None and since.provisional else ""
        console.print(f"{present} is champion{provisional}; {attempts} {plural} to replace it so far.", markup=False)
        if since is not None and since.version == present.version:
            console.print(f"Since {since.at} by {since.by}: {since.reason or since.kind}", markup=False)
        else:
            console.print("The ledger does not know how: somebody has moved the alias by hand.", markup=False)
        console.print(f"sha256 {present.digest}", markup=False)
    for entry in entries:
        console.print(f"\n{entry.number:>5}  {_sentence(entry)}", markup=False)
        if entry.reason:
            console.print(f"       {entry.reason}", markup=False)


def _sentence(entry: Entry) -> str:
    before = "the first" if entry.previous is None else f"after version {entry.previous}"
    against = "nobody" if entry.previous is None else f"version {entry.previous}"
    what = {
        "attempt": f"version {entry.version} against {against}",
        "promoted": f"version {entry.version}, {before}",
        "refused": f"version {entry.version} against {against}",
        "rolled back": f"to version {entry.version} from version {entry.previous}",
    }[entry.kind]
    more = [
        f"run {entry.run_id}" if entry.kind == "attempt" else f"attempt {entry.attempt}" if entry.attempt else "",
        entry.verdict,
        "provisional" if entry.provisional else "",
        "" if entry.effective else "without effect",
    ]
    number = f" {entry.attempt}" if entry.kind == "attempt" else ""
    told = ", ".join(filter(None, [what, *more]))
    return f"{entry.at[:16].replace('T', ' ')}  {entry.kind}{number}: {told}  ({entry.by})"
