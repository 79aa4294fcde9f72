"""Where a model comes from: versions, Runs, checkpoints and studies, back to the first, as the Runs' tags tell it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from touchline.catalog.store import is_absent, telling
from touchline.catalog.version import DIGEST_TAG, JOB_TAG, RUN_TAG, ModelVersion
from touchline.errors import UsageError
from touchline.tracking.tags import STUDY_TAG, TRIAL_TAG

if TYPE_CHECKING:
    from touchline.catalog.models import Catalog

INPUT_TAG = "touchline.input."
"""Run tags with this prefix name the models that the Run read, as ``run.log_input`` writes them."""
INPUT_DIGEST_TAG = "touchline.input_digest."
"""The sha256 digest of the model that was read."""
INPUT_RUN_TAG = "touchline.input_run."
"""The MLflow run that had made it."""
CODE_TAG = "code."
"""What ran: ``touchline`` (version), ``commit`` and ``changes`` (digest of what git has not, or ``none``)."""
RESUMED_TAG = "touchline.resumed."
"""By step, the checkpoint that the Run went on from: its name and digest."""
REWINDS_TAG = "touchline.rewinds"
"""The steps that a Run went back to, of Runs that no job opened."""
PIPELINE_TAG = "touchline.pipeline"
"""Id of the pipeline that the Run is a part of."""
RESULT_TAG = "touchline.result"
"""What the Run's job returned, as JSON."""
PARITY_TAG = "parity.worst"
CONFIG_TAG = "touchline.job_digest"
SHOWN_DIGITS = 12

Kind = Literal["version", "model", "run", "checkpoint", "study"]


@dataclass(frozen=True)
class Node:
    """One thing that a model comes from, and what it was made from itself."""

    kind: Kind
    title: str
    facts: tuple[str, ...] = ()
    """Lines that identify it: digests, times, code, seed."""
    trouble: str = ""
    """What is wrong with it: that it was deleted, is not what was read, or closes a circle."""
    parents: tuple[Node, ...] = ()

    def walk(self) -> Iterator[Node]:
        """Yield this node and all it comes from, nearest first."""
        yield self
        for parent in self.parents:
            yield from parent.walk()


def lineage(catalog: Catalog, reference: str) -> Node:
    """Return the tree behind ``NAME@ALIAS`` or ``NAME/VERSION``; raises UsageError when there is no such version.

    What was deleted since is shown with that as its trouble, and what is still known of it; so is whatever would
    make the tree endless.
    """
    return _from_version(catalog, catalog.find(reference), frozenset())


def code_of(tags: Mapping[str, str]) -> str:
    """Say which code a Run ran, from its tags; empty when nobody recorded it."""
    commit, changes = tags.get(f"{CODE_TAG}commit", ""), tags.get(f"{CODE_TAG}changes", "none")
    if not commit and (commit := tags.get("git.commit", "")):
        changes = "none" if tags.get("git.dirty") == "false" else "as in source/diff.patch"
    changed = "" if changes == "none" else f" with changes {changes}"
    told = [f"code {commit[:SHOWN_DIGITS]}{changed}"] if commit else []
    if version := tags.get(f"{CODE_TAG}touchline"):
        told.append(f"touchline {version}")
    return ", ".join(told)


def shortened(digest: str | None) -> str:
    """A digest for people."""
    return f"sha256 {digest[:SHOWN_DIGITS]}" if digest else "no digest"


def _from_version(catalog: Catalog, version: ModelVersion, seen: frozenset[str]) -> Node:
    aliases = "".join(f" @{alias}" for alias in version.aliases)
    facts = [f"{shortened(version.digest)}, registered {_moment(version.created)}", *_judged(version)]
    if not version.mlflow_run_id:
        facts.append("made by no Run: somebody registered it by hand")
    parents = (_from_run(catalog, version.mlflow_run_id, seen),) if version.mlflow_run_id else ()
    return Node("version", f"{version}{aliases}", tuple(facts), parents=parents)


def _judged(version: ModelVersion) -> Iterator[str]:
    """The gate's verdict of a version, if it was judged."""
    if passed := version.tag("gate3.passed"):
        provisionally = "provisionally " if version.tag("gate3.provisional") == "true" else ""
        yield f"gate 3 {provisionally}{'passed' if passed == 'true' else 'not passed'}"


def _from_run(catalog: Catalog, mlflow_run_id: str, seen: frozenset[str]) -> Node:
    if mlflow_run_id in seen:
        return Node("run", f"run {mlflow_run_id}", trouble="already above: the Runs name each other in a circle")
    run = _run(catalog, mlflow_run_id)
    if run is None:
        return Node("run", f"run {mlflow_run_id}", trouble="deleted")
    tags: Mapping[str, str] = run.data.tags
    seen = seen | {mlflow_run_id}
    contexts = [tag.removeprefix(INPUT_TAG) for tag in sorted(tags) if tag.startswith(INPUT_TAG)]
    return Node(
        "run",
        f"{tags.get(JOB_TAG, 'run')} {tags.get(RUN_TAG, mlflow_run_id)}",
        tuple(_facts(run)),
        "deleted, and still in MLflow's trash" if run.info.lifecycle_stage == "deleted" else "",
        (*_checkpoints(tags), *(_from_input(catalog, tags, context, seen) for context in contexts), *_study(tags)),
    )


def _run(catalog: Catalog, mlflow_run_id: str) -> Any:
    """MLflow's run, or None when it has none of this id."""
    from mlflow.exceptions import MlflowException

    with telling(catalog.settings, f"read run {mlflow_run_id}"):
        try:
            return catalog.client.get_run(mlflow_run_id)
        except MlflowException as error:
            if is_absent(error):
                return None
            raise


def _facts(run: Any) -> Iterator[str]:
    tags, params = run.data.tags, run.data.params
    started = [f"{_moment(run.info.start_time / 1e3)}, {tags.get('touchline.status', run.info.status.lower())}"]
    if "seed" in params:
        started.append(f"seed {params['seed']}")
    if digest := tags.get(CONFIG_TAG):
        started.append(f"configuration {digest[:SHOWN_DIGITS]}")
    yield ", ".join(started)
    if code := code_of(tags):
        yield code
    for one in run.inputs.dataset_inputs if run.inputs else ():
        yield f"data: {one.dataset.name}, digest {one.dataset.digest[:SHOWN_DIGITS]}"


def _checkpoints(tags: Mapping[str, str]) -> Iterator[Node]:
    resumed = sorted((tag, value) for tag, value in tags.items() if tag.startswith(RESUMED_TAG))
    for tag, value in resumed:
        name, _, digest = value.partition(" sha256 ")
        step = int(tag.removeprefix(RESUMED_TAG))
        yield Node("checkpoint", f"checkpoint {name}", (f"gone on from at step {step:,}, {shortened(digest)}",))
    if not resumed:
        for rewound in filter(None, tags.get(REWINDS_TAG, "").split(",")):
            title = f"checkpoint of step {int(rewound):,}"
            yield Node("checkpoint", title, ("gone on from; which one was not recorded",))


def _study(tags: Mapping[str, str]) -> Iterator[Node]:
    if study := tags.get(STUDY_TAG):
        trial = tags.get(TRIAL_TAG)
        yield Node("study", f"study {study}", (f"configuration of trial {trial}",) if trial else ())


def _from_input(catalog: Catalog, tags: Mapping[str, str], context: str, seen: frozenset[str]) -> Node:
    reference = tags[f"{INPUT_TAG}{context}"].removeprefix("models:/")
    digest, maker = tags.get(f"{INPUT_DIGEST_TAG}{context}"), tags.get(f"{INPUT_RUN_TAG}{context}")
    registered = "/" in reference or "@" in reference
    try:
        found = _registered(catalog, reference, seen) if registered else _logged(catalog, reference, context, seen)
    except UsageError:
        found = None
    if found is None:
        # What is gone is still known by what was written down when it was read.
        return Node(
            "version" if registered else "model",
            f"{context} {reference}",
            (shortened(digest),) if digest else (),
            "deleted",
            (_from_run(catalog, maker, seen),) if maker else (),
        )
    node, present = found
    if digest and present and digest != present:
        told = f"not what was read: that had {shortened(digest)}"
        return replace(node, trouble=f"{node.trouble}; {told}" if node.trouble else told)
    return node


def _registered(catalog: Catalog, reference: str, seen: frozenset[str]) -> tuple[Node, str | None]:
    version = catalog.find(reference)
    node = _from_version(catalog, version, seen)
    if "@" in reference:
        node = replace(node, facts=(*node.facts, f"read as {reference}, which may have been another version then"))
    return node, version.digest


def _logged(catalog: Catalog, model_id: str, context: str, seen: frozenset[str]) -> tuple[Node, str | None] | None:
    """A model that a Run logged and nobody registered; None when it was deleted."""
    from mlflow.exceptions import MlflowException

    with telling(catalog.settings, f"read models:/{model_id}"):
        try:
            logged = catalog.client.get_logged_model(model_id)
        except MlflowException as error:
            if is_absent(error):
                return None
            raise
    maker = _from_run(catalog, logged.source_run_id, seen) if logged.source_run_id else None
    facts = [shortened(digest := logged.tags.get(DIGEST_TAG))]
    run = _run(catalog, logged.source_run_id) if maker is not None and not maker.trouble else None
    if run is not None and (parity := run.data.tags.get(PARITY_TAG)):
        facts.append(f"differs from what it was converted from by {parity} at most")
    return Node("model", f"{context} {model_id}", tuple(facts), parents=(maker,) if maker else ()), digest


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
